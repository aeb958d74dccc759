/** The chains of samples, which decide on the scene of everything else. */

import { linksIn, rowOf, type SmallTable } from "../read/tables.js";
import { withClaims } from "./chain-claims.js";
import { type ChainInput, type ChainResult, checkChains, withoutStrays } from "./chains.js";

/** The fields of a scene that name the ends of its chain of samples. */
export const SCENE_ENDS = ["first_sample_token", "last_sample_token"] as const;

export interface SampleChains {
  input: ChainInput;
  result: ChainResult;
  /** The scene of each sample, or -1. It is that of the sample's chain where the sample's own scene_token names another one. */
  scenes: Int32Array;
}

/** Checks the chains of samples; returns undefined where one of the tables is not there. */
export function sampleChains(
  sample: SmallTable | undefined,
  scene: SmallTable | undefined,
): SampleChains | undefined {
  if (sample === undefined || scene === undefined) return undefined;
  const rows: ChainInput = {
    ...linksIn(sample),
    group: Int32Array.from(sample.values, (row) => rowOf(scene, row.scene_token)),
    time: Float64Array.from(sample.values, ({ timestamp }) =>
      typeof timestamp === "number" ? timestamp : Number.NaN,
    ),
    exclude: sample.exclude,
  };
  const input = withClaims(rows, scene, SCENE_ENDS, sample);
  const result = checkChains(input);
  return { input, result, scenes: withoutStrays(input.group, result.strays) };
}
