/**
 * Faults in chains of rows that name each other by `prev` and `next`, found by pure functions over row numbers.
 *
 * One wrong pointer usually leaves two that do not agree (the neighbour's answer still names the row). Each fault is therefore
 * looked for in the most specific form first, and what it explains is not reported again.
 */
import { LINK } from "../read/table-state.js";

export interface ChainInput {
  /** The row that the `prev` of each row names, or a {@link LINK} below 0; `next` is the same for the other side. */
  prev: Int32Array;
  next: Int32Array;
  /**
   * The group that each row's chain belongs to (a scene, a sensor of a scene, an instance): a number from 0, or below 0 if
   * unknown.
   */
  group: Int32Array;
  /** The time of each row; NaN if unknown. */
  time: Float64Array;
  /** The flags of rows that take no part: 1 for a row without a token, or with the token of an earlier row. */
  exclude: Uint8Array;
  /**
   * The strays that are known from claims: rows that another group than their own names as an end of its chain (see
   * chain-claims.ts).
   */
  claims?: ReadonlyMap<number, number> | undefined;
}

export type ChainFault =
  /** The fault that `row` names `other`, which does not name it back. */
  | { kind: "asymmetric"; row: number; field: "prev" | "next"; other: number }
  /** The fault that `field` of `row` is empty although `other` names it from that side. */
  | { kind: "unanswered"; row: number; field: "prev" | "next"; other: number }
  /** The fault that `field` of `row` names a row of another group. */
  | { kind: "crosses"; row: number; field: "prev" | "next"; other: number }
  /** The fault that `row` belongs to another group than the chain around it. */
  | { kind: "stray"; row: number; other: number }
  /** The same fault for a row that lies in no chain but is claimed by another group. */
  | { kind: "claimed"; row: number; by: number }
  /** The fault that `row` comes before `other` in the chain, but not in time. `culprit` is the one whose time seems wrong. */
  | { kind: "time"; row: number; other: number; culprit: number }
  /** The fault that a chain has no start; `row` is its earliest row. */
  | { kind: "cycle"; row: number; length: number }
  /** The fault that a second chain of the group starts at `row`; the first starts at `other`. */
  | { kind: "split"; row: number; other: number };

/** Chains, and what was found in them. */
export interface CheckedChains {
  input: ChainInput;
  faults: ChainFault[];
  /** The flags of rows whose prev or next has been reported, or that are in a cycle. */
  faulty: Uint8Array;
  /** The rows that belong to another group than the chain around them, and the group of that chain. */
  strays: ReadonlyMap<number, number>;
  /** The groups with each stray in that of its chain, so that what follows from a stray is not reported as well. */
  groups: Int32Array;
}

/** One direction of the links, for what is done alike for both. */
interface Side {
  field: "prev" | "next";
  /** The links of this direction, and those that should answer them. */
  links: Int32Array;
  answers: Int32Array;
  /** The pointers that are not answered, by the row that they name; a real set has few. */
  lone: Map<number, number>;
  /** The rows whose pointer is reported, or explained by one that is. */
  done: Set<number>;
}

