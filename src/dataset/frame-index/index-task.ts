/** The reading of large files for an index, in a worker thread where they are large enough for that. */
import { runWorker } from "../../core/io/worker.js";
import { readChains } from "./chains.js";
import { collectLanguage } from "./collect-language.js";

/** The number of bytes, of all files together, below which a worker thread costs more than it saves. */
const WORKER_FROM = 32 << 20;

/** The work that a thread can do. Each function takes one input, and tells how many bytes it has read. */
const WORK = { chains: readChains, language: collectLanguage };
type Work = typeof WORK;

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
 * @param bytes  the size of all files
 * @throws what the work throws, VistaError `ABORTED`
 */
export async function readLarge<Name extends keyof Work>(
  work: Name,
  input: Parameters<Work[Name]>[0],
  bytes: number,
  signal: AbortSignal | undefined,
  onBytes: (bytes: number) => void,
): Promise<ReturnType<Work[Name]>> {
  const task = { work, input } as IndexTask;
  const onMessage = (message: IndexMessage) => onBytes(message.bytes);
  const result =
    bytes < WORKER_FROM
      ? runIndexTask(task, onMessage)
      : await runWorker(new URL("./index-worker.js", import.meta.url), task, signal, onMessage);
  return result as ReturnType<Work[Name]>;
}
