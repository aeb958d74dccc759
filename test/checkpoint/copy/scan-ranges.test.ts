import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { expect, it } from "vitest";
import { Lanes } from "../../../src/checkpoint/copy/lanes.js";
import { type Scanned, type ScanRange, scanRanges } from "../../../src/checkpoint/copy/scan-ranges.js";
import type { DType } from "../../../src/checkpoint/tensor/dtype.js";
import { openSource } from "../../../src/core/io/open-source.js";
import { temporaryFolder } from "../../helpers/state.js";

interface Named extends ScanRange {
  readonly name: string;
}

/** What the callbacks were told, in order. */
async function scanned(ranges: readonly Named[]) {
  const told: ({ name: string; bytes: number } & (Scanned | { error: unknown }))[] = [];
  let bytes = 0;
  const tell = (name: string, what: Scanned | { error: unknown }) => {
    told.push({ name, bytes, ...what });
    bytes = 0;
  };
  const lanes = new Lanes(0);
  await scanRanges(ranges, {
    lanes,
    signal: undefined,
    onBytes: (more) => {
      bytes += more;
    },
    onScanned: ({ name }, result) => tell(name, result),
    onError: (error, { name }) => tell(name, { error }),
  });
  lanes.close();
  return told;
}

/** A small float32 (0x80ffffff); read one, two or three bytes too late, a row of them is NaN. */
const TRAP = Buffer.from([0xff, 0xff, 0xff, 0x80]);

it("ranges of odd lengths do not cut elements; each gets its own checksum and counts", async () => {
  const lengths = [3, 5_000_000, 1, 4_194_301, 0, 17, 12_000_000, 4_194_304];
  const total = lengths.reduce((sum, length) => sum + length, 0);
  const bytes = Buffer.alloc(total);
  const ranges: Omit<Named, "file">[] = [];
  let at = 0;
  lengths.forEach((length, i) => {
    const part = bytes.subarray(at, at + length);
    part.fill(TRAP);
    const dtype: DType | undefined = length % 4 === 0 ? "F32" : undefined;
    ranges.push({ name: `${i}`, offset: at, length, crc: i !== 3, dtype });
    at += length;
  });
  // NaN at both ends of the longest, infinity in its middle.
  const { offset, length } = ranges[6]!;
  bytes.writeFloatLE(Number.NaN, offset);
  bytes.writeFloatLE(-Infinity, offset + length / 2);
  bytes.writeFloatLE(Number.NaN, offset + length - 4);
  const path = join(temporaryFolder(), "data");
  writeFileSync(path, bytes);
  const file = await openSource(path);
  const told = await scanned(ranges.map((range) => ({ ...range, file })));
  await file.close();
  expect(told).toEqual(
    ranges.map(({ name, offset, length, crc }, i) => ({
      name,
      bytes: length,
      crc32: crc ? crc32(bytes.subarray(offset, offset + length)) : 0,
      nonFinite: i === 6 ? { nan: 2, inf: 1 } : { nan: 0, inf: 0 },
    })),
  );
});

it("a range beyond the end of the file is an error of its own, and those around it are looked at", async () => {
  const path = join(temporaryFolder(), "data");
  writeFileSync(path, Buffer.alloc(6_000_000, 1));
  const file = await openSource(path);
  const range = (name: string, offset: number, length: number) => ({
    name,
    file,
    offset,
    length,
    crc: true,
    dtype: undefined,
  });
  const told = await scanned([
    range("before", 0, 100),
    range("long", 1_000_000, 9_000_000),
    range("beyond", 7_000_000, 10),
    range("after", 200, 300),
  ]);
  await file.close();
  expect(told.map(({ name }) => name)).toEqual(["before", "long", "beyond", "after"]);
  expect(told[0]).toMatchObject({ crc32: crc32(Buffer.alloc(100, 1)) });
  for (const i of [1, 2]) expect(told[i]).toMatchObject({ error: { code: "TRUNCATED", where: { path } } });
  expect(told[3]).toMatchObject({ crc32: crc32(Buffer.alloc(300, 1)) });
});
