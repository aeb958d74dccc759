/**
 * Finds shards of stage 3 with the same weights. They say nothing of their rank, so one that was copied under the name of another
 * rank fits as well as its own.
 */
import { readTensor } from "../copy/read-tensor.js";
import { joinParts } from "./pieces.js";
import type { SubGroup } from "./sub-groups.js";

/** The number of elements of each sub-group that are looked at to tell weights from padding. */
const LOOKED_AT = 65_536;

/**
 * Returns a doubt for each two ranks whose weights have the same checksums, but for weights that are one number throughout, as padding
 * is. Files without checksums are not compared.
 */
export async function doubtsOfSameShards(subGroups: readonly SubGroup[]): Promise<string[]> {
  const firsts = new Map<string, number>();
  const doubts: string[] = [];
  for (const rank of subGroups[0]?.held.keys() ?? []) {
    const pieces = subGroups.flatMap(({ held }) => held[rank]!);
    // A CRC-32 of 0 means "not computed".
    if (pieces.some(({ region }) => !region.crc32)) continue;
    const sums = pieces.map(({ region, start, length }) => `${region.crc32} ${start} ${length}`).join();
    const first = firsts.get(sums);
    if (first === undefined) firsts.set(sums, rank);
    else if (await holdsWeights(subGroups, rank))
      doubts.push(
        `the shards of ranks ${first} and ${rank} hold the same weights: one may be a copy of the other`,
      );
  }
  return doubts;
}

async function holdsWeights(subGroups: readonly SubGroup[], rank: number): Promise<boolean> {
  for (const { held, dtype, size } of subGroups) {
    const part = joinParts([held[rank]!], dtype, [size], { at: 0, length: size });
    const bytes = await readTensor(part, { from: 0, to: Math.min(size, LOOKED_AT) });
    const width = part.byteLength / size;
    if (bytes.some((byte, i) => byte !== bytes[i % width])) return true;
  }
  return false;
}
