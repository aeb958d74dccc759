import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { parseHeader } from "../../../src/checkpoint/safetensors/header.js";
import { openSafetensors } from "../../../src/checkpoint/safetensors/read.js";
import { cpuSeconds } from "../../helpers/cpu.js";
import { digestsOf, temporaryFolder } from "../../helpers/state.js";

const FIXTURES = fileURLToPath(new URL("../../../fixtures/safetensors/", import.meta.url));
const EXPECTED = JSON.parse(readFileSync(join(FIXTURES, "valid.json"), "utf8"));

function filesIn(folder: string): string[] {
  return readdirSync(join(FIXTURES, folder)).filter((name) => name.endsWith(".safetensors"));
}

describe("files of the real library", () => {
  it.each(Object.keys(EXPECTED))("%s", async (name) => {
    const { state, metadata } = await openSafetensors(join(FIXTURES, "valid", `${name}.safetensors`));
    const digests = await digestsOf(state);
    await state.close();
    const byName = (a: { name: string }, b: { name: string }) => (a.name < b.name ? -1 : 1);
    expect(digests.sort(byName)).toEqual(EXPECTED[name].tensors.sort(byName));
    expect(metadata && Object.fromEntries(metadata)).toEqual(EXPECTED[name].metadata ?? undefined);
  });
});

describe("what the real library reads too", () => {
  it.each(filesIn("accepted"))("%s", async (name) => {
    const { state } = await openSafetensors(join(FIXTURES, "accepted", name));
    expect(state.tensors.size).toBeGreaterThan(0);
    await state.close();
  });

  it("escaped names are unescaped, white space is skipped, unknown fields too", async () => {
    const names = async (file: string) => {
      const { state } = await openSafetensors(join(FIXTURES, "accepted", `${file}.safetensors`));
      await state.close();
      return [...state.tensors.keys()];
    };
    expect(await names("escaped names")).toEqual(["a\u{1f600}/"]);
    expect(await names("spaces before and after the header")).toEqual(["t"]);
    expect(await names("tensors not in the order of their names")).toEqual(["a", "z"]);
  });
});

/** What the message must say; every malformed file is refused, these are looked at closely. */
const REASONS: Record<string, RegExp> = {
  "empty file": /has 0 bytes/,
  "header length above the limit": /claims 100000001 bytes, the limit is 100000000/,
  "header length of 2 to the 64 less 1": /claims 18446744073709551615 bytes/,
  "header longer than the file": /ends at byte 68, the file has 8/,
  "header not UTF-8": /not valid UTF-8/,
  "surrogate as UTF-8": /not valid UTF-8/,
  "header with a byte order mark": /not an object/,
  "a tensor's name twice": /"t" twice/,
  "a metadata key twice": /"a" twice/,
  "a field twice": /"dtype" twice/,
  "nested more than 128 deep": /nested more than 128 deep/,
  "half a surrogate pair in a name": /surrogate/,
  "no shape": /"t" has no shape/,
  "dtype unknown": /"I31", is not known/,
  "shape with a float": /"2.0" where a count is needed/,
  "shape with a negative": /"-2" where a count is needed/,
  "shape product overflows": /overflow/,
  "shape times dtype overflows": /overflow/,
  "shape and data_offsets disagree": /needs 16 bytes, data_offsets give 4/,
  "ten tensors on one range": /starts at 0, inside the one before, which ends at 16/,
  "a gap between tensors": /starts at 20, the one before ends at 16: a gap/,
  "a gap before the first tensor": /starts at 4, the one before ends at 0/,
  "bytes after the tensors": /5 belong to nothing/,
  "bytes missing at the end": /2 are missing/,
  "F4 of three elements": /do not fill whole bytes/,
};

describe("malformed files are refused", () => {
  const names = filesIn("malformed");
  it("has a file for each close look", () => {
    for (const name of Object.keys(REASONS)) expect(names).toContain(`${name}.safetensors`);
  });

  it.each(names)("%s", async (name) => {
    const path = join(FIXTURES, "malformed", name);
    const error = await openSafetensors(path).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect(error).toMatchObject({
      name: "VistaError",
      code: expect.stringMatching(/^(FORMAT|TRUNCATED)$/),
      where: { path },
      hint: expect.any(String),
    });
    const reason = REASONS[name.replace(/\.safetensors$/, "")];
    if (reason !== undefined) expect((error as Error).message).toMatch(reason);
    expect((error as Error).message).not.toContain("\n");
  });
});

