/** The sensor and scene that each row of sample_data belongs to, and the findings about key frames. */
import { firstWhere } from "../../../core/search.js";
import type { Finding } from "../../finding.js";
import type { SampleData } from "../read/load.js";
import type { Tables } from "../read/load-tables.js";
import { Kept, type KeptFaults, keepFirst } from "../read/table-state.js";
import { rowOf, type SmallTable } from "../read/tables.js";
import type { CheckedChains } from "./chains.js";
import type { Names } from "./names.js";
import { finding, type NuScenesRule } from "./rules.js";
import { keptFindings } from "./table-findings.js";

/**
 * The distance in microseconds from which on a key frame is another sample's: those of one sample lie within some 100 ms, and
 * samples are 500 ms apart.
 */
const FAR_US = 250_000;

/**
 * The distance in microseconds from which on an ego pose is another frame's. Those of the official tables have the time of their
 * frames; a set of one's own may take the nearest of few poses.
 */
const POSE_FAR_US = 300_000;

/** The facts that the chains show and that other rules need, so as not to report them again. */
export interface ChainKnowledge {
  /** The samples whose own time is wrong, so that their key frames are not to blame for being far from them. */
  wrongTime: ReadonlySet<number>;
  /** The rows of sample_data whose own time is wrong. */
  wrongFrameTime: ReadonlySet<number>;
  /** The rows of sample_data that belong to another scene than the chain around them. */
  strays: ReadonlyMap<number, number>;
}

export class Frames {
  readonly channels: readonly string[];
  /** The scene and sensor of each row as one number, or -1. */
  readonly group: Int32Array;
  /** The index in {@link channels} of each row, or -1. */
  readonly channel: Int16Array;
  /** The rows whose folder is that of another sensor than their calibrated_sensor. */
  readonly contradictions = new Kept<number>();
  /** The scene of each sample, or -1. */
  readonly sceneOfSample: Int32Array;
  /** The time of each sample; NaN if unknown, and without an entry where no scenes are known. */
  readonly timeOfSample: Float64Array;
  readonly #scenes: SmallTable | undefined;

  constructor(data: SampleData, tables: Tables, samples: CheckedChains | undefined) {
    const { scene, sensor, calibrated_sensor: calibrated } = tables.small;
    const folderNames = data.folders.map((folder) => folder.slice(folder.lastIndexOf("/") + 1));
    const sensorNames = sensor?.values.map((row) => String(row.channel)) ?? folderNames;
    this.channels = [...new Set(sensorNames)];
    this.#scenes = scene;
    const byFolder = folderNames.map((name) => this.channels.indexOf(name));
    const byCalibration = (calibrated?.values ?? []).map((row) => {
      const at = sensor === undefined ? -1 : rowOf(sensor, row.sensor_token);
      return at < 0 ? -1 : this.channels.indexOf(String(sensor!.values[at]!.channel));
    });
    this.sceneOfSample = samples?.groups ?? new Int32Array(tables.small.sample?.rows ?? 0).fill(-1);
    this.timeOfSample = samples?.input.time ?? new Float64Array(0);
    const count = this.channels.length;
    this.group = new Int32Array(data.rows);
    this.channel = new Int16Array(data.rows);
    for (let row = 0; row < data.rows; row++) {
      const folder = byFolder[data.folder[row]!] ?? -1;
      const sensorRow = data.sensor[row]!;
      const calibration = sensorRow < 0 ? -1 : byCalibration[sensorRow]!;
      if (folder >= 0 && calibration >= 0 && folder !== calibration) this.contradictions.add(row);
      // The folder decides, because the name of a file is harder to get wrong than a token.
      const channel = folder >= 0 ? folder : calibration;
      this.channel[row] = channel;
      const sampleRow = data.sample[row]!;
      const sceneRow = sampleRow < 0 ? -1 : this.sceneOfSample[sampleRow]!;
      this.group[row] = sceneRow < 0 || channel < 0 ? -1 : sceneRow * count + channel;
    }
  }

