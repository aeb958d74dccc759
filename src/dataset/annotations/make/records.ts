/**
 * Records of nuScenes.json from the tables, by the rules of Vista's authors (their script in Vista issue 30, and what they say in
 * issues 25, 31 and 32). `docs/annotations.md` lists the rules.
 */

import { isAbsolute } from "node:path";
import { throwIfAborted } from "../../../core/errors.js";
import { remember } from "../../../core/maps.js";
import type { Tables } from "../../nuscenes/read/load-tables.js";
import { LINK } from "../../nuscenes/read/table-state.js";
import type { Row } from "../../nuscenes/read/tables.js";
import { COMMANDS, type NuScenesRecord } from "../nuscenes-rows.js";
import { motionAt, readVehicleMonitor, type VehicleMonitor } from "./can-bus.js";
import { projectGoal } from "./goal.js";
import { KeyFrames } from "./key-frames.js";
import { NeededRows, scenesOf } from "./needed-rows.js";
import { inverseTransform, type Matrix, multiply, originOf, type Pose, transform } from "./pose.js";

/** The number of frames from one key frame to the next, where none is missing. */
const FRAMES_PER_KEY_FRAME = 6;
/** The distances in metres, to a side and forward, from which on the car counts as turning or moving. */
const TURN = 2;
const MOVE = 2;

export const RECORD_TABLES = [
  "scene",
  "sample",
  "sensor",
  "calibrated_sensor",
  "sample_data",
  "ego_pose",
] as const;

/** A scene that is wanted, with its samples in the order of time. */
export interface WantedScene {
  name: string;
  token: string;
  /** The rows of sample. */
  samples: number[];
}

/** The numbers of samples that started no record, by reason. */
export interface Skipped {
  /** The number of samples that too few others follow in the scene. */
  endOfScene: number;
  /** The number of samples whose CAM_FRONT chain ends before the clip does. */
  chainTooShort: number;
  /**
   * The number of samples without a key frame of CAM_FRONT, or with a frame in the clip that should be a key frame and is none.
   */
  noKeyFrame: number;
}

/** Returns the command for the last point of a trajectory, which is given in metres to the left and forward. */
export function commandOf(left: number, forward: number): number {
  const ahead = forward <= MOVE ? "stop" : "forward";
  return COMMANDS.indexOf(left >= TURN ? "left" : left <= -TURN ? "right" : ahead);
}

export class RecordMaker {
  readonly skipped: Skipped = { endOfScene: 0, chainTooShort: 0, noKeyFrame: 0 };
  readonly #scenes: NeededRows;
  readonly #samples: NeededRows;
  readonly #sensors: NeededRows;
  readonly #data: NeededRows;
  readonly #poses: NeededRows;
  readonly #keyFrames: KeyFrames;
  /** What several records of a scene share: the files of frames by row of sample_data, and the poses by row of sample. */
  readonly #files = new Map<number, string>();
  readonly #lidars = new Map<number, LidarPose>();

  /** @param root  the folder that holds `can_bus` */
  constructor(
    private readonly root: string,
    private readonly tables: Tables,
    private readonly options: { clip: number; keyFrames: number },
  ) {
    this.#scenes = new NeededRows(tables, "scene");
    this.#samples = new NeededRows(tables, "sample");
    this.#sensors = new NeededRows(tables, "calibrated_sensor");
    new NeededRows(tables, "sensor");
    this.#data = new NeededRows(tables, "sample_data");
    this.#poses = new NeededRows(tables, "ego_pose");
    this.#keyFrames = new KeyFrames(tables, this.#data);
  }

  get repeatedKeyFrames(): number {
    return this.#keyFrames.repeated;
  }

