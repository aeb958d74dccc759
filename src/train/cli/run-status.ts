/** The work of `vista-train status`: it shows how far a run is, and what could be resumed. */
import { colours } from "../../core/cli/colours.js";
import { formatBytes, formatCount, formatDuration, plural } from "../../core/cli/format.js";
import type { PrintOptions } from "../../core/cli/options.js";
import { printJson } from "../../core/cli/print.js";
import type { CommandContext } from "../../core/cli/program.js";
import { oneLine } from "../../core/errors.js";
import { sum } from "../../core/sum.js";
import { quote } from "../../core/text.js";
import { drawChart } from "../run/chart.js";
import type { CheckpointStatus } from "../run/checkpoint-status.js";
import { type RunStatus, runStatus } from "../run/status.js";
import { readRecipes } from "./plan.js";
import { asStarted } from "./started.js";

/** The number of logged steps, the last ones, whose losses are averaged for the current loss. */
const WINDOW = 50;
const CHART_ROWS = 6;

export interface StatusFlags extends PrintOptions {
  vista: string;
  recipes?: string;
}

export async function status(run: string, flags: StatusFlags, context: CommandContext): Promise<void> {
  const recipes = (await readRecipes(flags)).values();
  const found = await runStatus(run, { recipes, vista: flags.vista, signal: context.signal });
  if (flags.json) printJson({ command: "status", ...found });
  else if (!flags.quiet)
    process.stdout.write(`${statusLines(found, process.stdout.columns ?? 80).join("\n")}\n`);
}

function statusLines(status: RunStatus, columns: number): string[] {
  const { losses } = status;
  const lines = [colours.bold(oneLine(status.run))];
  if (status.recipe !== undefined) lines.push(`recipe ${status.recipe}`);
  if (losses.length === 0) lines.push(oneLine(status.logNote ?? "no loss logged yet"));
  else {
    const epoch = status.epoch === undefined ? "" : `epoch ${status.epoch}, `;
    const recent = losses.slice(-WINDOW).map((point) => point.loss);
    const finite = recent.filter(Number.isFinite);
    const mean = sum(finite) / finite.length;
    const steps = finite.length < recent.length ? `${finite.length} finite ones of the last` : "the last";
    lines.push(
      `${epoch}step ${formatCount(status.step!)}; loss ${shortNumber(mean)} (mean of ${steps} ${plural(recent.length, "logged step")})`,
    );
    const bad = losses.filter((point) => !Number.isFinite(point.loss));
    if (bad.length > 0) {
      lines.push(
        colours.red(
          `${plural(bad.length, "logged loss", "logged losses")} not finite, first at step ${bad[0]!.step}`,
        ),
      );
    }
    lines.push(...lossChart(status, columns));
  }
  lines.push(...rateLines(status));
  lines.push(
    "",
    status.checkpoints.length === 0 ? "no checkpoints" : plural(status.checkpoints.length, "checkpoint"),
  );
  const width = Math.max(0, ...status.checkpoints.map((one) => oneLine(one.name).length));
  for (const one of status.checkpoints) lines.push(checkpointLine(one, width));
  lines.push(
    "",
    status.resume === undefined
      ? `nothing to resume: ${oneLine(String(status.resumeNote))}`
      : `to resume: ${asStarted("vista-train")} ${status.recipe ?? "RECIPE"} --resume ${oneLine(quote(status.resume))}${status.resumeNote === undefined ? "" : ` (${oneLine(status.resumeNote)})`}`,
  );
  return lines;
}

function rateLines({ rate, iterations, secondsLeft, step }: RunStatus): string[] {
  if (rate === undefined) return [];
  const one = rate.stepsPerSecond;
  const speed = one >= 1 ? `${shortNumber(one)} steps/s` : `${shortNumber(1 / one)} s a step`;
  const since = `from step ${formatCount(rate.from.step)} to ${formatCount(rate.to.step)}, by the times of the files`;
  if (iterations === undefined || secondsLeft === undefined) return [`${speed} (${since})`];
  const left =
    secondsLeft === 0
      ? `the documented ${formatCount(iterations)} steps are made`
      : `${formatCount(iterations - (step ?? 0) - 1)} of the documented ${formatCount(iterations)} steps left, about ${formatDuration(secondsLeft)}`;
  return [`${speed} (${since}); ${left}`];
}

/** Says which GPUs saved a checkpoint, as in `saved by 128 GPUs, `; the text is empty where that is not known. */
function ranksText(ranks: number | undefined): string {
  return ranks === undefined ? "" : `saved by ${plural(ranks, "GPU")}, `;
}

/** Formats a time as local time to the minute, as `ls` does. */
function localMinute(time: string): string {
  const date = new Date(time);
  const local = new Date(date.getTime() - date.getTimezoneOffset() * 60_000);
  return local.toISOString().slice(0, 16).replace("T", " ");
}

function lossChart({ losses }: RunStatus, columns: number): string[] {
  const width = Math.max(10, Math.min(columns - 12, 100));
  const chart = drawChart(
    losses.map((point) => point.loss),
    width,
    CHART_ROWS,
  );
  if (chart === undefined) return [];
  const label = (row: number) =>
    row === 0 ? shortNumber(chart.high) : row === CHART_ROWS - 1 ? shortNumber(chart.low) : "";
  return [
    ...chart.rows.map((text, row) => `${label(row).padStart(9)} ${text}`),
    `${" ".repeat(10)}steps ${formatCount(losses[0]!.step)} to ${formatCount(losses.at(-1)!.step)}`,
  ];
}

function checkpointLine(one: CheckpointStatus, width: number): string {
  const state =
    one.whole === undefined
      ? one.problem === undefined
        ? "single file, not looked into"
        : `not looked into: ${oneLine(one.problem)}`
      : one.whole
        ? `${ranksText(one.ranks)}whole`
        : colours.red(`not whole: ${oneLine(String(one.problem))}`);
  const time = localMinute(one.modified);
  return `  ${oneLine(one.name).padEnd(width)}  ${formatBytes(one.bytes).padStart(8)}  ${time}  ${state}`;
}

function shortNumber(value: number): string {
  return Number.isFinite(value) ? value.toPrecision(4) : String(value);
}
