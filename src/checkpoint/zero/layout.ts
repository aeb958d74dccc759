/**
 * Finds the files that make up a ZeRO checkpoint: the folder with `latest`, the tag folder below it, and in that the shards and
 * model states by their names. Of the contents it reads only `latest`.
 *
 * Source: deepspeed/runtime/engine.py (_get_zero_ckpt_name, _get_ckpt_name, _save_checkpoint), checkpoint/constants.py.
 */

import { realpath } from "node:fs/promises";
import { basename, isAbsolute, normalize, relative } from "node:path";
import { cannot, firstNames, fromSystem, VistaError } from "../../core/errors.js";
import { readSmallFile } from "../../core/io/open-source.js";
import { isFolder, isRemote, joinPlace, listFolder, placeName, requirePath } from "../../core/io/places.js";
import { compareText } from "../../core/text.js";

export interface CheckpointFolder {
  /** The folder that holds `latest`, or the tag folder where that is the one that was given. */
  readonly folder: string;
  readonly tagFolder: string;
  readonly tag: string;
  /** True where the folder was found below the one that was asked for. */
  readonly foundBelow: boolean;
}

export interface CheckpointFiles extends CheckpointFolder {
  /** The optimizer shards, one a rank, in rank order; empty for a checkpoint without ZeRO and for a universal one. */
  readonly shards: readonly RankFile[];
  /** The files of model states: one for stage 0 to 2, one a rank, in rank order, for stage 3. */
  readonly modelStates: readonly RankFile[];
  /** True for a universal checkpoint, which has model states, no shards, and a folder `zero` with one folder a parameter. */
  readonly universal: boolean;
}

export interface RankFile {
  readonly rank: number;
  readonly path: string;
}

/** The files that name the tag saved last, of ZeRO and of universal checkpoints; where both exist, the first counts. */
const LATEST = ["latest", "latest_universal"] as const;

/** The largest size of `latest` in bytes; a real one holds one name. */
const MAX_LATEST = 64 * 1024;

/** The number of levels below a folder that are searched: `logs/<run>/checkpoints/trainstep_checkpoints/X.ckpt` takes five. */
const SEARCH_DEPTH = 5;

/** The names of shards (bf16_zero_pp_rank_3_mp_rank_00_optim_states.pt); before DeepSpeed 0.3.14 `_optim` is `optim`. */
const SHARD = /^(?:bf16_|fp16_)?zero_pp_rank_(\d+)_mp_rank_(\d+)_?optim_states\.pt$/;
const MODEL_STATES = /^mp_rank_(\d+)_model_states\.pt$/;
const MODEL_STATES_STAGE3 = /^(?:bf16_|fp16_)?zero_pp_rank_(\d+)_mp_rank_(\d+)_model_states\.pt$/;

const MOE =
  /^(?:layer_\d+_)?expert_\d+_mp_rank_\d+_model_states\.pt$|^expp_rank_\d+_mp_rank_\d+_optim_states\.pt$/;
const PIPELINE = /^layer_\d+-.*model_states\.pt$/;

/** Tells whether a file of this name is one that DeepSpeed saves into a tag folder. */
function isCheckpointFile(name: string): boolean {
  return [SHARD, MODEL_STATES, MODEL_STATES_STAGE3, MOE, PIPELINE].some((pattern) => pattern.test(name));
}

/** Tells whether `latest` or `latest_universal` is among the names of a folder, which makes it a checkpoint folder. */
export function saysLatest(names: readonly string[]): boolean {
  return LATEST.some((file) => names.includes(file));
}

/** Tells by the names in a folder whether it is a checkpoint folder, or the tag folder in one. */
export function isCheckpointFolder(names: readonly string[]): boolean {
  return saysLatest(names) || names.some(isCheckpointFile);
}

/** Tells by its name whether this file of model states is one of stage 3, which has one a rank. */
export function isStage3ModelStates(path: string): boolean {
  return MODEL_STATES_STAGE3.test(placeName(path));
}

/** Lists every `.pt` file in the folder `zero` of a universal checkpoint and in the parameters' folders there, sorted. */
export async function listUniversalFiles(tagFolder: string): Promise<string[]> {
  const zero = joinPlace(tagFolder, "zero");
  const files: string[] = [];
  for (const entry of await listFolder(zero)) {
    const below = joinPlace(zero, entry.name);
    if (!entry.isFolder) files.push(below);
    else for (const { name } of await listFolder(below)) files.push(joinPlace(below, name));
  }
  return files.filter((file) => file.endsWith(".pt")).sort();
}

/**
 * Finds the checkpoint that a path stands for: a checkpoint folder, a tag folder, or a run folder with one checkpoint below it.
 * @throws VistaError `NOT_FOUND`, `WRONG_KIND`, `AMBIGUOUS`, `FORMAT` (a `latest` that points outside), `UNSUPPORTED`
 */