  close(): void {
    for (const rows of [this.#scenes, this.#samples, this.#sensors, this.#data, this.#poses]) rows.close();
  }

  /**
   * Returns the scenes that are wanted, in the order of their tokens.
   *
   * @param names  the names of these scenes; undefined for all
   * @throws VistaError `FORMAT` where a sample does not say which scene it belongs to
   */
  wantedScenes(names: ReadonlySet<string> | undefined): WantedScene[] {
    const byScene = new Map<number, number[]>();
    for (const [row, at] of scenesOf(this.#samples, this.tables.small))
      remember(byScene, at, () => []).push(row);
    const scenes: WantedScene[] = [];
    for (const [at, samples] of byScene) {
      const { name, token } = this.#scenes.read(at, ["name"]) as { name: string; token: string };
      if (names?.has(name) === false) continue;
      // In a scene that is too short for a record nothing is needed, and any time will do.
      const isShort = samples.length < this.options.keyFrames;
      const times = new Map(samples.map((row) => [row, isShort ? 0 : this.#samples.timeOf(row)]));
      samples.sort((a, b) => times.get(a)! - times.get(b)!);
      scenes.push({ name, token, samples });
    }
    const order = new Map(scenes.map((each) => [each, Buffer.from(each.token)]));
    return scenes.sort((a, b) => Buffer.compare(order.get(a)!, order.get(b)!));
  }

  /**
   * Yields the records of a scene, in the order of time.
   *
   * @throws VistaError `FORMAT` where a row that a record needs is damaged or not there, `IO`
   */
  async *recordsOf(scene: WantedScene, signal?: AbortSignal): AsyncGenerator<NuScenesRecord> {
    const { keyFrames } = this.options;
    this.#files.clear();
    this.#lidars.clear();
    let monitor: ReturnType<typeof readVehicleMonitor> | undefined;
    for (const [i, sample] of scene.samples.entries()) {
      throwIfAborted(signal);
      const samples = scene.samples.slice(i, i + keyFrames);
      if (samples.length < keyFrames) {
        this.skipped.endOfScene++;
        continue;
      }
      const chain = this.#chainFrom(sample);
      if (typeof chain === "string") {
        this.skipped[chain]++;
        continue;
      }
      monitor ??= readVehicleMonitor(this.root, scene.name);
      yield this.#record(samples, chain, await monitor);
    }
  }

  /** Returns the rows of a clip's frames, or why there is no clip. */
  #chainFrom(sample: number): number[] | keyof Skipped {
    const { next, sample: samples } = this.tables.sampleData!;
    const first = this.#keyFrames.find(sample, "CAM_FRONT");
    if (first === undefined) return "noKeyFrame";
    const chain: number[] = [];
    for (let row = first; chain.length < this.options.clip; row = next[row]!) {
      if (row === LINK.none) return "chainTooShort";
      if (row < 0) this.#data.refuseLink(chain.at(-1)!, "next", "sample_data");
      if (chain.length % FRAMES_PER_KEY_FRAME === 0) {
        if (!this.#keyFrames.isKeyFrame(row)) return "noKeyFrame";
        // Without its sample the trajectory would lead on to the sample after that.
        if (samples[row]! < 0) this.#data.refuseLink(row, "sample_token", "sample");
      }
      chain.push(row);
    }
    return chain;
  }

  #record(
    samples: readonly number[],
    chain: readonly number[],
    monitor: VehicleMonitor | undefined,
  ): NuScenesRecord {
    const frames = chain.map((row) => remember(this.#files, row, () => this.#fileOf(row)));
    const poses = samples.map((sample) => remember(this.#lidars, sample, () => this.#lidarOf(sample)));
    const traj = [0, 0];
    for (const { globalFromLidar } of poses.slice(1)) {
      const [x, y] = originOf(multiply(poses[0]!.lidarFromGlobal, globalFromLidar));
      traj.push(-x, y);
    }
    const { goal, z } = this.#goal(chain[0]!, poses.at(-1)!.globalFromLidar);
    if (![...traj, ...goal, z].every(Number.isFinite)) {
      throw this.#data.error(chain[0]!, "poses so large that the trajectory or the goal is no number");
    }
    const motion =
      monitor === undefined ? [] : samples.map((sample) => motionAt(monitor, this.#samples.timeOf(sample)));
    return {
      frames,
      traj,
      cmd: commandOf(traj.at(-2)!, traj.at(-1)!),
      speed: motion.map(({ speed }) => speed),
      angle: motion.map(({ angle }) => angle),
      goal,
      z,
    };
  }

  #fileOf(row: number): string {
    const { filename } = this.#data.read(row, ["filename"]) as { filename: string };
    if (filename === "") throw this.#data.error(row, 'field "filename" is empty');
    // The loader would open it where it says, on any machine; the tables name files below the root.
    if (isAbsolute(filename)) throw this.#data.error(row, 'field "filename" is an absolute path');
    return filename;
  }

  #lidarOf(sample: number): LidarPose {
    const row = this.#keyFrames.find(sample, "LIDAR_TOP");
    if (row === undefined)
      throw this.#samples.error(sample, "the sample has no key frame of LIDAR_TOP: its pose is not known");
    const ego = this.#poseOf(row);
    const sensor = this.#sensorOf(row, ["translation", "rotation"]);
    return {
      globalFromLidar: multiply(transform(...ego), transform(...sensor.pose)),
      lidarFromGlobal: multiply(inverseTransform(...sensor.pose), inverseTransform(...ego)),
    };
  }

  #goal(first: number, lidar: Matrix) {
    const ego = this.#poseOf(first);
    const { pose, values } = this.#sensorOf(first, ["translation", "rotation", "camera_intrinsic"]);
    const intrinsic = values.camera_intrinsic as number[][];
    if (intrinsic.length === 0) {
      const row = this.tables.sampleData!.sensor[first]!;
      throw this.#sensors.error(row, 'field "camera_intrinsic" is empty, but CAM_FRONT is a camera');
    }
    return projectGoal(lidar, ego, pose, intrinsic);
  }

  /** Returns the ego pose of a row of sample_data. */
  #poseOf(row: number): Pose {
    const at = this.tables.sampleData!.egoPose[row]!;
    if (at < 0) this.#data.refuseLink(row, "ego_pose_token", "ego_pose");
    this.#data.read(row, ["ego_pose_token"]);
    return poseIn(this.#poses.read(at, ["translation", "rotation"]));
  }

  #sensorOf(row: number, fields: readonly string[]): { pose: Pose; values: Row } {
    const at = this.tables.sampleData!.sensor[row]!;
    if (at < 0) this.#data.refuseLink(row, "calibrated_sensor_token", "calibrated_sensor");
    const values = this.#sensors.read(at, fields);
    return { pose: poseIn(values), values };
  }
}

interface LidarPose {
  globalFromLidar: Matrix;
  lidarFromGlobal: Matrix;
}

function poseIn(values: Row): Pose {
  const { translation, rotation } = values as { translation: number[]; rotation: number[] };
  return [translation, rotation];
}
