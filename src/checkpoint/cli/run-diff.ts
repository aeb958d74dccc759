/** Runs `vista-ckpt diff`, which shows what differs between two checkpoints. */

import { resolve } from "node:path";
import { formatCount, plural } from "../../core/cli/format.js";
import type { PrintOptions } from "../../core/cli/options.js";
import { printResult } from "../../core/cli/print.js";
import { type CommandContext, EXIT } from "../../core/cli/program.js";
import { runWithProgress } from "../../core/cli/progress.js";
import { firstNames, shorten, VistaError } from "../../core/errors.js";
import { joinPlace, parentPlace } from "../../core/io/places.js";
import { remember } from "../../core/maps.js";
import type { Checkpoint } from "../checkpoint.js";
import { type DiffReport, diffStates, type TensorDifference } from "../diff.js";
import { Entries } from "../diff-entries.js";
import { openCheckpoint } from "../open.js";
import {
  diffValues,
  type OptimizerState,
  type OptimizerValue,
  openOptimizerState,
  type ValueDifference,
  type ValuesReport,
} from "../optimizer-state.js";
import type { OtherTensors } from "../torch/beside.js";
import { shownApart } from "../zero/value-text.js";
import { countsText, printWarnings } from "./texts.js";

interface DiffCommandOptions extends PrintOptions {
  max: number;
  key?: string;
  keyB?: string;
  optimizer?: boolean;
  verify: boolean;
  atol?: number;
  rtol?: number;
  ignoreDtype?: boolean;
}

export async function diff(
  a: string,
  b: string,
  options: DiffCommandOptions,
  context: CommandContext,
): Promise<void> {
  context.setErrorCode(EXIT.trouble);
  const { key, keyB = key, verify, optimizer = false } = options;
  if (optimizer && keyB !== undefined) {
    throw new VistaError("USAGE", "--key names a state dict, and --optimizer compares none", {
      hint: "Leave one of the two out.",
    });
  }
  const checkpoints: Checkpoint[] = [];
  const optimizers: OptimizerState[] = [];
  try {
    const reading = { signal: context.signal, verify };
    for (const [path, dict] of [[a, key] as const, [b, keyB] as const]) {
      if (optimizer) optimizers.push(await openOptimizerState(path, reading));
      else {
        const checkpoint = await openCheckpoint(path, { ...reading, key: dict });
        checkpoints.push(checkpoint);
        if (!options.quiet) printWarnings(checkpoint.warnings, checkpoint.torchFiles, `${path}: `);
      }
    }
    const places = checkpoints.map((opened, i) => placeOf(opened, i === 0 ? key : keyB));
    const entries = new Entries(checkpoints, places);
    const besideTensors = await leftOut(checkpoints, places, entries);
    const [first, second] = (optimizer ? optimizers : checkpoints).map(({ state }, i) =>
      state.with([
        ...state.tensors,
        ...Array.from(entries.tensors, ([name, pair]) => [name, pair[i]!] as const),
      ]),
    );
    const tolerance = { atol: options.atol, rtol: options.rtol };
    const how = { verify, ...tolerance, ignoreDType: options.ignoreDtype ?? false };
    const report = await runWithProgress(options.quiet, context.signal, (run) =>
      diffStates(first!, second!, { ...run, ...how }),
    );
    const values = optimizer ? diffValues(optimizers[0]!, optimizers[1]!, tolerance) : undefined;
    const metadata = optimizer ? NO_METADATA : diffMetadata(checkpoints);
    const beside: Beside[] = [...besideTensors, ...metadata.notCompared];
    const named = key !== undefined;
    const all = beside.every(({ model, inside }) => !model || (named && !inside));
    const same = metadata.differing.length === 0 && (values === undefined || areEqual(values));
    const verdict = {
      ...report,
      ...values,
      equal: report.equal && all && same,
      prefixes: byPrefix(report, [...first!.tensors.keys(), ...report.onlyB]),
      notCompared: beside.map(({ inside: _, ...other }) => other),
      metadata: metadata.differing,
      stateDictOnly: beside.length > 0 || checkpoints.some(({ key, zero }) => (key ?? zero) !== undefined),
    };
    context.setExitCode(verdict.equal ? EXIT.ok : EXIT.failed);
    printResult(options, { command: "diff", a, b, ...verdict }, show(a, b, verdict, options.max));
  } finally {
    for (const { state } of [...checkpoints, ...optimizers]) await state.close();
  }
}

