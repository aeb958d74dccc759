/** Findings about chains: the samples of a scene, the frames of a sensor in a scene, the boxes of an instance. */
import type { Finding } from "../../finding.js";
import type { TableName } from "../read/schema.js";
import { KEEP, type TableState } from "../read/table-state.js";
import { linksIn, rowOf, type SmallTable } from "../read/tables.js";
import { withClaims } from "./chain-claims.js";
import {
  type ChainFault,
  type ChainInput,
  type CheckedChains,
  checkChains,
  findCrossings,
} from "./chains.js";
import type { ChainKnowledge, Frames } from "./frames.js";
import type { Names } from "./names.js";
import { finding, type NuScenesRule } from "./rules.js";
import { SCENE_ENDS } from "./sample-chains.js";
import { remainder } from "./table-findings.js";

/** What owns chains of rows of another table: what it says of their ends and their number. */
interface Owner {
  name: "scene" | "instance";
  rows: "sample" | "sample_annotation";
  ends: readonly [first: string, last: string];
  count: string;
  /** The name of the rows in messages. */
  what: string;
}

const SCENE: Owner = {
  name: "scene",
  rows: "sample",
  ends: SCENE_ENDS,
  count: "nbr_samples",
  what: "samples",
};
const INSTANCE: Owner = {
  name: "instance",
  rows: "sample_annotation",
  ends: ["first_annotation_token", "last_annotation_token"],
  count: "nbr_annotations",
  what: "annotations",
};

export function* chainFindings(
  samples: CheckedChains | undefined,
  frames: Frames | undefined,
  names: Names,
): Generator<Finding, ChainKnowledge> {
  const { tables } = names;
  const { sample, scene, instance } = tables.small;
  let strays: ReadonlyMap<number, number> = new Map();
  let wrongFrameTime: ReadonlySet<number> = new Set();
  if (samples !== undefined) yield* sampleFindings(sample!, scene!, samples, names);
  if (tables.sampleData !== undefined && frames !== undefined) {
    const { prev, next, time, exclude } = tables.sampleData;
    const chains = checkChains({ prev, next, group: frames.group, time, exclude });
    strays = chains.strays;
    wrongFrameTime = wrongTimes(chains.faults);
    yield* faultFindings("sample_data", chains, names, (row) => frames.describe(row));
  }
  if (tables.annotations !== undefined && sample !== undefined && instance !== undefined) {
    yield* instanceChains(instance, sample, samples, names);
  }
  return { wrongTime: wrongTimes(samples?.faults ?? []), wrongFrameTime, strays };
}

/** Returns the rows whose own time seems wrong. */
function wrongTimes(faults: readonly ChainFault[]): Set<number> {
  return new Set(faults.flatMap((fault) => (fault.kind === "time" ? [fault.culprit] : [])));
}

/**
 * Returns the place of each sample in its chain, NaN where it has none. Boxes are compared by this rather than by time, because a
 * wrong timestamp of a sample is no fault of its boxes.
 */
function samplePositions(sample: SmallTable): Float64Array {
  const { prev, next } = linksIn(sample);
  const position = new Float64Array(sample.rows).fill(Number.NaN);
  for (let start = 0; start < sample.rows; start++) {
    if (prev[start]! >= 0) continue;
    for (let at = start, place = 0; Number.isNaN(position[at]!); ) {
      position[at] = place++;
      const to = next[at]!;
      // The walk follows only a link that is returned, because another may lead anywhere.
      if (to >= 0 && prev[to] === at) at = to;
    }
  }
  return position;
}

function* sampleFindings(
  sample: SmallTable,
  scene: SmallTable,
  chains: CheckedChains,
  names: Names,
): Generator<Finding> {
  const describe = (row: number, group = chains.input.group[row]!) =>
    group < 0 ? "no known scene" : String(scene.values[group]!.name);
  yield* faultFindings("sample", chains, names, describe);
  yield* unitFindings(chains.input, names);
  yield* ownerFindings(SCENE, scene, sample, chains, names);
}

