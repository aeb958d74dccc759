import { crc32 } from "node:zlib";
import fc from "fast-check";
import { expect, it } from "vitest";
import { combineCrc32 } from "../../src/io/crc32.js";

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
