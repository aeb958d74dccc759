/** The entry of a worker thread, which reads language files or nuScenes tables. This takes seconds to minutes. */
import { serveTasks } from "../../core/io/worker.js";
import { readChains } from "./chains.js";
import { collectLanguage, type LanguageFolder } from "./collect-language.js";
import type { IndexedChain } from "./dataset-index.js";

export type IndexTask = { kind: "language"; files: readonly string[] } | { kind: "chains"; folder: string };

export type IndexMessage =
  | { kind: "bytes"; bytes: number }
  | { kind: "language"; folders: LanguageFolder[] }
  | { kind: "chains"; chains: IndexedChain[] };

serveTasks<IndexTask, IndexMessage>((task, send) => {
  const onBytes = (bytes: number) => send({ kind: "bytes", bytes });
  if (task.kind === "language") send({ kind: "language", folders: collectLanguage(task.files, onBytes) });
  else send({ kind: "chains", chains: readChains(task.folder, onBytes) });
});
