/** `writeNuScenesAnnotations`, which makes Vista's nuScenes.json and nuScenes_val.json from the tables and the CAN bus. */
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { VistaError } from "../../../core/errors.js";
import { type OutputOptions, prepareOutput, writeAtomically } from "../../../core/io/output.js";
import { entriesIn } from "../../../core/io/regular.js";
import type { RunOptions } from "../../../core/progress.js";
import { sum } from "../../../core/sum.js";
import { keepInputs } from "../../keep-inputs.js";
import { loadTables } from "../../nuscenes/read/load-tables.js";
import { SCHEMA } from "../../nuscenes/read/schema.js";
import { requireCount } from "../../options.js";
import { COMMANDS, type DrivingCommand, hasGoal, type NuScenesRecord } from "../nuscenes-rows.js";
import { pythonFloat, pythonList, pythonString } from "./python-json.js";
import { RECORD_TABLES, RecordMaker, type Skipped } from "./records.js";
import { findNuScenes, type SceneChoice, sceneNames } from "./source.js";
import { TextBlocks } from "./text-blocks.js";

/** The options of {@link writeNuScenesAnnotations}. */
export interface NuScenesAnnotationOptions extends RunOptions, OutputOptions {
  /** The scenes that records are made of: an official split, `all`, or names. The default is `train`. */
  split?: SceneChoice | undefined;
  /**
   * The name of the folder of the tables, such as `v1.0-mini`. The default is the one that is there or, of several, the one that
   * the split belongs to.
   */
  version?: string | undefined;
  /** The number of frames of a clip, at 12 Hz. The default is 25, which Vista's loader takes. */
  clip?: number | undefined;
  /** The number of samples of a clip, at 2 Hz, which are the points of the trajectory. The default is 5. */
  keyFrames?: number | undefined;
}

/** The figures of a nuScenes.json that was written. */
export interface NuScenesAnnotationResult {
  /** The version that the records were made from. */
  version: string;
  records: number;
  /** The size of the file in bytes. */
  bytes: number;
  /** The number of scenes of the split that are in the tables. */
  scenes: number;
  /** The number of scenes that the split has; for `all`, this is the same as `scenes`. */
  scenesWanted: number;
  /** The number of samples of those scenes. */
  samples: number;
  /** The numbers of samples that started no record, by reason. */
  skipped: Skipped;
  /**
   * The names of the scenes with records but without CAN bus messages, and the number of their records, whose `speed` and `angle`
   * are empty.
   */
  noCanBus: { scenes: string[]; records: number };
  /** The number of times that each command occurs. */
  commands: Record<DrivingCommand, number>;
  /** The number of records with speed and angle. */
  speeds: number;
  /** The number of records whose goal is in front of the camera and inside the picture. */
  goals: number;
  /**
   * The number of samples with two key frames of CAM_FRONT or LIDAR_TOP; the last one in the table counts, as in nuscenes-devkit.
   */
  repeatedKeyFrames: number;
}

/**
 * Writes Vista's annotation file for nuScenes, or for any data in its form: a JSON list of records with `frames`, `traj`, `cmd`,
 * `speed`, `angle`, `goal` and `z`, in the order of scene tokens and times.
 *
 * @param root  a nuScenes root (with `v1.0-…` and, for speed and angle, `can_bus`), or a Vista root with `data/nuscenes`
 * @param path  the path of the file, whose folder exists
 * @throws VistaError `FORMAT` where a row that a record needs is damaged or not there (it is named; other rows do not matter),
 *   `INCOMPLETE` where no record could be made, `USAGE` where the file is one of those that are read, `NOT_FOUND`, `AMBIGUOUS`, `EXISTS`, `NO_SPACE`, `IO`, `ABORTED`
 */
