/**
 * A comparison of the sensors' files with sample_data: what is missing, what is there without a row, and what two rows share.
 * Folders are listed whole, because asking the system for each of 2.6 million files by itself would take many times as long.
 */

import { readdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { rethrowExhausted, throwIfAborted } from "../../../core/errors.js";
import { mapOrdered } from "../../../core/io/map-ordered.js";
import { sizeOf } from "../../../core/io/regular.js";
import { remember } from "../../../core/maps.js";
import { sum } from "../../../core/sum.js";
import { Turns } from "../../../core/turns.js";
import { isBystander } from "../../bystanders.js";
import type { CheckOptions, CheckSummary, Finding } from "../../finding.js";
import { checkImage } from "../../images/check.js";
import { isFirst, ownOf } from "../../options.js";
import { joinPath } from "../../paths.js";
import { NO_FOLDER, writeFileKey } from "../read/file-names.js";
import type { SampleData } from "../read/load.js";
import type { Tables } from "../read/load-tables.js";
import { KEEP, Kept, type Twin } from "../read/table-state.js";
import { RowText } from "../read/tables.js";
import { insertRow, lookUp, newTokenTable, type TokenTable } from "../read/tokens.js";
import type { Frames } from "./frames.js";
import { listing } from "./listing.js";
import { finding } from "./rules.js";
import { keptFindings, remainder } from "./table-findings.js";

/** The sensors' files of one version, as its rows of sample_data name them. */
export class FileList {
  /** What the file checks need of the table: the rest of its columns can go while they run. */
  readonly data: Pick<
    SampleData,
    "rows" | "file" | "folder" | "folders" | "form" | "forms" | "offset" | "complete"
  >;
  readonly #text: RowText;

  /** @param version  the name of the version's folder */
  constructor(
    readonly version: string,
    { folder: tables, sampleData }: Tables,
    readonly frames: Frames,
  ) {
    const { rows, file, folder, folders, form, forms, offset, complete } = sampleData!;
    this.data = { rows, file, folder, folders, form, forms, offset, complete };
    this.#text = new RowText(join(tables, "sample_data.json"));
  }

  /** Reads what a row says of itself. */
  textOf(row: number): { filename: unknown; token: string; offset: number } {
    const offset = this.data.offset[row]!;
    const { filename, token } = this.#text.at(offset);
    return { filename, token: String(token), offset };
  }

  close(): void {
    this.#text.close();
  }
}

/** What is known of a row's file: nothing yet, that it is there, or that there is a link in its place that leads nowhere. */
const SEEN = { no: 0, yes: 1, link: 2 } as const;

const ENCODER = new TextEncoder();
/** The bytes of a name; the longest that a system lists has 255 bytes, each of which may become a replacement character of three. */
const NAME = new Uint8Array(1024);
const NAME_VIEW = new DataView(NAME.buffer);

/** The rows of one version by the names of their files. */
class NameTable {
  readonly seen: Uint8Array;
  /** The rows whose file is that of an earlier row, each with that row. */
  readonly duplicates = new Kept<Twin>();
  /** The rows without the name of a file. */
  readonly nameless: number[] = [];
  readonly #table: TokenTable;
  readonly #key = new Uint32Array(4);

  constructor(readonly list: FileList) {
    const { file, folder, rows } = list.data;
    this.seen = new Uint8Array(rows);
    this.#table = newTokenTable(file, rows);
    for (let row = 0; row < rows; row++) {
      if (folder[row] === NO_FOLDER) {
        this.nameless.push(row);
        continue;
      }
      const first = insertRow(this.#table, row);
      if (first === -1) continue;
      this.duplicates.add([row, first]);
      // The row counts as seen, because its file is that of the first row.
      this.seen[row] = SEEN.yes;
    }
  }

  /** Notes that a file is there, or what else is in its place. @returns its row, or -1 where no row names it */
  mark(folder: number, name: string, seen: number = SEEN.yes): number {
    const { written } = ENCODER.encodeInto(name, NAME);
    writeFileKey(NAME_VIEW, 0, written, folder, this.#key, 0);
    const row = lookUp(this.#table, this.#key);
    if (row >= 0) this.seen[row] = seen;
    return row;
  }
}

/**
 * Compares the files with the tables that name them.
 *
 * @param lists  all versions that were read
 * @param summary  its coverage gets the files of the folders that were listed, out of all that the tables name, and those that were
 *   found and whose size was looked at
 * @param surplus  whether surplus files are reported: not where other versions in the same root were not read, whose files would
 *   look surplus
 * @throws VistaError `ABORTED`
 */
export async function* fileFindings(
  root: string,
  lists: readonly FileList[],
  summary: CheckSummary,
  surplus: boolean,
  options: CheckOptions,
): AsyncGenerator<Finding> {
  const coverage = { what: "files (by listing)", checked: 0, total: 0 };
  const sizes = { what: "files (sizes)", checked: 0, total: 0 };
  summary.coverage.push(coverage, sizes);
  const tables = lists.map((list) => new NameTable(list));
  if (isFirst(options.shard)) {
    for (const { list, duplicates, nameless } of tables) {
      const path = `${list.version}/sample_data.json`;
      const more = "more rows whose file is that of another row";
      yield* keptFindings("duplicate-file", path, duplicates, more, ([row, first]) => {
        const { filename, token, offset } = list.textOf(row);
        return [`${filename} is also that of ${list.textOf(first).token}`, { record: token, offset }];
      });
      yield* namelessFindings(list, nameless);
    }
  }
  const mine = ownOf(await foldersToList(root, lists), options.shard);
  const rowsIn = rowsPerFolder(lists);
  coverage.total = sum(mine, (folder) => rowsIn.get(folder) ?? 0);
  let listed = 0;
  const turns = new Turns();
  // The next folder is listed already while this one is looked at.
  const list = async (folder: string) => ({ folder, names: await listing(resolve(root, folder)) });
  for await (const { folder, names } of mapOrdered(mine, 2, list)) {
    throwIfAborted(options.signal);
    if (typeof names === "string") {
      yield finding("unreadable-file", folder || ".", names, { count: rowsIn.get(folder) || undefined });
      continue;
    }
    const base = resolve(root, folder);
    const naming = tables
      .map((table) => ({ table, id: table.list.data.folders.indexOf(folder) }))
      .filter(({ id }) => id >= 0);
    const known = naming.length > 0;
    /** Notes a file in all versions. @returns the first of those that name it */
    const mark = (name: string, seen?: number) => {
      let first: (typeof naming)[number] | undefined;
      for (const each of naming) if (each.table.mark(each.id, name, seen) >= 0) first ??= each;
      return first;
    };
    let more = 0;
    for (const name of names ?? []) {
      const first = mark(name);
      if (first !== undefined) {
        const path = `${base}/${name}`;
        const report = sizeOf(path) > 0 ? undefined : await checkImage(path, "names");
        const fault = report?.fault;
        if (fault === "missing") {
          // Such a file is missing as much as one without a link in its place.
          mark(name, SEEN.link);
        } else {
          sizes.total++;
          sizes.checked++;
        }
        if (fault !== undefined && fault !== "missing") {
          const { token } = first.table.list.textOf(first.table.mark(first.id, name));
          const rule = fault === "empty" ? "empty-file" : "unreadable-file";
          const place = { record: `sample_data ${token}` };
          yield finding(rule, joinPath(folder, name), report!.detail!, place);
        }
      }
      if (turns.due()) {
        const done = sizes.checked;
        options.onProgress?.({ phase: "sizes of files", done, total: coverage.total, unit: "files" });
        await nextTurn();
        throwIfAborted(options.signal);
      }
      // A name without a folder names a file in the root itself, where everything else lies, too.
      if (first !== undefined || !surplus || !known || folder === "" || !isShown(name)) continue;
      if (++more <= KEEP) {
        yield finding("surplus-file", `${folder}/${name}`, "no row of sample_data names this file");
      }
    }
    const strangers = known || !surplus ? 0 : (names ?? []).filter(isShown).length;
    if (strangers > 0) {
      const text = `no row of sample_data names a file in this folder (${strangers} there)`;
      yield finding("surplus-file", folder, text, { count: strangers });
    }
    yield* remainder("surplus-file", folder, more - KEEP, "more files without a row");
    coverage.checked += rowsIn.get(folder) ?? 0;
    listed += names?.length ?? 0;
    options.onProgress?.({ phase: "list files", done: listed, total: coverage.total, unit: "files" });
    const exists = names !== undefined;
    for (const { table, id } of naming) yield* missingIn(table, id, folder, exists, options.onMissing);
  }
}

/** Returns the folders that the tables name and those below samples/ and sweeps/, in one order for all shards. */
async function foldersToList(root: string, lists: readonly FileList[]): Promise<string[]> {
  const folders = new Set(lists.flatMap((list) => list.data.folders));
  const known = new Set([...folders].map((folder) => resolve(root, folder)));
  for (const parent of ["samples", "sweeps"]) {
    try {
      for (const entry of await readdir(resolve(root, parent), { withFileTypes: true })) {
        const folder = `${parent}/${entry.name}`;
        if (entry.isDirectory() && isShown(entry.name) && !known.has(resolve(root, folder)))
          folders.add(folder);
      }
    } catch (error) {
      rethrowExhausted(error);
      // The files that are missing are reported one by one, or folder by folder.
    }
  }
  return [...folders].sort();
}

/** Tells whether a file may count as surplus. Hidden files belong to a file manager, or to a copy that is under way. */
function isShown(name: string): boolean {
  return !name.startsWith(".") && !isBystander(name);
}

function rowsPerFolder(lists: readonly FileList[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { data } of lists) {
    const each = new Int32Array(NO_FOLDER + 1);
    for (let row = 0; row < data.rows; row++) each[data.folder[row]!]!++;
    for (const [id, folder] of data.folders.entries())
      counts.set(folder, (counts.get(folder) ?? 0) + each[id]!);
  }
  return counts;
}

/** Yields the rows whose `filename` names no file; those of a wrong type are reported with the table. */
function* namelessFindings(list: FileList, rows: readonly number[]): Generator<Finding> {
  const path = `${list.version}/sample_data.json`;
  for (const row of rows.slice(0, KEEP)) {
    const { filename, token, offset } = list.textOf(row);
    if (typeof filename !== "string") continue;
    const what = `filename is "${filename}", which names no file`;
    yield finding("missing-file", path, what, { record: token, offset });
  }
  yield* remainder("missing-file", path, rows.length - KEEP, "more rows that name no file");
}

/**
 * The number of missing files of one folder, or of one scene in it, from which on they are one finding, if none of them is there.
 */
const WHOLE_SCENE = 10;

function* missingIn(
  { list, seen }: NameTable,
  id: number,
  folder: string,
  exists: boolean,
  onMissing?: (missing: Finding) => void,
): Generator<Finding> {
  const { data, frames } = list;
  const front = frames.channels.indexOf("CAM_FRONT");
  const rows: number[] = [];
  let links = 0;
  let total = 0;
  const inScene = new Map<number, { total: number; missing: number }>();
  for (let row = 0; row < data.rows; row++) {
    if (data.folder[row] !== id) continue;
    total++;
    const count = remember(inScene, frames.sceneOf(row), () => ({ total: 0, missing: 0 }));
    count.total++;
    if (seen[row] === SEEN.yes) continue;
    if (seen[row] === SEEN.link) links++;
    count.missing++;
    rows.push(row);
  }
  if (rows.length === 0) return;
  if (rows.length === total && (total >= WHOLE_SCENE || !exists)) {
    const isOther = rows.every((row) => frames.channel[row]! >= 0 && frames.channel[row] !== front);
    const rule = isOther ? "channel-absent" : "missing-file";
    const nowhere = links === 0 ? "" : ": there are links that lead nowhere";
    const what = exists ? `none of its files is there${nowhere}` : "the folder is not there";
    const found = finding(rule, folder || ".", `${what} (${total} in ${list.version})`, { count: total });
    onMissing?.(found);
    yield found;
    return;
  }
  let kept = 0;
  for (const [scene, count] of inScene) {
    if (scene < 0 || count.missing < count.total || count.total < WHOLE_SCENE) continue;
    const record = frames.sceneName(scene);
    const what = `none of the ${count.total} files of ${record} is there`;
    yield finding("missing-file", folder, what, { record, count: count.total });
  }
  for (const row of rows) {
    const scene = frames.sceneOf(row);
    const count = inScene.get(scene)!;
    const counted =
      (scene >= 0 && count.missing === count.total && count.total >= WHOLE_SCENE) || kept++ >= KEEP;
    if (counted && onMissing === undefined) continue;
    const { filename, token } = list.textOf(row);
    const what = seen[row] === SEEN.link ? "is a link that leads nowhere" : "the file is not there";
    const found = finding("missing-file", String(filename), what, { record: `sample_data ${token}` });
    onMissing?.(found);
    if (!counted) yield found;
  }
  yield* remainder("missing-file", folder, kept - KEEP, "more files that are not there");
}
