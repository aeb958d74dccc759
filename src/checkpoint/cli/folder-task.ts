/** The work of `reshard` and `to-universal`, which is done in a worker thread where there is much of it. */
import type { Progress } from "../../core/progress.js";
import type { FolderOptions } from "../checkpoint-folder.js";
import { type Resharded, reshardCheckpoint } from "../reshard.js";
import { type WrittenUniversal, writeUniversal } from "../to-universal.js";
import { startAhead } from "./ahead.js";

/** What is to be written, with what that needs beside the options that all have. */
export type FolderWork = { job: "reshard"; ranks: number } | { job: "to-universal" };

export interface FolderTask {
  work: FolderWork;
  folder: string;
  output: string | undefined;
  options: Omit<FolderOptions, "signal" | "onProgress">;
}

interface Results {
  reshard: Resharded;
  "to-universal": WrittenUniversal;
}
export type ResultOf<Work extends FolderWork> = Results[Work["job"]];

export interface FolderMessage {
  kind: "progress";
  progress: Progress;
}

export async function runFolderTask(
  { work, folder, output, options: given }: FolderTask,
  send: (message: FolderMessage) => void,
  signal: AbortSignal,
): Promise<ResultOf<FolderWork>> {
  if (!given.dryRun) await startAhead(folder);
  const onProgress = (progress: Progress) => send({ kind: "progress", progress });
  const options = { ...given, signal, onProgress };
  return work.job === "reshard"
    ? reshardCheckpoint(folder, output, { ...options, ranks: work.ranks })
    : writeUniversal(folder, output, options);
}
