/** Entry of a worker thread: reads language files or nuScenes tables, which takes seconds to minutes. */
import { parentPort, workerData } from "node:worker_threads";
import { toSent } from "../../io/worker.js";
import { readChains } from "./chains.js";
import type { IndexedChain } from "./format.js";
import { collectLanguage, type LanguageFolder } from "./language.js";

export type IndexTask = { kind: "language"; files: readonly string[] } | { kind: "chains"; folder: string };

export type IndexMessage =
  | { kind: "bytes"; bytes: number }
  | { kind: "language"; folders: LanguageFolder[] }
  | { kind: "chains"; chains: IndexedChain[] };

if (parentPort !== null) {
  const port = parentPort;
  const task = workerData as IndexTask;
  const onBytes = (bytes: number) => port.postMessage({ kind: "bytes", bytes });
  try {
    const message: IndexMessage =
      task.kind === "language"
        ? { kind: "language", folders: collectLanguage(task.files, onBytes) }
        : { kind: "chains", chains: readChains(task.folder, onBytes) };
    port.postMessage(message);
  } catch (error) {
    port.postMessage(toSent(error));
  }
}
