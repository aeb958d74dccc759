/**
 * `*.index.json`: which file of a sharded checkpoint holds which tensor. One form for torch and safetensors files.
 *
 * Source: huggingface_hub (serialization), DeepSpeed's zero_to_fp32.py (indent 2, sorted keys, ASCII).
 */
import { stat } from "node:fs/promises";
import { dirname } from "node:path";
import { VistaError } from "../core/errors.js";
import { insideFolder } from "../core/io/inside-folder.js";
import { SourceFile } from "../core/io/source.js";

export interface ShardIndex {
  readonly path: string;
  /** In the order of the file. */
  readonly weightMap: ReadonlyMap<string, string>;
  /** Path of each shard by the name the index gives it. */
  readonly shards: ReadonlyMap<string, string>;
  /** `metadata.total_size`, where it is a number. */
  readonly totalSize: number | undefined;
}

/** Far above any real one: 100,000 tensors take about 10 MB. */
const MAX_INDEX = 100_000_000;

const HINT = "An index has a `weight_map` from each tensor's name to a file beside it.";

/**
 * @throws VistaError `NOT_FOUND` (the index, or a shard it names), `FORMAT` (no index, or names outside its folder)
 */
export async function readIndex(path: string): Promise<ShardIndex> {
  const file = await SourceFile.open(path);
  let text: string;
  try {
    if (file.size > MAX_INDEX) {
      throw new VistaError("FORMAT", `the index has ${file.size} bytes, the limit is ${MAX_INDEX}`, { path });
    }
    const bytes = Buffer.alloc(file.size);
    await file.read(bytes, 0);
    text = bytes.toString("utf8");
  } finally {
    await file.close();
  }
  const { weightMap, totalSize } = parseIndex(text, path);
  const shards = new Map<string, string>();
  for (const [name, shard] of weightMap) {
    if (shards.has(shard)) continue;
    const place = shardPath(path, name, shard);
    if (!(await stat(place).catch(() => undefined))?.isFile()) {
      const holds = [...weightMap.values()].filter((other) => other === shard).length;
      throw new VistaError("NOT_FOUND", `the index names this shard for ${holds} tensors, it is not there`, {
        path: place,
        hint: "Copy all shards into the folder of the index.",
      });
    }
    shards.set(shard, place);
  }
  return { path, weightMap, shards, totalSize };
}

function parseIndex(
  text: string,
  path: string,
): { weightMap: Map<string, string>; totalSize: number | undefined } {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new VistaError("FORMAT", `the index is no JSON: ${(error as Error).message}`, {
      path,
      hint: HINT,
      cause: error,
    });
  }
  const entries = recordOf(recordOf(json)?.weight_map);
  if (entries === undefined)
    throw new VistaError("FORMAT", "the index has no weight_map", { path, hint: HINT });
  const weightMap = new Map<string, string>();
  for (const [name, shard] of Object.entries(entries)) {
    if (typeof shard !== "string") {
      throw new VistaError("FORMAT", "the index does not name a file for it", {
        path,
        record: name,
        hint: HINT,
      });
    }
    weightMap.set(name, shard);
  }
  if (weightMap.size === 0) throw new VistaError("FORMAT", "the weight_map of the index is empty", { path });
  const totalSize = recordOf(recordOf(json)?.metadata)?.total_size;
  return { weightMap, totalSize: typeof totalSize === "number" ? totalSize : undefined };
}

function recordOf(value: unknown): Record<string, unknown> | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : undefined;
}

/** @throws VistaError `FORMAT` for a shard that is no file in the folder of its index or below */
function shardPath(index: string, name: string, shard: string): string {
  const place = insideFolder(dirname(index), shard);
  if (place !== undefined) return place;
  throw new VistaError("FORMAT", `the index names a file outside its folder: ${JSON.stringify(shard)}`, {
    path: index,
    record: name,
    hint: "Do not trust this checkpoint; shards lie beside their index.",
  });
}

/** The text of an index, as zero_to_fp32.py and huggingface_hub write it. */
export function formatIndex(weightMap: ReadonlyMap<string, string>, totalSize: number): string {
  const names = [...weightMap.keys()].map((name) => ({ name, key: Buffer.from(name) }));
  // Python sorts by code points, which is the order of the UTF-8 bytes.
  names.sort((a, b) => Buffer.compare(a.key, b.key));
  const lines = names.map(({ name }) => `    ${ascii(name)}: ${ascii(weightMap.get(name)!)}`);
  return `{\n  "metadata": {\n    "total_size": ${totalSize}\n  },\n  "weight_map": {\n${lines.join(",\n")}\n  }\n}\n`;
}

/** JSON in ASCII, as Python's json.dumps writes it by default. */
function ascii(text: string): string {
  return JSON.stringify(text).replace(
    /[\u007f-\uffff]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