/** The shortest time between samples in microseconds that is taken for one; nuScenes has 500,000. */
const SHORTEST_STEP = 10_000;

/** Yields a finding where the times of samples are too close for microseconds, as milliseconds are: all that is done with them goes wrong. */
function* unitFindings({ next, time }: ChainInput, names: Names): Generator<Finding> {
  const steps: number[] = [];
  for (const [row, to] of next.entries()) if (to >= 0) steps.push(time[to]! - time[row]!);
  const middle = steps.filter(Number.isFinite).sort((a, b) => a - b)[steps.length >> 1] ?? 0;
  if (middle <= 0 || middle >= SHORTEST_STEP) return;
  const text = `samples follow one another in steps of ${middle}, half of them in no more: these are no microseconds`;
  yield finding("chain-time", names.path("sample"), text);
}

function* instanceChains(
  instance: SmallTable,
  sample: SmallTable,
  samples: CheckedChains | undefined,
  names: Names,
): Generator<Finding> {
  const { annotations, small } = names.tables;
  const data = annotations!;
  // The test version has no boxes; elsewhere, an empty table is reported as such.
  if (data.rows === 0) return;
  const { prev, next, exclude } = data;
  const time = valuesAt(samplePositions(sample), data.sample);
  const scenes = scenesOf(data.sample, samples);
  // An instance is seen in one scene only, so a box that names a sample of another scene does not lie before or after the others.
  const byScene = findCrossings({ prev, next, group: scenes, exclude });
  for (const { row } of byScene) time[row] = Number.NaN;
  const rows: ChainInput = { prev, next, group: data.instance, time, exclude };
  const chains = checkChains(withClaims(rows, instance, INSTANCE.ends, data));
  const describe = (row: number, group = data.instance[row]!) =>
    group < 0 ? "no known instance" : `instance ${String(instance.values[group]!.token)}`;
  yield* faultFindings("sample_annotation", chains, names, describe);
  const faults = byScene.filter(({ row }) => chains.faulty[row] === 0);
  const sceneOf = (row: number) => `a sample of ${String(small.scene!.values[scenes[row]!]!.name)}`;
  yield* faultFindings("sample_annotation", { input: chains.input, faults }, names, sceneOf);
  yield* ownerFindings(INSTANCE, instance, data, chains, names);
}

/** Returns the scene of each row's sample, -1 where it has none. */
function scenesOf(rows: Int32Array, samples: CheckedChains | undefined): Int32Array {
  const scenes = new Int32Array(rows.length).fill(-1);
  if (samples === undefined) return scenes;
  for (let i = 0; i < rows.length; i++) if (rows[i]! >= 0) scenes[i] = samples.groups[rows[i]!]!;
  return scenes;
}

/** Returns the value of each row's sample, NaN where it has none. (`Float64Array.from` would take ten times as long.) */
function valuesAt(values: Float64Array, rows: Int32Array): Float64Array {
  const found = new Float64Array(rows.length);
  for (let i = 0; i < rows.length; i++) found[i] = rows[i]! < 0 ? Number.NaN : values[rows[i]!]!;
  return found;
}

/** A function that says what a row belongs to, or would belong to with another group. */
type Describe = (row: number, group?: number) => string;

const RULE_OF = {
  asymmetric: "chain-asymmetric",
  unanswered: "chain-asymmetric",
  crosses: "chain-crosses",
  stray: "chain-crosses",
  claimed: "chain-crosses",
  time: "chain-time",
  cycle: "chain-cycle",
  split: "chain-split",
} as const satisfies Record<ChainFault["kind"], NuScenesRule>;