/** The report with what was not looked at, which is not equal where that may be a model's. */
interface Verdict extends DiffReport, Partial<ValuesReport> {
  /** The counts of what differs by the beginning of the names, also for those with no difference. */
  readonly prefixes: readonly PrefixCounts[];
  readonly notCompared: readonly NotCompared[];
  /** The metadata of two safetensors files that differ. */
  readonly metadata: readonly ValueDifference[];
  /** Whether an input holds, or may hold, more than the state dict that was compared. */
  readonly stateDictOnly: boolean;
}

/** What was not looked at in one place of an input: tensors, a value beside them that is none, or metadata. */
interface NotCompared extends Omit<OtherTensors, "tensors"> {
  readonly path: string;
  readonly metadata?: true;
  /** The number of tensors, 0 for another value; `undefined` for the optimizer of a ZeRO checkpoint, which is spread over its files. */
  readonly tensors?: number;
}

function areEqual({ values, skippedValues }: ValuesReport): boolean {
  return values.length + skippedValues.length === 0;
}

interface PrefixCounts {
  readonly prefix: string;
  tensors: number;
  different: number;
  onlyA: number;
  onlyB: number;
}

/** The number of parts of a name that make its prefix; `_forward_module` does not count. */
const PREFIX_PARTS = 2;

/** Counts what differs for each prefix: `model.diffusion_model`, `first_stage_model.decoder` … */
function byPrefix(report: DiffReport, names: readonly string[]): PrefixCounts[] {
  const counts = new Map<string, PrefixCounts>();
  const of = (name: string) => {
    const parts = name.split(".");
    const start = parts[0] === "_forward_module" ? 1 : 0;
    const prefix =
      parts.slice(0, Math.min(start + PREFIX_PARTS, parts.length - 1)).join(".") || "(no prefix)";
    return remember(counts, prefix, () => ({ prefix, tensors: 0, different: 0, onlyA: 0, onlyB: 0 }));
  };
  for (const name of names) of(name).tensors++;
  for (const { name } of report.different) of(name).different++;
  for (const name of report.onlyA) of(name).onlyA++;
  for (const name of report.onlyB) of(name).onlyB++;
  return [...counts.values()];
}

/** Returns a line for each prefix with differences, such as `model.diffusion_model: 12 different, 3 only in a.bin, of 570`. */
function prefixLines(a: string, b: string, { prefixes }: Verdict): string[] {
  return prefixes.flatMap(({ prefix, tensors, different, onlyA, onlyB }) => {
    const counts = countsText([
      [different, "different"],
      [onlyA, `only in ${a}`],
      [onlyB, `only in ${b}`],
    ]);
    return counts === "" ? [] : [`${shortName(prefix)}: ${counts}, of ${formatCount(tensors)}`];
  });
}

/** `inside` tells whether it is part of the state dict: whoever names that has seen that there are others, not what it lacks. */
type Beside = NotCompared & { readonly inside?: boolean };

/** Returns the place of the state dict in a torch file, of a ZeRO checkpoint in the model states. @param given  what --key says */
function placeOf({ key, zero }: Checkpoint, given: string | undefined): string | undefined {
  return zero === undefined ? key : (given ?? "module");
}

/**
 * Lists what is not compared.
 * @param places  the place of each one's state dict
 * @param entries  the comparison of what is no tensor, which gets the tensors within it
 */
