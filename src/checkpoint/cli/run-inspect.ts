/** Runs `vista-ckpt inspect`, which shows what a checkpoint is and what is in it. */

import { formatBytes, formatCount, plural } from "../../core/cli/format.js";
import { errorJson, forEachInput } from "../../core/cli/inputs.js";
import type { PrintOptions } from "../../core/cli/options.js";
import { printJson, printLines, printResult } from "../../core/cli/print.js";
import { type CommandContext, EXIT } from "../../core/cli/program.js";
import { firstNames, shorten } from "../../core/errors.js";
import { sum } from "../../core/sum.js";
import { type Inspection, inspectCheckpoint } from "../inspect.js";
import type { OptimizerGroupSummary, OptimizerSummary } from "../zero/optimizer-summary.js";
import { inspectTensor } from "./run-inspect-tensor.js";
import { groupText, pairTexts, printUnknown, printWarnings } from "./texts.js";
import { describeTensor, foldedTreeLines, treeLines } from "./tree.js";

export interface InspectCommandOptions extends PrintOptions {
  tag?: string;
  key?: string;
  tensors?: boolean;
  /** The levels of the tree; `undefined` for as many as fit on a screen. */
  depth?: number;
  tensor?: string;
}

/** The number of characters of a tensor's name that are shown, so that what follows the name is seen too. */
const MAX_NAME = 500;

const KINDS: Record<Inspection["kind"], string> = {
  torch: "torch file",
  "torch-sharded": "sharded torch files",
  "torch-other": "torch file without a state dict",
  safetensors: "safetensors file",
  "safetensors-sharded": "sharded safetensors files",
  zero: "ZeRO checkpoint",
  dcp: "distributed checkpoint of torch (DCP)",
};

/** Shows what is at the paths. @param alone  whether there is one input, which is shown whole; else each gets a line */
export async function inspect(
  paths: readonly string[],
  alone: boolean,
  options: InspectCommandOptions,
  context: CommandContext,
): Promise<void> {
  const { tag, key } = options;
  const look = async (path: string) => {
    const inspection = await inspectCheckpoint(path, { tag, key, signal: context.signal });
    const prefix = alone ? "" : `${path}: `;
    if (!options.quiet) {
      printWarnings(inspection.warnings, [], prefix);
      printUnknown(inspection.globals.unknown, prefix);
    }
    return inspection;
  };
  if (options.tensor !== undefined) return inspectTensor(paths[0]!, options.tensor, options, context);
  if (alone) {
    const inspection = await look(paths[0]!);
    printResult(options, { command: "inspect", ...inspection }, show(inspection, options));
    return;
  }
  const outcomes = await forEachInput("vista-ckpt", paths, async (path) => {
    const inspection = await look(path);
    if (!options.json && !options.quiet) printLines([summary(inspection)]);
    return options.json ? inspection : undefined;
  });
  if (outcomes.some(({ error }) => error !== undefined)) context.setExitCode(EXIT.failed);
  if (options.json) {
    const found = outcomes.map(({ path, result, error }) => result ?? { path, ...errorJson(error!) });
    printJson({ command: "inspect", inputs: found });
  }
}

/** Returns a line about one of several inputs. */
function summary(inspection: Inspection): string {
  const { tensors, elements, bytes, dtypes, zero } = inspection;
  const parts = [
    head(inspection)[0]!,
    plural(tensors.length, "tensor"),
    plural(elements, "element"),
    `${formatBytes(bytes)} of ${Object.keys(dtypes).join(", ") || "nothing"}`,
    ...(zero === undefined ? [] : [`stage ${zero.stage}, ${plural(zero.ranks, "rank")}`]),
    ...(inspection.step === undefined ? [] : [`step ${formatCount(inspection.step)}`]),
  ];
  return parts.join(", ");
}

function show(inspection: Inspection, options: InspectCommandOptions): string[] {
  const { tensors } = inspection;
  let lines: string[];
  if (options.tensors)
    lines = tensors.map((tensor) => `${shorten(tensor.name, MAX_NAME)}  ${describeTensor(tensor)}`);
  else lines = options.depth === undefined ? foldedTreeLines(tensors) : treeLines(tensors, options.depth);
  // The summary comes last, since on a terminal the end is what is seen.
  if (lines.length > 0) lines.push("");
  return lines.concat(head(inspection), parts(inspection));
}

