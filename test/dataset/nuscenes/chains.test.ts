import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type ChainFault, type ChainInput, checkChains } from "../../../src/dataset/nuscenes/check/chains.js";

/** Chains of the given lengths, one group each, rows numbered in an order given by `shuffle`. */
function chains(lengths: readonly number[], shuffle: readonly number[] = []): ChainInput {
  const rows = lengths.reduce((sum, length) => sum + length, 0);
  const order = Array.from({ length: rows }, (_, i) => i);
  for (const [i, swap] of shuffle.slice(0, rows).entries()) {
    const j = swap % rows;
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  const input: ChainInput = {
    prev: new Int32Array(rows).fill(-1),
    next: new Int32Array(rows).fill(-1),
    group: new Int32Array(rows),
    time: new Float64Array(rows),
    exclude: new Uint8Array(rows),
  };
  let at = 0;
  for (const [group, length] of lengths.entries()) {
    for (let i = 0; i < length; i++, at++) {
      const row = order[at]!;
      input.group[row] = group;
      input.time[row] = group * 1000 + i * 10;
      if (i > 0) {
        input.prev[row] = order[at - 1]!;
        input.next[order[at - 1]!] = row;
      }
    }
  }
  return input;
}

const lengths = fc.array(fc.integer({ min: 1, max: 8 }), { minLength: 2, maxLength: 6 });
const shuffle = fc.array(fc.nat(100), { maxLength: 48 });
const kinds = (input: ChainInput) => checkChains(input).faults.map((fault) => fault.kind);

/** A set of chains, and one of its rows that has both neighbours. */
const inner = fc
  .tuple(lengths, shuffle, fc.nat(1000))
  .map(([sizes, order, pick]) => {
    const input = chains(sizes, order);
    const rows = [...input.next.keys()].filter((row) => input.next[row]! >= 0 && input.prev[row]! >= 0);
    return { input, row: rows.length === 0 ? -1 : rows[pick % rows.length]! };
  })
  .filter(({ row }) => row >= 0);

describe("chains", () => {
  it("sound ones have no faults, whatever the order of the rows", () => {
    fc.assert(
      fc.property(lengths, shuffle, (sizes, order) => {
        expect(kinds(chains(sizes, order))).toEqual([]);
      }),
    );
  });

  it("one changed pointer is one fault, at the row that was changed", () => {
    fc.assert(
      fc.property(
        inner,
        fc.constantFrom("prev" as const, "next" as const),
        fc.nat(1000),
        ({ input, row }, field, pick) => {
          const links = input[field];
          const target = pick % input.prev.length;
          fc.pre(target !== links[row] && target !== row);
          links[row] = target;
          const { faults } = checkChains(input);
          expect(faults).toHaveLength(1);
          expect(faults[0]).toMatchObject({ row, field });
          const crosses = input.group[target] !== input.group[row];
          expect(faults[0]!.kind).toBe(crosses ? "crosses" : "asymmetric");
        },
      ),
    );
  });

  it("one emptied pointer is one fault, at the row that was changed", () => {
    fc.assert(
      fc.property(inner, fc.constantFrom("prev" as const, "next" as const), ({ input, row }, field) => {
        input[field][row] = -1;
        expect(checkChains(input).faults).toMatchObject([{ kind: "unanswered", row, field }]);
      }),
    );
  });

  it("a chain cut on both sides is one split, at the start of the later part", () => {
    fc.assert(
      fc.property(inner, ({ input, row }) => {
        const after = input.next[row]!;
        input.next[row] = -1;
        input.prev[after] = -1;
        expect(checkChains(input).faults).toMatchObject([{ kind: "split", row: after }]);
      }),
    );
  });

  it("a closed chain is one circle, and its order in time is not reported as well", () => {
    fc.assert(
      fc.property(lengths, shuffle, (sizes, order) => {
        const input = chains(sizes, order);
        const first = input.group.indexOf(0);
        let start = first;
        while (input.prev[start]! >= 0) start = input.prev[start]!;
        let end = first;
        while (input.next[end]! >= 0) end = input.next[end]!;
        input.prev[start] = end;
        input.next[end] = start;
        expect(checkChains(input).faults).toEqual([{ kind: "cycle", row: start, length: sizes[0] }]);
      }),
    );
  });

  it("a row in a chain of another group is one stray", () => {
    fc.assert(
      fc.property(inner, ({ input, row }) => {
        input.group[row] = (input.group[row]! + 1) % (Math.max(...input.group) + 1);
        const strays = checkChains(input).faults.filter((fault) => fault.kind !== "split");
        expect(strays).toMatchObject([{ kind: "stray", row }]);
      }),
    );
  });

  it("a time that is far off is blamed on its own row", () => {
    fc.assert(
      fc.property(inner, fc.constantFrom(-100, 100), ({ input, row }, by) => {
        input.time[row]! += by;
        const { faults } = checkChains(input);
        // A chain of three may leave it open which of its ends is off.
        const times = faults.filter((fault): fault is ChainFault & { kind: "time" } => fault.kind === "time");
        expect(times).toHaveLength(1);
        expect([times[0]!.row, times[0]!.other]).toContain(row);
      }),
    );
  });

  it("equal times are no order", () => {
    const input = chains([3]);
    input.time[1] = input.time[0]!;
    expect(kinds(input)).toEqual(["time"]);
  });

  it("pointers that were reported elsewhere are not reported here", () => {
    const input = chains([4]);
    input.next[1] = -2; // names a row that is not there
    input.prev[3] = -3; // no string
    expect(kinds(input)).toEqual([]);
  });

  it("an excluded row breaks nothing", () => {
    const input = chains([4]);
    // Row 4 is a copy of row 2.
    const copy: ChainInput = {
      ...input,
      prev: Int32Array.of(...input.prev, 1),
      next: Int32Array.of(...input.next, 3),
      group: new Int32Array(5),
      time: Float64Array.of(...input.time, 20),
      exclude: Uint8Array.of(0, 0, 0, 0, 1),
    };
    expect(kinds(copy)).toEqual([]);
  });

  it("a row that names itself", () => {
    const input = chains([3]);
    input.next[2] = 2;
    expect(checkChains(input).faults).toMatchObject([
      { kind: "asymmetric", row: 2, field: "next", other: 2 },
    ]);
  });
});

describe("claims", () => {
  it("tell the stray in a chain of two, and one in no chain at all", () => {
    const input = chains([2, 1, 3]);
    input.group[1] = 2; // the second of the chain of group 0
    input.group[2] = 0; // the only row of group 1
    const claims = new Map([
      [1, 0],
      [2, 1],
    ]);
    const { faults, strays } = checkChains({ ...input, claims });
    expect(faults).toEqual([
      { kind: "stray", row: 1, other: 0 },
      { kind: "claimed", row: 2, by: 1 },
    ]);
    expect(strays).toEqual(claims);
  });
});

it("the first and the last row of a chain can be strays, too", () => {
  fc.assert(
    fc.property(fc.integer({ min: 3, max: 8 }), shuffle, fc.boolean(), (length, order, atStart) => {
      const input = chains([length, 4], order);
      const links = atStart ? input.prev : input.next;
      const row = links.findIndex((link, i) => link < 0 && input.group[i] === 0);
      input.group[row] = 1;
      const { faults, strays } = checkChains(input);
      expect(faults).toMatchObject([{ kind: "stray", row }]);
      expect(strays).toEqual(new Map([[row, 0]]));
    }),
  );
});

it("the time that is far off is blamed, at the ends of a chain as well", () => {
  fc.assert(
    fc.property(fc.integer({ min: 3, max: 8 }), fc.nat(), fc.boolean(), (length, pick, early) => {
      const input = chains([length]);
      const row = pick % length;
      fc.pre(early ? row > 0 : row + 1 < length);
      input.time[row] = early ? -1e6 : 1e6;
      expect(checkChains(input).faults).toMatchObject([{ kind: "time", culprit: row }]);
    }),
  );
});
