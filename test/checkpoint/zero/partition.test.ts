import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { piecesBetween } from "../../../src/checkpoint/tensor/tensor.js";
import {
  cutFlatGroup,
  cutParameters,
  isMismatch,
  type Span,
} from "../../../src/checkpoint/zero/partition.js";
import { joinParts } from "../../../src/checkpoint/zero/sub-groups.js";
import type { Piece } from "../../../src/core/io/source.js";

describe("cutFlatGroup (stage 1 and 2)", () => {
  it.each<[string, number[], number[], Span[][]]>([
    ["one rank", [6], [2, 4], [[{ rank: 0, start: 0, length: 2 }], [{ rank: 0, start: 2, length: 4 }]]],
    [
      "a parameter over a rank border",
      [4, 4],
      [3, 5],
      [
        [{ rank: 0, start: 0, length: 3 }],
        [
          { rank: 0, start: 3, length: 1 },
          { rank: 1, start: 0, length: 4 },
        ],
      ],
    ],
    [
      "a parameter over three ranks",
      [2, 2, 2],
      [6],
      [
        [
          { rank: 0, start: 0, length: 2 },
          { rank: 1, start: 0, length: 2 },
          { rank: 2, start: 0, length: 2 },
        ],
      ],
    ],
    [
      "padding that was kept",
      [4, 4],
      [5],
      [
        [
          { rank: 0, start: 0, length: 4 },
          { rank: 1, start: 0, length: 1 },
        ],
      ],
    ],
    [
      "padding that was stripped",
      [4, 1],
      [5],
      [
        [
          { rank: 0, start: 0, length: 4 },
          { rank: 1, start: 0, length: 1 },
        ],
      ],
    ],
    ["ranks with nothing but stripped padding", [2, 0, 0], [1], [[{ rank: 0, start: 0, length: 1 }]]],
    ["a zero-sized and a 0-dim parameter", [2, 2], [0, 1], [[], [{ rank: 0, start: 0, length: 1 }]]],
    ["an empty group", [0, 0], [], []],
  ])("%s", (_, sizes, numels, expected) => {
    expect(cutFlatGroup(sizes, numels)).toEqual(expected);
  });

  it("skips the gaps of aligned parameters, also where a gap lies over a rank border", () => {
    expect(cutFlatGroup([6, 6], [5, 3], [3, 0])).toEqual([
      [{ rank: 0, start: 0, length: 5 }],
      [{ rank: 1, start: 2, length: 3 }],
    ]);
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
      expected.map(([subGroup, start, part]) => ({ subGroup, start, part })),
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

function read(spans: readonly Span[], flats: readonly (readonly number[])[]): number[] {
  return spans.flatMap(({ rank, start, length }) => flats[rank]!.slice(start, start + length));
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
        const spans = cutFlatGroup(
          flats.map((held) => held.length),
          numels,
        );
        if (isMismatch(spans)) throw new Error(JSON.stringify(spans));
        expect(spans.map((one) => read(one, flats))).toEqual(values);
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
        const read = ({ region, start, length }: Piece) => {
          const { rank, flat } = region as unknown as { rank: number; flat: number };
          return regions[rank]![flat]!.slice(start / 4, (start + length) / 4);
        };
        for (const [p, { subGroup, start, part }] of places.entries()) {
          const held = regions.map((flats, rank) => {
            const region = { rank, flat: subGroup } as unknown as Piece["region"];
            return [{ region, start: 0, length: 4 * flats[subGroup]!.length }];
          });
          const { source } = joinParts(held, "F32", [numels[p]!], start, part);
          if (source.kind !== "pieces") throw new Error(source.kind);
          expect([...source.pieces].flatMap(read)).toEqual(values[p]);
          for (let from = 0; from < numels[p]!; from += 7) {
            const length = Math.min(9, numels[p]! - from);
            const there = [...piecesBetween(source.pieces, 4 * from, 4 * length)].flatMap(read);
            expect(there).toEqual(values[p]!.slice(from, from + length));
          }
        }
      }),
    );
  });
});
