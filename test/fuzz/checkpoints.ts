/** The checkpoint formats. Each input begins as a real file of fixtures/ and is changed where its readers look. */
import { readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { diffStates } from "../../src/checkpoint/diff.js";
import { inspectCheckpoint } from "../../src/checkpoint/inspect.js";
import { openCheckpoint } from "../../src/checkpoint/open.js";
import { saveCheckpoint } from "../../src/checkpoint/save.js";
import { scanPaths } from "../../src/checkpoint/scan/scan.js";
import { verifyCheckpoint } from "../../src/checkpoint/verify.js";
import { isVistaError } from "../../src/core/errors.js";
import { type ZipEntry, zip } from "../helpers/torch-file.js";
import { mutateBytes, mutateJson, mutateJsonFile } from "./mutate.js";
import { makePickle, mutatePickle } from "./pickles.js";
import type { Random } from "./random.js";
import { type Target, Wrong } from "./target.js";

/** Beyond this a state dict is not written: the time is for the readers. */
const MAX_WRITTEN = 2 ** 18;

/** @param fixtures  the folder fixtures/ */
export function checkpointTargets(fixtures: string): Target[] {
  const torch = filesIn(join(fixtures, "torch"), /\.(?:pt|ckpt)$/);
  const zips = torch
    .filter(({ bytes }) => bytes.readUInt32LE(0) === 0x04034b50)
    .map(({ bytes }) => unzip(bytes));
  const legacy = torch.filter(({ bytes }) => bytes[0] === 0x80).map(({ bytes }) => bytes);
  const plain = filesIn(join(fixtures, "safetensors"), /\.safetensors$/).map(({ bytes }) => bytes);
  const zero = folders(join(fixtures, "zero"), (name) => !/^vista|5ranks/.test(name));
  const universal = folders(join(fixtures, "universal"));
  const dcp = folders(join(fixtures, "dcp"));
  return [
    {
      name: "zip",
      make: (random) => one("x.pt", mutateZip(random.pick(zips), random)),
      run: readFile("x.pt"),
    },
    {
      name: "pickle",
      make: (random) => one("x.pt", withPickle(random.pick(zips), random)),
      run: readFile("x.pt"),
    },
    {
      name: "legacy",
      make: (random) => one("x.pt", mutateLegacy(random.pick(legacy), random)),
      run: readFile("x.pt"),
    },
    {
      name: "safetensors",
      make: (random) => one("x.safetensors", mutateSafetensors(random.pick(plain), random)),
      run: readFile("x.safetensors"),
    },
    { name: "zero", make: (random) => mutateFolder(pickSmall(zero, random), random), run: readFile("") },
    {
      name: "universal",
      make: (random) => mutateFolder(pickSmall(universal, random), random),
      run: readFile(""),
    },
    { name: "dcp", make: (random) => mutateFolder(random.pick(dcp), random), run: readFile("") },
    {
      name: "index",
      make: (random) => mutateSharded(plain, random),
      run: readFile("model.safetensors.index.json"),
    },
  ];
}

function one(name: string, bytes: Uint8Array): Map<string, Uint8Array> {
  return new Map([[name, bytes]]);
}

function filesIn(folder: string, pattern: RegExp): { name: string; bytes: Buffer }[] {
  return readdirSync(folder)
    .filter((name) => pattern.test(name))
    .sort()
    .map((name) => ({ name, bytes: readFileSync(join(folder, name)) }));
}

/** Every command that reads; what one refuses, the others may not crash on. */
function readFile(name: string) {
  return async (folder: string, random: Random): Promise<undefined> => {
    const path = join(folder, name);
    const refusals: unknown[] = [];
    for (const read of [inspectCheckpoint, verifyCheckpoint, scanOne]) {
      try {
        await read(path);
      } catch (error) {
        refusals.push(error);
      }
    }
    const other = refusals.find((error) => !isVistaError(error));
    if (other !== undefined) throw other;
    const checkpoint = await openCheckpoint(path);
    try {
      const { state } = checkpoint;
      if (state.byteLength > MAX_WRITTEN || state.tensors.size === 0 || !random.chance(0.5)) return undefined;
      const written = join(folder, random.pick(["out.safetensors", "out.bin"]));
      await saveCheckpoint(state, written, { fsync: false });
      const back = await openCheckpoint(written);
      try {
        const { equal, different, onlyA, onlyB } = await diffStates(state, back.state);
        if (!equal) {
          throw new Wrong(
            `${basename(written)} read back differs: ${JSON.stringify({ different, onlyA, onlyB }).slice(0, 500)}`,
          );
        }
      } finally {
        await back.state.close();
      }
    } finally {
      await checkpoint.state.close();
    }
    if (refusals.length > 0) throw refusals[0];
    return undefined;
  };
}

/** A scan never throws for what is in a file. */
async function scanOne(path: string): Promise<void> {
  await scanPaths([path]).catch((error: unknown) => {
    throw new Wrong(`scan threw: ${error instanceof Error ? error.stack : String(error)}`);
  });
}

/** The stored records of a zip. */
function unzip(bytes: Buffer): ZipEntry[] {
  const entries: ZipEntry[] = [];
  let end = bytes.length - 22;
  while (bytes.readUInt32LE(end) !== 0x06054b50) end--;
  let at = bytes.readUInt32LE(end + 16);
  while (bytes.readUInt32LE(at) === 0x02014b50) {
    const [size, nameLength, extra, comment] = [20, 28, 30, 32].map((field, i) =>
      i === 0 ? bytes.readUInt32LE(at + field) : bytes.readUInt16LE(at + field),
    ) as [number, number, number, number];
    const local = bytes.readUInt32LE(at + 42);
    const start = local + 30 + bytes.readUInt16LE(local + 26) + bytes.readUInt16LE(local + 28);
    const name = bytes.toString("utf8", at + 46, at + 46 + nameLength);
    entries.push({ name, data: bytes.subarray(start, start + size) });
    at += 46 + nameLength + extra + comment;
  }
  return entries;
}

/** With the right CRC, so that the pickle is read. */
function withPickle(entries: readonly ZipEntry[], random: Random): Buffer {
  return zip(
    entries.map((entry) => {
      if (!entry.name.endsWith("/data.pkl")) return entry;
      const data = random.chance(0.3) ? makePickle(random) : mutatePickle(entry.data, random);
      return { ...entry, data };
    }),
  );
}

function mutateZip(entries: readonly ZipEntry[], random: Random): Buffer {
  const changed = entries.map((entry) => ({ ...entry }));
  for (let left = random.size(4); left > 0 && changed.length > 0; left--) {
    const entry = random.pick(changed);
    switch (random.below(8)) {
      case 0:
        changed.splice(changed.indexOf(entry), 1);
        break;
      case 1:
        changed.push({ ...random.pick(changed) });
        break;
      case 2:
        entry.name = random.pick([
          "archive/data.pkl",
          "x/data.pkl",
          "archive/data/0",
          "",
          "../x",
          "a".repeat(3000),
          random.pick(changed).name,
        ]);
        break;
      case 3:
        entry.data = mutateBytes(entry.data, random);
        break;
      case 4:
        entry.crc = random.below(2 ** 32);
        break;
      case 5:
        entry.method = random.pick([0, 8, 99]);
        break;
      case 6:
        entry.size = random.pick([0, 1, entry.data.length + 1, 2 ** 31, 2 ** 32 - 1]);
        break;
      default:
        entry.headerOffset = random.pick([0, 1, 100, 2 ** 31, 2 ** 32 - 1]);
    }
  }
  const bytes = zip(changed);
  return random.chance(0.4) ? mutateBytes(bytes, random) : bytes;
}

function mutateLegacy(bytes: Buffer, random: Random): Buffer {
  // Beyond the magic number and the protocol version, which only one value passes.
  const head = random.chance(0.95) ? 14 + 6 : 0;
  const rest = bytes.subarray(head);
  return Buffer.concat([
    bytes.subarray(0, head),
    random.chance(0.5) ? mutatePickle(rest, random) : mutateBytes(rest, random),
  ]);
}

function mutateSafetensors(bytes: Buffer, random: Random): Buffer {
  // Another change may have cut it off before its header.
  const length = bytes.length < 8 ? Infinity : Number(bytes.readBigUInt64LE(0));
  if (length > bytes.length - 8 || random.chance(0.3)) return mutateBytes(bytes, random);
  const text = bytes.toString("utf8", 8, 8 + length);
  let header: Buffer;
  try {
    header = random.chance(0.7) ? mutateJsonFile(text, random) : mutateBytes(Buffer.from(text), random);
  } catch {
    header = mutateBytes(Buffer.from(text), random);
  }
  const head = Buffer.alloc(8);
  head.writeBigUInt64LE(BigInt(header.length));
  return Buffer.concat([head, header, bytes.subarray(8 + length)]);
}

/** The folders of checkpoints in a folder, each as its files; the smallest first. */
function folders(folder: string, isMeant: (name: string) => boolean = () => true): Map<string, Buffer>[] {
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && isMeant(entry.name))
    .map(({ name }) => name)
    .sort()
    .map((name) => {
      const files = new Map<string, Buffer>();
      for (const path of readdirSync(join(folder, name), { recursive: true, encoding: "utf8" }).sort()) {
        if (!/(?:\.pt|\.distcp|\.safetensors|\.metadata|latest\w*)$/.test(path)) continue;
        files.set(path, readFileSync(join(folder, name, path)));
      }
      return files;
    })
    .filter((files) => files.size > 1)
    .sort((a, b) => weight(a) - weight(b));
}

