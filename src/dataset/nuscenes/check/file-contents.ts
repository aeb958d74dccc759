/** A closer look at the sensors' files: at pictures by their headers or pixels, at point clouds by their size and first bytes. */
import { resolve } from "node:path";
import { throwIfAborted } from "../../../core/errors.js";
import { mapOrdered } from "../../../core/io/map-ordered.js";
import { sizeOf } from "../../../core/io/regular.js";
import { sum } from "../../../core/sum.js";
import type { CheckOptions, CheckSummary, Finding } from "../../finding.js";
import { checkImage, type ImageFault, SIDE_BY_SIDE } from "../../images/check.js";
import { isFirst, ownOf } from "../../options.js";
import { boundsOf, choosePictures, mix } from "../../sample.js";
import { NO_FOLDER } from "../read/file-names.js";
import type { FileList } from "./files.js";
import { cloudFault, isCloud } from "./point-clouds.js";
import { finding, type NuScenesRule } from "./rules.js";

const RULE_OF: Record<Exclude<ImageFault, "missing" | "empty" | "not-a-file">, NuScenesRule> = {
  unreadable: "unreadable-file",
  "not-an-image": "not-an-image",
  truncated: "truncated-image",
  damaged: "truncated-image",
};

type Form = FileList["data"]["forms"][number];

/** A file to look at: a row of one version's list. */
interface Look {
  list: FileList;
  row: number;
}

/** The files of one kind that this shard looks at. */
interface Part {
  looks: readonly Look[];
  /** The number of files besides these that are left out on purpose. */
  left: number;
}

/**
 * The number of passes over the files. Each pass takes a sample of the whole set, in the order of the table, so that when the
 * time is up, a random part of the files is left out.
 */
const PASSES = 16;

/** Chooses the rows of one kind whose files are looked at: those with the smallest ranks, which depend only on the seed and the name. */
function choose(
  lists: readonly FileList[],
  wanted: (form: Form) => boolean,
  options: CheckOptions,
  limit: number,
): Part {
  function* candidates(): Generator<[list: FileList, row: number, rank: number]> {
    for (const list of lists) {
      const { rows, file, folder, form, forms } = list.data;
      const isWanted = forms.map(wanted);
      for (let row = 0; row < rows; row++) {
        if (!isWanted[form[row]!] || folder[row] === NO_FOLDER) continue;
        yield [list, row, mix(options.seed ?? 0, file[row * 4]! ^ file[row * 4 + 1]!)];
      }
    }
  }
  const ranks = new Uint32Array(sum(lists, (list) => list.data.rows));
  let total = 0;
  for (const [, , rank] of candidates()) ranks[total++] = rank;
  const border = limit >= total ? Number.POSITIVE_INFINITY : ranks.subarray(0, total).sort()[limit]!;
  const passes: Look[][] = Array.from({ length: PASSES }, () => []);
  for (const [list, row, rank] of candidates()) {
    if (rank < border) passes[Math.floor(rank / (2 ** 32 / PASSES))]!.push({ list, row });
  }
  const all = passes.flat();
  // The first shard counts the files that no shard is to look at.
  return { looks: ownOf(all, options.shard), left: isFirst(options.shard) ? total - all.length : 0 };
}

/**
 * Looks at the files that `options` asks for, and fills in the summary's coverage, samples and file sizes.
 *
 * @throws VistaError `ABORTED`
 */
export async function* lookFindings(
  root: string,
  lists: readonly FileList[],
  summary: CheckSummary,
  options: CheckOptions,
): AsyncGenerator<Finding> {
  const { images: level = "headers" } = options;
  if (level === "names") return;
  const { limit, seconds } = boundsOf(options);
  const pictures = choose(lists, isPicture, options, limit);
  const clouds = choose(lists, (form) => !isPicture(form), options, limit);
  const start = performance.now();
  // A quarter of the time is enough for point clouds, and the pictures get all that they leave.
  yield* lookAtClouds(root, clouds, start + seconds * 250, summary, options);
  yield* lookAtPictures(root, pictures, start + seconds * 1000, level, summary, options);
}

/** Tells whether a row is one of a picture: it says so, or it has a size in pixels and says nothing else. */
function isPicture({ fileformat, width, height }: Form): boolean {
  return /^(\.|image\/)?(jpe?g|png|webp)$/i.test(fileformat) || (fileformat === "" && width * height > 0);
}