function* faultFindings(
  table: TableName,
  { input, faults }: Pick<CheckedChains, "input" | "faults">,
  names: Names,
  describe: Describe,
): Generator<Finding> {
  const path = names.path(table);
  const counts = new Map<ChainFault["kind"], number>();
  for (const fault of faults) {
    const count = (counts.get(fault.kind) ?? 0) + 1;
    counts.set(fault.kind, count);
    if (count > KEEP) continue;
    const row = fault.kind === "time" ? fault.culprit : fault.row;
    yield finding(RULE_OF[fault.kind], path, message(fault, table, input, names, describe), {
      ...names.place(table, row),
      count: fault.kind === "cycle" ? fault.length : undefined,
    });
  }
  for (const [kind, count] of counts) {
    yield* remainder(RULE_OF[kind], path, count - KEEP, "more faults of this sort");
  }
}

function message(
  fault: ChainFault,
  table: TableName,
  input: ChainInput,
  names: Names,
  describe: Describe,
): string {
  const token = (row: number) => names.token(table, row);
  switch (fault.kind) {
    case "asymmetric": {
      const back = fault.field === "next" ? "prev" : "next";
      const answer = names.field(table, fault.other, back);
      return `${fault.field} is ${token(fault.other)}, whose ${back} is ${answer === "" ? "empty" : answer}`;
    }
    case "unanswered":
      return `${fault.field} is empty, but ${token(fault.other)} names this row as its ${fault.field === "next" ? "prev" : "next"}`;
    case "crosses":
      return `${fault.field} leads from ${describe(fault.row)} to ${describe(fault.other)} (${token(fault.other)})`;
    case "stray":
      return `belongs to ${describe(fault.row)}, but lies in a chain of ${describe(fault.other)}`;
    case "claimed":
      return `belongs to ${describe(fault.row)}, but ${describe(fault.row, fault.by)} names it as its own`;
    case "time": {
      const step = input.time[fault.row]! - input.time[fault.other]!;
      const order = `${token(fault.other)} comes after ${token(fault.row)} in the chain`;
      if (table === "sample_annotation") return `${order}, but not in the order of their samples`;
      return `${order}, but ${step === 0 ? "has the same time" : `is ${step / 1000} ms earlier`}`;
    }
    case "cycle":
      return `${fault.length} ${fault.length === 1 ? "row names itself" : "rows form a circle"} in ${describe(fault.row)}`;
    case "split":
      return `a second chain of ${describe(fault.row)} starts here; the first starts at ${token(fault.other)}`;
  }
}

/** Reports where what scenes and instances say is not so: `first_…_token` and `last_…_token`, and the number of their rows. */
function* ownerFindings(
  { name, rows, ends, count, what }: Owner,
  owner: SmallTable,
  target: TableState,
  { input, groups, faulty }: CheckedChains,
  names: Names,
): Generator<Finding> {
  if (!target.complete) return;
  const counts = new Int32Array(owner.rows);
  for (const [row, group] of groups.entries()) if (group >= 0 && input.exclude[row] === 0) counts[group]!++;
  for (const [row, values] of owner.values.entries()) {
    if (owner.exclude[row] === 1) continue;
    const report = (rule: NuScenesRule, text: string) =>
      finding(rule, names.path(name), text, names.place(name, row));
    for (const [i, field] of ends.entries()) {
      const end = rowOf(target, values[field]);
      if (end === -1) continue; // The key is reported as dangling or as a wrong type.
      const [side, links] = i === 0 ? (["prev", input.prev] as const) : (["next", input.next] as const);
      const named = `${field} names ${rows} ${String(values[field])}`;
      if (groups[end]! >= 0 && groups[end] !== row) {
        yield report("wrong-first-last", `${named}, which belongs to another ${name}`);
      } else if (links[end]! >= 0 && faulty[end] === 0) {
        yield report("wrong-first-last", `${named}, whose ${side} is ${names.token(rows, links[end]!)}`);
      }
    }
    const said = values[count];
    if (typeof said !== "number" || said === counts[row]) continue;
    yield report("wrong-count", `${count} is ${said}, but ${what} that name it: ${counts[row]}`);
  }
}