  /** Returns a name for what a row belongs to, such as `CAM_FRONT of scene-0061`. */
  describe(row: number): string {
    const scene = this.sceneOf(row);
    if (scene < 0) return "no known sensor or scene";
    return `${this.channels[this.channel[row]!]} of ${this.sceneName(scene)}`;
  }

  /** Returns the scene of a row of a known sensor, or -1. */
  sceneOf(row: number): number {
    return Math.max(-1, Math.floor(this.group[row]! / this.channels.length));
  }

  sceneName(scene: number): string {
    return String(this.#scenes!.values[scene]!.name);
  }
}

/**
 * Yields the findings about sensors that contradict folders and about each sample's key frames: there must be one of each sensor,
 * close in time, and the ego pose of each frame must be of its time.
 *
 * @param chains  what has been reported about samples and about single frames
 */
export function* frameFindings(
  frames: Frames,
  { wrongTime, wrongFrameTime, strays }: ChainKnowledge,
  names: Names,
): Generator<Finding> {
  const { sampleData, egoPose, small } = names.tables;
  const { sample, scene } = small;
  const data = sampleData!;
  const path = names.path("sample_data");
  const rowFindings = (
    rule: NuScenesRule,
    rows: KeptFaults<number>,
    others: string,
    describe: (row: number) => string,
  ) => keptFindings(rule, path, rows, others, (row) => [describe(row), names.place("sample_data", row)]);
  yield* rowFindings(
    "wrong-sensor",
    frames.contradictions,
    "more files in the folder of another sensor",
    (row) =>
      `the file is in ${data.folders[data.folder[row]!]}, but calibrated_sensor_token names another sensor`,
  );
  if (sample === undefined || scene === undefined) return;

  const width = frames.channels.length;
  /** What is known of each sensor; `lost` counts the key frames that belong to no known sample, which may be the missing ones. */
  const channels = frames.channels.map((name) => ({ name, rows: 0, lost: 0, isUsed: false }));
  let lostAnywhere = 0;
  /** The key frame of each sample and sensor, or -1. */
  const keyFrames = new Int32Array(sample.rows * width).fill(-1);
  /** Whether there is a frame of each scene and sensor. */
  const seen = new Uint8Array(scene.rows * width);
  const apart = (row: number) => data.time[row]! - frames.timeOfSample[data.sample[row]!]!;
  /** The key frames that are one too many: of two, the one that lies farther from the sample. */
  const surplus: number[] = [];
  const far: number[] = [];
  for (let row = 0; row < data.rows; row++) {
    if (data.exclude[row] === 1) continue;
    const channel = channels[frames.channel[row]!];
    const group = frames.group[row]!;
    if (channel !== undefined) channel.rows++;
    if (group >= 0) seen[group] = 1;
    if (data.keyFrame[row] === 0) continue;
    const sampleRow = data.sample[row]!;
    if (channel === undefined) {
      lostAnywhere++;
      continue;
    }
    if (sampleRow < 0 || strays.has(row)) {
      channel.lost++;
      continue;
    }
    channel.isUsed = true;
    const at = sampleRow * width + frames.channel[row]!;
    const other = keyFrames[at]!;
    if (other === -1) {
      keyFrames[at] = row;
    } else if (Math.abs(apart(row)) < Math.abs(apart(other))) {
      surplus.push(other);
      keyFrames[at] = row;
    } else {
      surplus.push(row);
    }
    if (Math.abs(apart(row)) > FAR_US && !wrongTime.has(sampleRow)) far.push(row);
  }
  const sampleToken = (row: number) => names.token("sample", data.sample[row]!);
  yield* rowFindings(
    "keyframe-duplicate",
    keepFirst(surplus),
    "more key frames that are one too many",
    (row) => `a second key frame of ${frames.channels[frames.channel[row]!]} for sample ${sampleToken(row)}`,
  );
  const reported = new Set(surplus);
  yield* rowFindings(
    "keyframe-time",
    keepFirst(far.filter((row) => !reported.has(row))),
    "more key frames far from their sample",
    (row) => `the key frame is ${Math.round(apart(row) / 1000)} ms from its sample ${sampleToken(row)}`,
  );
  if (egoPose !== undefined) {
    const ahead = (row: number) => egoPose.time[data.egoPose[row]!]! - data.time[row]!;
    yield* rowFindings(
      "pose-time",
      farPoses(data, ahead, new Set([...far, ...wrongFrameTime])),
      "more frames whose ego pose is of another time",
      (row) => {
        const us = ahead(row);
        return `ego_pose_token names a pose of ${Math.round(Math.abs(us) / 1000)} ms ${us > 0 ? "later" : "earlier"}`;
      },
    );
  }
  if (!data.complete || data.rows === 0 || Object.keys(data.moreDangling).length > 0) return;

  if (small.sensor?.complete && !frames.channels.includes("CAM_FRONT")) {
    const text = `no sensor of sensor.json is CAM_FRONT, the camera that Vista trains on (${frames.channels.join(", ")})`;
    yield finding("keyframe-missing", path, text, { count: sample.rows });
  }
  for (const [channel, { name, rows, lost, isUsed }] of channels.entries()) {
    if (!isUsed) {
      // A set may do without a sensor, but not without the camera that Vista trains on.
      const isWanted = rows > 0 || name === "CAM_FRONT";
      const text = `none of the ${rows} rows of ${name} is a key frame of a known sample`;
      if (isWanted && lost + lostAnywhere === 0)
        yield finding("keyframe-missing", path, text, { count: sample.rows });
      continue;
    }
    let missing: number[] = [];
    const scenes = new Map<number, number>();
    for (let row = 0; row < sample.rows; row++) {
      if (sample.exclude[row] === 1 || keyFrames[row * width + channel] !== -1) continue;
      const sceneRow = frames.sceneOfSample[row]!;
      if (sceneRow >= 0 && seen[sceneRow * width + channel] === 0) {
        scenes.set(sceneRow, (scenes.get(sceneRow) ?? 0) + 1);
      } else missing.push(row);
    }
    for (const [sceneRow, count] of scenes) {
      const sceneName = frames.sceneName(sceneRow);
      const text = `${sceneName} has no frame of ${name} at all`;
      yield finding("keyframe-missing", path, text, { record: sceneName, count });
    }
    // A surplus key frame of another sample that lies at the time of this one belongs to this one; only its key is wrong.
    const spare = surplus.filter((row) => frames.channel[row] === channel).map((row) => data.time[row]!);
    const times = Float64Array.from(spare).sort();
    missing = missing.filter((row) => !hasNear(times, frames.timeOfSample[row]!, FAR_US));
    if (missing.length <= lost + lostAnywhere) continue;
    const more = `more samples without a key frame of ${name}`;
    yield* keptFindings("keyframe-missing", path, keepFirst(missing), more, (row) => [
      `no key frame of ${name} for this sample`,
      { record: `sample ${names.token("sample", row)}` },
    ]);
  }
}

/**
 * Finds the rows whose ego poses are far from them in time.
 *
 * @param ahead  tells how far the pose of a row is ahead of it
 * @param others  the rows whose own time is not to be trusted
 */
function farPoses(
  { egoPose, exclude }: SampleData,
  ahead: (row: number) => number,
  others: ReadonlySet<number>,
): Kept<number> {
  const found = new Kept<number>();
  for (let row = 0; row < egoPose.length; row++) {
    if (egoPose[row]! < 0 || exclude[row] === 1) continue;
    if (Math.abs(ahead(row)) > POSE_FAR_US && !others.has(row)) found.add(row);
  }
  return found;
}

/** Tells whether one of the times, which are sorted, lies no farther than `within` from `time`. */
function hasNear(times: Float64Array, time: number, within: number): boolean {
  const at = firstWhere(times.length, (i) => times[i]! >= time - within);
  return at < times.length && times[at]! <= time + within;
}
