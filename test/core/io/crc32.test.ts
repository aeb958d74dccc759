import { randomBytes } from "node:crypto";
import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { crc32 } from "node:zlib";
import fc from "fast-check";
import { expect, it } from "vitest";
import * as ours from "../../../src/core/io/crc32.js";

const { combineCrc32 } = ours;

// The first few megabytes go to zlib, what follows to another library: each length is asked of both.
it.each([0, 1, 65_537, 1_000_003, 5_000_000, 0, 1, 65_537, 1_000_003])(
  "%i bytes: as zlib says, from any start and address",
  (length) => {
    const bytes = randomBytes(length + 3);
    for (const at of [0, 1, 3]) {
      const part = bytes.subarray(at, at + length);
      for (const start of [0, 1, 0x12345678, 0xffffffff])
        expect(ours.crc32(part, start)).toBe(crc32(part, start));
    }
  },
);

it("where no other library is installed, zlib does it", async () => {
  const folder = mkdtempSync(join(tmpdir(), "crc32-"));
  try {
    copyFileSync(
      fileURLToPath(new URL("../../../dist/core/io/crc32.js", import.meta.url)),
      join(folder, "crc32.mjs"),
    );
    const alone = (await import(/* @vite-ignore */ join(folder, "crc32.mjs"))) as typeof ours;
    const bytes = randomBytes(5_000_000);
    expect(alone.crc32(bytes, 7)).toBe(crc32(bytes, 7));
    // zlib itself gives 0 for a buffer without memory, whatever came before it.
    expect([alone, ours].map((each) => each.crc32(randomBytes(0), 7))).toEqual([7, 7]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

it("the CRC of A followed by B comes from their CRCs", () => {
  fc.assert(
    fc.property(fc.uint8Array(), fc.uint8Array(), (a, b) => {
      expect(combineCrc32(crc32(a), crc32(b), b.length)).toBe(crc32(Buffer.concat([a, b])));
    }),
  );
});

it("long zero runs beyond 4 GiB: appending twice is appending the sum", () => {
  const length = 5 * 2 ** 30;
  const once = combineCrc32(0x12345678, 0, length);
  expect(combineCrc32(combineCrc32(0x12345678, 0, length - 12345), 0, 12345)).toBe(once);
});
