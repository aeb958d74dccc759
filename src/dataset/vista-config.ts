/**
 * A prediction of what Vista would do with the data under a config of its own (`configs/….yaml`), after vwm/data/dataset.py and
 * vwm/data/subsets: which subsets it reads, and how many samples its `try … except: pass` would hide.
 */

import { VistaError } from "../core/errors.js";
import { numberOf, textOf } from "../core/text.js";
import { readYaml } from "../core/yaml.js";
import type { AnnotationTally, Finding } from "./finding.js";
import { SUBSETS } from "./vista-places.js";
import { finding } from "./vista-rules.js";

export interface VistaDataConfig {
  /** The path of the config, as the user wrote it. */
  path: string;
  subsets: string[];
  probs: number[] | undefined;
  numFrames: number;
  /** The number of samples of a batch on each GPU. The default is 1, as in Vista's own configs. */
  batchSize?: number;
  targetHeight: number;
  targetWidth: number;
}

/** The number of frames in each record of nuScenes.json. */
const NUSCENES_FRAMES = 25;

/**
 * Reads the `data` section of one of Vista's training configs.
 *
 * @throws VistaError `NOT_FOUND`, `IO`, or `FORMAT` where the file is no config of Vista's with a `data` section
 */
export async function readVistaConfig(path: string): Promise<VistaDataConfig> {
  // Vista's configs use anchors (`*num_frames`), and some forks use merge keys.
  const root = (await readYaml(path, "read the config", { python: true })) as {
    data?: { params?: Record<string, unknown> };
  } | null;
  const params = root?.data?.params;
  if (typeof params !== "object" || params === null || !Array.isArray(params.subsets)) {
    throw new VistaError("FORMAT", "there is no list data.params.subsets in it", {
      path,
      hint: "Name one of Vista's training configs, such as configs/training/vista_phase1.yaml.",
    });
  }
  const [problem] = countProblems(params);
  if (problem !== undefined) throw new VistaError("FORMAT", problem, { path });
  const number = (key: (typeof COUNTS)[number], otherwise: number) => {
    const value = params[key] ?? otherwise;
    if (typeof value === "number") return value;
    throw new VistaError("FORMAT", `data.params.${key} is ${JSON.stringify(value)}, not a number`, { path });
  };
  return {
    path,
    subsets: params.subsets.map(textOf),
    probs: Array.isArray(params.probs) ? params.probs.map(numberOf) : undefined,
    // These are the defaults of Sampler in vwm/data/dataset.py.
    numFrames: number("num_frames", 25),
    batchSize: number("batch_size", 1),
    targetHeight: number("target_height", 320),
    targetWidth: number("target_width", 576),
  };
}

/** The settings below `data.params` that count something: with 0 or a fraction of it there is nothing to train on. */
const COUNTS = ["num_frames", "batch_size", "target_height", "target_width", "samples_per_epoch"] as const;

/** Returns what is wrong with the settings below `data.params` that count something; `${…}` is left to OmegaConf. */
export function countProblems(params: Readonly<Record<string, unknown>>): string[] {
  const counts = COUNTS.flatMap((key) => {
    const value = params[key] ?? undefined;
    if (value === undefined || (typeof value === "string" && value.includes("${"))) return [];
    if (Number.isSafeInteger(value) && Number(value) >= 1) return [];
    const isNumber = typeof value === "number" || WHOLE_FLOAT.test(textOf(value));
    const text = isNumber ? textOf(value) : JSON.stringify(value);
    return [`data.params.${key} is ${text}, not a whole number from 1 on`];
  });
  const { probs } = params;
  if (probs === undefined || probs === null || JSON.stringify(probs).includes("${")) return counts;
  const values = Array.isArray(probs) ? probs.map(numberOf) : [Number.NaN];
  if (values.every((value) => value >= 0) && values.some((value) => value > 0)) return counts;
  return [
    ...counts,
    `data.params.probs is ${JSON.stringify(probs)}, not a list of numbers from 0 on, one of them above 0`,
  ];
}

/** The pattern of a whole float as {@link readYaml} gives it. */
export const WHOLE_FLOAT = /^-?\d+(\.0|e\+\d+)$/;

/**
 * Yields the findings about a config and about what it would do with the data.
 *
 * @param exists  tells whether a path below Vista's folder is there
 * @param tallies  what the annotation check counted
 */
export function* configFindings(
  config: VistaDataConfig,
  exists: (path: string) => boolean,
  tallies: readonly AnnotationTally[],
): Generator<Finding> {
  const { path, subsets, probs, numFrames, batchSize = 1, targetHeight, targetWidth } = config;
  if (probs !== undefined && probs.length !== subsets.length) {
    yield finding("probs-mismatch", path, `${subsets.length} subsets, but ${probs.length} probs`);
  }
  if (targetHeight % 64 !== 0 || targetWidth % 64 !== 0) {
    yield finding("size-not-64", path, `target_height ${targetHeight}, target_width ${targetWidth}`);
  }
  if (batchSize > 1 && subsets.includes("NuScenes")) {
    const text = `batch_size is ${batchSize}: each clip of NuScenes gets one of four actions (trajectory, command, speed and angle, goal), and torch's collate ends the training with KeyError on a batch whose first clip has one that another lacks`;
    yield finding("batch-size", path, text);
  }
  for (const subset of subsets) {
    const places = SUBSETS.get(subset);
    if (places === undefined) {
      yield finding("subset-unknown", path, `"${subset}" is neither NuScenes nor YouTube`);
      continue;
    }
    const record = { record: subset };
    const absent = [places.data, places.annotations].filter((place) => !exists(place));
    if (absent.length > 0) {
      yield finding("subset-missing", path, `${absent.join(" and ")}: not there`, record);
      continue;
    }
    if (subset === "NuScenes" && numFrames > NUSCENES_FRAMES) {
      const text = `num_frames is ${numFrames}, the annotations have ${NUSCENES_FRAMES} frames`;
      yield finding("too-many-frames", path, text, record);
    }
    const tally = tallies.find(
      (each) => each.path === places.annotations || each.path.endsWith(`/${places.annotations}`),
    );
    if (tally === undefined) continue;
    if (tally.stopping !== undefined) {
      const { records, first } = tally.stopping;
      const others = records === 1 ? "" : ` and ${records - 1} more`;
      const text = `${tally.path}, ${first}${others}: a field that is read of every record at the start is missing or of another type`;
      yield finding("subset-stops", path, text, { ...record, count: records });
      continue;
    }
    if (tally.unusable === 0) continue;
    const share = `${tally.unusable} of ${tally.records} samples of ${tally.path} would fail to load`;
    if (tally.unusable === tally.records) {
      const text = `${share}: Vista would try for ever, and say nothing`;
      yield finding("subset-unusable", path, text, record);
    } else {
      const text = `${share}, and others would be drawn in their place`;
      yield finding("samples-skipped", path, text, { ...record, count: tally.unusable });
    }
  }
}
