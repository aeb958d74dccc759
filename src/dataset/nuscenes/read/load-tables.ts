/** The loading of all tables of one version. Large tables are read in two worker threads where they are large enough for that. */
import { statSync } from "node:fs";
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { isSystemError, rethrowExhausted, throwIfAborted } from "../../../core/errors.js";
import { isAbsent } from "../../../core/io/regular.js";
import { settleAll } from "../../../core/io/settle.js";
import { TASK_WORKER_FROM, TaskThread } from "../../../core/io/worker.js";
import type { RunOptions } from "../../../core/progress.js";
import { sum } from "../../../core/sum.js";
import {
  type Annotations,
  type EgoPoses,
  follow,
  loadAnnotations,
  loadEgoPose,
  loadSampleData,
  type SampleData,
} from "./load.js";
import { ALL_TABLES, LABEL_TABLES, LARGE_TABLES, type TableName } from "./schema.js";
import type { TableState } from "./table-state.js";
import { loadSmall, type SmallTable } from "./tables.js";
import { newTokenTable } from "./tokens.js";

/** The work that a thread can do. Each function takes one input, and tells how many bytes of a table it has read. */
const WORK = {
  sample_data: loadSampleData,
  ego_pose: loadEgoPose,
  sample_annotation: loadAnnotations,
  follow,
};
type Work = typeof WORK;
type Input<Name extends keyof Work> = Parameters<Work[Name]>[0];

/** The task of a thread, with all that it needs. */
export type Task = { [Name in keyof Work]: { work: Name; input: Input<Name> } }[keyof Work];

export interface TaskMessage {
  kind: "bytes";
  bytes: number;
}

export function runTask({ work, input }: Task, send: (message: TaskMessage) => void): unknown {
  return WORK[work](input as never, (bytes) => send({ kind: "bytes", bytes }));
}

export interface Tables {
  folder: string;
  small: Partial<Record<TableName, SmallTable>>;
  sampleData?: SampleData;
  egoPose?: EgoPoses;
  annotations?: Annotations;
  /** The tables that are not there; `unreadable` holds those that the system refuses to read, with its words. */
  missing: TableName[];
  unreadable: Map<TableName, string>;
}

/** Returns a table, be it large or small. */
export function stateOf(tables: Tables, name: TableName): TableState | undefined {
  if (name === "sample_data") return tables.sampleData;
  if (name === "ego_pose") return tables.egoPose;
  if (name === "sample_annotation") return tables.annotations;
  return tables.small[name];
}

interface LoadOptions extends RunOptions {
  /** The only tables to load; nothing is known of keys into the others. By default all are loaded. */
  only?: readonly TableName[];
}

/** Loads the tables that are in `folder`. @throws VistaError `ABORTED` */
export async function loadTables(folder: string, options: LoadOptions): Promise<Tables> {
  const path = (name: TableName) => join(folder, `${name}.json`);
  const tables: Tables = { folder, small: {}, missing: [], unreadable: new Map() };
  const unreadable = (name: TableName, error: unknown) => {
    if (!isSystemError(error)) throw error;
    rethrowExhausted(error);
    tables.unreadable.set(name, error.message);
  };
  const sizes = new Map<TableName, number>();
  for (const name of ALL_TABLES) {
    if (options.only?.includes(name) === false) continue;
    try {
      sizes.set(name, statSync(path(name)).size);
    } catch (error) {
      if (!isAbsent(error)) unreadable(name, error);
      else if (!LABEL_TABLES.includes(name)) tables.missing.push(name);
    }
  }
  const total = sum(sizes.values());
  const progress = new Map<string, number>();
  const onBytes = (table: string, bytes: number) => {
    progress.set(table, bytes);
    const done = sum(progress.values());
    options.onProgress?.({ phase: "read tables", done, total, unit: "bytes" });
  };
  const attempt = async <T>(name: TableName, run: () => Promise<T> | T): Promise<T | undefined> => {
    try {
      return await run();
    } catch (error) {
      unreadable(name, error);
      return undefined;
    }
  };
  const start = () =>
    new TaskThread<Task, TaskMessage, unknown>(
      new URL("./tables-worker.js", import.meta.url),
      options.signal,
    );
  const threads = total < TASK_WORKER_FROM ? undefined : [start(), start()];
  const run = async <Name extends keyof Work>(
    thread: number,
    work: Name,
    input: Input<Name>,
  ): Promise<ReturnType<Work[Name]>> => {
    throwIfAborted(options.signal);
    const task = { work, input } as Task;
    const onMessage = ({ bytes }: TaskMessage) => onBytes(work, bytes);
    const result =
      threads === undefined ? runTask(task, onMessage) : await threads[thread]!.run(task, onMessage);
    return result as ReturnType<Work[Name]>;
  };
  const load = async <Name extends keyof Work & TableName>(
    thread: number,
    table: Name,
    input: Omit<Input<Name>, "path">,
  ) => {
    if (!sizes.has(table)) return undefined;
    return attempt(table, () => run(thread, table, { ...input, path: path(table) } as Input<Name>));
  };
  try {
    // The reading of ego_pose can start at once, while this thread reads the small tables, because it needs no other table.
    const egoPose = load(1, "ego_pose", {});
    // An error is thrown where the promise is awaited.
    egoPose.catch(() => {});
    if (threads !== undefined) await nextTurn();
    for (const [name, size] of sizes) {
      throwIfAborted(options.signal);
      if (LARGE_TABLES.includes(name)) continue;
      await attempt(name, () => {
        tables.small[name] = loadSmall(name, path(name));
        onBytes(name, size);
      });
    }
    const nothing = newTokenTable(new Uint32Array(new SharedArrayBuffer(16)), 0);
    const target = (name: TableName) => tables.small[name]?.table ?? nothing;
    const targets = {
      sample: target("sample"),
      calibrated_sensor: target("calibrated_sensor"),
      instance: target("instance"),
      attribute: target("attribute"),
      visibility: target("visibility"),
    };
    // The first thread is for sample_data alone, because it is as large as the other two tables together.
    const loadedData = load(0, "sample_data", { targets });
    const links = async () => {
      const data = await loadedData;
      tables.sampleData = data;
      if (data === undefined) return;
      const { prev, next, prevWords, nextWords, table } = data;
      await run(0, "follow", { words: nextWords, links: next, table });
      await run(0, "follow", { words: prevWords, links: prev, table });
    };
    const others = async () => {
      const poses = await egoPose;
      tables.egoPose = poses;
      tables.annotations = await load(1, "sample_annotation", { targets });
      const data = await loadedData;
      if (data === undefined || poses === undefined) return;
      await run(1, "follow", { words: data.egoPoseWords, links: data.egoPose, table: poses.table });
    };
    await settleAll([links(), others()]);
    const data = tables.sampleData;
    if (data !== undefined) data.prevWords = data.nextWords = data.egoPoseWords = new Uint32Array(0);
  } finally {
    await settleAll(threads?.map((thread) => thread.close()) ?? []);
  }
  return tables;
}
