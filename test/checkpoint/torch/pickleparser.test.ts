/** pickleparser, which is not ours, as a reader of what torch wrote: names, types and shapes must be those that we read. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Parser } from "pickleparser";
import { expect, it } from "vitest";
import { openCheckpoint } from "../../../src/checkpoint/index.js";

/** The stored record `…/data.pkl`, which torch puts first: its local header names no size, so the pickle's end ends it. */
function firstRecord(path: string): Uint8Array {
  const bytes = readFileSync(path);
  expect(bytes.readUInt32LE(0)).toBe(0x04034b50);
  const start = 30 + bytes.readUInt16LE(26) + bytes.readUInt16LE(28);
  return Uint8Array.from(bytes.subarray(start));
}

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
};

function readAsPlain(path: string): Map<string, { dtype: string; shape: number[] }> {
  const found = new Map<string, { dtype: string; shape: number[] }>();
  const named = (name: string) => {
    if (name === "OrderedDict") return () => new Map();
    const make = (...args: unknown[]) => {
      if (name !== "_rebuild_tensor_v2") return undefined;
      const [storage, , shape] = args as [[string, { storage: string }], number, number[]];
      return { dtype: DTYPES[storage[1].storage], shape: [...shape] };
    };
    return Object.assign(make, { storage: name });
  };
  const parser = new Parser({
    nameResolver: { resolve: (_module: string, name: string) => named(name) },
    persistentResolver: { resolve: (id: unknown) => id },
    unpicklingTypeOfDictionary: "Map",
  } as never);
  const value = parser.parse(firstRecord(path)) as Map<string, never> | Record<string, never>;
  for (const [name, tensor] of value instanceof Map ? value : Object.entries(value)) found.set(name, tensor);
  return found;
}

it.each(["views.pt", "shapes.pt", "protocol-4.pt", "protocol-5.pt"])("%s", async (file) => {
  const path = join("fixtures/torch", file);
  const theirs = readAsPlain(path);
  await using ckpt = await openCheckpoint(path);
  const ours = new Map([...ckpt.tensors].map(([name, { dtype, shape }]) => [name, { dtype, shape }]));
  expect(ours.size).toBeGreaterThan(0);
  expect(theirs).toEqual(ours);
});
