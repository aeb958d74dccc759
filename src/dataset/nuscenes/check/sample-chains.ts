/** The chains of samples, which decide on the scene of everything else. */

import { linksIn, rowOf, type SmallTable } from "../read/tables.js";
import { withClaims } from "./chain-claims.js";
import { type ChainInput, type CheckedChains, checkChains } from "./chains.js";

/** The fields of a scene that name the ends of its chain of samples. */
export const SCENE_ENDS = ["first_sample_token", "last_sample_token"] as const;

/**
 * Checks the chains of samples, whose groups are the scenes; returns undefined where one of the tables is not there. The scene of a
 * sample is that of its chain where the sample's own scene_token names another one.
 */
export function sampleChains(
  sample: SmallTable | undefined,
  scene: SmallTable | undefined,
): CheckedChains | undefined {
  if (sample === undefined || scene === undefined) return undefined;
  const rows: ChainInput = {
    ...linksIn(sample),
    group: Int32Array.from(sample.values, (row) => rowOf(scene, row.scene_token)),
    time: Float64Array.from(sample.values, ({ timestamp }) =>
      typeof timestamp === "number" ? timestamp : Number.NaN,
    ),
    exclude: sample.exclude,
  };
  return checkChains(withClaims(rows, scene, SCENE_ENDS, sample));
}
