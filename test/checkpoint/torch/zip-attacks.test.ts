/** Zips that were tampered with, so that torch 2.13 reads other weights than stand there by name, or none: no command calls them sound. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { openCheckpoint } from "../../../src/checkpoint/open.js";
import { scanPaths } from "../../../src/checkpoint/scan/scan.js";
import { verifyCheckpoint } from "../../../src/checkpoint/verify.js";
import { runCli } from "../../helpers/cli.js";
import { temporaryFolder } from "../../helpers/state.js";
import { type Fake, FakeTensor, torchEntries, type ZipEntry, zip } from "../../helpers/torch-file.js";

const dict = (of: Record<string, Fake>) => new Map<Fake, Fake>(Object.entries(of));
const entries = () => torchEntries(dict({ w: new FakeTensor([1, 2, 3]) }));
const [otherPickle] = torchEntries(dict({ x: new FakeTensor([4, 5, 6]) }));
const more = (...records: ZipEntry[]) => zip([...entries(), ...records]);
const record = (name: string, content = "x"): ZipEntry => ({ name, data: Buffer.from(content) });

function written(bytes: Buffer, name = "model.pt"): string {
  const path = join(temporaryFolder(), name);
  writeFileSync(path, bytes);
  return path;
}

/** With another size of the directory in the end record. */
function withSize(bytes: Buffer, size: number): Buffer {
  bytes.writeUInt32LE(size, bytes.length - 22 + 12);
  return bytes;
}

const withVersion = (text: string) =>
  zip(entries().map((entry) => (entry.name.endsWith("/version") ? record(entry.name, text) : entry)));