function head(inspection: Inspection): string[] {
  const { path, kind, files, zero, key, metadata } = inspection;
  const size = sum(files, (file) => file.bytes);
  const count = files.length === 1 ? "" : ` in ${plural(files.length, "file")}`;
  const lines = [`${path}: ${KINDS[kind]}, ${formatBytes(size)}${count}`];
  const { deepspeed, lightning, step, epoch } = inspection;
  const writer: string[] = [];
  if (deepspeed !== undefined) writer.push(`DeepSpeed ${deepspeed}`);
  if (lightning !== undefined) writer.push(`Lightning ${lightning}`);
  const said = writer.length > 0 ? [`written by ${writer.join(" with ")}`] : [];
  if (step !== undefined) said.push(`step ${formatCount(step)}`);
  if (epoch !== undefined) said.push(`epoch ${formatCount(epoch)}`);
  if (said.length > 0) lines.push(`  ${said.join(", ")}`);
  if (zero !== undefined) {
    const stage = `${zero.universal ? "universal, made of " : ""}ZeRO stage ${zero.stage}`;
    const counts = `${plural(zero.ranks, "rank")}, ${plural(zero.buffers, "buffer")}`;
    lines.push(`  tag ${zero.tag}, ${stage}, ${counts}`);
    zero.groups.forEach((group, i) => {
      const padding = group.saved - group.numel;
      lines.push(groupText(group, i) + (padding === 0 ? "" : `, ${formatCount(padding)} padding`));
    });
  }
  if (zero?.optimizer !== undefined) lines.push(`  optimizer: ${describeOptimizer(zero.optimizer)}`);
  if (key !== undefined) lines.push(`  the state dict is under the key ${key}`);
  for (const [name, value] of Object.entries(metadata ?? {})) {
    lines.push(`  metadata ${shorten(name, 200)}: ${shorten(value, 200)}`);
  }
  return lines;
}

function describeOptimizer({ states, groups, lossScale }: OptimizerSummary): string {
  const names = Object.entries(states).map(([name, dtype]) => `${name} (${dtype})`);
  const said = [firstNames(names, 8) || "no states of the size of the weights"];
  type Value = (group: OptimizerGroupSummary) => number | undefined;
  const each = (what: string, pick: Value, show: (value: number) => string = String) => {
    const different = [...new Set(groups.map(pick).filter((value) => value !== undefined))];
    if (different.length > 0)
      said.push(
        `${what} ${different
          .slice(0, 8)
          .map((value) => show(value))
          .join(", ")}`,
      );
  };
  each("step", ({ step }) => step, formatCount);
  each("learning rate", ({ learningRate }) => learningRate);
  each("weight decay", ({ weightDecay }) => weightDecay);
  if (lossScale !== undefined && (lossScale.dynamic || lossScale.value !== 1))
    said.push(`loss scale ${lossScale.value}${lossScale.dynamic ? " (dynamic)" : ""}`);
  return said.join("; ");
}

function parts(inspection: Inspection): string[] {
  const { tensors, elements, bytes, dtypes, lora, ema, frozen, shared, orphans, leftOut, globals } =
    inspection;
  const sizes = (tensors: number, elements: number, bytes: number) =>
    `${plural(tensors, "tensor")}, ${plural(elements, "element")}, ${formatBytes(bytes)}`;
  const lines = [`  ${sizes(tensors.length, elements, bytes)}`];
  for (const [dtype, sum] of Object.entries(dtypes))
    lines.push(`  ${dtype}: ${sizes(sum.tensors, sum.elements, sum.bytes)}`);
  const named = (what: string, names: readonly string[]) => {
    if (names.length > 0) lines.push(`  ${what}: ${formatCount(names.length)}: ${firstNames(names)}`);
  };
  if (inspection.prefixed > 0)
    lines.push(`  prefix _forward_module.: ${plural(inspection.prefixed, "name")}`);
  const adapters = (of: Inspection["lora"]) => of.map(({ down }) => down);
  named("LoRA adapters", adapters(lora));
  named("LoRA adapters without base or partner", adapters(lora.filter(({ missing }) => missing.length > 0)));
  if (ema.shadows > 0) lines.push(`  EMA: ${plural(ema.shadows, "shadow")}`);
  named("EMA shadows without parameter", ema.unmatched);
  named("frozen", frozen);
  named("shared", pairTexts(shared));
  named("orphans (in `module` only; zero_to_fp32.py drops them)", orphans);
  named("not tensors", leftOut);
  const unreadable = inspection.unreadable.map(({ name, what }) => `${name} (${what})`);
  named("tensors that only torch can rebuild", unreadable);
  const inFile = inspection.others.filter(({ file }) => !file);
  const others = inFile.map(({ key, tensors }) => {
    return `${key === "." ? "beside it" : key} (${formatCount(tensors)})`;
  });
  named("tensors outside of the state dict", others);
  const names = globals.known.length + globals.unknown.length;
  const unknown = formatCount(globals.unknown.length);
  if (names > 0) lines.push(`  pickle: names ${plural(names, "global")}, ${unknown} outside the known list`);
  return lines;
}
