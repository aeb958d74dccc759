/** Files that real torch wrote, and files whose pickles are hostile: fixtures/torch and fixtures/hostile. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it, type MockInstance, vi } from "vitest";
import { cpuSeconds } from "../../helpers/cpu.js";
import { type Digest, digestsOf, openTorchFile } from "../../helpers/state.js";

const FIXTURES = fileURLToPath(new URL("../../../fixtures", import.meta.url));

interface Expected {
  files: Record<string, { tensors: (Digest & { sha256_as_f32?: string })[] }>;
}

const expected: Expected = JSON.parse(readFileSync(join(FIXTURES, "torch", "expected.json"), "utf8"));

/** What is said of files that real torch wrote but that are no state dict of plain tensors. */
const REFUSED: Record<string, RegExp> = {
  "repacked-deflated.pt": /the record is compressed \(method 8\)/,
  "unusual-complex32.pt": /torch\.complex32/,
  "unusual-conjugate.pt": /a lazy conjugate or negative view/,
  "unusual-float-key.pt": /1: a tensor whose key is no name: 1\.0 is no text/,
  "unusual-meta.pt": /only torch can rebuild \(a meta tensor/,
  "unusual-negative.pt": /a lazy conjugate or negative view/,
  "unusual-quantized.pt": /a quantised tensor \(QInt8Storage\)/,
  "unusual-sparse.pt": /only torch can rebuild \(a sparse tensor\)/,
  "unusual-sparse_csr.pt": /only torch can rebuild \(a sparse tensor\)/,
};

const HOSTILE: Record<string, RegExp> = {
  "billion-laughs.pt": /no state dict in it/,
  "calls-eval.pt": /no state dict in it; its keys: state_dict/,
  "calls-system.pt": /no state dict in it; its keys: state_dict/,
  "claims-a-huge-bytes8.pt": /ends early: a length of 1152921504606846976 bytes/,
  "claims-a-huge-text.pt": /ends early: 2147483647 bytes wanted at 7, 6 left/,
  "contains-itself.pt": /no state dict in it; its keys: name, self/,
  "deep-lists.pt": /containers nested more than 10000 deep/,
  "deep-tuples.pt": /containers nested more than 10000 deep/,
  "ends-early.pt": /ends early: 5 bytes wanted at 10, 3 left/,
  "long-integer.pt": /an integer of 32768 bytes, the limit is 1024/,
  "many-marks.pt": /nested more than 10000 deep/,
  "memo-of-four-billion.pt": /no state dict in it/,
  "multiplied-text.pt": /no state dict in it/,
  "negative-length.pt": /not a pickle that can be read: an integer of/,
  "no-stop.pt": /ends early: 1 byte wanted at 3, 0 left/,
  "pops-an-empty-stack.pt": /the stack is empty/,
  "protocol-9.pt": /pickle protocol 9, the highest known is 5/,
  "sets-prototype.pt": /no state dict in it; its keys: __proto__, constructor/,
  "sizes-and-strides-of-other-lengths.pt": /a tensor whose storage, offset, size or stride is not one/,
  "storage-that-claims-more-than-its-record.pt": /the storage has 16 bytes, the pickle says 4398046511104/,
  "tensor-beyond-its-storage.pt":
    /shape \[5\], strides \[1\] and offset 0 needs 20 bytes, its storage has 16/,
  "tensor-of-a-storage-outside.pt": /archive\/data\/\.\.\/\.\.\/etc\/passwd: the zip has no such record/,
  "tensor-of-a-storage-that-is-not-there.pt": /archive\/data\/7: the zip has no such record/,
  "tensor-with-huge-stride.pt": /a tensor whose storage, offset, size or stride is not one/,
  "tensor-with-negative-offset.pt": /a tensor whose storage, offset, size or stride is not one/,
  "tensor-with-negative-size.pt": /a tensor whose storage, offset, size or stride is not one/,
  "tensor-with-overflowing-size.pt": /a tensor whose storage, offset, size or stride is not one/,
  "unknown-opcode.pt": /unknown operation 0xff/,
};

/** Hostile only to those who make room for it: 16 bytes that are a terabyte by their strides. */
const A_TERABYTE = "tensor-expanded-to-a-terabyte.pt";

const open = (...path: string[]) => openTorchFile(join(FIXTURES, ...path));

/** Nothing is said on the console, whatever the pickle holds. */
let consoles: MockInstance[];
beforeEach(() => {
  consoles = (["log", "info", "warn", "error"] as const).map((name) => vi.spyOn(console, name));
});
afterEach(() => {
  for (const spy of consoles) expect(spy).not.toHaveBeenCalled();
  vi.restoreAllMocks();
});

describe("files of real torch", () => {
  const names = readdirSync(join(FIXTURES, "torch")).filter((name) => name !== "expected.json");

  it("are all known", () => {
    expect(names.filter((name) => !(name in REFUSED) && !(name in expected.files))).toEqual([]);
    expect(names.length).toBeGreaterThan(30);
  });

  for (const name of names.filter((name) => !(name in REFUSED))) {
    it(`${name} has torch's names, dtypes, shapes and bytes`, async () => {
      const state = await open("torch", name);
      try {
        const wanted = expected.files[name]!.tensors.map(({ sha256_as_f32: _, ...digest }) => digest);
        expect(wanted.length > 0).toBe(name !== "empty.pt");
        expect(await digestsOf(state)).toEqual(wanted);
      } finally {
        await state.close();
      }
    });
  }

  it.each(Object.entries(REFUSED))("%s is refused", async (name, message) => {
    await expect(open("torch", name)).rejects.toThrow(message);
  });
});

describe("hostile files", () => {
  it("are all known", () => {
    const names = readdirSync(join(FIXTURES, "hostile")).filter((name) => name !== A_TERABYTE);
    expect(names.sort()).toEqual(Object.keys(HOSTILE).sort());
  });

  it.each(Object.entries(HOSTILE))("%s is refused, and nothing is executed", async (name, message) => {
    const seconds = await cpuSeconds(() => expect(open("hostile", name)).rejects.toThrow(message));
    expect(seconds).toBeLessThan(5);
    expect(existsSync("executed-by-a-pickle")).toBe(false);
    expect(Object.prototype).not.toHaveProperty("polluted");
  });

  it(`${A_TERABYTE} is refused: a few bytes must not make a command write a terabyte`, async () => {
    await expect(open("hostile", A_TERABYTE)).rejects.toThrow(
      /more than 1099511627776 bytes, the file has \d+: views that expand/,
    );
  });
});
