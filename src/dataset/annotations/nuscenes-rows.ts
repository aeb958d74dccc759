/** Checks of the records of nuScenes.json and nuScenes_val.json. */
import { isRecord, remember } from "../../core/maps.js";
import type { RowSink } from "../json/rows.js";
import { kindOf } from "../nuscenes/read/field-types.js";
import type { FileListing } from "./file-listing.js";
import { type Issues, NO_INDEX, RecordCount, records } from "./issues.js";
import type { AnnotationRule } from "./rules.js";
import type { ValidationFrames, ValidationScenes } from "./val-scenes.js";

/** The parts that Vista's loader leaves out of a sample whose record lacks them, under the loader's own names. */
type Action = "speed" | "angle" | "goal";

/** A record of the right shape. `docs/annotations.md` has the figures and their units. */
export interface NuScenesRecord {
  frames: string[];
  traj: number[];
  cmd: number;
  speed: number[];
  angle: number[];
  z: number;
  goal: [number, number];
}

const FRAMES = 25;
const TRAJ = 10;
const KEY_FRAMES = 5;
/** A name that Vista gives to what the car does next. */
export type DrivingCommand = "right" | "left" | "stop" | "forward";
/** The names of the commands, each at the number that stands for it in `cmd`. */
export const COMMANDS: readonly DrivingCommand[] = ["right", "left", "stop", "forward"];
/** The size in pixels of the pictures that the goal is given in. */
export const PICTURE = { width: 1600, height: 900 };
/** The length of a hole between two frames in microseconds: CAM_FRONT runs at 12 Hz, so a second without a frame is one. */
const HOLE_US = 1_000_000;
/** The least and the most time from one frame to the next, on average: 12 Hz are 83,333, and sets of one's own have 10 or 20 Hz. */
const STEP_US = { least: 45_000, most: 150_000 };
/** How far from the car a trajectory may start, and how far it may lead within its two seconds, in metres. */
const TRAJECTORY = { start: 0.1, end: 500 };
const FILE_NAME = /^(.*)__([^_]\w*)__([0-9]{13,17})\.[a-z]+$/i;

/** A fault of a record: its rule, its message, and the key that it is about. There is no key where the record is no object. */
export type RecordFault = readonly [rule: "shape" | "length" | "cmd-range", message: string, key?: string];

/** Tells whether a number stays finite in a tensor that torch makes of a list of floats. */
function fitsFloat32(value: number): boolean {
  return Number.isFinite(Math.fround(value));
}

/**
 * Returns why a value is no record that Vista's loader could use.
 *
 * @param needed  the number of frames that training takes of each record; where that is not the usual 25, a record may have as
 *   many or more
 */
export function recordFaults(record: unknown, needed = FRAMES): RecordFault[] {
  if (!isRecord(record)) return [["shape", `is ${kindOf(record)}, not an object`]];
  const faults: RecordFault[] = [];
  const list = (
    key: string,
    type: "string" | "number",
    lengths: readonly number[],
    fits = (length: number) => lengths.includes(length),
  ) => {
    const field = record[key];
    if (!Array.isArray(field)) {
      faults.push(["shape", `"${key}" is ${kindOf(field)}, not a list`, key]);
      return;
    }
    const at = field.findIndex(
      (item) => typeof item !== type || (type === "number" && !Number.isFinite(item)),
    );
    if (at >= 0) {
      faults.push(["shape", `"${key}"[${at}] is ${kindOf(field[at])}, not a ${type}`, key]);
    } else if (type === "number" && !field.every(fitsFloat32)) {
      const large = field.find((item) => !fitsFloat32(item));
      faults.push(["shape", `"${key}" has ${large}, which is infinite as float32, torch's type for it`, key]);
    } else if (!fits(field.length)) {
      faults.push(["length", `"${key}" has ${field.length} entries, not ${lengths.join(" or ")}`, key]);
    }
  };
  list(
    "frames",
    "string",
    [needed],
    (length) => length === FRAMES || (needed !== FRAMES && length >= needed),
  );
  list("traj", "number", [TRAJ]);
  const { cmd } = record;
  if (typeof cmd !== "number" || !Number.isInteger(cmd)) {
    faults.push(["shape", `"cmd" is ${kindOf(cmd)}, not an integer`, "cmd"]);
  } else if (cmd < 0 || cmd >= COMMANDS.length) {
    faults.push(["cmd-range", `"cmd" is ${cmd}, not 0 to ${COMMANDS.length - 1}`, "cmd"]);
  }
  list("speed", "number", [KEY_FRAMES, 0]);
  list("angle", "number", [KEY_FRAMES, 0]);
  if (typeof record.z !== "number" || !Number.isFinite(record.z)) {
    faults.push(["shape", `"z" is ${kindOf(record.z)}, not a number`, "z"]);
  }
  list("goal", "number", [2]);
  return faults;
}

