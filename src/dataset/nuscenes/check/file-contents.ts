/** A closer look at the sensors' files: at pictures by their headers or pixels, at point clouds by their size and first bytes. */
import { join } from "node:path";
import { throwIfAborted } from "../../../core/errors.js";
import { mapOrdered } from "../../../core/io/map-ordered.js";
import type { CheckOptions, CheckSummary, Finding } from "../../finding.js";
import { checkImages, type ImageFault } from "../../images/check.js";
import { boundsOf, choosePictures, mix } from "../../sample.js";
import { NO_FOLDER } from "../read/file-names.js";
import { RowText } from "../read/tables.js";
import type { FileList } from "./files.js";
import { cloudFault } from "./point-clouds.js";
import { finding, type NuScenesRule } from "./rules.js";

const RULE_OF: Record<Exclude<ImageFault, "missing">, NuScenesRule> = {
  "not-a-file": "unreadable-file",
  unreadable: "unreadable-file",
  empty: "empty-file",
  "not-an-image": "not-an-image",
  truncated: "truncated-image",
  damaged: "truncated-image",
};

/** A file to look at: a row of one version's list. */
interface Look {
  list: FileList;
  row: number;
}

interface Choice {
  looks: Look[];
  /** The number of files that there were to choose from. */
  total: number;
}

/** The files of one choice that this shard looks at. */
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

/** Chooses the rows whose files are looked at: those with the smallest ranks, which depend only on the seed and the name. */
function choose(
  lists: readonly FileList[],
  wanted: (form: FileList["data"]["forms"][number]) => boolean,
  options: CheckOptions,
  limit: number,
): Choice {
  function* candidates(): Generator<[list: FileList, row: number, rank: number]> {
    for (const list of lists) {
      const { rows, name, folder, form, forms } = list.data;
      const isWanted = forms.map(wanted);
      for (let row = 0; row < rows; row++) {
        if (!isWanted[form[row]!] || folder[row] === NO_FOLDER) continue;
        yield [list, row, mix(options.seed ?? 0, name[row * 2]! ^ name[row * 2 + 1]!)];
      }
    }
  }
  const ranks = new Uint32Array(lists.reduce((sum, list) => sum + list.data.rows, 0));
  let total = 0;
  for (const [, , rank] of candidates()) ranks[total++] = rank;
  const border = limit >= total ? Number.POSITIVE_INFINITY : ranks.subarray(0, total).sort()[limit]!;
  const passes: Look[][] = Array.from({ length: PASSES }, () => []);
  for (const [list, row, rank] of candidates()) {
    if (rank < border) passes[Math.floor(rank / (2 ** 32 / PASSES))]!.push({ list, row });
  }
  return { looks: passes.flat(), total };
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
  const level = options.images ?? "headers";
  const { limit, seconds } = boundsOf(options);
  const shard = options.shard ?? { index: 1, count: 1 };
  const texts = new Map(lists.map((list) => [list, new RowText(list.table)]));
  const nameOf = ({ list, row }: Look) => {
    const { filename, token } = texts.get(list)!.at(list.data.offset[row]!);
    return { name: String(filename), token: String(token) };
  };
  try {
    const pictures = choose(lists, isPicture, options, limit);
    const clouds = choose(lists, (form) => !isPicture(form), options, limit);
    const part = ({ looks, total }: Choice): Part => ({
      looks: looks.filter((_, i) => (i % shard.count) + 1 === shard.index),
      // The first shard counts the files that no shard is to look at.
      left: shard.index === 1 ? total - looks.length : 0,
    });
    const end = performance.now() + seconds * 1000;
    if (level !== "names") {
      // A quarter of the time is enough for point clouds, and the pictures get all that they leave.
      const first = performance.now() + seconds * 250;
      yield* lookAtClouds(root, part(clouds), nameOf, summary, options, first);
      yield* lookAtPictures(root, part(pictures), nameOf, level, summary, options, end);
    }
  } finally {
    for (const text of texts.values()) text.close();
  }
}

function isPicture(form: { fileformat: string }): boolean {
  return /^(jpe?g|png)$/i.test(form.fileformat);
}

type NameOf = (look: Look) => { name: string; token: string };

async function* lookAtPictures(
  root: string,
  { looks, left }: Part,
  nameOf: NameOf,
  level: "headers" | "decode",
  summary: CheckSummary,
  options: CheckOptions,
  end: number,
): AsyncGenerator<Finding> {
  const coverage = {
    what: `pictures (${level})`,
    checked: 0,
    total: looks.length + left,
  };
  summary.coverage.push(coverage);
  const sound: string[] = [];
  const sizes = new Map<string, number>();
  const names: { name: string; token: string }[] = [];
  function* paths() {
    for (const look of looks) {
      if (performance.now() > end) return;
      const entry = nameOf(look);
      names.push(entry);
      yield join(root, entry.name);
    }
  }
  const imageOptions = options.signal === undefined ? {} : { signal: options.signal };
  for await (const report of checkImages(paths(), level, imageOptions)) {
    const { list, row } = looks[coverage.checked]!;
    const { name, token } = names.shift()!;
    coverage.checked++;
    options.onProgress?.({
      phase: "look at pictures",
      done: coverage.checked,
      total: looks.length,
      unit: "images",
    });
    // Both are reported with their folder, where names and sizes of all files are looked at.
    if (report.fault === "missing" || report.fault === "empty") continue;
    const record = { record: `sample_data ${token}` };
    if (report.fault !== undefined) {
      yield finding(
        RULE_OF[report.fault as keyof typeof RULE_OF],
        name,
        report.detail ?? report.fault,
        record,
      );
      continue;
    }
    const { width, height } = list.data.forms[list.data.form[row]!]!;
    if (report.width !== undefined && (report.width !== width || report.height !== height)) {
      const text = `the picture is ${report.width} × ${report.height}, its row says ${width} × ${height}`;
      yield finding("wrong-image-size", name, text, record);
      continue;
    }
    if (name.includes("/CAM_FRONT/")) sound.push(name);
    if (sound.length > 1000) sound.splice(0, sound.length, ...choosePictures(sound));
    const bin = `${Math.floor(report.bytes / 20_000) * 20} kB`;
    sizes.set(bin, (sizes.get(bin) ?? 0) + 1);
  }
  summary.samples = choosePictures(sound);
  const points = [...sizes].map(([label, value]) => ({ label, value }));
  summary.charts!.push({
    kind: "bars",
    title: "Sizes of the pictures looked at (from)",
    unit: "pictures",
    shares: true,
    points,
  });
}

async function* lookAtClouds(
  root: string,
  { looks, left }: Part,
  nameOf: NameOf,
  summary: CheckSummary,
  options: CheckOptions,
  end: number,
): AsyncGenerator<Finding> {
  const coverage = { what: "point clouds (headers)", checked: 0, total: looks.length + left };
  summary.coverage.push(coverage);
  function* inTime() {
    for (const look of looks) {
      if (performance.now() > end) return;
      yield look;
    }
  }
  const reports = mapOrdered(inTime(), 16, async (look) => {
    const { name, token } = nameOf(look);
    return { name, token, fault: await cloudFault(join(root, name), name) };
  });
  for await (const { name, token, fault } of reports) {
    throwIfAborted(options.signal);
    coverage.checked++;
    options.onProgress?.({
      phase: "look at point clouds",
      done: coverage.checked,
      total: looks.length,
      unit: "files",
    });
    if (fault !== undefined && fault.rule !== "empty-file")
      yield finding(fault.rule, name, fault.detail, { record: `sample_data ${token}` });
  }
}
