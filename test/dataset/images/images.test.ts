/** One image at the three levels. What Pillow says of the same damage is in test/peers/images. */
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from "vitest";
import { mapOrdered } from "../../../src/core/io/map-ordered.js";
import { checkImage, checkImages, type ImageLevel } from "../../../src/dataset/images/check.js";
import { MOST_PIXELS, readImageHeader } from "../../../src/dataset/images/headers.js";
import { newFolder, noise, removeFolders } from "../opendv/support.js";

let folder: string;
let jpeg: Buffer;
let png: Buffer;
const raw = { width: 320, height: 180, channels: 3 as const };
const picture = () => sharp(noise(raw.width, raw.height), { raw });

beforeAll(async () => {
  folder = newFolder();
  jpeg = await picture().jpeg().toBuffer();
  png = await picture().png().toBuffer();
});
afterAll(removeFolders);

async function look(content: Uint8Array | string, level: ImageLevel) {
  const path = join(folder, "image");
  writeFileSync(path, content);
  const { fault, width, height, format } = await checkImage(path, level);
  return { fault, width, height, format };
}
const sound = (format: string) => ({ fault: undefined, width: 320, height: 180, format });

describe("headers", () => {
  test("JPEG and PNG", async () => {
    expect(await look(jpeg, "headers")).toEqual(sound("jpeg"));
    expect(await look(png, "headers")).toEqual(sound("png"));
  });
  test("WebP: lossy, lossless, and with more to it, whole and cut", async () => {
    const alpha = picture().ensureAlpha(0.5).webp();
    for (const form of [picture().webp(), picture().webp({ lossless: true }), alpha]) {
      const webp = await form.toBuffer();
      for (const level of ["headers", "decode"] as const)
        expect(await look(webp, level)).toEqual(sound("webp"));
      expect(await look(Buffer.concat([webp, Buffer.alloc(99)]), "headers")).toEqual(sound("webp"));
      for (const cut of [1, 2, 500, webp.length - 700, webp.length - 29])
        expect((await look(webp.subarray(0, -cut), "headers")).fault, `less ${cut}`).toBe("truncated");
    }
    const odd = await picture().webp().toBuffer();
    odd.write("VP9 ", 12);
    expect((await look(odd, "headers")).fault).toBe("not-an-image");
  });
  test("progressive, with EXIF, ICC profile and a thumbnail's worth of comment before the frame header", async () => {
    const progressive = await picture().withMetadata().jpeg({ progressive: true }).toBuffer();
    expect(await look(progressive, "headers")).toEqual(sound("jpeg"));
    const comment = Buffer.alloc(65_535 + 2);
    comment.set([0xff, 0xfe, 0xff, 0xff]);
    // A thumbnail inside has an end marker of its own: it must not pass for the file's.
    comment.set([0xff, 0xd9], 40_000);
    const long = Buffer.concat([jpeg.subarray(0, 2), comment, jpeg.subarray(2)]);
    expect(await look(long, "headers")).toEqual(sound("jpeg"));
    expect((await look(long.subarray(0, -100), "headers")).fault).toBe("truncated");
  });
  test("any cut of a JPEG or PNG is seen, down to the last byte", async () => {
    for (const whole of [jpeg, png]) {
      for (const cut of [1, 2, 3, 11, 12, 13, 500, whole.length - 700]) {
        expect((await look(whole.subarray(0, -cut), "headers")).fault, `less ${cut}`).toBe("truncated");
      }
    }
  });
  test("2 MB of fill bytes or of empty segments before the frame header cost a few reads, not one a byte", async () => {
    const segments = Buffer.alloc(2 << 20);
    for (let at = 0; at < segments.length; at += 4) segments.writeUInt32BE(0xfffe_0002, at);
    for (const filling of [Buffer.alloc(2 << 20, 0xff), segments]) {
      const file = Buffer.concat([jpeg.subarray(0, 2), filling, jpeg.subarray(2)]);
      for (const bytes of [file, file.subarray(0, -100)]) {
        let reads = 0;
        const readAt = async (offset: number, length: number) => {
          reads++;
          return bytes.subarray(offset, offset + length);
        };
        const header = await readImageHeader(readAt, bytes.length);
        expect(header).toMatchObject({ width: 320, height: 180, complete: bytes === file });
        expect(reads).toBeLessThan(20);
      }
    }
  });
  test("a JPEG whose markers go on for 64 MB, a PNG of a million chunks: no image, in one line", async () => {
    // Files that are never held: every read gives the filling.
    const read = (start: Buffer, filling: number[]) => async (offset: number, length: number) => {
      const after = Buffer.from(filling);
      const phase = Math.max(offset - start.length, 0) % after.length;
      const turned = Buffer.concat([after.subarray(phase), after.subarray(0, phase)]);
      const bytes = Buffer.concat([start.subarray(offset), Buffer.alloc(length, turned)]);
      return bytes.subarray(0, length);
    };
    await expect(readImageHeader(read(Buffer.from([0xff, 0xd8]), [0xff]), 1 << 30)).rejects.toThrow(
      /without a frame header in its first 67,108,864 bytes/,
    );
    const chunk = [0, 0, 0, 0, 0x74, 0x45, 0x58, 0x74, 0, 0, 0, 0];
    await expect(readImageHeader(read(png.subarray(0, 33), chunk), 1 << 30)).rejects.toThrow(
      /more than 1,048,576 chunks/,
    );
  });
  test("a name with a NUL is a missing file", async () => {
    for (const level of ["names", "headers", "decode"] as const) {
      expect((await checkImage("a\0b.jpg", level)).fault).toBe("missing");
    }
  });
  test("a huge picture is not decoded: its pixels and the bound are named; 8K video is within it", async () => {
    expect(7680 * 4320).toBeLessThanOrEqual(MOST_PIXELS);
    for (const [name, edit] of [
      ["progressive JPEG", () => patched(0xc2)],
      ["baseline JPEG", () => patched(0xc0)],
      [
        "interlaced PNG",
        () => {
          const huge = Buffer.from(png);
          huge.writeUInt32BE(50_000, 16);
          huge.writeUInt32BE(40_000, 20);
          huge[28] = 1;
          return huge;
        },
      ],
    ] as const) {
      const path = join(folder, "huge");
      writeFileSync(path, edit());
      expect((await checkImage(path, "headers")).fault, name).toBeUndefined();
      const { fault, detail } = await checkImage(path, "decode");
      expect(fault, name).toBe("unreadable");
      expect(detail, name).toContain("50000 × 40000 = 2,000,000,000 pixels, more than the 33,554,432");
    }
    function patched(marker: number): Buffer {
      const huge = Buffer.from(jpeg);
      const at = huge.indexOf(Buffer.from([0xff, 0xc0]));
      huge[at + 1] = marker;
      huge.writeUInt16BE(40_000, at + 5);
      huge.writeUInt16BE(50_000, at + 7);
      return huge;
    }
  });
  test("a cut within the headers", async () => {
    expect((await look(jpeg.subarray(0, 15), "headers")).fault).toBe("truncated");
    expect((await look(png.subarray(0, 20), "headers")).fault).toBe("truncated");
  });
  test("what follows the end does no harm", async () => {
    for (const [whole, format] of [
      [jpeg, "jpeg"],
      [png, "png"],
    ] as const) {
      expect(await look(Buffer.concat([whole, Buffer.alloc(999)]), "headers")).toEqual(sound(format));
    }
  });
  test("zeros for the second half, as a crashed machine leaves them", async () => {
    const holed = Buffer.from(jpeg).fill(0, jpeg.length >> 1);
    expect((await look(holed, "headers")).fault).toBe("truncated");
  });
  test("no image", async () => {
    for (const content of ["", "x", "<html>", Buffer.alloc(5000), "GIF89a......"]) {
      const wanted = content.length === 0 ? "empty" : "not-an-image";
      expect((await look(content, "headers")).fault).toBe(wanted);
    }
  });
});