/**
 * Tells whether the loader takes a record with such a fault. A command that Vista does not know trains something wrong, but it trains; so
 * does a record with frames to spare.
 */
export function isHarmless([rule, , key]: RecordFault, record: unknown, needed = FRAMES): boolean {
  return (
    rule === "cmd-range" ||
    (rule === "length" && key === "frames" && (record as NuScenesRecord).frames.length > needed)
  );
}

/** Tells whether a goal is used: it must lie in front of the camera and inside the picture. */
export function hasGoal({ z, goal }: Pick<NuScenesRecord, "z" | "goal">): boolean {
  return z > 0 && goal[0] > 0 && goal[0] < PICTURE.width && goal[1] > 0 && goal[1] < PICTURE.height;
}

/**
 * Tells whether the data set class raises on a record when the data set is made, outside of what its loader swallows. The class
 * reads `cmd` of each record; it reads `speed`, `angle`, `z` and `goal` one after the other, as long as those before hold
 * something (`balance_with_actions` and `resample_complete_samples` in vwm/data/subsets/nuscenes.py).
 */
export function stopsDataset(record: unknown): boolean {
  if (!isRecord(record) || !("cmd" in record)) return true;
  for (const key of ["speed", "angle"]) {
    if (!(key in record)) return true;
    if (isEmpty(record[key])) return false;
  }
  // A null may have been a NaN, which Python compares.
  if (record.z === null) return false;
  if (typeof record.z !== "number") return true;
  if (record.z <= 0) return false;
  if (!Array.isArray(record.goal)) return true;
  const [u, v] = record.goal as unknown[];
  if (u === null || (typeof u === "number" && !(u > 0 && u < PICTURE.width))) return false;
  return typeof u !== "number" || (typeof v !== "number" && v !== null);
}

/**
 * Tells whether the loader does not stumble over a fault of form, such as an empty speed in another spelling or a command that is
 * any number.
 */
function isTaken([rule, , key]: RecordFault, value: unknown): boolean {
  if (rule !== "shape" || key === undefined) return false;
  const field = (value as Record<string, unknown>)[key];
  if (key === "cmd") return typeof field === "number" || typeof field === "boolean";
  return (key === "speed" || key === "angle") && field !== undefined && isEmpty(field);
}

/** Tells whether Python takes a value for false. */
function isEmpty(value: unknown): boolean {
  return !value || (Array.isArray(value) && value.length === 0);
}

export class NuScenesRows implements RowSink {
  readonly #starts = new Map<string, number>();
  unusable = 0;
  /** The rule because of which the loader cannot use the last record; undefined where it can. */
  broken: AnnotationRule | undefined;
  /**
   * The number of unusable records that are never loaded, because of their frames; other faults spoil one action mode of four.
   */
  lost = 0;
  readonly #with = new Map<Action, number>();
  readonly #without = new Map<Action, RecordCount>();
  /** The records on which {@link stopsDataset} is true. */
  readonly stopping = new RecordCount();

  /**
   * Makes a checker for the records of one file.
   *
   * @param files  the listing to look up frames in; undefined where there are no images to look at
   * @param validation  the frames of validation clips: a validation file adds to them, a training file looks them up
   * @param frames  the number of frames that training takes of each record: 25
   * @param scenes  the scenes of the official validation split, where the tables are at hand
   */
  constructor(
    private readonly issues: Issues,
    private readonly files: FileListing | undefined,
    private readonly validation: ValidationFrames,
    private readonly training: boolean,
    private readonly frames: number,
    private readonly scenes?: ValidationScenes,
  ) {}

  value(value: unknown, offset: number): void {
    this.issues.next(offset);
    const faults = recordFaults(value, this.frames);
    for (const [rule, message] of faults) this.issues.record(rule, message);
    if (faults.length > 0 && stopsDataset(value)) this.stopping.add(this.issues);
    const wrong = faults.filter((fault) => !isHarmless(fault, value, this.frames));
    this.broken = wrong[0] === undefined ? undefined : wrong[0][0];
    if (wrong.length > 0) {
      if (!wrong.every((fault) => isTaken(fault, value))) this.unusable++;
      if (wrong.some(([, , key]) => key === undefined || key === "frames")) this.lost++;
      return;
    }
    const record = value as NuScenesRecord;
    this.#actions(record);
    this.#uniqueness(record);
    this.#order(record);
    if (this.files !== undefined && !this.#existence(record, this.files)) {
      this.broken = "frame-missing";
      this.unusable++;
      this.lost++;
    }
  }

  /** Reports, after the last record, what concerns the records together. */
  end(): void {
    for (const [action, { count, index, offset }] of this.#without) {
      const filled = this.#with.get(action);
      if (filled === undefined) continue;
      this.issues.at(index, offset);
      this.issues.record(
        "mixed-actions",
        `${records(count, "have")} no ${action}, ${records(filled, "have")} one: a batch of both ends Vista with KeyError '${action}' in the collate step (batch sizes above 1)`,
      );
    }
  }

