/** The work of `vista-data check`, once its options are read. */
import { existsSync } from "node:fs";
import { isAbsolute, join, resolve, sep } from "node:path";
import { expandInputs } from "../../core/cli/inputs.js";
import { type CommandContext, EXIT, exitCodeOfStop, packageVersion } from "../../core/cli/program.js";
import { runWithProgress } from "../../core/cli/progress.js";
import { isVistaError, VistaError } from "../../core/errors.js";
import { wayWithin } from "../../core/io/within.js";
import { checkAnnotations } from "../annotations/check.js";
import { createClean, type UnusableRecords, unusableRecords } from "../annotations/clean.js";
import type { Check, CheckOptions, Finding, Shard } from "../finding.js";
import { isFirst } from "../options.js";
import { joinPath } from "../paths.js";
import { recognise } from "../recognise.js";
import { MissingList } from "../report/missing.js";
import { normaliseSummary, type Report, ReportBuilder } from "../report/report.js";
import { configFindings, readVistaConfig, type VistaDataConfig } from "../vista-config.js";
import { cleanLines, cleanResult, cleanSource, missingText } from "./check-files.js";
import {
  FindingsFile,
  type MoreOutputs,
  prepareReports,
  type ReportOutputs,
  writeReports,
} from "./outputs.js";
import { ruleNamed } from "./run-explain.js";

export interface CheckCommandOptions extends ReportOutputs {
  kind?: "nuscenes" | "opendv" | "annotations";
  version?: string;
  annos?: string[];
  tablesOnly?: boolean;
  quick?: boolean;
  images?: "names" | "headers" | "decode";
  decode?: boolean;
  sample?: number;
  budget?: number;
  seed: number;
  config?: string;
  ignore?: string[];
  maxFindings: number;
  writeClean?: string;
  listMissing?: string;
  shard?: Shard;
  index?: string;
}

/** A check of the command, with the path of its root below the command's root. */
interface Part {
  check: Check;
  prefix: string;
}

export async function runCheck(
  root: string,
  options: CheckCommandOptions,
  context: CommandContext,
): Promise<void> {
  const ignore = options.ignore ?? [];
  for (const code of ignore) ruleNamed(code, `--ignore ${code}`);
  refuseContradictions(options);
  await prepareReports(options);
  const { ndjson: ndjsonPath, writeClean, listMissing, force = false } = options;
  const config = options.config === undefined ? undefined : await readVistaConfig(options.config);
  const { seed, sample, budget, shard } = options;
  const images = options.decode ? "decode" : options.images;
  const missing = listMissing === undefined ? undefined : new MissingList();
  const onMissing =
    missing &&
    ((one: Finding) => {
      if (!ignore.includes(one.rule)) missing.addMissing(one);
    });
  const builder = new ReportBuilder(root, {
    maxFindings: options.maxFindings === 0 ? Number.MAX_SAFE_INTEGER : options.maxFindings,
    ignore: [...ignore].sort(),
    check: describeOptions(options),
  });
  const ndjson = await FindingsFile.create(ndjsonPath, force);
  try {
    const add = (finding: Finding) => {
      if (!builder.add(finding)) return;
      ndjson?.add(finding);
      missing?.add(finding);
    };
    const { parts, leftOut, unusable, interrupted } = await runWithProgress(
      options.quiet,
      context.signal,
      async (run) => {
        const how = { ...run, seed, images, sample, budget, shard };
        const made = await makeParts(root, options, how, config, onMissing);
        return { ...made, interrupted: await collect(root, made.parts, options, config, add) };
      },
    );
    const started = interrupted ? parts.filter(({ check }) => check.summary.coverage.length > 0) : parts;
    const summaries = started.map(({ check, prefix }) => normaliseSummary(check.summary, prefix));
    const [first] = summaries;
    if (first !== undefined && leftOut.length > 0) first.unseen = [...(first.unseen ?? []), ...leftOut];
    const report = builder.finish(packageVersion(), summaries, options.shard);
    if (interrupted) report.verdict = "interrupted";
    const more: MoreOutputs = { findings: ndjson, root: resolve(root) };
    if (missing !== undefined && listMissing !== undefined) {
      const roots = parts.map(({ prefix }) => join(root, prefix));
      more.texts = [{ path: listMissing, text: await missingText(missing, report, roots) }];
    }
    let code = exitCode(report, context.signal);
    if (unusable !== undefined && writeClean !== undefined) {
      const clean = cleanResult(writeClean, unusable, interrupted);
      more.json = { clean };
      if (clean.reason === undefined) {
        more.files = [await createClean(unusable, writeClean, { force, signal: context.signal })];
        more.closing = cleanLines(clean, unusable.framesSeen);
      } else {
        more.failure = `${writeClean} was not written: ${clean.reason}`;
        code ||= EXIT.failed;
      }
    }
    await writeReports(report, options, more);
    context.setExitCode(code);
  } finally {
    await ndjson?.discard();
  }
}

