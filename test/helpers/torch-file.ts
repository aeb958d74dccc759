/**
 * Writes torch files and ZeRO checkpoints for tests, independently of src/: a small pickler and a small zip writer, with
 * knobs to make them wrong.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { crc32 } from "node:zlib";

/** A tensor to be pickled: float32 unless a storage class is named. */
export class FakeTensor {
  readonly bytes: Uint8Array;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
  readonly storageClass: string;
  readonly offset: number;
  constructor(
    values: readonly number[] | Uint8Array,
    shape: readonly number[] = [values.length],
    options: { storageClass?: string; strides?: readonly number[]; offset?: number } = {},
  ) {
    this.bytes = values instanceof Uint8Array ? values : new Uint8Array(Float32Array.from(values).buffer);
    this.shape = shape;
    this.storageClass = options.storageClass ?? "FloatStorage";
    this.offset = options.offset ?? 0;
    this.strides = options.strides ?? rowMajor(shape);
  }
}

export class Tuple {
  readonly items: readonly Fake[];
  constructor(...items: Fake[]) {
    this.items = items;
  }
}

/** `module.name(*args)`, optionally with a state. */
export class Call {
  readonly module: string;
  readonly name: string;
  readonly args: readonly Fake[];
  constructor(module: string, name: string, ...args: Fake[]) {
    this.module = module;
    this.name = name;
    this.args = args;
  }
}

/** `module.name.__new__()` with attributes, as a dataclass is pickled. */
export class Instance {
  readonly module: string;
  readonly name: string;
  readonly state: Record<string, Fake>;
  constructor(module: string, name: string, state: Record<string, Fake>) {
    this.module = module;
    this.name = name;
    this.state = state;
  }
}

export type Fake =
  | null
  | boolean
  | number
  | string
  | Fake[]
  | Map<Fake, Fake>
  | Tuple
  | Call
  | Instance
  | FakeTensor;

function rowMajor(shape: readonly number[]): number[] {
  const strides: number[] = [];
  let step = 1;
  for (const dim of [...shape].reverse()) {
    strides.unshift(step);
    step *= Math.max(dim, 1);
  }
  return strides;
}

const ELEMENT: Record<string, number> = {
  FloatStorage: 4,
  HalfStorage: 2,
  BFloat16Storage: 2,
  LongStorage: 8,
  BoolStorage: 1,
  ByteStorage: 1,
  QInt32Storage: 4,
  DoubleStorage: 8,
  ComplexFloatStorage: 8,
};

/** Protocol 2. Tensors are collected in `storages`, in the order of their keys. */
export function pickle(value: Fake, storages: Uint8Array[] = []): Buffer {
  const chunks: Buffer[] = [Buffer.from([0x80, 2])];
  const keys = new Map<Uint8Array, number>();
  const u32 = (n: number) => {
    const buffer = Buffer.alloc(4);
    buffer.writeUInt32LE(n);
    return buffer;
  };
  const op = (...bytes: number[]) => chunks.push(Buffer.from(bytes));
  const text = (s: string) => chunks.push(Buffer.from("X"), u32(Buffer.byteLength(s)), Buffer.from(s));
  const global = (module: string, name: string) => chunks.push(Buffer.from(`c${module}\n${name}\n`));
  const tuple = (items: readonly Fake[]) => {
    op(0x28);
    for (const item of items) write(item);
    op(0x74);
  };
  const write = (item: Fake): void => {
    if (item === null) op(0x4e);
    else if (typeof item === "boolean") op(item ? 0x88 : 0x89);
    else if (typeof item === "string") text(item);
    else if (typeof item === "number") {
      if (Number.isInteger(item) && Math.abs(item) < 2 ** 31) {
        const buffer = Buffer.alloc(4);
        buffer.writeInt32LE(item);
        chunks.push(Buffer.from("J"), buffer);
      } else {
        const buffer = Buffer.alloc(8);
        buffer.writeDoubleBE(item);
        chunks.push(Buffer.from("G"), buffer);
      }
    } else if (Array.isArray(item)) {
      op(0x5d, 0x28);
      for (const one of item) write(one);
      op(0x65);
    } else if (item instanceof Map) {
      op(0x7d, 0x28);
      for (const [key, one] of item) {
        write(key);
        write(one);
      }
      op(0x75);
    } else if (item instanceof Tuple) tuple(item.items);
    else if (item instanceof Call) {
      global(item.module, item.name);
      tuple(item.args);
      op(0x52);
    } else if (item instanceof Instance) {
      global(item.module, item.name);
      op(0x29, 0x81);
      write(new Map<Fake, Fake>(Object.entries(item.state)));
      op(0x62);
    } else {
      let key = keys.get(item.bytes);
      if (key === undefined) {
        key = storages.length;
        keys.set(item.bytes, key);
        storages.push(item.bytes);
      }
      global("torch._utils", "_rebuild_tensor_v2");
      op(0x28, 0x28);
      text("storage");
      global("torch", item.storageClass);
      text(String(key));
      text("cpu");
      write(item.bytes.byteLength / ELEMENT[item.storageClass]!);
      op(0x74, 0x51);
      write(item.offset);
      tuple(item.shape);
      tuple(item.strides);
      op(0x89);
      write(new Call("collections", "OrderedDict"));
      op(0x74, 0x52);
    }
  };
  write(value);
  op(0x2e);
  return Buffer.concat(chunks);
}

export interface ZipEntry {
  name: string;
  data: Uint8Array;
  /** Overrides, to make the directory lie. */
  crc?: number;
  method?: number;
  size?: number;
  headerOffset?: number;
}