describe.each<[string, Buffer, RegExp]>([
  [
    "a storage once more in capitals, which torch takes in its place",
    more({ name: "archive/DATA/0", data: Buffer.alloc(12) }),
    /archive\/DATA\/0: the zip has another record whose name differs only in capitals/,
  ],
  [
    "a pickle once more with a capital, which torch takes in its place",
    more({ ...otherPickle!, name: "archive/Data.pkl" }),
    /archive\/Data\.pkl: the zip has another record whose name differs only in capitals/,
  ],
  [
    "two records that differ only in which letters are capitals",
    more(record("archive/Notes"), record("archive/noteS")),
    /archive\/noteS: the zip has another record whose name differs only in capitals/,
  ],
  [
    "a second model in a folder of its own",
    more({ ...otherPickle!, name: "other/data.pkl" }),
    /other\/data\.pkl: the record lies outside archive\/, where torch wants all of them/,
  ],
  [
    "a record outside any folder",
    more(record("readme.txt")),
    /readme\.txt: the record lies outside archive\//,
  ],
  [
    "a second zip behind it, of which Python's zipfile reads the records and torch does not",
    Buffer.concat([zip(entries()), zip(torchEntries(dict({ w: new FakeTensor([7, 8, 9]) })))]),
    /the zip directory(?: is not what it says)?: \d+ bytes stand between it and the last record of the file/,
  ],
  [
    "bytes between the directory and the end record",
    Buffer.concat([
      zip(entries()).subarray(0, -22),
      Buffer.from("PK\x05\x06".padEnd(22, "\0")),
      zip(entries()).subarray(-22),
    ]),
    /the zip directory/,
  ],
  [
    "bytes behind its end, which torch takes no notice of",
    Buffer.concat([zip(entries()), Buffer.from("x\n")]),
    /at byte \d+: 2 bytes behind the end of the zip belong to nothing/,
  ],
  ["a record that would leave the folder", more(record("../../x")), /the record lies outside archive\//],
  [
    "an end record that makes the directory empty",
    withSize(more(), 0),
    /the zip directory is not what it says: it has \d+ bytes, its end record says 0/,
  ],
  [
    "an end record that makes the directory huge",
    withSize(more(), 2 ** 31),
    /its end record says 2147483648/,
  ],
])("%s", (_, bytes, message) => {
  it("is refused, and the scan finds it", async () => {
    const path = written(bytes);
    await expect(openCheckpoint(path)).rejects.toThrow(message);
    expect((await verifyCheckpoint(path)).problems.map((problem) => problem.message).join()).toMatch(message);
  });
});

it("capitals are no contradiction by themselves", async () => {
  const path = written(more(record("archive/Notes"), record("archive/extra/README")));
  const { problems } = await verifyCheckpoint(path);
  expect(problems).toEqual([]);
});

it.each([
  ["abc", /model\.pt: archive\/version: version "abc" of the zip form, torch knows 1 to 10/],
  ["0", /version "0" of the zip form/],
  ["11\n", /version "11\\n" of the zip form/],
  ["", /version "" of the zip form/],
])("verify: a version %j that torch refuses is a problem", async (text, message) => {
  const { problems } = await verifyCheckpoint(written(withVersion(text)));
  expect(problems.map((problem) => problem.message)).toEqual([expect.stringMatching(message)]);
});

it("verify: a zip without a version, which torch refuses, is a problem", async () => {
  const path = written(zip(entries().filter(({ name }) => !name.endsWith("/version"))));
  const { problems } = await verifyCheckpoint(path);
  expect(problems.map(({ message }) => message)).toEqual([expect.stringMatching(/has no record `version`/)]);
});

it("scan: a directory that its end record contradicts is a finding, and its records are looked at all the same", async () => {
  const code = record("archive/x", "cos\nsystem\n(S'id'\ntR.");
  const { findings } = await scanPaths([written(withSize(more(code), 1))]);
  expect(findings.map(({ rule }) => rule)).toEqual(
    expect.arrayContaining(["contradiction", "unknown-global"]),
  );
});

describe("verify and what it cannot judge", () => {
  it.each([
    ["random bytes", Buffer.from("9a3f77c1d05be2886f114d", "hex")],
    [
      "numbers without a header, as CoreML keeps weights",
      Buffer.from(Float32Array.from([0.1, 0.2, -3]).buffer),
    ],
  ])("%s are no checkpoint, not a damaged one", async (_, bytes) => {
    const { code, stdout, stderr } = await runCli("vista-ckpt", ["verify", written(bytes, "weight.bin")]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/not a checkpoint that is known here: \d+ bytes that begin with/);
    expect(stdout + stderr).not.toMatch(/DAMAGED/);
  });

  it("a zip whose beginning was overwritten is a damaged one", async () => {
    const bytes = more();
    bytes.fill(0x55, 0, 16);
    const { code, stdout, stderr } = await runCli("vista-ckpt", ["verify", written(bytes)]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/ends as a zip of torch\.save does, and begins with "UUUU/);
    expect(stdout).toMatch(/DAMAGED/);
  });

  it("a file of zeros is a damaged one", async () => {
    const { stdout, stderr } = await runCli("vista-ckpt", ["verify", written(Buffer.alloc(1000))]);
    expect(stderr).toMatch(/1000 bytes that begin with 512 zeros/);
    expect(stdout).toMatch(/DAMAGED/);
  });

  it("a compressed zip was not checked, which is no damage", async () => {
    const compressed = zip(entries().map((entry) => ({ ...entry, method: 8 })));
    const { code, stdout } = await runCli("vista-ckpt", ["verify", written(compressed)]);
    expect(code).toBe(1);
    expect(stdout).toMatch(/NOT CHECKED: 1 problem/);
    expect(stdout).not.toMatch(/DAMAGED/);
  });

  it("random bytes in the place of a shard are a problem of the set", async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, "a.bin"), Buffer.from("9a3f77c1d05be2886f114d", "hex"));
    writeFileSync(join(folder, "b.bin"), more());
    const index = { metadata: {}, weight_map: { v: "a.bin", w: "b.bin" } };
    writeFileSync(join(folder, "pytorch_model.bin.index.json"), JSON.stringify(index));
    const { problems, files } = await verifyCheckpoint(folder);
    expect(problems.map(({ message }) => message)).toEqual([
      expect.stringMatching(/a\.bin: not a checkpoint/),
    ]);
    expect(files.map(({ format }) => format)).toEqual(["unknown", "torch zip"]);
  });
});
