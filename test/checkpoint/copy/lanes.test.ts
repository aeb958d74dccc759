/** The copy loop with its second thread, which only a built package has: outputs large enough to start it. */
import { closeSync, ftruncateSync, openSync, readSync, truncateSync, writeSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { crc32 } from "node:zlib";
import { beforeAll, describe, expect, it, vi } from "vitest";
import type { Lanes } from "../../../src/checkpoint/copy/lanes.js";
import type { OutputPart } from "../../../src/checkpoint/copy/parts.js";
import type { SecondThread } from "../../../src/checkpoint/copy/second-thread.js";
import type { WriteOptions } from "../../../src/checkpoint/copy/sink.js";
import { castTensor, makeTensor, type Tensor } from "../../../src/checkpoint/tensor/tensor.js";
import type { Region } from "../../../src/core/io/source.js";
import { openForTest, temporaryFolder } from "../../helpers/state.js";
import { writeParts } from "../../helpers/write-parts.js";

/** Above the size from which a second thread is started, and no multiple of a window. */
const SIZE = 80_000_000;
const BLOCK = new Uint8Array(1_000_000).map((_, i) => (i * 31) ^ (i >> 7));

const built = (name: string) =>
  fileURLToPath(new URL(`../../../dist/checkpoint/copy/${name}.js`, import.meta.url));

let folder: string;
let input: string;

beforeAll(() => {
  folder = temporaryFolder();
  input = join(folder, "input");
  const file = openSync(input, "w");
  // Each block begins with its number: blocks that change places are seen.
  for (let at = 0; at < SIZE; at += BLOCK.length) {
    new DataView(BLOCK.buffer).setUint32(0, at);
    writeSync(file, BLOCK, 0, BLOCK.length, at);
  }
  closeSync(file);
});

function crcOf(path: string, from: number, to: number): number {
  const file = openSync(path, "r");
  const buffer = Buffer.alloc(1 << 20);
  let crc = 0;
  for (let at = from; at < to; ) {
    const got = readSync(file, buffer, 0, Math.min(buffer.length, to - at), at);
    crc = crc32(buffer.subarray(0, got), crc);
    at += got;
  }
  closeSync(file);
  return crc;
}

async function regionOf(path: string, crc: number | undefined): Promise<Region> {
  return { file: await openForTest(path), name: "record", offset: 0, length: SIZE, crc32: crc };
}

function slice(region: Region, start: number, end: number): Tensor {
  const pieces = [{ region, start, length: end - start }];
  return makeTensor("U8", [end - start], { kind: "pieces", pieces });
}

async function write(name: string, parts: readonly OutputPart[], options: WriteOptions = {}) {
  const path = join(folder, name);
  const handle = await open(path, "w");
  try {
    await writeParts(handle, path, parts, options);
  } finally {
    await handle.close();
  }
  return path;
}

describe("two threads", () => {
  it("give every byte its place, check the input and tell the CRCs", async () => {
    const region = await regionOf(input, crcOf(input, 0, SIZE));
    const cuts = [0, 5, 3_000_001, 3_000_001, 60_000_000, SIZE];
    const crcs: number[] = [];
    const parts = cuts.slice(1).flatMap((end, i): OutputPart[] => [
      { kind: "bytes", bytes: Buffer.from(`header ${i}`) },
      { kind: "tensor", tensor: slice(region, cuts[i]!, end), onCrc32: (crc) => crcs.push(crc) },
      { kind: "late", length: 4, bytes: () => Buffer.from(Uint32Array.of(crcs.at(-1)!).buffer) },
    ]);
    const output = await write("output", parts);
    expect(crcs).toEqual(cuts.slice(1).map((end, i) => crcOf(input, cuts[i]!, end)));
    let at = 0;
    for (let i = 0; i + 1 < cuts.length; i++) {
      const length = cuts[i + 1]! - cuts[i]!;
      expect(crcOf(output, at, at + 8)).toBe(crc32(Buffer.from(`header ${i}`)));
      expect(crcOf(output, at + 8, at + 8 + length)).toBe(crcs[i]);
      at += 8 + length;
      expect(crcOf(output, at, at + 4)).toBe(crc32(Buffer.from(Uint32Array.of(crcs[i]!).buffer)));
      at += 4;
    }
  });

  it("convert as one does", async () => {
    const region = await regionOf(input, undefined);
    const pieces = [
      { region, start: 2, length: 10_000_002 },
      { region, start: 30_000_004, length: 40_000_000 },
    ];
    const half = makeTensor("F16", [25_000_001], { kind: "pieces", pieces });
    const crcs: number[] = [];
    const part = (tensor: Tensor): OutputPart => ({
      kind: "tensor",
      tensor,
      onCrc32: (crc) => crcs.push(crc),
    });
    const wide = await write("wide", [part(castTensor(half, "F32"))]);
    expect(crcs).toEqual([crcOf(wide, 0, 100_000_004)]);
    // Every half is a float32, so that the way back must give the same numbers (of NaNs only that they are some).
    const file = await openForTest(wide);
    const whole = { file, name: "wide", offset: 0, length: 100_000_004, crc32: crcs[0]! };
    const back = makeTensor("F32", [25_000_001], {
      kind: "pieces",
      pieces: [{ region: whole, start: 0, length: 100_000_004 }],
    });
    const narrow = await write("narrow", [part(castTensor(back, "F16"))]);
    const [a, b] = [openSync(input, "r"), openSync(narrow, "r")];
    const isNaN16 = (bits: number) => (bits & 0x7fff) > 0x7c00;
    const [from, to] = [new Uint16Array(500_000), new Uint16Array(500_000)];
    let different = 0;
    for (const [start, at] of [
      [2, 0],
      [30_000_004 + 39_000_000, 10_000_002 + 39_000_000],
    ] as const) {
      readSync(a, from, 0, 1_000_000, start);
      readSync(b, to, 0, 1_000_000, at);
      for (let i = 0; i < from.length; i++) {
        if (from[i] !== to[i] && !(isNaN16(from[i]!) && isNaN16(to[i]!))) different++;
      }
    }
    closeSync(a);
    closeSync(b);
    expect(different).toBe(0);
  });

  it("a wrong checksum and a file that became shorter are errors that name the place", async () => {
    const tensor = (region: Region): OutputPart[] => [{ kind: "tensor", tensor: slice(region, 0, SIZE) }];
    await expect(write("damaged", tensor(await regionOf(input, 1)))).rejects.toMatchObject({
      code: "CHECKSUM",
      where: { path: input, record: "record" },
    });
    const short = join(folder, "short");
    closeSync(openSync(short, "w"));
    truncateSync(short, SIZE);
    const region = await regionOf(short, undefined);
    truncateSync(short, SIZE - 1);
    await expect(write("of-short", tensor(region))).rejects.toMatchObject({
      code: "TRUNCATED",
      where: { path: short },
    });
  });

  it("a second thread that dies without an error leaves its jobs to the first", async () => {
    const { SecondThread: Thread } = await import(built("second-thread"));
    const lanes: InstanceType<typeof Lanes> = new (await import(built("lanes"))).Lanes(SIZE);
    const region = await regionOf(input, undefined);
    const fd = await region.file.hold();
    const whole = { fd, position: 0, length: SIZE, crc: true, dtype: undefined };
    // Killed as soon as it has been given something to do.
    const run = vi.spyOn(Thread.prototype, "run").mockImplementation(function (this: SecondThread) {
      this.end();
    });
    try {
      const expected = crcOf(input, 0, SIZE);
      // On a busy machine this thread may be through with all of them before the second has started.
      do {
        const results = await Promise.all(
          Array.from({ length: 12 }, () =>
            lanes.run({ kind: "scan", reads: [whole], received: false }, undefined),
          ),
        );
        expect(results.map(({ crcs }) => crcs[0])).toEqual(Array(12).fill(expected));
      } while (run.mock.calls.length === 0);
    } finally {
      run.mockRestore();
      lanes.close();
      region.file.release();
    }
  });

  it("an output that cannot be written is an error with its path", async () => {
    const region = await regionOf(input, undefined);
    const path = join(folder, "read-only");
    closeSync(openSync(path, "w"));
    const handle = await open(path, "r");
    try {
      await expect(
        writeParts(handle, path, [{ kind: "tensor", tensor: slice(region, 0, SIZE) }]),
      ).rejects.toMatchObject({ code: "IO", where: { path } });
    } finally {
      await handle.close();
    }
  });

  it("an abort stops both, with nothing in flight", async () => {
    const region = await regionOf(input, undefined);
    const controller = new AbortController();
    const path = join(folder, "aborted");
    const handle = await open(path, "w");
    const running = writeParts(handle, path, [{ kind: "tensor", tensor: slice(region, 0, SIZE) }], {
      signal: controller.signal,
      onProgress: () => controller.abort(),
    });
    await expect(running).rejects.toMatchObject({ code: "ABORTED" });
    // Whatever is still writing would write into this.
    ftruncateSync(handle.fd, 0);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect((await handle.stat()).size).toBe(0);
    await handle.close();
  });
});
