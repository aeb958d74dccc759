import { defineRules, findingsOf } from "./define-rules.js";

/** The rules about what Vista itself would do with the data, which `--config` checks. */
// biome-ignore format: one rule a line
export const VISTA_RULES = defineRules("vista", {
  "subset-unknown": ["error", "the config names a subset that Vista does not know", "Use NuScenes and YouTube, as vwm/data/dataset.py spells them."],
  "subset-missing": ["error", "a subset of the config has no data", "Put the data and its annotation file where Vista's loader looks, or take the subset out of the config."],
  "subset-unusable": ["error", "every sample of a subset would fail", "Mend the annotation file: training would never start, and print nothing."],
  "subset-stops": ["error", "records on which Vista ends before its first step", "Mend these records: the data set class reads such a field of every record when it is made, outside of any try."],
  "samples-skipped": ["error", "samples that Vista would skip in silence", "Mend or remove these records: each costs time at every draw, and the data is not what you think."],
  "probs-mismatch": ["error", "probs and subsets differ in length", "Give one probability for each subset."],
  "size-not-64": ["error", "the target size is no multiple of 64", "Vista's loader stops at it: choose 320 × 576 or 576 × 1024."],
  "batch-size": ["error", "a batch size above 1 with nuScenes clips", "Set data.params.batch_size to 1, as Vista's configs do; more GPUs or accumulate_grad_batches make the step larger."],
  "too-many-frames": ["error", "num_frames is more than the annotations have", "nuScenes annotations list 25 frames; a larger num_frames makes every sample fail."],
});

export const finding = findingsOf(VISTA_RULES);
