/**
 * The data check of the preflight: the quick form of `vista-data check` on the annotation files of a subset, and what its
 * findings mean for a training. Vista's sampler draws another record where one cannot be loaded, so single records only cost
 * samples; a training stops where the data set class itself fails, and hangs in silence where no record is left.
 */
import { resolve } from "node:path";
import type { RunOptions } from "../../core/progress.js";
import { formatCount } from "../../core/text.js";
import { checkAnnotations } from "../../dataset/annotations/check.js";
import type { AnnotationTally, Finding } from "../../dataset/finding.js";
import type { Subset } from "./data.js";

/** The rules of `vista-data` for files on which `json.load` or the data set class fails. */
const STOPS = new Set(["annos/unreadable-file", "annos/bad-json", "annos/unknown-kind"]);

/** The facts that are known of one annotation file. */
interface FileLook {
  /** The problems that end the training, whatever other files hold. */
  fatal: string[];
  /** The reason why none of its records can be loaded; undefined where some can. */
  hopeless: string | undefined;
  /** The problems that cost samples. */
  costs: string[];
  sampled: string[];
}

/** What a quick look found, one line each with file and record. */
export interface DataLook {
  /** What keeps training from starting. */
  errors: string[];
  /** What costs samples. */
  warnings: string[];
  /** The samples that stand for the whole, for the verdict: `frames of 400 of 61,204,111 records of annos/YouTube.json …`. */
  sampled: string[];
}

/** @param options.numFrames  how many frames the config takes of each record */
export async function quickCheck(
  subset: Subset,
  vista: string,
  options: RunOptions & { numFrames: number },
): Promise<DataLook> {
  const looks: FileLook[] = [];
  for (const file of subset.annotations) looks.push(await lookAt(file, subset, vista, options));
  // The loader joins the records of its files: it hangs where all of them are hopeless.
  const hangs = looks.every((look) => look.hopeless !== undefined);
  const hopeless = looks.flatMap((look) => look.hopeless ?? []);
  return {
    errors: [...looks.flatMap(({ fatal }) => fatal), ...(hangs ? hopeless : [])],
    warnings: [...(hangs ? [] : hopeless), ...looks.flatMap(({ costs }) => costs)],
    sampled: looks.flatMap(({ sampled }) => sampled),
  };
}

async function lookAt(
  file: string,
  subset: Subset,
  vista: string,
  options: Parameters<typeof quickCheck>[2],
): Promise<FileLook> {
  const root = resolve(vista, subset.root);
  const check = checkAnnotations([resolve(vista, file)], {
    root: vista,
    nuscenes: subset.name === "NuScenes" && root,
    youtube: subset.name === "YouTube" && root,
    ...options,
    quick: {},
  });
  const look: FileLook = { fatal: [], hopeless: undefined, costs: [], sampled: [] };
  const found: Finding[] = [];
  for await (const one of check) {
    if (STOPS.has(one.rule)) look.fatal.push(describe(file, one));
    else if (one.rule === "annos/empty-file") look.hopeless = `${file}: ${one.message}`;
    else if (one.severity === "error") found.push(one);
  }
  look.sampled = check.summary.sampled ?? [];
  const tally = check.summary.annotations?.[0];
  if (tally === undefined) return look;
  if (tally.subset !== subset.name) {
    // The name of the file may say so, too, but the config tells what it is read as.
    look.fatal = [
      `${file}: holds the records of a ${tally.subset === "language" ? "language file" : `${tally.subset}.json`}, not those of ${subset.name}`,
    ];
    return look;
  }
  if (tally.stopping !== undefined) {
    const { records, first } = tally.stopping;
    const others = records === 1 ? "" : ` and ${formatCount(records - 1)} more`;
    look.fatal.push(
      `${file}, ${first}${others}: a field that the data set class reads at the start is missing or of another type: training ends before its first step`,
    );
  }
  const [hopeless, share] = unusable(tally);
  const details = found.map((one) => describe(file, one));
  if (hopeless) look.hopeless = [`${file}: ${share}`, ...details.slice(0, 1)].join("; ");
  else look.costs = share === undefined ? details : [`${file}: ${share}`, ...details];
  return look;
}

/** Tells how many records cannot be loaded, of how many that were looked at, and whether that is all of them. */
function unusable(tally: AnnotationTally): [hopeless: boolean, share?: string] {
  const { records, unusable: bad, lost = bad, quick } = tally;
  const total = quick!.total > records ? ` of about ${formatCount(quick!.total)}` : "";
  if (lost > 0 && lost === records) {
    return [true, `none of the ${formatCount(records)} records that were looked at${total} can be loaded`];
  }
  const frames = quick!.frames;
  if (frames !== undefined && frames.missing > 0) {
    const all = frames.missing === frames.records;
    const others = frames.all
      ? ""
      : ` (of ${total === "" ? "" : "about "}${formatCount(quick!.total)} in all)`;
    const share = `of ${formatCount(frames.records)} records whose frames were looked for${others}, ${all ? "all" : formatCount(frames.missing)} lack some`;
    return [all, bad === 0 ? share : `${share}; ${formatCount(bad)} others cannot be read`];
  }
  if (bad === 0) return [false];
  return [
    false,
    `${formatCount(bad)} of the ${formatCount(records)} records that were looked at${total} cannot be ${lost < bad ? "used for every action" : "loaded"}`,
  ];
}

function describe(file: string, { record, offset, message, rule }: Finding): string {
  const place = record ?? (offset === undefined ? undefined : `byte ${offset}`);
  return `${file}${place === undefined ? "" : `, ${place}`}: ${message} (${rule})`;
}
