/**
 * pickleparser, which is not ours, as a reader of what torch wrote: of every zip file of torch.save in the fixtures, each tensor with
 * its place in the pickle, its type and its shape must be what we read. What it cannot carry is named, with the reason.
 */
import { readFileSync } from "node:fs";
import glob from "fast-glob";
import { Parser } from "pickleparser";
import { describe, expect, it, vi } from "vitest";
import { readTorchFile } from "../../../src/checkpoint/torch/read.js";
import { storagesIn } from "../../../src/checkpoint/torch/storages.js";

const DTYPES: Record<string, string> = {
  FloatStorage: "F32",
  DoubleStorage: "F64",
  HalfStorage: "F16",
  BFloat16Storage: "BF16",
  LongStorage: "I64",
  IntStorage: "I32",
  ShortStorage: "I16",
  CharStorage: "I8",
  ByteStorage: "U8",
  BoolStorage: "BOOL",
  ComplexFloatStorage: "C64",
  ComplexDoubleStorage: "C128",
  // Those of _rebuild_tensor_v3 are dtypes.
  float8_e4m3fn: "F8_E4M3",
  float8_e5m2: "F8_E5M2",
  float8_e4m3fnuz: "F8_E4M3FNUZ",
  float8_e5m2fnuz: "F8_E5M2FNUZ",
  float8_e8m0fnu: "F8_E8M0",
  uint16: "U16",
  uint32: "U32",
  uint64: "U64",
};

class Tensor {
  constructor(
    readonly dtype: string,
    readonly shape: readonly number[],
  ) {}
}

/** What a name of the pickle becomes: callable, constructible, and with what SETITEMS, APPENDS and BUILD ask for. */
function named(name: string) {
  const make = (...args: unknown[]): unknown => {
    const [first, , shape, , , , dtype] = args as [unknown, unknown, number[], ...unknown[]];
    if (name === "_rebuild_tensor_v2" || name === "_rebuild_tensor_v3") {
      const type = (name.endsWith("v3") ? dtype : (first as unknown[])[1]) as { named: string };
      return new Tensor(DTYPES[type.named] ?? type.named, [...shape]);
    }
    if (name.startsWith("_rebuild_parameter")) return first;
    if (name === "_rebuild_from_type_v2") return (first as (...args: unknown[]) => unknown)(...shape);
    const items: unknown[] = [];
    const push = (...more: unknown[]) => items.push(...more);
    return name === "OrderedDict" ? new Map() : Object.assign(new Map(), { args, items, push });
  };
  // biome-ignore lint/complexity/useArrowFunction: `new` takes no arrow, and NEWOBJ calls it so.
  const callable = function (...args: unknown[]) {
    return make(...args);
  };
  return Object.assign(callable, { named: name });
}

/** The stored record `…/data.pkl`, which torch puts first: its local header names no size, so the pickle's end ends it. */
function firstRecord(path: string): Uint8Array {
  const bytes = readFileSync(path);
  expect(bytes.readUInt32LE(0)).toBe(0x04034b50);
  return Uint8Array.from(bytes.subarray(30 + bytes.readUInt16LE(26) + bytes.readUInt16LE(28)));
}

/** `place: dtype [shape]` of each tensor, once, in any order. */
function readByThem(path: string): string[] {
  const parser = new Parser({
    nameResolver: { resolve: (_module: string, name: string) => named(name) },
    persistentResolver: { resolve: (id: unknown) => id },
    unpicklingTypeOfDictionary: "Map",
  } as never);
  const found: string[] = [];
  const seen = new Set<unknown>();
  const walk = (value: unknown, place: readonly unknown[]) => {
    if (typeof value !== "object" || value === null || seen.has(value) || ArrayBuffer.isView(value)) return;
    seen.add(value);
    if (value instanceof Tensor) {
      found.push(`${place.join(".")}: ${value.dtype} [${value.shape}]`);
      return;
    }
    if (value instanceof Map) for (const [key, one] of value) walk(one, [...place, key]);
    else if (value instanceof Set) for (const [i, one] of [...value].entries()) walk(one, [...place, i]);
    // Arrays, and what an inert object holds beside its items.
    for (const [key, one] of Object.entries(value)) walk(one, [...place, key]);
  };
  walk(parser.parse(firstRecord(path)), []);
  return found.sort();
}

async function readByUs(path: string): Promise<string[]> {
  const { file, value } = await readTorchFile(path);
  await file.close();
  const { tensors } = storagesIn(value, path);
  return [...tensors].map(([{ dtype, shape }, place]) => `${place}: ${dtype} [${shape}]`).sort();
}

/** Why a file is not compared. */
const LEFT_OUT: readonly (readonly [pattern: RegExp, why: string])[] = [
  [/legacy/, "five pickles one after the other, of which pickleparser does not say where the first one ends"],
  [
    /unusual-(complex32|conjugate|negative|sparse|csr|nested|quantised|meta)/,
    "tensors that we leave to torch",
  ],
  [
    /torch\/lightning(-protocol-4)?\.ckpt|client-state\/.*model_states/,
    "integers of more than 8 bytes (see below)",
  ],
  [/repacked-deflated/, "compressed: refused by us, and no pickle as it stands"],
];

const files = glob
  .sync("fixtures/{torch,zero,reshard,universal,dcp}/**/*.{pt,bin,pth,ckpt}")
  .filter((path) => !path.endsWith(".ckpt") || path.startsWith("fixtures/torch"))
  .sort();
const compared = files.filter((path) => !LEFT_OUT.some(([pattern]) => pattern.test(path)));

it("nearly all fixtures are compared, and no reason for leaving one out is idle", () => {
  expect(compared.length).toBeGreaterThan(370);
  for (const [pattern, why] of LEFT_OUT)
    expect([why, files.some((path) => pattern.test(path))]).toEqual([why, true]);
  const said = `of ${compared.length} of the ${files.length}\nfiles of torch.save`;
  expect(readFileSync("docs/dependencies.md", "utf8")).toContain(said);
});

it.each(["torch/lightning.ckpt", "torch/lightning-protocol-4.ckpt"])(
  "%s: it throws for numpy's generator state, integers of 16 bytes",
  (file) => {
    expect(() => readByThem(`fixtures/${file}`)).toThrow("Value too large to unpickling");
  },
);

describe.each(["torch", "zero", "reshard", "universal", "dcp"])("fixtures/%s", (folder) => {
  const own = compared.filter((path) => path.startsWith(`fixtures/${folder}/`));
  it.runIf(own.length > 0)(`${own.length} files`, async () => {
    const warn = vi.spyOn(console, "warn").mockImplementation(() => {}); // for integers beyond 2^53
    const strange: unknown[] = [];
    for (const path of own) {
      try {
        expect(readByThem(path)).toEqual(await readByUs(path));
      } catch (error) {
        strange.push([path, (error as Error).message.slice(0, 300)]);
      }
    }
    warn.mockRestore();
    expect(strange).toEqual([]);
  });
});