/** Collects the findings of all parts. @returns whether the check was stopped before its end */
async function collect(
  root: string,
  parts: readonly Part[],
  options: CheckCommandOptions,
  config: VistaDataConfig | undefined,
  add: (finding: Finding) => void,
): Promise<boolean> {
  try {
    for (const { check, prefix } of parts) {
      for await (const finding of check) add({ ...finding, path: joinPath(prefix, finding.path) });
    }
    if (config === undefined || !isFirst(options.shard)) return false;
    const tallies = parts.flatMap(({ check, prefix }) =>
      (check.summary.annotations ?? []).map((tally) => ({ ...tally, path: joinPath(prefix, tally.path) })),
    );
    for (const each of configFindings(config, (path) => existsSync(join(root, path)), tallies)) add(each);
    return false;
  } catch (error) {
    if (!isVistaError(error) || error.code !== "ABORTED") throw error;
    return true;
  }
}

function exitCode(report: Report, signal: AbortSignal): number {
  if (report.verdict === "interrupted") return exitCodeOfStop(signal.reason);
  return report.counts.error > 0 ? EXIT.failed : EXIT.ok;
}

async function makeParts(
  root: string,
  options: CheckCommandOptions,
  checkOptions: CheckOptions,
  config: VistaDataConfig | undefined,
  onMissing: CheckOptions["onMissing"],
): Promise<{ parts: Part[]; leftOut: string[]; unusable: UnusableRecords | undefined }> {
  const kind = options.quick ? "annotations" : options.kind;
  const extra = (await expandInputs(options.annos ?? [])).map((file) => relativeTo(root, file));
  const { version } = options;
  // With `--annos`, there need be nothing else.
  const orNothing = extra.length > 0;
  const found = recognise(root, { kinds: kind && [kind], version, orNothing });
  const parts: Part[] = [];
  const optionsBelow = (prefix: string): CheckOptions => ({
    ...checkOptions,
    onMissing: onMissing && ((one) => onMissing({ ...one, path: joinPath(prefix, one.path) })),
  });
  if (found.nuscenes !== undefined) {
    const { place: prefix, root: path } = found.nuscenes;
    // The checks of the two sets are loaded where there is one: a look at an annotation file takes less time than loading them.
    const { checkNuScenes } = await import("../nuscenes/check/check.js");
    const check = checkNuScenes(path, {
      ...optionsBelow(prefix),
      version,
      tablesOnly: options.tablesOnly ?? false,
    });
    parts.push({ check, prefix });
  }
  // The checks that an option leaves out are said in the verdict; the option alone does not tell that there was something.
  const nuScenesOnly = version !== undefined ? "--version" : options.tablesOnly ? "--tables-only" : "";
  if (nuScenesOnly !== "" && found.nuscenes === undefined) {
    throw new VistaError(
      "USAGE",
      `${nuScenesOnly} is about nuScenes, and no nuScenes tables are looked at here`,
      { path: root, hint: `Leave ${nuScenesOnly} out, or name the folder that holds v1.0-….` },
    );
  }
  if (options.index !== undefined && (found.opendv === undefined || nuScenesOnly !== "")) {
    throw new VistaError("USAGE", "--index is about OpenDV-YouTube, and none is looked at here", {
      path: root,
      hint: "Leave --index out.",
    });
  }
  const leftOut =
    found.opendv !== undefined && nuScenesOnly !== ""
      ? [`OpenDV-YouTube in ${found.opendv.root} (${nuScenesOnly})`]
      : [];
  if (found.opendv !== undefined && nuScenesOnly === "") {
    const { checkOpenDv } = await import("../opendv/check.js");
    const { place: prefix, root: path } = found.opendv;
    const check = checkOpenDv(path, { ...optionsBelow(prefix), index: options.index });
    parts.push({ check, prefix });
  }
  const files = [...new Set([...found.annotations, ...extra])];
  const pathOf = (file: string) => (isAbsolute(file) ? file : join(root, file));
  const { writeClean } = options;
  const unusable =
    writeClean === undefined
      ? undefined
      : unusableRecords(cleanSource(writeClean, extra.map(pathOf), found.annotations.map(pathOf)));
  if (files.length > 0) {
    const check = checkAnnotations(files.map(pathOf), {
      ...optionsBelow(""),
      root,
      unusable,
      nuscenes: found.nuscenes?.root,
      youtube: found.opendv?.dataRoot,
      numFrames: config?.numFrames,
      quick: options.quick ? { records: options.sample } : undefined,
    });
    // The check of the data themselves looks at the frames, or says what it leaves out.
    if (found.nuscenes !== undefined || found.opendv !== undefined) delete check.summary.unseen;
    parts.push({ check, prefix: "" });
  }
  return { parts, leftOut, unusable };
}

