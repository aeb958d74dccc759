import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  cutFlatGroup,
  cutParameters,
  isMismatch,
  type Span,
} from "../../../src/checkpoint/zero/partition.js";

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
  it.each<[string, number, number, number[], Span[][]]>([
    [
      "even parts",
      2,
      2,
      [4],
      [
        [
          { rank: 0, start: 0, length: 2 },
          { rank: 1, start: 0, length: 2 },
        ],
      ],
    ],
    [
      "a padded last part",
      2,
      2,
      [3],
      [
        [
          { rank: 0, start: 0, length: 2 },
          { rank: 1, start: 0, length: 1 },
        ],
      ],
    ],
    [
      "ranks with only padding",
      1,
      4,
      [2],
      [
        [
          { rank: 0, start: 0, length: 1 },
          { rank: 1, start: 0, length: 1 },
        ],
      ],
    ],
    [
      "a zero-sized parameter between others",
      2,
      2,
      [1, 0, 2],
      [
        [{ rank: 0, start: 0, length: 1 }],
        [],
        [
          { rank: 0, start: 1, length: 1 },
          { rank: 1, start: 1, length: 1 },
        ],
      ],
    ],
  ])("%s", (_, size, ranks, numels, expected) => {
    expect(cutParameters(size, ranks, numels)).toEqual(expected);
  });

  it("refuses a vector of another length", () => {
    expect(cutParameters(3, 2, [4])).toEqual({ needed: 4, available: 6 });
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
    fc.assert(
      fc.property(NUMELS, RANKS, (numels, ranks) => {
        const values = parameters(numels);
        const flats = Array.from({ length: ranks }, (_, rank) =>
          values.flatMap((parameter) => {
            const part = Math.ceil(parameter.length / ranks);
            const held = parameter.slice(rank * part, (rank + 1) * part);
            return [...held, ...new Array<number>(part - held.length).fill(-1)];
          }),
        );
        const spans = cutParameters(flats[0]!.length, ranks, numels);
        if (isMismatch(spans)) throw new Error(JSON.stringify(spans));
        expect(spans.map((one) => read(one, flats))).toEqual(values);
      }),
    );
  });
});
