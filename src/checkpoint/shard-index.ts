/**
 * Reads and writes `*.index.json`, which says which file of a sharded checkpoint holds which tensor. Torch and safetensors files
 * have the same form of it.
 *
 * Source: huggingface_hub (serialization), DeepSpeed's zero_to_fp32.py (indent 2, sorted keys, ASCII).
 */
import { VistaError, type Where } from "../core/errors.js";
import { formatCrc32, hexCrc32 } from "../core/io/crc32.js";
import { insideFolder } from "../core/io/inside-folder.js";
import { readSmallFile } from "../core/io/open-source.js";
import { lookAt, parentPlace } from "../core/io/places.js";
import { isRecord } from "../core/maps.js";

export interface ShardIndex {
  readonly path: string;
  /** The name of the shard that holds each tensor, in the order of the index. */
  readonly weightMap: ReadonlyMap<string, string>;
  /** The path of each shard by the name that the index gives it. */
  readonly shards: ReadonlyMap<string, string>;
  /** The value of `metadata.total_size`; `undefined` where that is no number. */
  readonly totalSize: number | undefined;
  /**
   * The statements of `metadata.shards`, by the name that the index gives a file; only indexes that this package wrote have them.
   */
  readonly stated: ReadonlyMap<string, StatedShard>;
}

/** The statements of an index about one of its files, by which shards of two runs under one index are found out. */
export interface StatedShard {
  /** The size of the file in bytes. */
  readonly size: number;
  /** The CRC-32 of the whole file. */
  readonly crc32: number;
}

/** The largest size of an index in bytes, far above any real one: 100,000 tensors take about 10 MB. */
const MAX_INDEX = 100_000_000;

function malformed(what: string, details: Where & { cause?: unknown }): VistaError {
  const hint = "An index has a `weight_map` from each tensor's name to a file beside it.";
  return new VistaError("FORMAT", what, { ...details, hint });
}

/**
 * Reads an index and looks for the shards that it names.
 * @throws VistaError `NOT_FOUND` (the index, or a shard that it names), `FORMAT` (no index, or names outside its folder),
 *   `INCONSISTENT` (a shard whose size is not the one that the index states)
 */
export async function readShardIndex(path: string): Promise<ShardIndex> {
  const text = (await readSmallFile(path, MAX_INDEX)).toString("utf8");
  const { weightMap, totalSize, stated } = parseIndex(text, path);
  const shards = new Map<string, string>();
  for (const [name, shard] of weightMap) {
    if (shards.has(shard)) continue;
    const place = shardPath(path, name, shard);
    const found = await lookAt(place).catch(() => undefined);
    if (!found?.isFile) {
      const holds = [...weightMap.values()].filter((other) => other === shard).length;
      throw new VistaError("NOT_FOUND", `the index names this shard for ${holds} tensors, it is not there`, {
        path: place,
        hint: "Copy all shards into the folder of the index.",
      });
    }
    checkSize(place, found.size, stated.get(shard));
    shards.set(shard, place);
  }
  return { path, weightMap, shards, totalSize, stated };
}

function checkSize(place: string, size: number, stated: StatedShard | undefined): void {
  if (stated === undefined || size === stated.size) return;
  throw new VistaError("INCONSISTENT", `the shard has ${size} bytes, its index says ${stated.size}`, {
    path: place,
    hint: "Shards of two runs are mixed, or one is not complete: copy all files of the set again, or make it again.",
  });
}

/**
 * Returns the error for a shard that is not the file for which its index was written.
 * @param found  the CRC-32 of the whole file
 */
export function shardError(place: string, stated: StatedShard, found: number): VistaError {
  const what = `the shard has CRC-32 ${formatCrc32(found)}, its index says ${formatCrc32(stated.crc32)}`;
  return new VistaError("INCONSISTENT", `${what}: it is damaged or of another run`, {
    path: place,
    hint: "Copy all files of the set again, or make it again.",
  });
}

function parseIndex(text: string, path: string): Pick<ShardIndex, "weightMap" | "totalSize" | "stated"> {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw malformed(`the index is no JSON: ${(error as Error).message}`, { path, cause: error });
  }
  const { weight_map: entries, metadata } = recordIn(json);
  if (!isRecord(entries)) throw malformed("the index has no weight_map", { path });
  const weightMap = new Map<string, string>();
  for (const [name, shard] of Object.entries(entries)) {
    if (typeof shard !== "string") {
      throw malformed("the index does not name a file for it", { path, record: name });
    }
    weightMap.set(name, shard);
  }
  if (weightMap.size === 0) throw malformed("the weight_map of the index is empty", { path });
  const { total_size: total, shards } = recordIn(metadata);
  const totalSize = typeof total === "number" ? total : undefined;
  return { weightMap, totalSize, stated: parseStated(shards, path) };
}

/** Reads `metadata.shards`. @throws VistaError `FORMAT` for half a statement, which must not pass for none */
function parseStated(value: unknown, path: string): Map<string, StatedShard> {
  const stated = new Map<string, StatedShard>();
  for (const [shard, entry] of Object.entries(recordIn(value))) {
    const { size, crc32 } = recordIn(entry);
    // Other writers may keep something else under this name.
    if (size === undefined && crc32 === undefined) continue;
    if (!Number.isSafeInteger(size) || typeof crc32 !== "string" || !HEX32.test(crc32))
      throw malformed("metadata.shards of the index has no size and crc32 for it", { path, record: shard });
    stated.set(shard, { size: size as number, crc32: Number.parseInt(crc32, 16) });
  }
  return stated;
}

const HEX32 = /^[0-9a-f]{8}$/;

/** Returns an object as it is, and an empty one for anything else. */
function recordIn(value: unknown): Record<string, unknown> {
  return isRecord(value) ? value : {};
}

/** Returns the path of a shard. @throws VistaError `FORMAT` for a shard outside the folder of its index */
function shardPath(index: string, name: string, shard: string): string {
  const place = insideFolder(parentPlace(index), shard);
  if (place !== undefined) return place;
  throw new VistaError("FORMAT", `the index names a file outside its folder: ${JSON.stringify(shard)}`, {
    path: index,
    record: name,
    hint: "Do not trust this checkpoint; shards lie beside their index.",
  });
}

/**
 * Returns the text of an index as zero_to_fp32.py and huggingface_hub write it, whose metadata also say what each file must be:
 * readers ignore metadata that they do not know.
 */
export function formatIndex(
  weightMap: ReadonlyMap<string, string>,
  totalSize: number,
  shards: ReadonlyMap<string, StatedShard>,
): string {
  const names = [...weightMap.keys()].map((name) => ({ name, key: Buffer.from(name) }));
  // Python sorts by code points, which is the order of the UTF-8 bytes.
  names.sort((a, b) => Buffer.compare(a.key, b.key));
  const lines = names.map(({ name }) => `    ${ascii(name)}: ${ascii(weightMap.get(name)!)}`);
  const stated = [...shards].map(
    ([shard, { size, crc32 }]) =>
      `      ${ascii(shard)}: {\n        "crc32": "${hexCrc32(crc32)}",\n        "size": ${size}\n      }`,
  );
  return (
    `{\n  "metadata": {\n    "shards": {\n${stated.join(",\n")}\n    },\n    "total_size": ${totalSize}\n  },\n` +
    `  "weight_map": {\n${lines.join(",\n")}\n  }\n}\n`
  );
}

/** Returns JSON in ASCII, as Python's json.dumps writes it by default. */
function ascii(text: string): string {
  return JSON.stringify(text).replace(
    /[\u007f-\uffff]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
