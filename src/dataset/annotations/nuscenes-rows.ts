/** Checks of the records of nuScenes.json and nuScenes_val.json. */
import { isRecord, remember } from "../../core/maps.js";
import { sum } from "../../core/sum.js";
import type { RowSink } from "../json/rows.js";
import { kindOf } from "../nuscenes/read/field-types.js";
import { type DriveFrame, driveFrame } from "./clips.js";
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
/**
 * How far from the car a trajectory may start, how far it may lead within its two seconds, and how far to a side beyond twice the way
 * forward, in metres: a car that turns as tightly as it can is not as fast as that.
 */
const TRAJECTORY = { start: 0.1, end: 500, side: 5 };
const TRAJECTORY_S = 2;
/** The way in metres from which on a trajectory tells the speed, and the part of that speed that CAN bus messages say at least. */
const SPEED = { way: 5, least: 0.5 };

/** A fault of the form of a record. */
export interface RecordFault {
  rule: "shape" | "length" | "cmd-range";
  message: string;
  /** The key that it is about; undefined where the record is no object. */
  key?: string;
  /**
   * What the loader does with such a record. With `trains` it takes the record as if it were sound, such as one with frames to spare. With
   * `loads` it does not stumble over the fault, such as an empty speed in another spelling. With `fails` it raises.
   */
  loader: "trains" | "loads" | "fails";
}

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
  if (!isRecord(record)) {
    return [{ rule: "shape", message: `is ${kindOf(record)}, not an object`, loader: "fails" }];
  }
  const faults: RecordFault[] = [];
  const fault = (
    rule: RecordFault["rule"],
    key: string,
    what: string,
    loader: RecordFault["loader"] = "fails",
  ) => faults.push({ rule, message: `"${key}"${what}`, key, loader });
  /** Returns the length of a list of the right type; what else is wrong with it is a fault. */
  const lengthOf = (key: string, type: "string" | "number"): number | undefined => {
    const field = record[key];
    if (!Array.isArray(field)) {
      fault("shape", key, ` is ${kindOf(field)}, not a list`, isNoAction(key, field) ? "loads" : "fails");
      return undefined;
    }
    const at = field.findIndex(
      (item) => typeof item !== type || (type === "number" && !Number.isFinite(item)),
    );
    if (at >= 0) {
      fault("shape", key, `[${at}] is ${kindOf(field[at])}, not a ${type}`);
      return undefined;
    }
    const large = type === "number" ? (field as number[]).find((item) => !fitsFloat32(item)) : undefined;
    if (large === undefined) return field.length;
    fault("shape", key, ` has ${large}, which is infinite as float32, torch's type for it`);
    return undefined;
  };
  const numbers = (key: string, lengths: readonly number[]) => {
    const length = lengthOf(key, "number");
    if (length === undefined || lengths.includes(length)) return;
    fault("length", key, ` has ${length} entries, not ${lengths.join(" or ")}`);
  };
  const frames = lengthOf("frames", "string") ?? needed;
  if (frames !== FRAMES && (frames < needed || needed === FRAMES)) {
    fault("length", "frames", ` has ${frames} entries, not ${needed}`, frames > needed ? "trains" : "fails");
  }
  numbers("traj", [TRAJ]);
  const { cmd, z } = record;
  if (typeof cmd !== "number" || !Number.isInteger(cmd)) {
    fault("shape", "cmd", ` is ${kindOf(cmd)}, not an integer`, isNumber(cmd) ? "loads" : "fails");
  } else if (cmd < 0 || cmd >= COMMANDS.length) {
    // A command that Vista does not know trains something wrong, but it trains.
    fault("cmd-range", "cmd", ` is ${cmd}, not 0 to ${COMMANDS.length - 1}`, "trains");
  }
  numbers("speed", [KEY_FRAMES, 0]);
  numbers("angle", [KEY_FRAMES, 0]);
  if (typeof z !== "number" || !Number.isFinite(z)) fault("shape", "z", ` is ${kindOf(z)}, not a number`);
  numbers("goal", [2]);
  return faults;
}