describe("decode", () => {
  test("sound images", async () => {
    expect(await look(jpeg, "decode")).toEqual(sound("jpeg"));
    expect(await look(png, "decode")).toEqual(sound("png"));
  });
  test("markers in the data, a lost block near the end", async () => {
    for (const [from, to, value] of [
      [4000, 4064, 0xff],
      [jpeg.length - 3000, jpeg.length - 2, 0],
    ] as const) {
      expect((await look(Buffer.from(jpeg).fill(value, from, to), "decode")).fault).toBe("damaged");
    }
    expect((await look(Buffer.from(jpeg).fill(0xff, 4000, 4064), "headers")).fault).toBeUndefined();
  });
  test("many damaged ones side by side: each complaint is about its own image, and harmless ones are none", async () => {
    const progressive = await picture().jpeg({ progressive: true }).toBuffer();
    // Stray bytes between two scans: libjpeg warns, every reader reads the picture.
    const scan = progressive.indexOf(
      Buffer.from([0xff, 0xc4]),
      progressive.indexOf(Buffer.from([0xff, 0xda])),
    );
    const stray = Buffer.concat([
      progressive.subarray(0, scan),
      Buffer.from([1, 2, 3]),
      progressive.subarray(scan),
    ]);
    const broken = Buffer.from(jpeg).fill(0xff, 4000, 4064);
    const paths = Array.from({ length: 60 }, (_, i) => {
      const path = join(folder, `many${i}.jpg`);
      writeFileSync(path, [jpeg, stray, broken][i % 3]!);
      return path;
    });
    const details: unknown[] = [];
    for await (const { detail } of checkImages(paths, "decode")) details.push(detail);
    const wanted = "does not decode: Corrupt JPEG data: premature end of data segment";
    expect(details).toEqual(paths.map((_, i) => (i % 3 === 2 ? wanted : undefined)));
  });
  test("cut within the last rows, end marker put back: at every way of sampling the colours", async () => {
    for (const chromaSubsampling of ["4:2:0", "4:4:4"]) {
      const whole = await picture().jpeg({ chromaSubsampling }).toBuffer();
      for (const cut of [10, 100, 1000]) {
        const content = Buffer.concat([whole.subarray(0, -2 - cut), whole.subarray(-2)]);
        expect((await look(content, "decode")).fault, `${chromaSubsampling} less ${cut}`).toBe("damaged");
        expect((await look(content, "headers")).fault).toBeUndefined();
      }
    }
  });
  test("a few bytes too many before the end marker: webcams leave them, every reader skips them", async () => {
    for (const surplus of [
      Buffer.alloc(1),
      Buffer.alloc(16),
      Buffer.from("0123456789"),
      Buffer.alloc(5, 0xff),
    ]) {
      const content = Buffer.concat([jpeg.subarray(0, -2), surplus, jpeg.subarray(-2)]);
      expect(await look(content, "decode")).toEqual(sound("jpeg"));
      expect(await look(Buffer.concat([content, Buffer.alloc(100)]), "decode")).toEqual(sound("jpeg"));
    }
  });
  test("grey, CMYK and progressive ones, sound and damaged", async () => {
    const kinds = {
      grey: await picture().greyscale().jpeg().toBuffer(),
      cmyk: await picture().toColourspace("cmyk").jpeg().toBuffer(),
      progressive: await picture().jpeg({ progressive: true }).toBuffer(),
    };
    for (const [kind, whole] of Object.entries(kinds)) {
      expect(await look(whole, "decode"), kind).toEqual(sound("jpeg"));
      const middle = whole.length >> 1;
      const broken = Buffer.concat([whole.subarray(0, middle), whole.subarray(-2)]);
      expect((await look(broken, "decode")).fault, kind).toBe("damaged");
    }
  });
  test("a header that claims a picture of billions of pixels", async () => {
    const frame = jpeg.indexOf(Buffer.from([0xff, 0xc0]));
    const content = Buffer.from(jpeg);
    content.writeUInt16BE(65_500, frame + 5);
    content.writeUInt16BE(65_500, frame + 7);
    expect((await look(content, "decode")).fault).toBe("unreadable");
  });
  /** The modules that check images, loaded where `name` gives `made`. */
  async function withModule(name: string, made: () => object) {
    vi.resetModules();
    vi.doMock(name, made);
    onTestFinished(() => {
      vi.doUnmock(name);
      vi.resetModules();
    });
    return import("../../../src/dataset/images/check.js");
  }
  test("where libjpeg-turbo has no binary, libvips decodes", async () => {
    const { checkImage: check } = await withModule("@julusian/jpeg-turbo", () => {
      throw new Error("No native build was found");
    });
    const path = join(folder, "without");
    writeFileSync(path, jpeg);
    expect((await check(path, "decode")).fault).toBeUndefined();
    writeFileSync(path, Buffer.from(jpeg).fill(0xff, 4000, 4064));
    expect((await check(path, "decode")).detail).toContain("premature end of data segment");
  });
  test("where sharp has no binary, as after --omit=optional: the command that mends it, not a finding in every image", async () => {
    const { checkImage: check } = await withModule("node:module", () => ({
      createRequire: () => () => {
        throw new Error('Could not load the "sharp" module');
      },
    }));
    const path = join(folder, "unloadable.png");
    writeFileSync(path, png);
    await expect(check(path, "decode")).rejects.toMatchObject({
      name: "VistaError",
      code: "IO",
      hint: expect.stringMatching(/npm install --include=optional sharp@0\.35\.5/),
    });
  });
  test("a PNG whose data does not match", async () => {
    const broken = Buffer.from(png).fill(0x55, png.length >> 1, (png.length >> 1) + 30);
    expect((await look(broken, "decode")).fault).toBe("damaged");
  });
});