export function checkChains(input: ChainInput): CheckedChains {
  const { group, exclude } = input;
  const rows = group.length;
  const prev = cleaned(input.prev, exclude);
  const next = cleaned(input.next, exclude);
  const faulty = new Uint8Array(rows);
  const faults: ChainFault[] = [];
  const report = (fault: ChainFault) => {
    faults.push(fault);
    faulty[fault.row] = 1;
    if ("other" in fault) faulty[fault.other] = 1;
  };

  const forward: Side = { field: "next", links: next, answers: prev, lone: new Map(), done: new Set() };
  const backward: Side = { field: "prev", links: prev, answers: next, lone: new Map(), done: new Set() };
  const isUnanswered = ({ links, answers }: Side, row: number) =>
    links[row]! >= 0 && answers[links[row]!] !== row;
  const lone: number[] = [];
  for (let row = 0; row < rows; row++) {
    const [loneNext, lonePrev] = [isUnanswered(forward, row), isUnanswered(backward, row)];
    if (loneNext) forward.lone.set(next[row]!, row);
    if (lonePrev) backward.lone.set(prev[row]!, row);
    if (loneNext || lonePrev) lone.push(row);
  }
  const isOpen = (side: Side, row: number) => isUnanswered(side, row) && !side.done.has(row);
  /** Reports a pointer of `row`, and takes the one that still names `row` from that side as explained. */
  const blame = (side: Side, back: Side, row: number, kind: "crosses" | "asymmetric") => {
    report({ kind, row, field: side.field, other: side.links[row]! });
    side.done.add(row);
    const left = back.lone.get(row);
    if (left !== undefined) back.done.add(left);
  };

  const sides = [
    [forward, backward],
    [backward, forward],
  ] as const;
  for (const row of lone) {
    for (const [side, back] of sides) {
      if (isOpen(side, row) && differ(group, row, side.links[row]!)) blame(side, back, row, "crosses");
    }
  }
  // Where a row's pointer is not returned while another row still names it from that side, the pointer was changed.
  for (const row of lone) {
    for (const [side, back] of sides) {
      const left = back.lone.get(row);
      if (left !== undefined && isOpen(side, row) && isOpen(back, left)) blame(side, back, row, "asymmetric");
    }
  }
  for (const row of lone) {
    for (const [side, { field }] of sides) {
      if (!isOpen(side, row)) continue;
      const other = side.links[row]!;
      const answer = side.answers[other]!;
      if (answer === LINK.none) report({ kind: "unanswered", row: other, field, other: row });
      else if (answer >= 0) report({ kind: "asymmetric", row, field: side.field, other });
    }
  }

  const strays = crossings({ prev, next, group, claims: input.claims }, report);
  const links = { ...input, prev, next };
  cycles(links, faulty, report);
  splits(links, forward.lone, strays, report);
  timeOrder(links, faulty, faults);
  return { input, faults, faulty, strays, groups: withoutStrays(group, strays) };
}

/** Finds only the links that both ends agree on and that lead into another group. */
export function findCrossings(input: Pick<ChainInput, "prev" | "next" | "group" | "exclude">): ChainFault[] {
  const faults: ChainFault[] = [];
  const [prev, next] = [cleaned(input.prev, input.exclude), cleaned(input.next, input.exclude)];
  crossings({ prev, next, group: input.group }, (fault) => faults.push(fault));
  return faults;
}

function withoutStrays(group: Int32Array, strays: ReadonlyMap<number, number>): Int32Array {
  if (strays.size === 0) return group;
  const corrected = Int32Array.from(group);
  for (const [row, to] of strays) corrected[row] = to;
  return corrected;
}

/** Returns the links, with those of rows that take no part, and those to such rows, as unusable. */
function cleaned(links: Int32Array, exclude: Uint8Array): Int32Array {
  let copy: Int32Array | undefined;
  for (let row = 0; row < links.length; row++) {
    if (exclude[row] === 0) continue;
    copy ??= Int32Array.from(links);
    copy[row] = LINK.unusable;
  }
  if (copy === undefined) return links;
  for (let row = 0; row < copy.length; row++) {
    if (copy[row]! >= 0 && exclude[copy[row]!] === 1) copy[row] = LINK.unusable;
  }
  return copy;
}

function differ(group: Int32Array, a: number, b: number): boolean {
  return group[a]! >= 0 && group[b]! >= 0 && group[a] !== group[b];
}

/**
 * Reports the links that both ends agree on but that lead into another group.
 *
 * @returns the strays among the rows, each with the group of its chain
 */
function crossings(
  { prev, next, group, claims }: Pick<ChainInput, "prev" | "next" | "group" | "claims">,
  report: (fault: ChainFault) => void,
): Map<number, number> {
  const before = (row: number) => (prev[row]! >= 0 && next[prev[row]!] === row ? prev[row]! : -1);
  const after = (row: number) => (next[row]! >= 0 && prev[next[row]!] === row ? next[row]! : -1);
  /**
   * Returns a neighbour of `row` if all around it is of one other group: both neighbours or, at an end, the next two; otherwise
   * -1.
   */
  const chainAround = (row: number): number => {
    const [left, right] = [before(row), after(row)];
    const [one, two] =
      left >= 0 && right >= 0 ? [left, right] : right >= 0 ? [right, after(right)] : [left, before(left)];
    return one >= 0 && two >= 0 && differ(group, row, one) && group[one] === group[two] ? one : -1;
  };
  const strays = new Map<number, number>(claims);
  for (const [row, by] of strays) {
    const other = Math.max(before(row), after(row));
    report(other < 0 ? { kind: "claimed", row, by } : { kind: "stray", row, other });
  }
  const pairs: [number, number][] = [];
  for (let row = 0; row < next.length; row++) {
    const to = next[row]!;
    if (to < 0 || prev[to] !== row || !differ(group, row, to)) continue;
    pairs.push([row, to]);
    for (const each of [row, to]) {
      const other = chainAround(each);
      if (other < 0 || strays.has(each)) continue;
      strays.set(each, group[other]!);
      report({ kind: "stray", row: each, other });
    }
  }
  for (const [row, other] of pairs) {
    if (!strays.has(row) && !strays.has(other)) report({ kind: "crosses", row, field: "next", other });
  }
  return strays;
}