/** Tells whether the loader takes a field for a speed or an angle that is not there: an empty one, in whatever spelling. */
function isNoAction(key: string, field: unknown): boolean {
  return (key === "speed" || key === "angle") && field !== undefined && isEmpty(field);
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
  const { z, goal } = record;
  // A null may have been a NaN, which Python compares.
  if (z === null) return false;
  if (!isNumber(z)) return true;
  if (!(Number(z) > 0)) return false;
  if (!Array.isArray(goal)) return true;
  const [u, v] = goal as unknown[];
  if (u === null || (isNumber(u) && !(Number(u) > 0 && Number(u) < PICTURE.width))) return false;
  return !isNumber(u) || !(isNumber(v) || v === null);
}

/** Tells whether a value is a number to Python, which takes true for 1. */
function isNumber(value: unknown): boolean {
  return typeof value === "number" || typeof value === "boolean";
}

/** Tells whether Python takes a value for false. */
function isEmpty(value: unknown): boolean {
  return !value || (typeof value === "object" && Object.keys(value).length === 0);
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
  /** The number of records to which the loader gives an action, and those from which it leaves the action out. */
  readonly #actions = new Map<Action, { given: number; without: RecordCount }>();
  /** The numbers of records whose speeds fit their trajectories, and the others, with what the first of these has. */
  readonly #speeds = { fit: 0, off: new RecordCount(), first: "" };
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
    for (const { rule, message } of faults) this.issues.record(rule, message);
    if (faults.length > 0 && stopsDataset(value)) this.stopping.add(this.issues);
    const wrong = faults.filter(({ loader }) => loader !== "trains");
    this.broken = wrong[0]?.rule;
    const record = value as NuScenesRecord;
    if (wrong.length === 0) this.#checkActions(record);
    const isLost =
      wrong.some(({ key }) => key === undefined || key === "frames") || !this.#framesAreUsable(record);
    if (isLost) this.lost++;
    if (isLost || wrong.some(({ loader }) => loader === "fails")) this.unusable++;
  }

  /** Checks the frames of a record. @returns false where one is not there */
  #framesAreUsable(record: NuScenesRecord): boolean {
    this.#uniqueness(record);
    this.#order(record);
    if (this.files === undefined || this.#existence(record, this.files)) return true;
    this.broken ??= "frame-missing";
    return false;
  }

  /** Reports, after the last record, what concerns the records together. */
  end(): void {
    const { fit, off, first } = this.#speeds;
    // A few clips have speeds of another moment; where most do not fit, it is the unit.
    if (off.count > fit) {
      this.issues.at(off.index, off.offset);
      const message = `${records(off.count, "have")} speeds that do not fit the trajectory, ${records(fit, "have")} some that do: the first has ${first}`;
      this.issues.record("speed-unit", message);
    }
    for (const [action, { given, without }] of this.#actions) {
      if (given === 0 || without.count === 0) continue;
      this.issues.at(without.index, without.offset);
      this.issues.record(
        "mixed-actions",
        `${records(without.count, "have")} no ${action}, ${records(given, "have")} one: a batch of both ends Vista with KeyError '${action}' in the collate step (batch sizes above 1)`,
      );
    }
  }

  #tally(action: Action, isGiven: boolean): void {
    const tally = remember(this.#actions, action, () => ({ given: 0, without: new RecordCount() }));
    if (isGiven) tally.given++;
    else tally.without.add(this.issues);
  }

  #checkActions(record: NuScenesRecord): void {
    const { traj, speed, angle, z, goal } = record;
    const [x, y] = traj as [number, number];
    const isFar = traj.some((metres) => Math.abs(metres) > TRAJECTORY.end);
    const [left, forward] = traj.slice(-2) as [number, number];
    const isSideways = Math.abs(left) > TRAJECTORY.side + 2 * Math.abs(forward);
    if (Math.hypot(x, y) > TRAJECTORY.start || isFar || isSideways) {
      const points = traj.map((metres) => Number(metres.toFixed(1))).join(", ");
      const what = () =>
        `a trajectory that does not start at the car (0, 0), leads to its side, or has a point more than ${TRAJECTORY.end} m away, the first ${points}`;
      this.issues.group("trajectory", "", "have", what);
    } else this.#compareSpeed(record);
    this.#tally("speed", speed.length > 0);
    this.#tally("angle", angle.length > 0);
    this.#tally("goal", hasGoal(record));
    if (speed.length === 0 || angle.length === 0) {
      this.issues.group("no-actions", "", "have", () => "no speed or no steering angle");
    }
    if (z > 0 && !hasGoal(record)) {
      const what = () =>
        `a goal outside the ${PICTURE.width} × ${PICTURE.height} picture, the first at (${goal.map((value) => value.toFixed(1)).join(", ")})`;
      this.issues.group("goal-outside", "", "have", what);
    }
  }

  /** Compares the speeds with the way that the trajectory leads. */
  #compareSpeed({ traj, speed }: NuScenesRecord): void {
    let way = 0;
    for (let i = 2; i < TRAJ; i += 2) way += Math.hypot(traj[i]! - traj[i - 2]!, traj[i + 1]! - traj[i - 1]!);
    if (speed.length === 0 || way < SPEED.way) return;
    const driven = (way / TRAJECTORY_S) * 3.6;
    const said = sum(speed) / speed.length;
    if (said >= driven * SPEED.least && said <= driven / SPEED.least) this.#speeds.fit++;
    else if (this.#speeds.off.add(this.issues)) {
      this.#speeds.first = `speeds of ${said.toFixed(1)} km/h in the mean, and ${way.toFixed(1)} m in ${TRAJECTORY_S} s, which are ${driven.toFixed(1)} km/h`;
    }
  }

  #uniqueness({ frames }: NuScenesRecord): void {
    const start = frames[0]!;
    const first = this.#starts.get(start);
    if (first === undefined) this.#starts.set(start, this.issues.index);
    else {
      const other = first === NO_INDEX ? "another record" : `record ${first}`;
      this.issues.record("duplicate", `starts at the same frame as ${other}: ${start}`);
    }
    if (!this.training) {
      for (const frame of frames) this.validation.add(frame);
      return;
    }
    const shared = frames.findIndex((frame) => this.validation.has(frame));
    if (shared >= 0) {
      this.issues.record("val-in-train", `frame ${shared} is one of a validation clip: ${frames[shared]}`);
      return;
    }
    const scene = this.scenes?.sceneOf(start);
    if (scene === undefined) return;
    const what = () => `clips from ${scene}, a scene of the validation split`;
    this.issues.group("val-scene", scene, "take", what);
  }

  /** Checks that the frames of one clip are of one drive and one camera, each later than the one before. */
  #order({ frames }: NuScenesRecord): void {
    if (frames.length < 2) return;
    const first = driveFrame(frames[0]!);
    let last = first;
    for (let at = 1; at < frames.length; at++) {
      const next = driveFrame(frames[at]!);
      // The user has chosen these names, so there is nothing to compare.
      if (last === undefined || next === undefined) return;
      const fault = stepFault(last, next);
      if (fault !== undefined) {
        this.issues.record(fault.rule, `frame ${at} ${fault.what} frame ${at - 1}`);
        return;
      }
      last = next;
    }
    const step = (last!.time - first!.time) / (frames.length - 1);
    if (step >= STEP_US.least && step <= STEP_US.most) return;
    const what = () =>
      `frames that are not some 83 ms apart, as Vista takes them to be: ${(step / 1000).toFixed(0)} ms in the first`;
    this.issues.group("frame-rate", "", "have", what);
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
      const what = () => `files that are not in ${folder || "."}, the first ${frame}`;
      this.issues.group("frame-missing", folder, "name", what);
    }
    return missing.size === 0;
  }
}

/** Returns what is wrong with a frame after another one, or undefined where nothing is. */
function stepFault(
  before: DriveFrame,
  { log, channel, time }: DriveFrame,
): { rule: "frame-order" | "over-gap"; what: string } | undefined {
  if (log !== before.log) return { rule: "frame-order", what: "is of another drive than" };
  if (channel !== before.channel) return { rule: "frame-order", what: "is of another camera than" };
  const step = time - before.time;
  if (step === 0) return { rule: "frame-order", what: "has the time of" };
  if (step < 0) return { rule: "frame-order", what: `is ${(-step / 1e6).toFixed(3)} s before` };
  return step > HOLE_US ? { rule: "over-gap", what: `is ${(step / 1e6).toFixed(1)} s after` } : undefined;
}
