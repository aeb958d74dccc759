import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { piecesBetween, type Tensor } from "../../../src/checkpoint/tensor/tensor.js";
import { cutFlatGroup, cutParameters, isMismatch } from "../../../src/checkpoint/zero/partition.js";
import { joinParts } from "../../../src/checkpoint/zero/pieces.js";
import type { Piece } from "../../../src/core/io/source.js";

describe("cutFlatGroup (stage 1 and 2)", () => {
  it.each<[string, number[], number[], number[]]>([
    ["one rank", [6], [2, 4], [0, 2, 6]],
    ["a parameter over a rank border", [4, 4], [3, 5], [0, 3, 8]],
    ["padding that was kept", [4, 4], [5], [0, 5]],
    ["padding that was stripped", [4, 1], [5], [0, 5]],
    ["ranks with nothing but stripped padding", [2, 0, 0], [1], [0, 1]],
    ["a zero-sized and a 0-dim parameter", [2, 2], [0, 1], [0, 0, 1]],
    ["an empty group", [0, 0], [], [0]],
  ])("%s", (_, sizes, numels, expected) => {
    expect(cutFlatGroup(sizes, numels)).toEqual(expected);
  });

  it("skips the gaps of aligned parameters, also where a gap lies over a rank border", () => {
    expect(cutFlatGroup([6, 6], [5, 3], [3, 0])).toEqual([0, 8, 11]);
    expect(cutFlatGroup([2, 2], [3], [4])).toEqual({ needed: 7, available: 4 });
  });

  it.each<[string, number[], number[], number, number]>([
    ["too few elements", [4, 4], [9], 9, 8],
    ["more elements than any padding explains", [8, 8], [4], 4, 16],
    ["a stale shard that is too short", [4, 4, 2, 4], [16], 16, 14],
  ])("refuses %s", (_, sizes, numels, needed, available) => {
    expect(cutFlatGroup(sizes, numels)).toEqual({ needed, available });
  });
});

describe("cutParameters (stage 3)", () => {
  it.each<[string, number[], number, number[], [subGroup: number, start: number, part: number][]]>([
    ["even parts", [2], 2, [4], [[0, 0, 2]]],
    ["a padded last part", [2], 2, [3], [[0, 0, 2]]],
    ["ranks with only padding", [1], 4, [2], [[0, 0, 1]]],
    [
      "a zero-sized parameter between others",
      [2],
      2,
      [1, 0, 2],
      [
        [0, 0, 1],
        [0, 1, 0],
        [0, 1, 1],
      ],
    ],
    [
      "several sub-groups, an empty one among them",
      [3, 0, 1],
      2,
      [2, 4, 1],
      [
        [0, 0, 1],
        [0, 1, 2],
        [2, 0, 1],
      ],
    ],
  ])("%s", (_, sizes, ranks, numels, expected) => {
    expect(cutParameters(sizes, ranks, numels)).toEqual(
      expected.map(([subGroup, at, length]) => ({ subGroup, part: { at, length } })),
    );
  });

  it("refuses sub-groups of another length", () => {
    expect(cutParameters([2, 1], 2, [4])).toEqual({ needed: 4, available: 6 });
  });

  it("refuses a parameter that would lie in two sub-groups", () => {
    expect(cutParameters([1, 2], 2, [4, 2])).toEqual({ needed: 4, available: 2 });
  });
});

/** Parameters as arrays of their own values: 1000 · parameter + element. */
function parameters(numels: readonly number[]): number[][] {
  return numels.map((numel, p) => Array.from({ length: numel }, (_, i) => 1000 * p + i));
}

/** Makes a place in a file of the elements that a rank holds. */
function held(flat: readonly number[]): Piece[] {
  return [{ region: flat as unknown as Piece["region"], start: 0, length: 4 * flat.length }];
}

/** Checks that a tensor has these elements, and that those of its parts are the same. */
function expectElements({ source, numel }: Tensor, elements: readonly number[]): void {
  if (source.kind !== "pieces") throw new Error(source.kind);
  const read = ({ region, start, length }: Piece) =>
    (region as unknown as number[]).slice(start / 4, (start + length) / 4);
  expect([...source.pieces].flatMap(read)).toEqual(elements);
  for (let from = 0; from < numel; from += 7) {
    const length = Math.min(9, numel - from);
    const there = [...piecesBetween(source.pieces, 4 * from, 4 * length)].flatMap(read);
    expect(there).toEqual(elements.slice(from, from + length));
  }
}

const NUMELS = fc.array(fc.integer({ min: 0, max: 40 }), { maxLength: 12 });
const RANKS = fc.integer({ min: 1, max: 9 });

describe("any parameters over any number of ranks come back", () => {
  it("stage 1 and 2, whatever padding was stripped", () => {
    const modes = fc.constantFrom("kept", "last rank stripped", "all stripped");
    fc.assert(
      fc.property(NUMELS, RANKS, modes, (numels, ranks, mode) => {
        const values = parameters(numels);
        const flat = values.flat();
        // DeepSpeed aligns a group to 2 · ranks and gives each rank an equal part.
        const aligned = Math.ceil(flat.length / (2 * ranks)) * 2 * ranks;
        const part = aligned / ranks;
        const flats = Array.from({ length: ranks }, (_, rank) => {
          const held = flat.slice(rank * part, (rank + 1) * part);
          const keepsPadding = mode === "kept" || (mode === "last rank stripped" && rank < ranks - 1);
          return keepsPadding ? [...held, ...new Array<number>(part - held.length).fill(-1)] : held;
        });
        const starts = cutFlatGroup(
          flats.map(({ length }) => length),
          numels,
        );
        if (isMismatch(starts)) throw new Error(JSON.stringify(starts));
        for (const [p, numel] of numels.entries()) {
          const whole = { at: 0, length: part };
          expectElements(joinParts(flats.map(held), "F32", [numel], whole, starts[p]!), values[p]!);
        }
      }),
    );
  });

  it("stage 3", () => {
    const sizes = fc.integer({ min: 1, max: 30 });
    fc.assert(
      fc.property(NUMELS, RANKS, sizes, (numels, ranks, subGroupSize) => {
        const values = parameters(numels);
        const regions = Array.from({ length: ranks }, (): number[][] => [[]]);
        for (const parameter of values) {
          const part = Math.ceil(parameter.length / ranks);
          for (const [rank, flats] of regions.entries()) {
            if (flats.at(-1)!.length >= subGroupSize) flats.push([]);
            const held = parameter.slice(rank * part, (rank + 1) * part);
            flats.at(-1)!.push(...held, ...new Array<number>(part - held.length).fill(-1));
          }
        }
        const places = cutParameters(
          regions[0]!.map(({ length }) => length),
          ranks,
          numels,
        );
        if (isMismatch(places)) throw new Error(JSON.stringify(places));
        for (const [p, { subGroup, part }] of places.entries()) {
          const ofRanks = regions.map((flats) => held(flats[subGroup]!));
          expectElements(joinParts(ofRanks, "F32", [numels[p]!], part), values[p]!);
        }
      }),
    );
  });
});
