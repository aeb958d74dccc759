/**
 * Progress on stderr: a bar on a terminal (cli-progress), a line every half minute elsewhere, and nothing when quiet.
 * stdout is for data only.
 */
import type { SingleBar } from "cli-progress";
import { isVistaError, VistaError } from "../errors.js";
import type { Progress, RunOptions } from "../progress.js";
import { formatBytes, formatCount, formatDuration } from "./format.js";

/** The seconds between two lines where stderr is not a terminal but a log file or Slurm's output. */
const LINE_INTERVAL_S = 30;

/**
 * Runs a long piece of work and shows its progress. Where Ctrl-C stops the work, the error says how far it came.
 *
 * @param quiet  whether to show nothing while it runs
 */
export async function runWithProgress<Result>(
  quiet: boolean | undefined,
  signal: AbortSignal,
  work: (options: Required<RunOptions>) => Promise<Result>,
): Promise<Result> {
  const display = quiet ? undefined : await createDisplay();
  let last: Progress | undefined;
  let started = 0;
  const onProgress = (progress: Progress) => {
    const isNew = progress.phase !== last?.phase;
    if (isNew) started = Date.now();
    last = progress;
    display?.show(progress, textsOf(progress, started), isNew);
  };
  try {
    return await work({ signal, onProgress });
  } catch (error) {
    if (!isVistaError(error) || error.code !== "ABORTED" || last === undefined) throw error;
    const hint = `Covered: ${last.phase}, ${amount(last)}.`;
    throw new VistaError("ABORTED", error.message, { hint, cause: error });
  } finally {
    display?.stop();
  }
}

type Texts = ReturnType<typeof textsOf>;

interface Display {
  /** Shows the progress. @param isNew  whether the phase has just begun */
  show(progress: Progress, texts: Texts, isNew: boolean): void;
  /** Removes the bar, so that something else can be printed. */
  stop(): void;
}

async function createDisplay(): Promise<Display> {
  return process.stderr.isTTY && process.env.TERM !== "dumb" ? bar() : lines();
}

/** Returns how far the work is, such as `1.2 GB of 3.4 GB` or `120 of 2,000 folders`. */
function amount({ done, total, unit }: Omit<Progress, "phase">): string {
  const count = (value: number) => (unit === "bytes" ? formatBytes(value) : formatCount(value));
  const of = total === undefined ? "" : ` of ${count(total)}`;
  return `${count(done)}${of}${unit === "bytes" ? "" : ` ${unit}`}`;
}

async function bar(): Promise<Display> {
  const { default: cliProgress } = await import("cli-progress");
  let shown: SingleBar | undefined;
  return {
    show({ done, total }, texts, isNew) {
      if (isNew) {
        shown?.stop();
        const format = "{phase} {bar} {percentage}% | {amount} | {rate}/s | {left}";
        const looks = { hideCursor: true, clearOnComplete: true, barsize: 24, emptyOnZero: true };
        shown = new cliProgress.SingleBar(
          { stream: process.stderr, format, etaBuffer: 50, fps: 8, ...looks },
          cliProgress.Presets.shades_classic,
        );
        shown.start(total ?? 0, 0, texts);
      }
      if (total !== undefined) shown?.setTotal(total);
      shown?.update(done, texts);
    },
    stop: () => shown?.stop(),
  };
}

function textsOf(progress: Progress, started: number) {
  const { phase, done, total, unit } = progress;
  const rate = done / Math.max((Date.now() - started) / 1000, 1e-3);
  return {
    phase,
    amount: amount(progress),
    rate: amount({ done: Math.round(rate), unit }),
    left: total === undefined || rate === 0 ? "" : `${formatDuration((total - done) / rate)} left`,
  };
}

function lines(): Display {
  let printed = 0;
  return {
    show(_, { phase, amount, rate, left }, isNew) {
      if (isNew) printed = Date.now();
      if (Date.now() - printed < LINE_INTERVAL_S * 1000) return;
      printed = Date.now();
      process.stderr.write(`${phase}: ${amount}, ${rate}/s${left === "" ? "" : `, ${left}`}\n`);
    },
    stop() {},
  };
}
