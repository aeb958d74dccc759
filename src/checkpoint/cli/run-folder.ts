/** Holds what the commands share that write a checkpoint folder. */
import { resolve } from "node:path";
import { formatBytes, formatCount, formatDuration } from "../../core/cli/format.js";
import { printResult } from "../../core/cli/print.js";
import type { CommandContext } from "../../core/cli/program.js";
import { runWithProgress } from "../../core/cli/progress.js";
import { runWorker } from "../../core/io/worker.js";
import type { RunOptions } from "../../core/progress.js";
import type { Resharded } from "../reshard.js";
import { isLarge, MANY_FILES } from "./ahead.js";
import type { CommonOptions } from "./common.js";
import {
  type FolderMessage,
  type FolderTask,
  type FolderWork,
  type ResultOf,
  runFolderTask,
} from "./folder-task.js";
import { printWarnings, type Source } from "./texts.js";

export interface FolderCommandOptions extends CommonOptions {
  tag?: string;
}

/** The facts that are printed of each such output. */
type Written = Source & Pick<Resharded, "output" | "bytes" | "parameters" | "elements" | "states">;

/**
 * The bounds of the heap, in megabytes, of the thread that does the work of large folders. V8 lets a heap that may have 2 GB or more grow
 * to four times what lives in it, and the young generation to 48 MB: with a plan of thousands of tensors for each file, that is most
 * of the memory.
 */
const HEAP = { maxYoungGenerationSizeMb: 8, maxOldGenerationSizeMb: 1000 };

/**
 * Writes the folder, or shows what would be written.
 * @param describe  returns the lines of the summary, of which the first begins with the given `wrote` or `would write`
 */
export async function writeFolder<Work extends FolderWork>(
  work: Work,
  folder: string,
  options: FolderCommandOptions,
  context: CommandContext,
  describe: (result: ResultOf<Work>, wrote: string, size: string) => string[],
): Promise<void> {
  const started = Date.now();
  const { output, tag, force = false, verify, fsync, dryRun = false } = options;
  const task = { work, folder, output, options: { tag, force, verify, fsync, dryRun } };
  const result = await runWithProgress(
    options.quiet,
    context.signal,
    (run) => runTask(task, run) as Promise<ResultOf<Work>>,
  );
  const seconds = (Date.now() - started) / 1000;
  const size = `${formatBytes(result.bytes)}${dryRun ? "" : `, ${formatDuration(seconds)}`}`;
  if (!options.quiet) printWarnings(result.warnings, []);
  const { output: written, ...rest } = result;
  printResult(
    options,
    { command: work.job, dryRun, output: resolve(written), seconds: Number(seconds.toFixed(3)), ...rest },
    describe(result, dryRun ? "would write" : "wrote", size),
  );
}

async function runTask(
  task: FolderTask,
  { signal, onProgress }: Required<RunOptions>,
): Promise<ResultOf<FolderWork>> {
  const onMessage = ({ progress }: FolderMessage) => onProgress(progress);
  const { work, folder } = task;
  if (isLarge(folder) || (work.job === "reshard" && work.ranks > MANY_FILES)) {
    const entry = new URL("./folder-worker.js", import.meta.url);
    return runWorker(entry, task, signal, onMessage, { resourceLimits: HEAP, unwinds: true });
  }
  return runFolderTask(task, onMessage, signal);
}

/** Returns the words after a number of parameters, such as ` of 3 elements, each with the optimizer's exp_avg, exp_avg_sq`. */
export function stateWords({ elements, states }: Written): string {
  const names = states.length === 0 ? "no optimizer state" : `the optimizer's ${states.join(", ")}`;
  return ` of ${formatCount(elements)} elements, each with ${names}`;
}
