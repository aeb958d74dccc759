/** All tables of one version, loaded. Large ones in two worker threads where they are large indeed. */
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { abortedError, throwIfAborted } from "../../errors.js";
import type { RunOptions } from "../../progress.js";
import {
  type Annotations,
  loadAnnotations,
  loadEgoPose,
  loadSampleData,
  type SampleData,
  type TableState,
} from "./load.js";
import { LABEL_TABLES, LARGE_TABLES, REQUIRED_TABLES, type TableName } from "./schema.js";
import { loadSmall, type SmallTable } from "./tables.js";
import { TokenTable, type TokenTableData } from "./tokens.js";

/** Below this many bytes in all, starting threads costs more than it saves. */
const WORKERS_FROM = 32 << 20;

/** What a worker is asked to load, with all that the loading needs. */
export type LoadTask =
  | {
      table: "sample_data";
      path: string;
      targets: { sample: TokenTableData; calibratedSensor: TokenTableData };
    }
  | { table: "ego_pose"; path: string }
  | {
      table: "sample_annotation";
      path: string;
      targets: Record<"sample" | "instance" | "attribute" | "visibility", TokenTableData>;
    };

export type LoadMessage =
  | { kind: "bytes"; table: string; bytes: number }
  | { kind: "loaded"; table: string; result: TableState }
  | {
      kind: "failed";
      table: string;
      message: string /** The system refused to read the file. */;
      system: boolean;
    };

/** Runs one task in this thread. */
export function load(task: LoadTask, onBytes: (bytes: number) => void): TableState {
  switch (task.table) {
    case "sample_data":
      return loadSampleData(task.path, task.targets, onBytes);
    case "ego_pose":
      return loadEgoPose(task.path, onBytes);
    case "sample_annotation":
      return loadAnnotations(task.path, task.targets, onBytes);
  }
}

export interface Tables {
  folder: string;
  small: Partial<Record<TableName, SmallTable>>;
  sampleData?: SampleData;
  egoPose?: TableState;
  annotations?: Annotations;
  /** Tables that are not there, or that the system refuses to read, with its words. */
  missing: TableName[];
  unreadable: Map<TableName, string>;
}

/**
 * Loads what there is in `folder`.
 *
 * @throws VistaError `ABORTED`
 */
export async function loadTables(folder: string, options: RunOptions): Promise<Tables> {
  const tables: Tables = { folder, small: {}, missing: [], unreadable: new Map() };
  const present: TableName[] = [];
  for (const name of [...REQUIRED_TABLES, ...LABEL_TABLES]) {
    if (existsSync(join(folder, `${name}.json`))) present.push(name);
    else if (!(LABEL_TABLES as readonly string[]).includes(name)) tables.missing.push(name);
  }
  const sizes = new Map(present.map((name) => [name, statSync(join(folder, `${name}.json`)).size]));
  const total = [...sizes.values()].reduce((sum, size) => sum + size, 0);
  const progress = new Map<string, number>();
  const onBytes = (table: string, bytes: number) => {
    progress.set(table, bytes);
    const done = [...progress.values()].reduce((sum, value) => sum + value, 0);
    options.onProgress?.({ phase: "read tables", done, total, unit: "bytes" });
  };
  const attempt = (name: TableName, run: () => void) => {
    try {
      run();
    } catch (error) {
      if (!isSystemError(error)) throw error;
      tables.unreadable.set(name, error.message);
    }
  };
  for (const name of present) {
    throwIfAborted(options.signal);
    if ((LARGE_TABLES as readonly string[]).includes(name)) continue;
    attempt(name, () => {
      tables.small[name] = loadSmall(name, join(folder, `${name}.json`));
      onBytes(name, sizes.get(name)!);
    });
  }

  const nothing = TokenTable.over(new Uint32Array(new SharedArrayBuffer(16)), 0).data;
  const target = (name: TableName) => tables.small[name]?.table ?? nothing;
  const path = (name: TableName) => join(folder, `${name}.json`);
  const queues: LoadTask[][] = [
    [
      {
        table: "sample_data",
        path: path("sample_data"),
        targets: { sample: target("sample"), calibratedSensor: target("calibrated_sensor") },
      },
    ],
    [
      { table: "ego_pose", path: path("ego_pose") },
      {
        table: "sample_annotation",
        path: path("sample_annotation"),
        targets: {
          sample: target("sample"),
          instance: target("instance"),
          attribute: target("attribute"),
          visibility: target("visibility"),
        },
      },
    ],
  ].map((queue) => queue.filter((task) => present.includes(task.table as TableName)) as LoadTask[]);

  const store = (table: string, result: TableState) => {
    if (table === "sample_data") tables.sampleData = result as SampleData;
    else if (table === "ego_pose") tables.egoPose = result;
    else tables.annotations = result as Annotations;
  };
  if (total < WORKERS_FROM) {
    for (const task of queues.flat()) {
      throwIfAborted(options.signal);
      attempt(task.table, () =>
        store(
          task.table,
          load(task, (bytes) => onBytes(task.table, bytes)),
        ),
      );
    }
  } else {
    await Promise.all(
      queues.map((queue) => {
        return inWorker(queue, options.signal, (message) => {
          if (message.kind === "bytes") onBytes(message.table, message.bytes);
          else if (message.kind === "loaded") store(message.table, message.result);
          else if (message.system) tables.unreadable.set(message.table as TableName, message.message);
          else throw new Error(message.message);
        });
      }),
    );
  }
  return tables;
}

/** An error of the file system, as opposed to a bug. */
export function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && (error as NodeJS.ErrnoException).syscall !== undefined;
}

/** Runs tasks one after the other in a thread of their own, and ends it. */
function inWorker(
  tasks: readonly LoadTask[],
  signal: AbortSignal | undefined,
  onMessage: (message: LoadMessage) => void,
): Promise<void> {
  if (tasks.length === 0) return Promise.resolve();
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL("./worker.js", import.meta.url), { workerData: tasks });
    const onAbort = () => void worker.terminate();
    signal?.addEventListener("abort", onAbort);
    worker.on("message", (message: LoadMessage) => {
      try {
        onMessage(message);
      } catch (error) {
        reject(error);
      }
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
