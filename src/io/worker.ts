/** Runs a module in a worker thread until it ends, and ends it when asked to stop. */
import { Worker } from "node:worker_threads";
import { abortedError, type ErrorCode, isVistaError, VistaError } from "../errors.js";

/** An error of this package on its way out of a worker thread, where it would lose its class. */
export interface SentError {
  kind: "failed";
  code: ErrorCode;
  message: string;
  hint: string | undefined;
}

/** @throws `error` itself where it is none of ours: the thread then dies of it */
export function toSent(error: unknown): SentError {
  if (!isVistaError(error)) throw error;
  return { kind: "failed", code: error.code, message: error.message, hint: error.hint };
}

/**
 * @param entry  the module; it reads `workerData` and posts messages
 * @param onMessage  called for every message but {@link SentError}, which is thrown
 * @throws VistaError as sent by the thread, `ABORTED`
 */
export function runWorker<Message extends { kind: string }>(
  entry: URL,
  data: unknown,
  signal: AbortSignal | undefined,
  onMessage: (message: Message) => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(entry, { workerData: data });
    const onAbort = () => void worker.terminate();
    signal?.addEventListener("abort", onAbort);
    worker.on("message", (message: Message | SentError) => {
      if (message.kind !== "failed") {
        onMessage(message as Message);
        return;
      }
      const { code, message: text, hint } = message as SentError;
      reject(new VistaError(code, text, hint === undefined ? {} : { hint }));
    });
    worker.on("error", reject);
    worker.on("exit", () => {
      signal?.removeEventListener("abort", onAbort);
      if (signal?.aborted) reject(abortedError(signal));
      else resolve();
    });
    if (signal?.aborted) onAbort();
  });
}
