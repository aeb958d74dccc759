/** The check of a nuScenes root: first the tables, then the files, then a closer look at some of the files. */
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { throwIfAborted } from "../../../core/errors.js";
import { sum } from "../../../core/sum.js";
import type { Check, CheckOptions, CheckSummary, Coverage, Finding } from "../../finding.js";
import { isFirst, requireCheckOptions } from "../../options.js";
import { unseenAt } from "../../sample.js";
import { loadTables, stateOf, type Tables } from "../read/load-tables.js";
import { ALL_TABLES } from "../read/schema.js";
import { noVersion, nuScenesVersions } from "../read/versions.js";
import { chainFindings } from "./chain-findings.js";
import { lookFindings } from "./file-contents.js";
import { FileList, fileFindings } from "./files.js";
import { Frames, frameFindings } from "./frames.js";
import { categoryFindings, labelFindings } from "./labels.js";
import { canBusFindings, mapFindings } from "./maps-and-can-bus.js";
import { Names } from "./names.js";
import { sampleChains } from "./sample-chains.js";
import { sceneFindings } from "./scene-findings.js";
import { tableCharts } from "./table-charts.js";
import { keyFindings, tableFindings } from "./table-findings.js";

/** The options of {@link checkNuScenes}. */
export interface CheckNuScenesOptions extends CheckOptions {
  /** The only version to check, such as `v1.0-mini`. By default every version in the root is checked. */
  version?: string | undefined;
  /** Whether the files are left alone. The default is false. */
  tablesOnly?: boolean | undefined;
}

/**
 * Checks a nuScenes v1.0 root (the folder with `v1.0-…`, `samples` and `sweeps`) by every rule under `nuscenes/`.
 *
 * This takes about 200 bytes of memory for each row of sample_data; trainval is read in two worker threads.
 *
 * @throws VistaError `NOT_FOUND` where the root has no such version, `ABORTED`; both while the check is iterated
 */
export function checkNuScenes(root: string, options: CheckNuScenesOptions = {}): Check {
  const summary: CheckSummary = {
    kind: "nuscenes",
    title: "nuScenes",
    root,
    coverage: [],
    sampled: [],
    interrupted: true,
    charts: [],
    samples: [],
  };
  return { summary, [Symbol.asyncIterator]: () => run(root, options, summary) };
}

async function* run(
  root: string,
  options: CheckNuScenesOptions,
  summary: CheckSummary,
): AsyncGenerator<Finding> {
  const { version } = options;
  requireCheckOptions(options);
  const all = nuScenesVersions(root, version);
  const versions = version === undefined ? all : all.filter((name) => name === version);
  if (versions.length === 0) throw noVersion(root, version, all);
  summary.title = `nuScenes ${versions.join(", ")}`;
  const rows: Coverage = { what: "table rows", checked: 0, total: 0 };
  summary.coverage.push(rows);
  const canBus: Coverage = { what: "scenes' CAN bus files (vehicle_monitor)", checked: 0, total: 0 };
  const lists: FileList[] = [];
  try {
    for (const version of versions) {
      const tables = await loadTables(join(root, version), options);
      const samples = sampleChains(tables.small.sample, tables.small.scene);
      const frames = tables.sampleData && new Frames(tables.sampleData, tables, samples);
      if (frames !== undefined) lists.push(new FileList(version, tables, frames));
      if (!isFirst(options.shard)) continue;
      rows.total += rowCount(tables);
      await turn(options.signal);
      const names = new Names(tables, version);
      try {
        yield* tableFindings(names);
        yield* keyFindings(names);
        const chains = yield* chainFindings(samples, frames, names);
        if (frames !== undefined) yield* frameFindings(frames, chains, names);
        yield* sceneFindings(names);
        yield* categoryFindings(names);
        await turn(options.signal);
        rows.checked += rowCount(tables);
        summary.charts!.push(...tableCharts(tables, frames, version));
        if (options.tablesOnly) continue;
        yield* mapFindings(root, names);
        yield* labelFindings(root, version, names);
        yield* canBusFindings(root, tables, names, canBus, options);
      } finally {
        names.close();
      }
    }
    if (!options.tablesOnly) {
      summary.coverage.push(canBus);
      summary.unseen = unseenAt(options.images);
      const isWhole = lists.length === versions.length && lists.every((list) => list.data.complete);
      const surplus = isWhole && all.every((version) => versions.includes(version));
      if (!surplus && isWhole)
        summary.sampled!.push("no look for surplus files (other versions share the folders)");
      yield* fileFindings(root, lists, summary, surplus, options);
      yield* lookFindings(root, lists, summary, options);
    }
  } finally {
    for (const list of lists) list.close();
  }
  if (options.tablesOnly) summary.unseen = ["the files (--tables-only)"];
  summary.interrupted = false;
}

/** Lets Ctrl-C and the progress bar have their turn between two stretches of computing. */
async function turn(signal: AbortSignal | undefined): Promise<void> {
  await nextTurn();
  throwIfAborted(signal);
}

function rowCount(tables: Tables): number {
  return sum(ALL_TABLES, (name) => stateOf(tables, name)?.rows ?? 0);
}