/**
 * Refuses options that say the opposite of one another, or of which one leaves nothing to the other.
 *
 * @throws VistaError `USAGE`
 */
function refuseContradictions(options: CheckCommandOptions): void {
  const { quick, kind, tablesOnly, images, decode, sample, writeClean, listMissing } = options;
  const inPart = "needs the whole check, and % is a part of it";
  const about = "--quick looks at annotation files only, and % is about something else";
  const opposite = "and % contradict one another";
  const refused: [is: boolean | undefined, what: string, others: (keyof CheckCommandOptions)[]][] = [
    [writeClean !== undefined, `--write-clean ${inPart}`, ["quick", "shard"]],
    [listMissing !== undefined, `--list-missing ${inPart}`, ["quick", "shard", "tablesOnly"]],
    [tablesOnly, `--tables-only ${opposite}`, ["images", "decode", "sample", "budget"]],
    [images === "names", `--images names ${opposite}`, ["decode", "sample", "budget"]],
    [decode && images !== "decode", `--decode ${opposite}`, ["images"]],
    [quick, about, ["version", "tablesOnly", "images", "decode", "index"]],
    [quick && kind !== "annotations", about, ["kind"]],
    [quick && sample === Number.POSITIVE_INFINITY, "--quick is a sample, and % is everything", ["sample"]],
  ];
  for (const [is, what, others] of refused) {
    const other = is ? others.find((name) => options[name] !== undefined) : undefined;
    if (other === undefined) continue;
    const value = other === "kind" || other === "images" ? ` ${options[other]}` : "";
    const name = other === "tablesOnly" ? "tables-only" : other;
    throw new VistaError("USAGE", what.replace("%", `--${name}${value}`), {
      hint: "Leave one of the two out.",
    });
  }
}

/** Returns the path of a file that the user named, relative to the root if the file lies within it. */
function relativeTo(root: string, file: string): string {
  return wayWithin(root, file)?.split(sep).join("/") ?? resolve(file);
}

function describeOptions(options: CheckCommandOptions): Record<string, string | number | boolean> {
  const { kind, version, annos, quick, tablesOnly, images, decode, sample, budget, seed, config } = options;
  const given = {
    kind,
    version,
    annos: annos?.join(" "),
    quick,
    tablesOnly,
    images: decode ? "decode" : images,
    config,
    sample: sample === Number.POSITIVE_INFINITY ? "all" : sample,
    budget,
    seed,
  };
  const described: Record<string, string | number | boolean> = {};
  for (const [name, value] of Object.entries(given)) if (value !== undefined) described[name] = value;
  return described;
}