async function leftOut(
  opened: readonly Checkpoint[],
  places: readonly (string | undefined)[],
  entries: Entries,
): Promise<Beside[]> {
  // Of a folder and a file in it, the file is looked at.
  const read = new Set(opened.flatMap(({ state }) => state.files.map(({ path }) => resolve(path))));
  const beside = opened.map(async ({ path, others: all, leftOut, zero, zeroContent, state }, i) => {
    const within = places[i];
    const folder = parentPlace(state.files[0]?.path ?? path);
    const same = new Set<string>();
    for (const { key, numpy, extraState } of all) {
      const name = within === undefined ? key : key.slice(within.length + 1);
      if ((numpy || extraState) && (await entries.isSame(name))) same.add(key);
    }
    const others = all.filter(({ key, file }) =>
      file ? !read.has(resolve(joinPlace(folder, key))) : !same.has(key) && !same.has(extraStateOf(key)),
    );
    const optimizer = zero?.universal === true || (zeroContent?.shards.length ?? 0) > 0;
    const kept = optimizer ? [{ path, key: "optimizer_state_dict", model: false }] : [];
    const listed = new Set(all.map(({ key }) => key));
    const values = leftOut
      .filter((key) => !listed.has(key) && !listed.has(`${within}.${key}`))
      .map((key) => ({ path, key, model: false, tensors: 0 }));
    const tensors = others.map((other) => {
      const below = within !== undefined && other.key.startsWith(`${within}.`);
      return { path, ...other, inside: below || (other.numpy ?? other.extraState ?? other.file ?? false) };
    });
    return [...kept, ...tensors, ...values];
  });
  return (await Promise.all(beside)).flat();
}

/** Returns the place of the extra state within which a place lies; an empty text for any other place. */
function extraStateOf(key: string): string {
  return /^(?:.*?\.)?_extra_state(?=\.)/.exec(key)?.[0] ?? "";
}

const NO_METADATA = { differing: [], notCompared: [] };

/**
 * Compares the metadata of two safetensors files. What only one can have, since the other is of another format, is not compared; nor
 * is `format` that only one has, which says for which library a program wrote it.
 */
function diffMetadata(checkpoints: readonly Checkpoint[]): {
  differing: readonly ValueDifference[];
  notCompared: readonly NotCompared[];
} {
  const [a, b] = checkpoints as [Checkpoint, Checkpoint];
  const comparable = checkpoints.every(({ kind }) => kind.startsWith("safetensors"));
  const differing: ValueDifference[] = [];
  const notCompared: NotCompared[] = [];
  for (const key of new Set(checkpoints.flatMap(({ metadata }) => [...(metadata?.keys() ?? [])]))) {
    const [x, y] = [a.metadata?.get(key), b.metadata?.get(key)];
    if (x === y) continue;
    const { path } = x === undefined ? b : a;
    const single = x === undefined || y === undefined;
    if (single && (!comparable || key === "format"))
      notCompared.push({ path, key, model: false, tensors: 0, metadata: true });
    else differing.push({ key, a: x, b: y, parameters: [] });
  }
  return { differing, notCompared };
}

/** Returns a line such as `a.pt: 3 tensors under ema`. */
function describeNotCompared(other: NotCompared): string {
  const { path, key, tensors, numpy, extraState, metadata, file } = other;
  if (tensors === undefined) return `${path}: the optimizer, which --optimizer compares`;
  if (file) return `${path}: ${shorten(key, 80)}, another file in the folder`;
  if (metadata) return `${path}: metadata ${shorten(key, 80)}, which the other has not`;
  if (extraState) return `${path}: ${shorten(key, 80)}, a module's state in a form of its own`;
  if (tensors === 0) return `${path}: ${shorten(key, 80)}, which is no tensor`;
  if (numpy) return `${path}: ${shorten(key, 80)}, which is an array of numpy`;
  return `${path}: ${plural(tensors, "tensor")} ${key === "." ? "beside the state dict" : `under ${shorten(key, 80)}`}`;
}

