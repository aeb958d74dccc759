/** The files that `check --write-clean` and `--list-missing` write, and what is said about them. */

import { basename, resolve } from "node:path";
import { formatCount, plural } from "../../core/cli/format.js";
import { VistaError } from "../../core/errors.js";
import { compareText } from "../../core/text.js";
import { type UnusableRecords, whyNoCleanFile } from "../annotations/clean.js";
import { readMeta } from "../opendv/meta.js";
import { findOpenDvRoot } from "../opendv/root.js";
import type { MissingList } from "../report/missing.js";
import type { Report } from "../report/report.js";
import { verdict } from "../report/text.js";

/**
 * Returns the file that `--write-clean` is made of: the one of `--annos` or, without that, the one that is checked. Of several,
 * it is the one whose name the output's name begins with: nuScenes.clean.json is made of nuScenes.json.
 *
 * @param named  the files of `--annos`
 * @param found  the files of the root
 * @throws VistaError `USAGE` where none, or more than one, can be meant
 */
export function cleanSource(output: string, named: readonly string[], found: readonly string[]): string {
  const others = (named.length > 0 ? named : found).filter((path) => resolve(path) !== resolve(output));
  if (others.length === 1) return others[0]!;
  const name = basename(output);
  const meant = others.filter((path) => name.startsWith(`${basename(path).replace(/\.json$/i, "")}.`));
  if (meant.length === 1) return meant[0]!;
  const files = others.length === 0 ? "no annotation file" : others.join(", ");
  throw new VistaError("USAGE", `--write-clean is made of one annotation file, and there is ${files}`, {
    hint: "Name it with --annos, or give the output its name: nuScenes.clean.json is made of nuScenes.json.",
  });
}

/** A clean file, in the form of the JSON report. */
export interface CleanResult {
  path: string;
  source: string;
  records: number;
  kept: number;
  /** The numbers of records that were left out, by rule. */
  leftOut: Record<string, number>;
  /** The reason why the file was not written, or undefined. */
  reason?: string;
}

export function cleanResult(path: string, found: UnusableRecords, interrupted: boolean): CleanResult {
  const reason = interrupted ? "the check was interrupted" : whyNoCleanFile(found);
  return {
    path,
    source: found.path,
    records: found.records,
    kept: found.kept,
    leftOut: Object.fromEntries([...found.leftOut].sort(([a], [b]) => compareText(a, b))),
    reason,
  };
}

/** Returns the closing lines about a file that was written. */
export function cleanLines(result: CleanResult, framesSeen: boolean): string[] {
  const { path, source, records, kept, leftOut } = result;
  const rules = Object.entries(leftOut).map(([rule, count]) => `${rule} ${formatCount(count)}`);
  const left = records - kept;
  return [
    `wrote ${path}: ${formatCount(kept)} of ${plural(records, "record")} of ${source} kept, ${formatCount(left)} left out${left > 0 ? ` (${rules.join(", ")})` : ""}`,
    ...(framesSeen
      ? []
      : ["  whether the frames of what was kept exist was not looked at: there is no data here"]),
  ];
}

export async function missingText(
  list: MissingList,
  report: Report,
  opendvRoots: readonly string[],
): Promise<string> {
  const links = new Map<string, string>();
  for (const root of list.videos.length === 0 ? [] : opendvRoots) {
    for (const file of findOpenDvRoot(root)?.metaFiles ?? []) {
      for (const { videoId, link } of (await readMeta(file)).videos) {
        if (link !== undefined) links.set(videoId, link);
      }
    }
  }
  return list.text([`vista-data check of ${report.root}: ${verdict(report)}`], links);
}