function weight(files: ReadonlyMap<string, Buffer>): number {
  return [...files.values()].reduce((sum, { length }) => sum + length, 0);
}

/** Mostly one of the smaller: what takes time is the number of files and parameters, and what is attacked is in each of them. */
function pickSmall(sorted: readonly Map<string, Buffer>[], random: Random): Map<string, Buffer> {
  return sorted[Math.floor(sorted.length * random.next() ** 4)]!;
}

function mutateFolder(files: ReadonlyMap<string, Buffer>, random: Random): Map<string, Uint8Array> {
  const changed = new Map<string, Uint8Array>(files);
  for (let left = 1 + random.size(2); left > 0; left--) {
    // `latest` seldom: with another name in it, nothing else is read.
    const candidates = [...changed].filter(([name]) => !isTag(name) || random.chance(0.05));
    if (candidates.length === 0) break;
    const metadata = candidates.find(([name]) => name.endsWith(".metadata"));
    const [name, bytes] = metadata !== undefined && random.chance(0.7) ? metadata : random.pick(candidates);
    const how = random.next();
    if (how < 0.05) changed.delete(name);
    else if (how < 0.1) changed.set(name, random.pick([...changed.values()]));
    else if (isTag(name)) changed.set(name, mutateBytes(bytes, random));
    else if (Buffer.from(bytes.subarray(0, 4)).toString("latin1") === "PK\x03\x04") {
      const entries = tryUnzip(Buffer.from(bytes));
      changed.set(name, entries === undefined ? mutateBytes(bytes, random) : withPickle(entries, random));
    } else if (name.endsWith(".metadata")) changed.set(name, mutatePickle(bytes, random));
    else if (name.endsWith(".safetensors")) changed.set(name, mutateSafetensors(Buffer.from(bytes), random));
    else changed.set(name, mutateLegacy(Buffer.from(bytes), random));
  }
  return changed;
}