export async function findCheckpoint(path: string, tag?: string): Promise<CheckpointFolder> {
  requirePath(path);
  const names = await list(path);
  if (tag !== undefined) return tagBelow(path, tag, names, "--tag");
  const latest = LATEST.find((file) => names.includes(file));
  // In a run folder it may be a link to the newest of the checkpoints there.
  if (latest !== undefined && (isRemote(path) || !(await isFolder(joinPlace(path, latest))))) {
    return tagBelow(path, await readLatest(path, latest), names, latest);
  }
  if (names.some(isCheckpointFile) || (await isUniversal(path, names))) {
    return { folder: path, tagFolder: path, tag: placeName(path), foundBelow: false };
  }
  const found = await searchBelow(path, SEARCH_DEPTH);
  const realPlaces = await Promise.all(found.map((place) => (isRemote(place) ? place : realpath(place))));
  // A link to one of the others (last.ckpt) is no other checkpoint.
  const candidates = found.filter((_, i) => realPlaces.indexOf(realPlaces[i]!) === i);
  if (candidates.length === 1) {
    return { ...(await findCheckpoint(candidates[0]!)), foundBelow: true };
  }
  if (candidates.length === 0) {
    const weights = names.filter((name) => /\.(?:safetensors|bin|pth?|ckpt)$/i.test(name)).sort();
    const files = weights.length === 0 ? "" : `; of weights there are ${firstNames(weights)}`;
    throw new VistaError(
      "NOT_FOUND",
      `no ZeRO checkpoint here or below: no \`latest\`, no *_optim_states.pt, no *_model_states.pt${files}`,
      {
        path,
        hint:
          "Give the folder that holds `latest` (with Lightning: the X.ckpt folder)" +
          (weights.length === 0
            ? "."
            : ", one of those files, or the index of shards, which belongs beside them."),
      },
    );
  }
  const shown = candidates.slice(0, 20).map((candidate) => relative(path, candidate) || ".");
  const more = candidates.length > shown.length ? `, and ${candidates.length - shown.length} more` : "";
  throw new VistaError("AMBIGUOUS", `${candidates.length} checkpoints below: ${shown.join(", ")}${more}`, {
    path,
    hint: "Give one of them.",
  });
}

async function list(path: string): Promise<string[]> {
  try {
    return (await listFolder(path)).map(({ name }) => name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOTDIR") {
      throw new VistaError("WRONG_KIND", "is a file; a ZeRO checkpoint is a folder", {
        path,
        hint: "Give the folder that holds `latest`, or the tag folder with the *_optim_states.pt files.",
        cause: error,
      });
    }
    throw fromSystem(error, path, "list the folder");
  }
}

/** Lists what may be a folder; nothing where it is none or cannot be listed. */
function listIfAny(path: string): Promise<string[]> {
  return list(path).catch(() => []);
}

async function readLatest(path: string, name: string): Promise<string> {
  const file = joinPlace(path, name);
  const text = String(await readSmallFile(file, MAX_LATEST).catch(cannot("read the file", file))).trim();
  if (text === "") {
    throw new VistaError("FORMAT", "the file is empty; it should name the tag folder", {
      path: file,
      hint: "Name the tag with --tag.",
    });
  }
  return text;
}

/**
 * Returns the folder of a tag. Whether `latest` or --tag says it, the tag must name a folder inside the checkpoint folder.
 * @throws VistaError `FORMAT` for a tag that points outside, `NOT_FOUND` where there is no such folder
 */
async function tagBelow(
  path: string,
  tag: string,
  names: readonly string[],
  said: (typeof LATEST)[number] | "--tag",
): Promise<CheckpointFolder> {
  const inside = normalize(tag);
  if (isAbsolute(tag) || inside.startsWith("..") || inside === "." || tag.includes("\0")) {
    throw new VistaError("FORMAT", `the tag ${JSON.stringify(tag)} is not a folder inside the checkpoint`, {
      path: said === "--tag" ? path : joinPlace(path, said),
      hint: "`latest` holds the name of a sub-folder; give the right one with --tag.",
    });
  }
  const tagFolder = joinPlace(path, inside);
  if (!(await isFolder(tagFolder))) {
    const tags = await tagsAmong(path, names);
    const there =
      tags.length === 0 ? "no folder with checkpoint files is there" : `there is: ${tags.join(", ")}`;
    throw new VistaError(
      "NOT_FOUND",
      `${said} names the tag ${JSON.stringify(tag)}, which is no folder here; ${there}`,
      { path, hint: tags.length === 0 ? "Copy the tag folder too." : "Name one with --tag." },
    );
  }
  return { folder: path, tagFolder, tag, foundBelow: false };
}

async function tagsAmong(path: string, names: readonly string[]): Promise<string[]> {
  const tags = [];
  for (const name of names) {
    const below = await listIfAny(joinPlace(path, name));
    if (below.some(isCheckpointFile)) tags.push(name);
  }
  return tags.sort();
}

