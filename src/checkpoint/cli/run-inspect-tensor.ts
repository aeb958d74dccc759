/** Runs `vista-ckpt inspect --tensor NAME`, which describes the values of one tensor. */
import { formatBytes, formatCount, plural } from "../../core/cli/format.js";
import type { PrintOptions } from "../../core/cli/options.js";
import { printResult } from "../../core/cli/print.js";
import type { CommandContext } from "../../core/cli/program.js";
import { runWithProgress } from "../../core/cli/progress.js";
import { firstNames, shorten, VistaError } from "../../core/errors.js";
import { suggest } from "../../core/suggest.js";
import { openCheckpoint } from "../open.js";
import { type TensorStatistics, tensorStatistics } from "../tensor-statistics.js";
import { printWarnings } from "./texts.js";

const BAR = 40;

/** Describes the values of one tensor. @throws VistaError `NOT_FOUND` for a name that the input does not have */
export async function inspectTensor(
  path: string,
  name: string,
  options: PrintOptions & { tag?: string; key?: string },
  context: CommandContext,
): Promise<void> {
  const { tag, key } = options;
  const checkpoint = await openCheckpoint(path, { tag, key, signal: context.signal });
  try {
    if (!options.quiet) printWarnings(checkpoint.warnings, checkpoint.torchFiles);
    const tensor = checkpoint.state.tensors.get(name);
    if (tensor === undefined) throw noTensor(path, name, [...checkpoint.state.tensors.keys()]);
    const statistics = await runWithProgress(options.quiet, context.signal, (run) =>
      tensorStatistics(tensor, run),
    );
    const object = { command: "inspect", path, tensor: { name, ...statistics } };
    printResult(options, object, show(name, statistics));
  } finally {
    await checkpoint.state.close();
  }
}

function noTensor(path: string, name: string, names: readonly string[]): VistaError {
  const close = names.filter((other) => other.endsWith(`.${name}`));
  const near = close.length > 0 ? close : names.filter((other) => name !== "" && other.includes(name));
  const like = near.length > 0 ? near : [suggest(name, names) ?? []].flat();
  const all = "`vista-ckpt inspect --tensors` lists all of them.";
  const hint = like.length > 0 ? `Names like it: ${firstNames(like)}.` : all;
  return new VistaError("NOT_FOUND", `there is no tensor ${shorten(name, 200)}`, { path, hint });
}

function show(name: string, statistics: TensorStatistics): string[] {
  const { dtype, shape, elements, bytes, finite, min, max, mean, histogram } = statistics;
  const lines = [
    shorten(name, 500),
    `  shape [${shape.join(", ")}], ${dtype}, ${plural(elements, "element")}, ${formatBytes(bytes)}`,
  ];
  if (finite === undefined) return [...lines, `  the values of ${dtype} are not looked at`];
  if (min !== undefined)
    lines.push(`  min ${showValue(min)}, max ${showValue(max!)}, mean ${showValue(mean!)}`);
  const counts = [
    [statistics.zeros, "zero"],
    [statistics.nan, "NaN"],
    [statistics.positiveInfinity, "+infinity"],
    [statistics.negativeInfinity, "-infinity"],
  ] as const;
  lines.push(`  ${counts.map(([count, what]) => `${formatCount(count)} ${what}`).join(", ")}`);
  if (histogram.length === 0) return lines;
  const most = Math.max(...histogram.map(({ count }) => count));
  const labels = histogram.map(({ from, to }) => `${showBound(from)} … ${showBound(to)}`);
  const width = Math.max(...labels.map(({ length }) => length));
  lines.push("");
  histogram.forEach(({ count }, i) => {
    const bar = "█".repeat(count === 0 ? 0 : Math.max(1, Math.round((count / most) * BAR)));
    lines.push(`  ${labels[i]!.padEnd(width)}  ${bar.padEnd(BAR)}  ${formatCount(count)}`);
  });
  return lines;
}

function showValue(value: number | bigint): string {
  return typeof value === "bigint" ? String(value) : String(Number(value.toPrecision(9)));
}

function showBound(value: number): string {
  return String(Number(value.toPrecision(3)));
}