/** A plain zip of stored entries, no zip64. */
export function zip(entries: readonly ZipEntry[]): Buffer {
  const body: Uint8Array[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const entry of entries) {
    const name = Buffer.from(entry.name);
    const crc = entry.crc ?? crc32(entry.data);
    const local = Buffer.alloc(30);
    local.writeUInt32LE(0x04034b50, 0);
    local.writeUInt16LE(entry.method ?? 0, 8);
    local.writeUInt32LE(crc, 14);
    local.writeUInt32LE(entry.data.byteLength, 18);
    local.writeUInt32LE(entry.data.byteLength, 22);
    local.writeUInt16LE(name.length, 26);
    body.push(local, name, entry.data);
    const central = Buffer.alloc(46);
    central.writeUInt32LE(0x02014b50, 0);
    central.writeUInt16LE(entry.method ?? 0, 10);
    central.writeUInt32LE(crc, 16);
    central.writeUInt32LE(entry.size ?? entry.data.byteLength, 20);
    central.writeUInt32LE(entry.size ?? entry.data.byteLength, 24);
    central.writeUInt16LE(name.length, 28);
    central.writeUInt32LE(entry.headerOffset ?? offset, 42);
    directory.push(central, name);
    offset += 30 + name.length + entry.data.byteLength;
  }
  const central = Buffer.concat(directory);
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(entries.length, 8);
  end.writeUInt16LE(entries.length, 10);
  end.writeUInt32LE(central.length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...body, central, end]);
}

export function torchEntries(value: Fake): ZipEntry[] {
  const storages: Uint8Array[] = [];
  const data = pickle(value, storages);
  return [
    { name: "archive/data.pkl", data },
    { name: "archive/byteorder", data: Buffer.from("little") },
    ...storages.map((bytes, key) => ({ name: `archive/data/${key}`, data: bytes })),
    { name: "archive/version", data: Buffer.from("3\n") },
  ];
}

export function torchZip(value: Fake): Buffer {
  return zip(torchEntries(value));
}

/** torch.save before 1.6. */
export function legacyTorch(value: Fake): Buffer {
  const storages: Uint8Array[] = [];
  const object = pickle(value, storages);
  const magic = Buffer.concat([
    Buffer.from([0x80, 2, 0x8a, 10]),
    Buffer.from("6cfc9c46f9206aa85019", "hex"),
    Buffer.from("."),
  ]);
  const parts = [magic, pickle(1001), pickle(new Map<Fake, Fake>([["little_endian", true]])), object];
  parts.push(pickle(storages.map((_, key) => String(key))));
  for (const bytes of storages) {
    const count = Buffer.alloc(8);
    count.writeBigInt64LE(BigInt(bytes.byteLength / 4));
    parts.push(count, Buffer.from(bytes));
  }
  return Buffer.concat(parts);
}

export const shapes = (of: Record<string, readonly number[]>): Map<Fake, Fake> =>
  new Map(Object.entries(of).map(([name, shape]) => [name, new Call("torch", "Size", new Tuple(...shape))]));

export interface FakeCheckpoint {
  stage: 1 | 2 | 3;
  /** Per rank, the flat tensors of its groups. */
  partitions: readonly (readonly FakeTensor[])[];
  /** Per group. */
  paramShapes: readonly Record<string, readonly number[]>[];
  module?: Map<Fake, Fake>;
  buffers?: readonly string[];
  shard?: (rank: number) => Record<string, Fake>;
  model?: Record<string, Fake>;
  /** What all files give as `ds_version`; default 0.16.0. */
  version?: string | null;
}

/** A checkpoint shaped like DeepSpeed's, in `folder`, with the tag `global_step1`. */
export function writeFakeCheckpoint(folder: string, checkpoint: FakeCheckpoint): string {
  const tag = join(folder, "global_step1");
  mkdirSync(tag, { recursive: true });
  writeFileSync(join(folder, "latest"), "global_step1");
  const ranks = checkpoint.partitions.length;
  const version = checkpoint.version === undefined ? "0.16.0" : checkpoint.version;
  checkpoint.partitions.forEach((groups, rank) => {
    const key = checkpoint.stage === 3 ? "fp32_flat_groups" : "single_partition_of_fp32_groups";
    const state = new Map<Fake, Fake>(
      Object.entries({
        zero_stage: new Call("deepspeed.runtime.zero.config", "ZeroStageEnum", checkpoint.stage),
        partition_count: checkpoint.stage === 3 ? ranks : groups.map(() => ranks),
        [key]: [...groups],
        ...checkpoint.shard?.(rank),
      }),
    );
    const shard = new Map<Fake, Fake>([
      ["optimizer_state_dict", state],
      ["ds_version", version],
    ]);
    writeFileSync(join(tag, `zero_pp_rank_${rank}_mp_rank_00_optim_states.pt`), torchZip(shard));
  });
  for (let rank = 0; rank < (checkpoint.stage === 3 ? ranks : 1); rank++) {
    const name = checkpoint.stage === 3 ? `zero_pp_rank_${rank}_mp_rank_00` : "mp_rank_00";
    const model = new Map<Fake, Fake>(
      Object.entries({
        module: checkpoint.module ?? new Map(),
        buffer_names: [...(checkpoint.buffers ?? [])],
        param_shapes: checkpoint.paramShapes.map(shapes),
        shared_params: new Map(),
        ds_version: version,
        dp_world_size: ranks,
        ...checkpoint.model,
      }),
    );
    writeFileSync(join(tag, `${name}_model_states.pt`), torchZip(model));
  }
  return tag;
}