/** A file that only names another. */
const isTag = (name: string) => /latest\w*$/.test(name);

function tryUnzip(bytes: Buffer): ZipEntry[] | undefined {
  try {
    return unzip(bytes);
  } catch {
    return undefined;
  }
}

function mutateSharded(plain: readonly Buffer[], random: Random): Map<string, Uint8Array> {
  const files = new Map<string, Uint8Array>();
  const weightMap: Record<string, string> = {};
  for (let i = 0; i < 2; i++) {
    const bytes = random.pick(plain);
    const shard = `model-0000${i + 1}-of-00002.safetensors`;
    files.set(shard, random.chance(0.1) ? mutateBytes(bytes, random) : bytes);
    const length = Number(bytes.readBigUInt64LE(0));
    let header: object;
    try {
      header = JSON.parse(bytes.toString("utf8", 8, 8 + length)) as object;
    } catch {
      continue;
    }
    for (const name of Object.keys(header)) if (name !== "__metadata__") weightMap[name] = shard;
  }
  const index: unknown = { metadata: { total_size: 100 }, weight_map: weightMap };
  const changed = random.chance(0.8) ? mutateJson(index, random) : index;
  const text = Buffer.from(JSON.stringify(changed) ?? "null");
  files.set("model.safetensors.index.json", random.chance(0.4) ? mutateBytes(text, random, 3) : text);
  return files;
}