test("names: missing, empty, a folder, a link to nowhere, a pipe's kind", async () => {
  mkdirSync(join(folder, "sub"));
  symlinkSync("nowhere", join(folder, "link"));
  writeFileSync(join(folder, "empty"), "");
  writeFileSync(join(folder, "full"), "x");
  for (const level of ["names", "headers", "decode"] as const) {
    const faults: unknown[] = [];
    const paths = ["gone", "sub", "link", "empty"].map((name) => join(folder, name));
    for await (const report of checkImages(paths, level)) faults.push(report.fault);
    expect(faults).toEqual(["missing", "not-a-file", "missing", "empty"]);
  }
  expect((await checkImage(join(folder, "full"), "names")).fault).toBeUndefined();
  rmSync(join(folder, "sub"), { recursive: true });
});

describe("mapOrdered", () => {
  test("keeps the order, runs at most so many, and reads no further ahead", async () => {
    let running = 0;
    let most = 0;
    let taken = 0;
    function* items() {
      for (let i = 0; i < 50; i++) {
        taken++;
        yield i;
      }
    }
    const results: number[] = [];
    for await (const result of mapOrdered(items(), 4, async (item) => {
      most = Math.max(most, ++running);
      await new Promise((resolve) => setTimeout(resolve, item % 3));
      running--;
      return item;
    })) {
      results.push(result);
      expect(taken - results.length).toBeLessThanOrEqual(4);
    }
    expect(results).toEqual(Array.from({ length: 50 }, (_, i) => i));
    expect(most).toBe(4);
  });
  test("a failure is thrown when its turn comes", async () => {
    const results: number[] = [];
    const run = async () => {
      for await (const result of mapOrdered([1, 2, 3, 4], 3, async (item) => {
        if (item === 3) throw new Error("three");
        return item;
      })) {
        results.push(result);
      }
    };
    await expect(run()).rejects.toThrow("three");
    expect(results).toEqual([1, 2]);
  });
});
