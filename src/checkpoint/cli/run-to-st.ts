/** Runs `vista-ckpt to-st`, which does what Vista's bin_to_st.py does, from any input. */

import { mkdir, rmdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { formatCount, plural } from "../../core/cli/format.js";
import { printResult } from "../../core/cli/print.js";
import type { CommandContext } from "../../core/cli/program.js";
import { cannot, firstNames, isVistaError, VistaError } from "../../core/errors.js";
import { isFolder, isRemote } from "../../core/io/places.js";
import { remember } from "../../core/maps.js";
import type { Checkpoint } from "../checkpoint.js";
import { openCheckpoint } from "../open.js";
import { type StateDict, sharedNames } from "../tensor/tensor.js";
import { isShadow } from "../vista/ema.js";
import { applyProfile, type ProfileResult } from "../vista/profile.js";
import type { Profile } from "../vista/profile-names.js";
import type { CommonOptions } from "./common.js";
import type { OutputFileOptions } from "./output-options.js";
import { checkExtension, inDType, outputJson, outputLines, type Result, saveOutput } from "./run-output.js";
import { namesLine, pairTexts, printWarnings } from "./texts.js";
import "./late-optimising.js";

/** The folder into which bin_to_st.py writes. */
const DEFAULT_FOLDER = "ckpts";

export interface ToStOptions extends CommonOptions, OutputFileOptions {
  tag?: string;
  key?: string;
  raw?: boolean;
  profile?: Profile;
  lora: boolean;
  ema: boolean;
  keepPrefix?: boolean;
  keepUnprefixed?: boolean;
  loraScale: number;
}

export async function toSt(
  input: string,
  output: string | undefined,
  options: ToStOptions,
  context: CommandContext,
): Promise<void> {
  const started = Date.now();
  const target = output ?? join(DEFAULT_FOLDER, "vista.safetensors");
  checkExtension(target, ["safetensors"]);
  const { tag, key, verify } = options;
  const checkpoint = await openCheckpoint(input, { tag, key, verify, signal: context.signal });
  try {
    const report = convertOf(input, checkpoint.state, options);
    const state = inDType(report.state, options);
    const folderIsThere = output !== undefined || (await isFolder(DEFAULT_FOLDER));
    const more = { ...keptMetadata(checkpoint, options), format: "safetensors" as const, folderIsThere };
    if (!options.quiet) printWarnings(checkpoint.warnings, checkpoint.torchFiles);
    const folder = output === undefined && !options.dryRun ? DEFAULT_FOLDER : undefined;
    const result = await inFolder(folder, () =>
      saveOutput("to-st", state, target, options, context, started, more),
    );
    const about = [checkpoint, state, report, result] as const;
    printResult(options, toJson(...about), summarize(...about));
  } finally {
    await checkpoint.state.close();
  }
}

/**
 * Returns the metadata of the output where a safetensors input is converted as it is: the input's own, and what was asked for.
 */
function keptMetadata({ metadata }: Checkpoint, options: ToStOptions) {
  if (!options.raw || metadata === undefined) return {};
  return { metadata: new Map([...metadata, ...(options.metadata ?? [])]) };
}

/** Takes the steps of the profile. They know names only, so their errors get the input's path here. */
function convertOf(input: string, state: StateDict, options: ToStOptions): ProfileResult {
  const { lora, ema, loraScale, keepPrefix = false, keepUnprefixed = false } = options;
  try {
    return applyProfile(state, options.profile, { lora, ema, loraScale, keepPrefix, keepUnprefixed });
  } catch (error) {
    if (!isVistaError(error) || error.where.path !== undefined) throw error;
    const { code, what, hint, where } = error;
    throw new VistaError(code, what, { ...where, path: input, cause: error, hint });
  }
}

/** Makes the folder first, as bin_to_st.py does with `ckpts`, and removes it again if nothing came of it. */
async function inFolder<T>(folder: string | undefined, work: () => Promise<T>): Promise<T> {
  if (folder === undefined) return work();
  const made = await mkdir(folder, { recursive: true }).catch(cannot("make the output folder", folder));
  try {
    return await work();
  } catch (error) {
    if (made !== undefined) await rmdir(folder).catch(() => {});
    throw error;
  }
}

function toJson(checkpoint: Checkpoint, state: StateDict, report: ProfileResult, result: Result) {
  return {
    command: "to-st",
    dryRun: result.dryRun,
    input: isRemote(checkpoint.path) ? checkpoint.path : resolve(checkpoint.path),
    kind: checkpoint.kind,
    ...outputJson(state, result),
    copiedAliases: sharedNames(state.tensors).map(([name, of]) => ({ name, of })),
    leftOut: checkpoint.leftOut,
    warnings: checkpoint.warnings,
    recovered: checkpoint.zero?.recovered ?? [],
    profile: report.profile,
    profileDetected: report.detected,
    vista: report.vista ?? null,
    cosmos: report.cosmos ?? null,
  };
}

function summarize(
  checkpoint: Checkpoint,
  state: StateDict,
  report: ProfileResult,
  result: Result,
): string[] {
  const key = checkpoint.key === undefined ? "" : `, key ${checkpoint.key}`;
  const lines = [...outputLines(state, result), `  from ${checkpoint.zero?.folder ?? checkpoint.path}${key}`];
  const metadata = checkpoint.metadata?.size ?? 0;
  if (metadata > 0) {
    const kept = report.profile === "none" ? "kept" : "left out (--raw keeps them, --metadata adds others)";
    lines.push(`  metadata of the input, ${plural(metadata, "entry", "entries")}: ${kept}`);
  }
  lines.push(...stepLines(report));
  const recovered = checkpoint.zero?.recovered ?? [];
  return [
    ...lines,
    ...namesLine("left out, since no tensors", checkpoint.leftOut),
    ...namesLine(`recovered ${plural(recovered.length, "tensor")} that zero_to_fp32.py drops`, recovered),
    ...namesLine("shared tensors, each name with bytes of its own", pairTexts(sharedNames(state.tensors))),
  ];
}

/** Returns lines that say whose steps were taken and what they did. */
function stepLines({ profile, detected, vista, cosmos }: ProfileResult): string[] {
  if (profile === "none") return ["  profile none: as it was (--raw)"];
  const why = !detected ? "" : profile === "cosmos" ? ", told by the names" : ", the default";
  const lines = [`  profile ${profile}${why}`];
  if (vista !== undefined) {
    const inEma = vista.adapters.filter(({ down }) => isShadow(down)).length;
    const ofThem = inEma === 0 ? "" : `, ${formatCount(inEma)} of them in the EMA`;
    lines.push(`  LoRA: ${plural(vista.adapters.length, "adapter")} merged${ofThem}`);
    lines.push(`  EMA: ${plural(vista.shadows.length, "tensor")} folded in`);
    lines.push(`  prefix _forward_module.: ${plural(vista.prefixed, "name")}`);
  }
  if (cosmos !== undefined) lines.push(`  net_ema. → net.: ${plural(cosmos.renamed, "name")}`);
  for (const [reason, names] of grouped(vista?.dropped ?? cosmos?.dropped ?? [])) {
    lines.push(`  dropped ${plural(names.length, "tensor")}, ${reason}: ${firstNames(names)}`);
  }
  for (const note of vista?.notes ?? []) lines.push(`  note: ${note}`);
  return lines;
}

function grouped(dropped: readonly { name: string; why: string }[]): Map<string, string[]> {
  const groups = new Map<string, string[]>();
  for (const { name, why } of dropped) remember(groups, why, () => []).push(name);
  return groups;
}
