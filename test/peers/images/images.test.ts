/** Pillow, which Vista's loader opens images with, as the oracle for damage and for the pixels of a preview. */
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeRows, writeMeta } from "../../../bench/make-opendv.mjs";
import { checkImages } from "../../../src/dataset/images/check.js";
import { readMeta } from "../../../src/dataset/opendv/meta.js";
import { modelView } from "../../../src/dataset/preview/sheet.js";
import { newFolder, noise, removeFolders } from "../../dataset/opendv/support.js";
import { python } from "../python.js";

const script = (name: string) => fileURLToPath(new URL(name, import.meta.url));
let folder: string;

beforeAll(() => {
  folder = newFolder();
});
afterAll(removeFolders);

function pillow(paths: readonly string[]): (string | null)[] {
  const output = execFileSync(python("images"), [script("pillow.py")], { input: JSON.stringify(paths) });
  return JSON.parse(output.toString());
}

async function ours(paths: readonly string[], level: "headers" | "decode"): Promise<(string | undefined)[]> {
  const faults: (string | undefined)[] = [];
  for await (const { fault } of checkImages(paths, level)) faults.push(fault);
  return faults;
}

function picture(width: number, height: number) {
  return sharp(noise(width, height), { raw: { width, height, channels: 3 } }).blur(0.7);
}

/** Every kind of file with every kind of damage: name and bytes. */
async function damaged(): Promise<[string, Buffer][]> {
  const sources: [string, Buffer][] = [
    ["baseline.jpg", await picture(640, 360).jpeg({ quality: 95 }).toBuffer()],
    ["progressive.jpg", await picture(640, 360).jpeg({ progressive: true }).toBuffer()],
    ["grey.jpg", await picture(333, 111).greyscale().jpeg().toBuffer()],
    ["colour.png", await picture(320, 180).png().toBuffer()],
    ["lossy.webp", await picture(640, 360).webp({ quality: 95 }).toBuffer()],
    ["lossless.webp", await picture(320, 180).webp({ lossless: true }).toBuffer()],
    ["alpha.webp", await picture(320, 180).ensureAlpha(0.5).webp().toBuffer()],
  ];
  const files: [string, Buffer][] = [];
  for (const [name, bytes] of sources) {
    const add = (what: string, content: Buffer) => files.push([`${what}-${name}`, content]);
    add("whole", bytes);
    add("padded", Buffer.concat([bytes, Buffer.alloc(777)]));
    for (const cut of [1, 2, 3, 7, 12, 13, 100, 1000]) add(`less${cut}`, bytes.subarray(0, -cut));
    for (let part = 1; part < 20; part++) add(`part${part}`, bytes.subarray(0, (bytes.length * part) / 20));
    for (const head of [0, 1, 2, 4, 20, 150]) add(`head${head}`, bytes.subarray(0, head));
    add("zerotail", Buffer.from(bytes).fill(0, bytes.length >> 1));
    for (const at of [0.3, 0.6, 0.9]) {
      const from = Math.floor(bytes.length * at);
      add(`markers${at}`, Buffer.from(bytes).fill(0xff, from, from + 64));
      add(`zeros${at}`, Buffer.from(bytes).fill(0, from, Math.min(from + 512, bytes.length - 12)));
    }
  }
  return files;
}

describe("damage", () => {
  test("whatever Pillow refuses a decode finds; what headers call truncated Pillow refuses; sound files pass", async () => {
    const files = await damaged();
    mkdirSync(join(folder, "damaged"));
    const paths = files.map(([name, bytes]) => {
      const path = join(folder, "damaged", name);
      writeFileSync(path, bytes);
      return path;
    });
    const verdicts = pillow(paths);
    const headers = await ours(paths, "headers");
    const decoded = await ours(paths, "decode");
    const refused = verdicts.filter((verdict) => verdict !== null).length;
    expect(refused).toBeGreaterThan(files.length / 2);
    const missed: string[] = [];
    const wrong: string[] = [];
    for (const [i, [name]] of files.entries()) {
      if (verdicts[i] !== null && decoded[i] === undefined) missed.push(`${name}: ${verdicts[i]}`);
      if (verdicts[i] === null && headers[i] !== undefined) wrong.push(`${name}: ${headers[i]}`);
      if (/^(whole|padded)-/.test(name))
        expect([name, verdicts[i], decoded[i]]).toEqual([name, null, undefined]);
    }
    expect(missed).toEqual([]);
    // Pillow reads a PNG that lacks no more than its last chunk, and zeros for data. Both files are damaged all the same.
    const tolerated = /^(less(1|2|3|7|12|13)-colour\.png|zerotail-)/;
    expect(wrong.filter((name) => !tolerated.test(name))).toEqual([]);
  });
});

describe("a frame as the model sees it", () => {
  test.each([
    [1600, 900, 1024, 576],
    [1600, 900, 576, 320],
    [1920, 1080, 576, 320],
    [1280, 960, 576, 320],
    [2560, 1080, 1024, 576],
  ])(
    "%i × %i to %i × %i is Pillow's to within a step or two of 255",
    async (width, height, toWidth, toHeight) => {
      const path = join(folder, `${width}x${height}.png`);
      await picture(width, height).png({ compressionLevel: 1 }).toFile(path);
      const mine = await modelView(path, toWidth, toHeight);
      const theirs = execFileSync(
        python("images"),
        [script("resize.py"), path, `${toWidth}`, `${toHeight}`],
        {
          maxBuffer: 1 << 26,
        },
      );
      expect(mine.length).toBe(theirs.length);
      let sum = 0;
      let most = 0;
      for (let i = 0; i < mine.length; i++) {
        const difference = Math.abs(mine[i]! - theirs[i]!);
        sum += difference;
        most = Math.max(most, difference);
      }
      expect(sum / mine.length).toBeLessThan(0.6);
      expect(most).toBeLessThanOrEqual(6);
    },
  );
});

test("the JSON that pandas makes of the sheet reads like the sheet, NaN and all", async () => {
  const root = newFolder();
  const rows = makeRows({ youtubers: 4, videos: 3, seed: 3 });
  const sheet = rows.map((row, i) => ({
    ...row,
    title: `Überfahrt "${i}", 東京`,
    area: i === 2 ? ("" as string) : row.area,
    start_discard: i === 5 ? ("" as unknown as number) : row.start_discard,
    split: i % 2 === 0 ? row.split.toUpperCase() : row.split,
    // pandas keeps the blank, and the script makes an underscore of it.
    youtuber: i === 7 ? `${row.youtuber} ` : row.youtuber,
  }));
  writeMeta(root, sheet, ["OpenDV-YouTube.csv"]);
  const csv = join(root, "meta/OpenDV-YouTube.csv");
  const json = join(root, "meta/OpenDV-YouTube.json");
  execFileSync(python("images"), [script("meta.py"), csv, json]);
  expect(readFileSync(json, "utf8")).toMatch(/: NaN/);
  const [fromCsv, fromJson] = [await readMeta(csv), await readMeta(json)];
  expect(fromJson.unreadable).toBeUndefined();
  expect(fromJson.videos).toEqual(fromCsv.videos);
  expect(fromJson.problems).toEqual(fromCsv.problems);
  expect(fromJson.problems.map(({ kind, row }) => [kind, row])).toEqual([["blank", 5]]);
  expect(fromJson.videos[2]!.area).toBeUndefined();
  expect(fromJson.videos[7]!.folder).toBe(`${rows[7]!.youtuber.replaceAll(" ", "_")}_`);
});