/** How files of one kind are looked at, and what they are called in the coverage and in the progress. */
interface Kind {
  what: string;
  phase: string;
  unit: "files" | "images";
  sideBySide: number;
  /** The time when no other file is begun, by `performance.now()`. */
  end: number;
}

/**
 * Looks at files, some at a time, as long as there is time; counts them in the summary and reports the progress.
 *
 * @param look  returns undefined for a file of no known kind
 * @returns what `look` gives for each file, in their order, with the file's name, its place in findings and what its row says of
 *   it; nothing for one that is not there, as its folder's listing has shown
 */
async function* lookInTime<Report extends { fault?: unknown }>(
  { what, phase, unit, sideBySide, end }: Kind,
  root: string,
  { looks, left }: Part,
  summary: CheckSummary,
  options: CheckOptions,
  look: (path: string, name: string) => Promise<Report | undefined>,
): AsyncGenerator<Report & { name: string; place: { record: string }; said: Form }> {
  const coverage = { what, checked: 0, total: looks.length + left };
  summary.coverage.push(coverage);
  function* inTime() {
    for (const one of looks) {
      if (performance.now() > end) return;
      yield one;
    }
  }
  const reports = mapOrdered(inTime(), sideBySide, async ({ list, row }) => {
    const { filename, token } = list.textOf(row);
    const [name, place] = [String(filename), { record: `sample_data ${token}` }];
    const said = list.data.forms[list.data.form[row]!]!;
    const path = resolve(root, name);
    const report = await look(path, name);
    const isGone = report?.fault !== undefined && sizeOf(path) === -1;
    return { report: report && { ...report, name, place, said }, isGone };
  });
  let done = 0;
  for await (const { report, isGone } of reports) {
    throwIfAborted(options.signal);
    options.onProgress?.({ phase, done: ++done, total: looks.length, unit });
    if (isGone) coverage.total--;
    if (isGone || report === undefined) continue;
    coverage.checked++;
    yield report;
  }
}

async function* lookAtPictures(
  root: string,
  part: Part,
  end: number,
  level: "headers" | "decode",
  summary: CheckSummary,
  options: CheckOptions,
): AsyncGenerator<Finding> {
  const sound: string[] = [];
  const sizes = new Map<string, number>();
  const kind: Kind = {
    what: `pictures (${level})`,
    phase: "look at pictures",
    unit: "images",
    sideBySide: SIDE_BY_SIDE[level],
    end,
  };
  const reports = lookInTime(kind, root, part, summary, options, (path) => checkImage(path, level));
  for await (const { name, place, said, fault, detail, width, height, bytes } of reports) {
    // It is reported with its folder, where names and sizes of all files are looked at.
    if (fault === "empty") continue;
    if (fault !== undefined) {
      yield finding(RULE_OF[fault as keyof typeof RULE_OF], name, detail ?? fault, place);
      continue;
    }
    if (width !== undefined && (width !== said.width || height !== said.height)) {
      const text = `the picture is ${width} × ${height}, its row says ${said.width} × ${said.height}`;
      yield finding("wrong-image-size", name, text, place);
      continue;
    }
    if (name.includes("/CAM_FRONT/")) sound.push(name);
    if (sound.length > 1000) sound.splice(0, sound.length, ...choosePictures(sound));
    const bin = `${Math.floor(bytes / 20_000) * 20} kB`;
    sizes.set(bin, (sizes.get(bin) ?? 0) + 1);
  }
  summary.samples = choosePictures(sound);
  const points = [...sizes].map(([label, value]) => ({ label, value }));
  const title = "Sizes of the pictures looked at (from)";
  summary.charts!.push({ kind: "bars", title, unit: "pictures", shares: true, points });
}

async function* lookAtClouds(
  root: string,
  part: Part,
  end: number,
  summary: CheckSummary,
  options: CheckOptions,
): AsyncGenerator<Finding> {
  const kind: Kind = {
    what: "point clouds (headers)",
    phase: "look at point clouds",
    unit: "files",
    sideBySide: SIDE_BY_SIDE.headers,
    end,
  };
  const reports = lookInTime(kind, root, part, summary, options, async (path, name) =>
    isCloud(name) ? { fault: await cloudFault(path, name) } : undefined,
  );
  for await (const { name, place, fault } of reports) {
    if (fault !== undefined && fault.rule !== "empty-file") {
      yield finding(fault.rule, name, fault.detail, place);
    }
  }
}