export async function writeNuScenesAnnotations(
  root: string,
  path: string,
  options: NuScenesAnnotationOptions = {},
): Promise<NuScenesAnnotationResult> {
  const { split = "train", clip = 25, keyFrames = 5, signal, onProgress } = options;
  requireCount("clip", clip);
  requireCount("keyFrames", keyFrames);
  await prepareOutput(path, 0, options);
  const source = findNuScenes(root, options.version, split);
  // This is looked into for the error alone: messages that cannot be had are not messages that there are none of.
  entriesIn(join(source.root, "can_bus"), 1);
  const folder = join(source.root, source.version);
  const files = Object.keys(SCHEMA).map((name) => join(folder, `${name}.json`));
  keepInputs(path, [...files, join(source.root, "can_bus")]);
  const tables = await loadTables(folder, {
    only: RECORD_TABLES,
    signal,
    onProgress,
  });
  const maker = new RecordMaker(source.root, tables, { clip, keyFrames });
  try {
    const wanted = sceneNames(split);
    const scenes = maker.wantedScenes(wanted);
    const result: NuScenesAnnotationResult = {
      version: source.version,
      records: 0,
      bytes: 0,
      scenes: scenes.length,
      scenesWanted: wanted?.size ?? scenes.length,
      samples: 0,
      skipped: maker.skipped,
      noCanBus: { scenes: [], records: 0 },
      commands: { right: 0, left: 0, stop: 0, forward: 0 },
      speeds: 0,
      goals: 0,
      repeatedKeyFrames: 0,
    };
    const total = sum(scenes, ({ samples }) => samples.length);
    await writeAtomically(path, 0, options, async (file) => {
      const out = new TextBlocks(file, signal);
      out.text = "[";
      for (const scene of scenes) {
        const before = result.records;
        let withMotion = false;
        for await (const record of maker.recordsOf(scene, signal)) {
          out.text += `${result.records === 0 ? "" : ","}\n${formatRecord(record)}`;
          count(result, record);
          withMotion ||= record.speed.length > 0;
          if (out.isFull) await out.flush();
        }
        if (!withMotion && result.records > before) {
          result.noCanBus.scenes.push(scene.name);
          result.noCanBus.records += result.records - before;
        }
        result.samples += scene.samples.length;
        onProgress?.({ phase: "make records", done: result.samples, total, unit: "rows" });
        await nextTurn();
      }
      if (result.records === 0) throw nothingMade(folder, result);
      out.text += "\n]\n";
      await out.flush();
      result.bytes = out.bytes;
    });
    result.repeatedKeyFrames = maker.repeatedKeyFrames;
    return result;
  } finally {
    maker.close();
  }
}

function count(result: NuScenesAnnotationResult, record: NuScenesRecord): void {
  result.records++;
  result.commands[COMMANDS[record.cmd]!]++;
  if (record.speed.length > 0) result.speeds++;
  if (hasGoal(record)) result.goals++;
}

function nothingMade(folder: string, { scenes, samples, skipped }: NuScenesAnnotationResult): VistaError {
  const { endOfScene, chainTooShort, noKeyFrame } = skipped;
  const what =
    scenes === 0
      ? "no scene of the split is in the tables: there is no record to write"
      : `none of ${samples} samples starts a record (${endOfScene} near the end of their scene, ${chainTooShort} with too few frames, ${noKeyFrame} without a key frame where one is needed)`;
  return new VistaError("INCOMPLETE", what, {
    path: folder,
    hint: scenes === 0 ? "Name another --split or --version." : "`vista-data check` says what is missing.",
  });
}

/** Formats a record as Python's `json.dump(records, file, indent=4)` writes it within the list. */
function formatRecord({ frames, traj, cmd, speed, angle, goal, z }: NuScenesRecord): string {
  const inset = "        ";
  const list = (values: readonly number[]) => pythonList(values.map(pythonFloat), inset);
  return [
    "    {",
    `${inset}"frames": ${pythonList(frames.map(pythonString), inset)},`,
    `${inset}"traj": ${list(traj)},`,
    `${inset}"cmd": ${cmd},`,
    `${inset}"speed": ${list(speed)},`,
    `${inset}"angle": ${list(angle)},`,
    `${inset}"goal": ${list(goal)},`,
    `${inset}"z": ${pythonFloat(z)}`,
    "    }",
  ].join("\n");
}