function show(a: string, b: string, report: Verdict, max: number): string[] {
  const lines: string[] = [];
  const list = (title: string, items: readonly string[]) => {
    if (items.length === 0) return;
    lines.push(`${title}: ${formatCount(items.length)}`);
    lines.push(...items.slice(0, max).map((item) => `  ${item}`));
    if (items.length > max) lines.push(`  … and ${formatCount(items.length - max)} more`);
  };
  list(`only in ${a}`, report.onlyA.map(shortName));
  list(`only in ${b}`, report.onlyB.map(shortName));
  list("different", report.different.map(describe));
  const { onlyA, onlyB, different, notCompared, metadata } = report;
  const { values = [], comparedValues, skippedValues = [] } = report;
  list(
    "different values",
    values.map((value) => describeValue(a, b, value)),
  );
  list(
    "different metadata",
    metadata.map((entry) => describeValue(a, b, entry)),
  );
  list("not compared", [
    ...notCompared.map(describeNotCompared),
    ...skippedValues.map((key) => `${shorten(key, 80)}: too large or too odd a value`),
  ]);
  list("by prefix", prefixLines(a, b, report));
  const differ = onlyA.length + onlyB.length + different.length + values.length > 0;
  let verdict = differ ? "different" : "no difference in what was compared";
  if (report.equal) verdict = report.stateDictOnly ? "state dicts equal" : "equal";
  else if (!differ && report.same + report.close === 0) verdict = "nothing was compared";
  else if (!differ && metadata.length > 0) verdict = "tensors compared are equal, metadata differ";
  const close = report.close === 0 ? "" : `, ${formatCount(report.close)} within what was allowed`;
  lines.push(`${verdict}: ${plural(report.same, "tensor")} the same${close}`);
  if (comparedValues !== undefined) {
    const compared = ["weights", "states", ...comparedValues.map((key) => shorten(key, 80))].join(", ");
    lines.push(`  compared of the optimizers: ${compared}; nothing else of the checkpoints`);
  }
  return lines;
}

/** Returns a line such as `lr  0.01 ≠ 0.02, of 12 parameters: a.weight, b.weight …`. */
function describeValue(a: string, b: string, { key, a: x, b: y, parameters }: ValueDifference): string {
  const both = x !== undefined && y !== undefined;
  const what = both
    ? shownApart(showValue(x), showValue(y)).join(" ≠ ")
    : `only in ${x === undefined ? b : a}: ${shorten(showValue((x ?? y)!), 80)}`;
  const whose = `, of ${plural(parameters.length, "parameter")}: ${firstNames(parameters)}`;
  return `${shorten(key, 80)}  ${what}${parameters.length === 0 ? "" : whose}`;
}

function showValue(value: OptimizerValue): string {
  return typeof value === "object" ? `[${value.map(showValue).join(", ")}]` : String(value);
}

function describe(difference: TensorDifference): string {
  const { name, dtypes, shapes, differing, maxAbsolute, maxRelative, nanMismatches } = difference;
  const parts: string[] = [];
  if (dtypes[0] !== dtypes[1]) parts.push(`dtype ${dtypes[0]} ≠ ${dtypes[1]}`);
  const [shapeA, shapeB] = shapes.map((shape) => `[${shape.join(", ")}]`);
  if (shapeA !== shapeB) parts.push(`shape ${shapeA} ≠ ${shapeB}`);
  if (differing === 0)
    parts.push(dtypes[0] === dtypes[1] ? "same values, other bits (-0 or NaN)" : "same values");
  else if (differing !== undefined) parts.push(`values differ in ${plural(differing, "element")}`);
  if (differing !== 0 && maxAbsolute !== undefined && maxRelative !== undefined) {
    parts.push(`largest difference ${show4(maxAbsolute)}, relative ${show4(maxRelative)}`);
  }
  if (nanMismatches > 0) parts.push(`${formatCount(nanMismatches)} NaN on one side only`);
  return `${shortName(name)}  ${parts.length === 0 ? "other bytes" : parts.join("; ")}`;
}

function shortName(name: string): string {
  return shorten(name, 500);
}

function show4(value: number): string {
  return Number.isFinite(value) ? Number(value.toPrecision(4)).toString() : "infinite";
}
