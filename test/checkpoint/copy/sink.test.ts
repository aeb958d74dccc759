/** The copy loop on plans that ordinary checkpoints do not have: views, gaps, overlaps, casts, computed tensors. */
import { readFileSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { OutputPart } from "../../../src/checkpoint/copy/parts.js";
import { plannedContent } from "../../../src/checkpoint/copy/planned-content.js";
import { readTensor } from "../../../src/checkpoint/copy/read-tensor.js";
import { type WriteOptions, writeFiles } from "../../../src/checkpoint/copy/sink.js";
import { castTensor, makeTensor, type Tensor, viewTensor } from "../../../src/checkpoint/tensor/tensor.js";
import type { Region } from "../../../src/core/io/source.js";
import { openForTest, temporaryFolder } from "../../helpers/state.js";
import { writeParts } from "../../helpers/write-parts.js";

async function regionOf(content: Uint8Array, crc = crc32(content)): Promise<Region> {
  const path = join(temporaryFolder(), "input");
  writeFileSync(path, content);
  return {
    file: await openForTest(path),
    name: "record",
    offset: 0,
    length: content.byteLength,
    crc32: crc,
  };
}

/** @param planned  true: the parts are not known ahead */
async function write(
  parts: readonly OutputPart[],
  options: WriteOptions = {},
  planned = false,
): Promise<Buffer> {
  const path = join(temporaryFolder(), "output");
  const handle = await open(path, "w");
  try {
    if (planned) {
      const content = await plannedContent(async () => parts);
      await writeFiles([{ path, content, begin: async () => handle }], options);
    } else await writeParts(handle, path, parts, options);
  } finally {
    await handle.close();
  }
  return readFileSync(path);
}

const part = (tensor: Tensor): OutputPart => ({ kind: "tensor", tensor });
const floats = (values: readonly number[]) => new Uint8Array(Float32Array.from(values).buffer);
/** 0 to 999, again and again. */
const repeating = (count: number) => {
  const values = new Float32Array(count);
  for (let i = 0; i < count; i++) values[i] = i % 1000;
  return new Uint8Array(values.buffer);
};
const asFloats = (bytes: Buffer) => [...new Float32Array(new Uint8Array(bytes).buffer)];

describe("views", () => {
  it("a transposed, an expanded and a stepped view are gathered", async () => {
    const region = await regionOf(floats([0, 1, 2, 3, 4, 5]));
    const output = await write([
      part(viewTensor(region, "F32", 0, [3, 2], [1, 3])),
      part(viewTensor(region, "F32", 1, [2, 2], [0, 1])),
      part(viewTensor(region, "F32", 0, [3], [2])),
    ]);
    expect(asFloats(output)).toEqual([0, 3, 1, 4, 2, 5, 1, 2, 1, 2, 0, 2, 4]);
  });

  it("any view of any storage is what index arithmetic says", async () => {
    const storage = Array.from({ length: 60 }, (_, i) => i);
    const region = await regionOf(floats(storage));
    const view = fc
      .array(fc.record({ size: fc.integer({ min: 1, max: 4 }), stride: fc.integer({ min: 0, max: 5 }) }), {
        maxLength: 3,
      })
      .chain((dims) => fc.record({ dims: fc.constant(dims), offset: fc.integer({ min: 0, max: 10 }) }));
    await fc.assert(
      fc.asyncProperty(view, async ({ dims, offset }) => {
        const shape = dims.map(({ size }) => size);
        const strides = dims.map(({ stride }) => stride);
        let expected = [offset];
        for (const { size, stride } of dims) {
          expected = expected.flatMap((at) => Array.from({ length: size }, (_, i) => at + i * stride));
        }
        const output = await write([part(viewTensor(region, "F32", offset, shape, strides))]);
        expect(asFloats(output)).toEqual(expected);
      }),
      { numRuns: 40 },
    );
  });

  it("a view that leaves its storage is refused", async () => {
    const region = await regionOf(floats([0, 1, 2]));
    expect(() => viewTensor(region, "F32", 1, [3], [1])).toThrow(/needs 16 bytes, its storage has 12/);
  });
});

describe("checksums of the input", () => {
  const damaged = (content: Uint8Array) => regionOf(content, crc32(content) ^ 1);

  it.each<[string, (region: Region) => Tensor[]]>([
    ["whole", (region) => [viewTensor(region, "F32", 0, [6], [1])]],
    [
      "in two parts, out of order",
      (region) => [viewTensor(region, "F32", 3, [3], [1]), viewTensor(region, "F32", 0, [3], [1])],
    ],
    [
      "with gaps before, between and after",
      (region) => [viewTensor(region, "F32", 1, [1], [1]), viewTensor(region, "F32", 4, [1], [1])],
    ],
    [
      "overlapping",
      (region) => [viewTensor(region, "F32", 0, [4], [1]), viewTensor(region, "F32", 2, [4], [1])],
    ],
    ["strided", (region) => [viewTensor(region, "F32", 0, [3, 2], [1, 3])]],
    ["only cast", (region) => [castTensor(viewTensor(region, "I32", 0, [6], [1]), "F32")]],
    ["only at its beginning", (region) => [viewTensor(region, "F32", 0, [1], [1])]],
  ])("a region read %s passes when right and fails when wrong", async (_, views) => {
    const content = floats([1, 2, 3, 4, 5, 6]);
    for (const planned of [false, true]) {
      await write(views(await regionOf(content)).map(part), {}, planned);
      const wrong = async (options: WriteOptions) =>
        write(views(await damaged(content)).map(part), options, planned);
      await expect(wrong({})).rejects.toMatchObject({ code: "CHECKSUM" });
      await wrong({ verify: false });
    }
  });

  it("reads of many regions in any order, not known ahead, find the damaged one or none", async () => {
    const size = 24;
    // 1 to 4 bytes each: some bytes are read twice, and some never.
    const reads = fc.array(
      fc.record({ region: fc.nat(2), start: fc.nat(size - 1), length: fc.integer({ min: 1, max: 4 }) }),
      { minLength: 1, maxLength: 40 },
    );
    await fc.assert(
      fc.asyncProperty(reads, fc.option(fc.nat(2)), async (plan, bad) => {
        const contents = [0, 1, 2].map((r) => new Uint8Array(size).fill(r + 1).map((v, i) => v * 31 + i));
        const regions = await Promise.all(
          contents.map((content, r) => (r === bad ? damaged(content) : regionOf(content))),
        );
        const parts = plan.map(({ region, start, length }) =>
          part(viewTensor(regions[region]!, "U8", start, [Math.min(length, size - start)], [1])),
        );
        const wrong = plan.some(({ region }) => region === bad);
        const written = write(parts, {}, true);
        if (wrong) await expect(written).rejects.toMatchObject({ code: "CHECKSUM" });
        else
          expect([...(await written)]).toEqual(
            plan.flatMap(({ region, start, length }) => [
              ...contents[region]!.subarray(start, start + length),
            ]),
          );
      }),
      { numRuns: 60 },
    );
  });

  it("0 means that none was computed", async () => {
    for (const planned of [false, true])
      await write([part(viewTensor(await regionOf(floats([1, 2]), 0), "F32", 0, [2], [1]))], {}, planned);
  });
});

describe("large outputs", () => {
  it("tensors over many windows keep their bytes, and their CRC is told", async () => {
    const content = new Uint8Array(11_000_003).map((_, i) => (i * 7) ^ (i >> 8));
    const region = await regionOf(content);
    const cuts = [0, 1, 5_000_000, 5_000_000, 10_999_999, content.length];
    const crcs: number[] = [];
    const parts = cuts.slice(1).map((end, i): OutputPart => {
      const start = cuts[i]!;
      const tensor = makeTensor("U8", [end - start], {
        kind: "pieces",
        pieces: [{ region, start, length: end - start }],
      });
      return { kind: "tensor", tensor, onCrc32: (crc) => crcs.push(crc) };
    });
    expect((await write(parts)).equals(Buffer.from(content))).toBe(true);
    expect(crcs).toEqual(cuts.slice(1).map((end, i) => crc32(content.subarray(cuts[i], end))));
  });

  it("conversions are written at places that are no multiples of an element, too", async () => {
    const content = new Uint8Array(100_000).map((_, i) => i % 251);
    const region = await regionOf(content);
    const source = { kind: "pieces", pieces: [{ region, start: 0, length: content.length }] } as const;
    const converted = castTensor(makeTensor("U8", [content.length], source), "F32");
    for (const before of [1, 2, 3, 256 * 1024 - 1]) {
      const output = await write([{ kind: "bytes", bytes: new Uint8Array(before) }, part(converted)]);
      expect(output.subarray(before).equals(Buffer.from(Float32Array.from(content).buffer))).toBe(true);
    }
  });

  it("bytes that depend on earlier CRCs are asked for after them", async () => {
    const region = await regionOf(new Uint8Array(9_000_000));
    let crc = -1;
    const trailer = Buffer.alloc(4);
    const output = await write([
      {
        kind: "tensor",
        tensor: viewTensor(region, "U8", 0, [9_000_000], [1]),
        onCrc32: (value) => {
          crc = value;
        },
      },
      {
        kind: "late",
        length: 4,
        bytes: () => {
          trailer.writeUInt32LE(crc);
          return trailer;
        },
      },
    ]);
    expect(output.readUInt32LE(9_000_000)).toBe(crc32(new Uint8Array(9_000_000)));
  });

  it("a tensor computed from others is computed once", async () => {
    const region = await regionOf(repeating(3_000_000));
    let times = 0;
    const input = viewTensor(region, "F32", 0, [3_000_000], [1]);
    const doubled = makeTensor("F32", [3_000_000], {
      kind: "computed",
      inputs: [input],
      compute: ([bytes], result) => {
        times++;
        const values = new Float32Array(bytes!.buffer, bytes!.byteOffset, bytes!.byteLength / 4);
        result.set(new Uint8Array(values.map((value) => value * 2).buffer));
      },
    });
    const { buffer, byteOffset } = await write([part(doubled)]);
    const values = new Float32Array(buffer, byteOffset, 3_000_000);
    expect([times, values.length, values[999], values[2_999_999]]).toEqual([1, 3_000_000, 1998, 1998]);
  });
});

it("a tensor that its pieces do not cover exactly is refused before anything is written", async () => {
  const region = await regionOf(floats([1, 2, 3, 4]));
  const of = (...pieces: { start: number; length: number }[]) =>
    makeTensor("F32", [4], { kind: "pieces", pieces: pieces.map((piece) => ({ region, ...piece })) });
  const whole = { start: 0, length: 16 };
  const wrong: [Tensor, RegExp][] = [
    [of({ start: 0, length: 12 }), /its pieces have 12 bytes/],
    [of({ start: 0, length: 8 }, whole), /its pieces have 24 bytes/],
    [of({ start: 4, length: 16 }), /bytes 4 to 20 of a region that has 16/],
    [makeTensor("F16", [3], { kind: "cast", from: of(whole) }), /is converted from 4 elements/],
    [castTensor(of(), "F16"), /its pieces have 0 bytes/],
  ];
  for (const [tensor, message] of wrong) {
    await expect(write([part(tensor)])).rejects.toMatchObject({ code: "FORMAT", message });
    await expect(readTensor(tensor)).rejects.toMatchObject({ code: "FORMAT", message });
  }
  expect(asFloats(await write([part(of(whole))]))).toEqual([1, 2, 3, 4]);
});

it("an abort stops it, with nothing in flight", async () => {
  const region = await regionOf(new Uint8Array(40_000_000));
  const controller = new AbortController();
  let reports = 0;
  const running = write([part(viewTensor(region, "U8", 0, [40_000_000], [1]))], {
    signal: controller.signal,
    onProgress: () => {
      reports++;
      controller.abort();
    },
  });
  await expect(running).rejects.toMatchObject({ code: "ABORTED" });
  expect(reports).toBeLessThan(10);
});

it("a file that became shorter is an error, not zeros", async () => {
  const region = await regionOf(floats([1, 2, 3, 4]));
  writeFileSync(region.file.path, "");
  await expect(write([part(viewTensor(region, "F32", 0, [4], [1]))])).rejects.toMatchObject({
    code: "TRUNCATED",
  });
});

describe("computed tensors that depend on computed tensors", () => {
  const plusOne = (input: Tensor) =>
    makeTensor("F32", input.shape, {
      kind: "computed",
      inputs: [input],
      compute: ([bytes], result) => {
        const values = new Float32Array(bytes!.buffer, bytes!.byteOffset, bytes!.byteLength / 4);
        const sums = new Float32Array(values.length);
        for (let i = 0; i < sums.length; i++) sums[i] = values[i]! + 1;
        result.set(new Uint8Array(sums.buffer));
      },
    });

  it("are written where the one is an output too, in every order, also converted, and the input is checked", async () => {
    const count = 700_000;
    const content = repeating(count);
    for (const crc of [crc32(content), crc32(content) ^ 1]) {
      const region = await regionOf(content, crc);
      const one = plusOne(viewTensor(region, "F32", 0, [count], [1]));
      const two = plusOne(castTensor(castTensor(one, "F16"), "F32"));
      for (const order of [
        [one, two],
        [two, one],
        [two, castTensor(castTensor(one, "F16"), "F32"), one],
      ]) {
        const written = write(order.map(part));
        if (crc !== crc32(content)) {
          await expect(written).rejects.toMatchObject({ code: "CHECKSUM" });
          continue;
        }
        const output = await written;
        let at = 0;
        for (const tensor of order) {
          const values = [0, 999, count - 1].map((i) => output.readFloatLE(at + 4 * i));
          expect(values).toEqual(
            [0, 999, (count - 1) % 1000].map((value) => value + (tensor === two ? 2 : 1)),
          );
          at += tensor.byteLength;
        }
      }
    }
  });

  it("depend on none that depends on them", async () => {
    const inputs: Tensor[] = [];
    const tensor = makeTensor("F32", [2], { kind: "computed", inputs, compute: () => {} });
    inputs.push(castTensor(plusOne(tensor), "F16"));
    for (const verify of [true, false])
      await expect(write([part(tensor)], { verify })).rejects.toMatchObject({
        code: "FORMAT",
        message: /depends on itself/,
      });
  });
});
