/** The reading of large files for an index, in a worker thread where they are large enough for that. */
import { statSync } from "node:fs";
import { fromSystem } from "../../core/errors.js";
import { runWorker, TASK_WORKER_FROM } from "../../core/io/worker.js";
import type { RunOptions } from "../../core/progress.js";
import { sum } from "../../core/sum.js";
import { readChains } from "./chains.js";
import { collectLanguage } from "./collect-language.js";

/** The work that a thread can do. Each function takes one input, and tells how many bytes it has read. */
const WORK = { chains: readChains, language: collectLanguage };
type Work = typeof WORK;

/** What the work is called in the progress, and in an error: after "cannot". */
const WORDS: Readonly<Record<keyof Work, { phase: string; doing: string }>> = {
  chains: { phase: "index nuScenes", doing: "read the table" },
  language: { phase: "read language files", doing: "read the language file" },
};

export type IndexTask = {
  [Name in keyof Work]: { work: Name; input: Parameters<Work[Name]>[0] };
}[keyof Work];

export interface IndexMessage {
  kind: "bytes";
  bytes: number;
}

export function runIndexTask({ work, input }: IndexTask, send: (message: IndexMessage) => void): unknown {
  return WORK[work](input as never, (bytes) => send({ kind: "bytes", bytes }));
}

/**
 * Reads files.
 *
 * @param files  all that the work reads much of
 * @throws what the work throws, VistaError `NOT_FOUND`, `IO`, `ABORTED`
 */
export async function readLarge<Name extends keyof Work>(
  work: Name,
  input: Parameters<Work[Name]>[0],
  files: readonly string[],
  { signal, onProgress }: RunOptions,
): Promise<ReturnType<Work[Name]>> {
  const { phase, doing } = WORDS[work];
  const total = sum(files, (path) => {
    try {
      return statSync(path).size;
    } catch (error) {
      throw fromSystem(error, path, doing);
    }
  });
  const task = { work, input } as IndexTask;
  const onMessage = ({ bytes }: IndexMessage) => onProgress?.({ phase, done: bytes, total, unit: "bytes" });
  const result =
    total < TASK_WORKER_FROM
      ? runIndexTask(task, onMessage)
      : await runWorker(new URL("./index-worker.js", import.meta.url), task, signal, onMessage);
  return result as ReturnType<Work[Name]>;
}
