/** The frames that DriveAGI's language files name, read from their records. */
import { VistaError } from "../../core/errors.js";
import { remember } from "../../core/maps.js";
import { copyText, FastRows } from "../annotations/fast-rows.js";
import { type RowSink, readWholeRows } from "../json/rows.js";
import { type FrameLayout, parseFrameName } from "../opendv/names.js";
import { joinRuns } from "../opendv/runs.js";

export interface LanguageFolder {
  folder: string;
  layout: FrameLayout;
  /** The frames of all its clips, as runs. */
  runs: number[];
}

/**
 * Collects the frames of language files, folder by folder. It is synchronous because it runs in a worker thread where the files
 * are large.
 */
export function collectLanguage(
  files: readonly string[],
  onBytes: (bytes: number) => void,
): LanguageFolder[] {
  const folders = new Map<string, LanguageFolder>();
  let current: LanguageFolder | undefined;
  const add = (name: string, first: string, extension: string, last: string) => {
    const from = Number(first);
    const to = Number(last);
    if (current?.folder !== name) {
      current = remember(folders, copyText(name), () => ({
        folder: copyText(name),
        layout: { prefix: "", width: first.length, extension: copyText(extension) },
        runs: [],
      }));
    }
    const { runs } = current;
    const end = runs[runs.length - 1];
    // Records come in order, one frame apart, so that this nearly always lengthens the last run.
    if (end !== undefined && from >= runs[runs.length - 2]! && from <= end + 1) {
      if (to > end) runs[runs.length - 1] = to;
    } else runs.push(from, to);
  };
  let before = 0;
  for (const path of files) {
    const rows = new FastRows("language");
    const sink: RowSink = {
      fast(bytes, at, end, offset) {
        const after = rows.read(bytes, at, end, offset);
        if (after >= 0) add(rows.row.folder, rows.row.first, rows.row.extension, rows.row.last);
        return after;
      },
      value(value, offset, index) {
        const row = value as Record<string, unknown> | null;
        const first = typeof row?.first_frame === "string" ? parseFrameName(row.first_frame) : undefined;
        const last = typeof row?.last_frame === "string" ? parseFrameName(row.last_frame) : undefined;
        if (typeof row?.folder !== "string" || first === undefined || last === undefined) {
          throw new VistaError("FORMAT", "has no folder, first_frame and last_frame", {
            path,
            record: `record ${index}`,
            offset,
            hint: "Name files of OpenDV-YouTube-Language, such as 10hz_YouTube_val.json.",
          });
        }
        add(row.folder, first.digits, first.extension, last.digits);
      },
    };
    before += readWholeRows(path, "read the language file", sink, (done) => onBytes(before + done)).bytes;
  }
  for (const folder of folders.values()) folder.runs = joinRuns(folder.runs);
  return [...folders.values()];
}