/** Searches for folders with `latest` or with checkpoint files; it does not look below one that it has found. */
async function searchBelow(path: string, depth: number): Promise<string[]> {
  const found: string[] = [];
  const entries = await listFolder(path).catch(() => []);
  for (const entry of entries.sort((a, b) => compareText(a.name, b.name))) {
    if (!entry.isFolder && !entry.isLink) continue;
    const below = joinPlace(path, entry.name);
    const names = await listIfAny(below);
    if (isCheckpointFolder(names)) found.push(below);
    else if (depth > 1 && entry.isFolder) found.push(...(await searchBelow(below, depth - 1)));
  }
  return found;
}

/**
 * Tells whether a folder is the tag folder of a universal checkpoint, which has no shards and has a folder `zero` with an
 * `fp32.pt` in each parameter's folder; it looks for one in the first three.
 */
async function isUniversal(path: string, names: readonly string[]): Promise<boolean> {
  if (!names.includes("zero") || names.some((name) => SHARD.test(name))) return false;
  for (const parameter of (await listIfAny(joinPlace(path, "zero"))).slice(0, 3)) {
    const files = await listIfAny(joinPlace(path, "zero", parameter));
    if (files.includes("fp32.pt")) return true;
  }
  return false;
}

/**
 * Lists the files of a tag folder, sorted by rank.
 * @throws VistaError `UNSUPPORTED` for a mixture-of-experts, pipeline-parallel or tensor-parallel checkpoint, which it names;
 *   `NOT_FOUND` without model states; `INCONSISTENT` for a rank that is there twice, or model states of stage 3 beside others
 */
export async function listCheckpointFiles(checkpoint: CheckpointFolder): Promise<CheckpointFiles> {
  const { tagFolder } = checkpoint;
  const names = (await list(tagFolder)).sort();
  refuseOtherKinds(tagFolder, names);
  const shards = ranksOf(tagFolder, names, SHARD);
  const stage3 = ranksOf(tagFolder, names, MODEL_STATES_STAGE3);
  const whole = names
    .filter((name) => MODEL_STATES.test(name))
    .map((name) => ({ rank: 0, path: joinPlace(tagFolder, name) }));
  if (whole.length > 0 && stage3.length > 0) {
    throw new VistaError(
      "INCONSISTENT",
      `both ${basename(whole[0]!.path)} (stage 0 to 2) and ${basename(stage3[0]!.path)} (stage 3) are here`,
      { path: tagFolder, hint: "Two runs saved into one folder: move the older files away." },
    );
  }
  const modelStates = whole.length > 0 ? whole : stage3;
  if (modelStates.length === 0) {
    throw new VistaError(
      "NOT_FOUND",
      shards.length === 0
        ? "no *_model_states.pt and no *_optim_states.pt in this folder"
        : `${shards.length} *_optim_states.pt but no *_model_states.pt, which holds the names and shapes`,
      {
        path: tagFolder,
        hint: "With node-local disks each node saved a part: copy the files of all nodes into one folder.",
      },
    );
  }
  return { ...checkpoint, shards, modelStates, universal: await isUniversal(tagFolder, names) };
}

export const PARALLEL_HINT =
  "Load it in DeepSpeed with the code and the parallel sizes that saved it, gather the weights and save them with torch.save: " +
  "every command here reads that file.";

function refuseOtherKinds(tagFolder: string, names: readonly string[]): void {
  const refuse = (name: string | undefined, what: string) => {
    if (name === undefined) return;
    throw new VistaError("UNSUPPORTED", what, { path: joinPlace(tagFolder, name), hint: PARALLEL_HINT });
  };
  const moe = names.find((name) => MOE.test(name));
  refuse(moe, "a mixture-of-experts checkpoint: experts are spread over files of their own");
  const pipeline = names.find((name) => PIPELINE.test(name));
  refuse(pipeline, "a pipeline-parallel checkpoint: layers are spread over files of their own");
  const rankIn = (name: string) =>
    Number(MODEL_STATES.exec(name)?.[1] ?? SHARD.exec(name)?.[2] ?? MODEL_STATES_STAGE3.exec(name)?.[2] ?? 0);
  const parallel = names.find((name) => rankIn(name) > 0);
  refuse(parallel, `a tensor-parallel checkpoint: model-parallel rank ${rankIn(parallel ?? "")} is here`);
}

function ranksOf(folder: string, names: readonly string[], pattern: RegExp): RankFile[] {
  const byRank = new Map<number, string>();
  for (const name of names) {
    const match = pattern.exec(name);
    if (match === null) continue;
    const rank = Number(match[1]);
    const other = byRank.get(rank);
    if (other !== undefined) {
      throw new VistaError("INCONSISTENT", `rank ${rank} is here twice: ${other} and ${name}`, {
        path: folder,
        hint: "Two runs saved into one folder: move the older file away.",
      });
    }
    byRank.set(rank, name);
  }
  return [...byRank]
    .sort(([a], [b]) => a - b)
    .map(([rank, name]) => ({ rank, path: joinPlace(folder, name) }));
}