  /** Counts the records to which the loader gives an action, and those from which it leaves the action out. */
  #tally(action: Action, given: boolean): void {
    if (given) this.#with.set(action, (this.#with.get(action) ?? 0) + 1);
    else remember(this.#without, action, () => new RecordCount()).add(this.issues);
  }

  #actions(record: NuScenesRecord): void {
    const { traj, speed, angle, z, goal } = record;
    const [x, y] = traj as [number, number];
    const isFar = traj.some((metres) => Math.abs(metres) > TRAJECTORY.end);
    if (Math.hypot(x, y) > TRAJECTORY.start || isFar) {
      const points = traj.map((metres) => Number(metres.toFixed(1))).join(", ");
      this.issues.group(
        "trajectory",
        "",
        "have",
        () =>
          `a trajectory that does not start at the car (0, 0), or has a point more than ${TRAJECTORY.end} m away, the first ${points}`,
      );
    }
    this.#tally("speed", speed.length > 0);
    this.#tally("angle", angle.length > 0);
    this.#tally("goal", hasGoal(record));
    if (speed.length === 0 || angle.length === 0) {
      this.issues.group("no-actions", "", "have", () => `no speed or no steering angle`);
    }
    if (z > 0 && !hasGoal(record)) {
      this.issues.group(
        "goal-outside",
        "",
        "have",
        () =>
          `a goal outside the ${PICTURE.width} × ${PICTURE.height} picture, the first at (${goal.map((value) => value.toFixed(1)).join(", ")})`,
      );
    }
  }

  #uniqueness({ frames }: NuScenesRecord): void {
    const start = frames[0]!;
    const first = this.#starts.get(start);
    if (first === undefined) this.#starts.set(start, this.issues.index);
    else {
      this.issues.record(
        "duplicate",
        `starts at the same frame as ${first === NO_INDEX ? "another record" : `record ${first}`}: ${start}`,
      );
    }
    if (!this.training) {
      for (const frame of frames) this.validation.add(frame);
      return;
    }
    const shared = frames.findIndex((frame) => this.validation.has(frame));
    if (shared >= 0) {
      const message = `frame ${shared} is one of a validation clip: ${frames[shared]}`;
      this.issues.record("val-in-train", message);
    } else {
      const scene = this.scenes?.sceneOf(start);
      if (scene === undefined) return;
      this.issues.group(
        "val-scene",
        scene,
        "take",
        () => `clips from ${scene}, a scene of the validation split`,
      );
    }
  }

  /** Checks that the frames of one clip are of one drive and one camera, each later than the one before. */
  #order({ frames }: NuScenesRecord): void {
    let log: string | undefined;
    let channel: string | undefined;
    let time = 0;
    let start: number | undefined;
    for (const [at, frame] of frames.entries()) {
      const match = FILE_NAME.exec(frame.slice(frame.lastIndexOf("/") + 1));
      // The user has chosen these names, so there is nothing to compare.
      if (match === null) return;
      const next = Number(match[3]);
      if (log !== undefined && (match[1] !== log || match[2] !== channel)) {
        const what = match[1] === log ? "camera" : "drive";
        const message = `frame ${at} is of another ${what} than frame ${at - 1}`;
        this.issues.record("frame-order", message);
        return;
      }
      if (log !== undefined && next <= time) {
        const message =
          next === time
            ? `frame ${at} has the time of frame ${at - 1}`
            : `frame ${at} is ${((time - next) / 1e6).toFixed(3)} s before frame ${at - 1}`;
        this.issues.record("frame-order", message);
        return;
      }
      if (log !== undefined && next - time > HOLE_US) {
        const message = `frame ${at} is ${((next - time) / 1e6).toFixed(1)} s after frame ${at - 1}`;
        this.issues.record("over-gap", message);
        return;
      }
      log = match[1];
      channel = match[2];
      time = next;
      start ??= time;
    }
    const step = (time - start!) / Math.max(frames.length - 1, 1);
    if (frames.length < 2 || (step >= STEP_US.least && step <= STEP_US.most)) return;
    this.issues.group(
      "frame-rate",
      "",
      "have",
      () =>
        `frames that are not some 83 ms apart, as Vista takes them to be: ${(step / 1000).toFixed(0)} ms in the first`,
    );
  }

  /** Looks for the frames of a record. @returns false where a frame is not there */
  #existence({ frames }: NuScenesRecord, files: FileListing): boolean {
    const missing = new Map<string, string>();
    for (const frame of frames.slice(0, this.frames)) {
      const folder = files.missing(frame);
      if (folder === undefined) continue;
      this.issues.lacks("frame-missing", frame);
      if (!missing.has(folder)) missing.set(folder, frame);
    }
    for (const [folder, frame] of missing) {
      this.issues.group(
        "frame-missing",
        folder,
        "name",
        () => `files that are not in ${folder || "."}, the first ${frame}`,
      );
    }
    return missing.size === 0;
  }
}
