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

interface ProgressView {
  update(progress: Progress): void;
  /** Removes the bar, so that something else can be printed. */
  stop(): void;
}

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
  const view = quiet ? undefined : await createProgressView();
  let last: Progress | undefined;
  const onProgress = (progress: Progress) => {
    last = progress;
    view?.update(progress);
  };
  try {
    return await work({ signal, onProgress });
  } catch (error) {
    if (!isVistaError(error) || error.code !== "ABORTED" || last === undefined) throw error;
    const hint = `Covered: ${last.phase}, ${amount(last)}.`;
    throw new VistaError("ABORTED", error.message, { hint, cause: error });
  } finally {
    view?.stop();
  }
}

async function createProgressView(): Promise<ProgressView> {
  return process.stderr.isTTY && process.env.TERM !== "dumb" ? barView() : lineView();
}

/** Returns how far the work is, such as `1.2 GB of 3.4 GB` or `120 of 2,000 folders`. */
function amount({ done, total, unit }: Omit<Progress, "phase">): string {
  const count = (value: number) => (unit === "bytes" ? formatBytes(value) : formatCount(value));
  const of = total === undefined ? "" : ` of ${count(total)}`;
  return `${count(done)}${of}${unit === "bytes" ? "" : ` ${unit}`}`;
}

async function barView(): Promise<ProgressView> {
  const { default: cliProgress } = await import("cli-progress");
  let bar: SingleBar | undefined;
  let phase = "";
  let started = 0;
  const stop = () => {
    bar?.stop();
    bar = undefined;
  };
  return {
    update(progress) {
      if (progress.phase !== phase || bar === undefined) {
        stop();
        phase = progress.phase;
        started = Date.now();
        bar = new cliProgress.SingleBar(
          {
            stream: process.stderr,
            format: "{phase} {bar} {percentage}% | {amount} | {rate}/s | {left}",
            hideCursor: true,
            clearOnComplete: true,
            etaBuffer: 50,
            fps: 8,
            barsize: 24,
            emptyOnZero: true,
          },
          cliProgress.Presets.shades_classic,
        );
        bar.start(progress.total ?? 0, 0, payload(progress, started));
      }
      if (progress.total !== undefined) bar.setTotal(progress.total);
      bar.update(progress.done, payload(progress, started));
    },
    stop,
  };
}

function payload(progress: Progress, started: number) {
  const { phase, done, total, unit } = progress;
  const rate = done / Math.max((Date.now() - started) / 1000, 1e-3);
  return {
    phase,
    amount: amount(progress),
    rate: amount({ done: Math.round(rate), unit }),
    left: total === undefined || rate === 0 ? "" : `${formatDuration((total - done) / rate)} left`,
  };
}

function lineView(): ProgressView {
  let phase = "";
  let started = Date.now();
  let printed = started;
  return {
    update(progress) {
      const now = Date.now();
      if (progress.phase !== phase) {
        phase = progress.phase;
        started = now;
        printed = now;
      }
      if (now - printed < LINE_INTERVAL_S * 1000) return;
      printed = now;
      const text = payload(progress, started);
      process.stderr.write(
        `${text.phase}: ${text.amount}, ${text.rate}/s${text.left === "" ? "" : `, ${text.left}`}\n`,
      );
    },
    stop() {},
  };
}
