/** Finds folders of torch.distributed.checkpoint (DCP) by the names in them; what opens one is loaded only then. */
import { cannot, VistaError } from "../../core/errors.js";
import { isFile, joinPlace, listFolder } from "../../core/io/places.js";
import { plural } from "../../core/text.js";

/** The name of the file that makes a folder one of DCP. */
export const DCP_METADATA = ".metadata";

/**
 * The form of the names of shards in the safetensors form: `shard-00002-model-00001-of-00001.safetensors` has the numbers of the rank
 * and the file, and how many files there are.
 */
export const SHARD_NAME = /^shard-(\d+)-model-(\d+)-of-(\d+)\.safetensors$/;

/**
 * Finds the folder with the `.metadata` of the model: the given one, or `model` below it, as Cosmos lays it out
 * (`iter_000000100/{model,optim,scheduler,trainer}`).
 *
 * @param names  what is in the folder
 * @returns `undefined` where neither has one and the folder has no shards of the safetensors form
 * @throws VistaError `NOT_FOUND` for data files without it
 */
export async function findDcp(folder: string, names: readonly string[]): Promise<string | undefined> {
  const model = joinPlace(folder, "model");
  if (names.includes(DCP_METADATA) && (await isFile(joinPlace(folder, DCP_METADATA)))) return folder;
  if (names.includes("model") && (await isFile(joinPlace(model, DCP_METADATA)))) return model;
  if (names.some((name) => SHARD_NAME.test(name))) return folder;
  const data = names.filter((name) => name.endsWith(".distcp")).length;
  if (data === 0) return undefined;
  const what = `${plural(data, "data file")} of torch.distributed.checkpoint and no ${DCP_METADATA}, which says what is in them`;
  throw new VistaError("NOT_FOUND", what, {
    path: folder,
    hint: `Copy it too: its name begins with a dot, so that * leaves it out. Where there is none, the save was not finished.`,
  });
}

/** Lists the shards of a folder in the safetensors form, sorted; none where it is no such folder. @throws VistaError `IO` */
export async function listSafetensorsShards(folder: string): Promise<string[]> {
  const entries = await listFolder(folder).catch(cannot("list the folder", folder));
  return entries
    .map(({ name }) => name)
    .filter((name) => SHARD_NAME.test(name))
    .sort();
}