/** Walks every chain from its start and reports the rows that are left over, because they go round in circles. */
function cycles(input: ChainInput, faulty: Uint8Array, report: (fault: ChainFault) => void): void {
  const { prev, next, time } = input;
  const rows = next.length;
  const visited = new Uint8Array(rows);
  for (let row = 0; row < rows; row++) {
    const from = prev[row]!;
    if (from >= 0 && next[from] === row) continue;
    for (let at = row; ; ) {
      visited[at] = 1;
      const to = next[at]!;
      if (to < 0 || prev[to] !== at) break;
      at = to;
    }
  }
  for (let row = 0; row < rows; row++) {
    if (visited[row] === 1) continue;
    let first = row;
    let length = 0;
    for (let at = row; visited[at] === 0; at = next[at]!) {
      visited[at] = 1;
      faulty[at] = 1;
      if (time[at]! < time[first]!) first = at;
      length++;
    }
    report({ kind: "cycle", row: first, length });
  }
}

/** Reports groups with more than one proper start. A row that another one names as its next is no start. */
function splits(
  input: ChainInput,
  namedAsNext: ReadonlyMap<number, number>,
  strays: ReadonlyMap<number, number>,
  report: (fault: ChainFault) => void,
): void {
  const { prev, group, time, exclude } = input;
  /** The first row of each group. */
  const first = new Map<number, number>();
  const more: number[] = [];
  for (let row = 0; row < prev.length; row++) {
    const own = group[row]!;
    if (prev[row] !== LINK.none || own < 0 || exclude[row] === 1) continue;
    if (namedAsNext.has(row) || strays.has(row)) continue;
    const known = first.get(own) ?? row;
    const [earlier, later] = time[row]! < time[known]! ? [row, known] : [known, row];
    first.set(own, earlier);
    if (earlier !== later) more.push(later);
  }
  for (const row of more) report({ kind: "split", row, other: first.get(group[row]!)! });
}

function timeOrder(input: ChainInput, faulty: Uint8Array, faults: ChainFault[]): void {
  const { prev, next, time } = input;
  const late = new Map<number, number>();
  for (let row = 0; row < next.length; row++) {
    const to = next[row]!;
    // The condition is not `<=` turned round, because comparisons with an unknown time are false.
    if (to < 0 || prev[to] !== row || !(time[to]! <= time[row]!)) continue;
    if (faulty[row] === 1 && faulty[to] === 1) continue;
    late.set(row, to);
  }
  // One time that is off breaks only one link, so one link is one fault.
  for (const [row, other] of late) {
    const before = prev[row]! >= 0 ? time[prev[row]!]! : Number.NaN;
    const after = next[other]! >= 0 ? time[next[other]!]! : Number.NaN;
    // The culprit is the row without which the others lie closer together or, where that is the same, the one that lies farther
    // off.
    const [one, two] = [time[row]!, time[other]!];
    const wider = span(before, one, after) - span(before, two, after);
    const farther = offset(before, one, two, after) - offset(after, two, one, before);
    const culprit = (wider === 0 ? farther : wider) > 0 ? row : other;
    faults.push({ kind: "time", row, other, culprit });
  }
}

/** Returns the span from the first to the last of some times; those that are NaN do not count. */
function span(...times: number[]): number {
  const known = times.filter((time) => !Number.isNaN(time));
  return Math.max(...known) - Math.min(...known);
}

/**
 * Returns how far a time lies from where its neighbours put it: in the middle between them or, without an outer neighbour, on the
 * line through the two beyond the inner one.
 */
function offset(outer: number, time: number, inner: number, beyond: number): number {
  const expected = Number.isNaN(outer) ? 2 * inner - beyond : (outer + inner) / 2;
  return Number.isNaN(expected) ? 0 : Math.abs(time - expected);
}
