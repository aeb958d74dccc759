/**
 * Tells whether checkpoints hold anything but data: every record and every pickle of every file is looked at by its content,
 * against a list of what checkpoints need. What could not be read is a finding. Nothing is executed, and no weight is read.
 */

import { fromReader, fromSystem, isVistaError, messageWithin, throwIfAborted } from "../../core/errors.js";
import type { Entry } from "../../core/io/entries.js";
import { openSource, readSmallFile } from "../../core/io/open-source.js";
import {
  isRemote,
  joinPlace,
  listFolder,
  lookAt,
  parentPlace,
  placeName,
  requirePath,
} from "../../core/io/places.js";
import type { SourceFile } from "../../core/io/source.js";
import type { RunOptions } from "../../core/progress.js";
import { compareText } from "../../core/text.js";
import { DCP_METADATA } from "../dcp/find.js";
import type { SavedItem } from "../dcp/metadata.js";
import { scanContent } from "./content.js";
import { dcpItems, scanItems } from "./dcp.js";
import { Findings, type ScannedFile, type ScanReport } from "./findings.js";
import { Scanner } from "./scanner.js";

/** The largest number of files of one folder, far above that of any real checkpoint. */
const MAX_FILES = 200_000;

/** The largest size of DCP's `.metadata` in bytes. Real ones have up to 20 MB. */
const MAX_METADATA = 512 * 2 ** 20;

/**
 * Scans files and folders (all files in them, hidden ones too).
 *
 * @throws VistaError `NOT_FOUND`, `WRONG_KIND`, `IO` for a file that cannot be opened, `ABORTED`; the contents of a file never
 *   throw, they are found
 */
export async function scanPaths(
  paths: string | readonly string[],
  options: RunOptions = {},
): Promise<ScanReport> {
  const findings = new Findings();
  const files: ScannedFile[] = [];
  const dcp = new Map<string, Map<string, SavedItem[]>>();
  for (const path of [paths].flat()) {
    requirePath(path);
    for await (const file of filesOf(path, findings)) {
      throwIfAborted(options.signal);
      files.push(await scanFile(file, file === path, findings, dcp, options));
      // How many there are in all is not known, since folders are listed one after the other.
      options.onProgress?.({ phase: "scan", done: files.length, unit: "files" });
    }
  }
  const more = findings.count - findings.list.length;
  return { files, findings: findings.list, more, clean: files.length > 0 && findings.count === 0 };
}

/**
 * Yields the files of a path. The path itself must be there; a folder in it that cannot be listed, and what is no regular file,
 * are findings.
 */
async function* filesOf(path: string, findings: Findings): AsyncGenerator<string> {
  if (!(await lookAt(path, "look at it")).isFolder) {
    yield path;
    return;
  }
  const folders = [path];
  let count = 0;
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    let entries: Entry[];
    try {
      entries = await listFolder(folder);
    } catch (error) {
      const problem = fromReader(fromSystem(error, folder, "list the folder"), folder);
      if (!isVistaError(problem) || problem.code === "ABORTED") throw problem;
      if (isRemote(folder) && folder === path) throw problem;
      findings.add("unparsed", messageWithin(problem, { path: folder }), { path: folder });
      continue;
    }
    for (const { name, isLink, ...entry } of entries.sort((a, b) => compareText(a.name, b.name))) {
      const below = joinPlace(folder, name);
      const { isFile, isFolder } = isLink ? await lookAt(below).catch(() => entry) : entry;
      if (++count > MAX_FILES) {
        findings.add("unparsed", `more than ${MAX_FILES} files, the rest was not looked at`, { path });
        return;
      }
      if (isFile) yield below;
      else if (!isFolder) findings.add("unparsed", "is no regular file", { path: below });
      else if (isLink) findings.add("not-understood", "a link to a folder is not followed", { path: below });
      else folders.push(below);
    }
  }
}

/**
 * Looks at one file.
 * @param given  whether it is the path that was asked for, and not a file in a folder: that it cannot be opened is then an error
 */
async function scanFile(
  path: string,
  given: boolean,
  findings: Findings,
  dcp: Map<string, Map<string, SavedItem[]>>,
  options: RunOptions,
): Promise<ScannedFile> {
  const before = findings.count;
  const scanner = new Scanner(findings, options.signal, scanContent);
  let file: SourceFile | undefined;
  let kind = "unreadable";
  try {
    file = await openSource(path);
    const items = await itemsOf(path, dcp);
    if (items === undefined) kind = (await scanner.content({ reader: file, place: { path }, depth: 0 })).kind;
    else {
      kind = "items of torch.distributed.checkpoint";
      await scanItems(scanner, file, items, { path });
    }
  } catch (error) {
    const problem = fromReader(error, path);
    if (!isVistaError(problem) || problem.code === "ABORTED" || (file === undefined && given)) throw problem;
    scanner.add("unparsed", messageWithin(problem, { path }), { path });
  } finally {
    await file?.close();
  }
  return {
    path,
    kind,
    bytes: file?.size ?? 0,
    pickles: scanner.pickles,
    records: scanner.records,
    globals: [...scanner.globals].sort(),
    findings: findings.count - before,
  };
}

/**
 * Returns what the `.metadata` beside a file say of it. Over a network they are asked for only where the name is that of a data
 * file.
 */
async function itemsOf(
  path: string,
  dcp: Map<string, Map<string, SavedItem[]>>,
): Promise<SavedItem[] | undefined> {
  if (isRemote(path) && !placeName(path).endsWith(".distcp")) return undefined;
  const folder = parentPlace(path);
  let items = dcp.get(folder);
  if (items === undefined) {
    const metadata = joinPlace(folder, DCP_METADATA);
    const bytes = await readSmallFile(metadata, MAX_METADATA).catch(() => Buffer.alloc(0));
    items = dcpItems(bytes, { path: metadata });
    dcp.set(folder, items);
  }
  return items.get(placeName(path));
}