describe("hostile headers of 25 MB take seconds and little memory", () => {
  const SIZE = 24_000_000;
  const cases: Record<string, () => Buffer> = {
    "open brackets": () => Buffer.from(`{"a":{"x":${"[".repeat(SIZE)}`),
    "one long name": () => Buffer.from(`{"${"a".repeat(SIZE)}":1}`),
    escapes: () => Buffer.from(`{"${"\\u0041".repeat(SIZE / 6)}":1}`),
    "a list of numbers to skip": () => Buffer.from(`{"a":{"x":[${"1,".repeat(SIZE / 2)}1]}}`),
    "a number of a million digits": () => Buffer.from(`{"a":{"x":${"1".repeat(1e6)}}}`),
    spaces: () => Buffer.alloc(SIZE, " "),
  };
  it.each(Object.keys(cases))("%s", async (name) => {
    const header = cases[name]!();
    const before = process.memoryUsage().rss;
    const seconds = await cpuSeconds(() =>
      expect(() => parseHeader(header, "hostile.safetensors")).toThrow(/the header breaks a rule/),
    );
    expect(seconds).toBeLessThan(4);
    expect(process.memoryUsage().rss - before).toBeLessThan(100e6);
  });

  it("a header with fifty thousand tensors is read", () => {
    const entries = Array.from(
      { length: 50_000 },
      (_, i) => `"t${i}":{"dtype":"U8","shape":[1],"data_offsets":[${i},${i + 1}]}`,
    );
    const { entries: read } = parseHeader(Buffer.from(`{${entries.join(",")}}`), "many.safetensors");
    expect(read.length).toBe(50_000);
    expect(read[49_999]).toEqual({ name: "t49999", dtype: "U8", shape: [1], start: 49_999, end: 50_000 });
  });
});

it("a file cut anywhere is refused", async () => {
  const folder = temporaryFolder();
  const bytes = readFileSync(join(FIXTURES, "valid", "every dtype.safetensors"));
  const path = join(folder, "cut.safetensors");
  for (let length = 0; length < bytes.length; length += 37) {
    writeFileSync(path, bytes.subarray(0, length));
    await expect(openSafetensors(path)).rejects.toMatchObject({ code: "TRUNCATED" });
  }
});

interface Verdict {
  accepted: boolean;
  names?: string[];
  metadata?: Record<string, string> | null;
}

/** Read by the reference and refused here: two readers must not see two different files; no dimension is beyond 2^53. */
const STRICTER = [
  "name-twice.safetensors",
  "name-twice-on-one-range.safetensors",
  "shape-with-a-zero-and-huge.safetensors",
];

describe("crafted files get the reference's verdict", () => {
  const { files, crafted } = JSON.parse(readFileSync(join(FIXTURES, "expected.json"), "utf8")) as {
    files: Record<string, { metadata: Record<string, string> | null; tensors: { name: string }[] }>;
    crafted: Record<string, Verdict>;
  };

  it.each(Object.entries(crafted))("%s", async (name, verdict) => {
    const opening = openSafetensors(join(FIXTURES, "crafted", name));
    if (!verdict.accepted || STRICTER.includes(name)) {
      await expect(opening).rejects.toMatchObject({ code: expect.stringMatching(/^(FORMAT|TRUNCATED)$/) });
      return;
    }
    const { state, metadata } = await opening;
    await state.close();
    expect([...state.tensors.keys()].sort()).toEqual(verdict.names!.slice().sort());
    expect(metadata === undefined ? null : Object.fromEntries(metadata)).toEqual(verdict.metadata);
  });

  it.each(Object.entries(files))("%s", async (name, expected) => {
    const { state, metadata } = await openSafetensors(join(FIXTURES, name));
    const digests = new Map((await digestsOf(state)).map((digest) => [digest.name, digest]));
    await state.close();
    expect(digests.size).toBe(expected.tensors.length);
    for (const entry of expected.tensors) expect(entry).toMatchObject(digests.get(entry.name)!);
    expect(metadata === undefined ? null : Object.fromEntries(metadata)).toEqual(expected.metadata);
  });
});
