/** The index file and what is made from it. */
import { createHash } from "node:crypto";
import { readFileSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { encode } from "@msgpack/msgpack";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeNuScenes } from "../../../bench/make-nuscenes.mjs";
import { folderOf, languageRows, type OpenDvRow, toPythonJson } from "../../../bench/make-opendv.mjs";
import { checkAnnotations } from "../../../src/dataset/annotations/check.js";
import { writeYouTube } from "../../../src/dataset/annotations/make/youtube.js";
import { type BuiltIndex, buildIndex } from "../../../src/dataset/frame-index/build.js";
import { framesFromSample } from "../../../src/dataset/frame-index/chains.js";
import type { DatasetIndex } from "../../../src/dataset/frame-index/dataset-index.js";
import { decodeIndex, encodeIndex } from "../../../src/dataset/frame-index/format.js";
import { readLarge } from "../../../src/dataset/frame-index/index-task.js";
import { type FolderScan, scanFolder } from "../../../src/dataset/opendv/folder-listing.js";
import { FrameSet } from "../../../src/dataset/opendv/runs.js";
import { collect, copyOf, frame, later, makeSet, newFolder, removeFolders } from "../opendv/support.js";

let clean: { root: string; rows: OpenDvRow[] };
beforeAll(async () => {
  clean = await makeSet();
});
afterAll(removeFolders);

const text = fc.string({ minLength: 1, maxLength: 12 });
const runs = fc.uniqueArray(fc.nat({ max: 5000 }), { maxLength: 60 }).map((numbers) => {
  const set = new FrameSet();
  for (const number of numbers) set.add(number);
  return set.runs();
});
const layout = fc.record({
  prefix: fc.constantFrom("", "f_"),
  width: fc.nat({ max: 9 }),
  extension: fc.constantFrom("jpg", "png"),
});
const scan = fc.record(
  {
    layout,
    runs,
    odd: fc.array(fc.record({ layout, duplicates: runs, others: runs }), { maxLength: 2 }),
    strays: fc.array(text, { maxLength: 3 }),
    strayCount: fc.nat(),
    folders: fc.array(text, { maxLength: 3 }),
  },
  { requiredKeys: ["runs", "odd", "strays", "strayCount", "folders"] },
);
const stamp = fc.tuple(fc.nat(), fc.nat(), fc.nat(), fc.nat(), fc.maxSafeNat(), fc.nat());

test("an index comes back as it was written", () => {
  const folder = fc.record(
    {
      path: text.map((name) => `full_images/${name.replaceAll("/", "_").replaceAll("..", "_")}`),
      split: fc.constantFrom("train" as const, "val" as const),
      youtuber: text,
      videoId: text,
      stamp,
      scan,
    },
    { requiredKeys: ["path", "videoId", "scan"] },
  );
  const chain = fc
    .record({
      scene: text,
      sceneToken: text,
      log: text,
      // The others are at the bounds of what is kept as numbers: zeros before them, 2^53, 17 digits.
      start: fc.constantFrom(
        1532402927612460n,
        10n ** 15n - 9n,
        2n ** 53n - 9n,
        9n * 10n ** 15n - 9n,
        10n ** 16n - 9n,
      ),
      steps: fc.array(fc.tuple(fc.oneof(fc.nat({ max: 9 }), fc.nat({ max: 200_000 })), fc.boolean()), {
        maxLength: 20,
      }),
      usual: fc.boolean(),
    })
    .map(({ scene, sceneToken, start, steps, usual }) => {
      let last = start;
      const files = steps.map(([step, key]) => {
        last += BigInt(step);
        const time = String(last).padStart(16, "0");
        return usual
          ? `${key ? "samples" : "sweeps"}/CAM_FRONT/n015-log__CAM_FRONT__${time}.jpg`
          : `odd/${time}.png`;
      });
      return { scene, sceneToken, files, keyFrames: steps.map(([, key]) => key) };
    });
  fc.assert(
    fc.property(fc.array(folder, { maxLength: 4 }), fc.array(chain, { maxLength: 4 }), (folders, chains) => {
      // A folder without a layout has no frames.
      for (const { scan } of folders) if (scan.layout === undefined) scan.runs = [];
      const index: DatasetIndex = {
        opendv: { root: "r", folders: folders as NonNullable<DatasetIndex["opendv"]>["folders"] },
        nuscenes: { root: "n", version: "v1.0-mini", chains },
      };
      expect(decodeIndex(encodeIndex(index), "x")).toEqual(index);
    }),
  );
});

test("what is no index is refused with a reason and what to do", () => {
  const index = encodeIndex({ opendv: { root: "r", folders: [] } });
  const decode = (bytes: Uint8Array) => () => decodeIndex(bytes, "x");
  expect(decode(index.subarray(0, -2))).toThrow(/x: is not an index file/);
  expect(decode(Buffer.from("[]"))).toThrow(/not an index file/);
  expect(decode(Buffer.from([0x81, 0xa1, 0x61, 0x01]))).toThrow(/not an index file of vista-data/);
  for (const garbage of [Buffer.from("garbage"), Buffer.from([0x80]), Buffer.alloc(0)]) {
    const hint = expect.stringMatching(/^Name a file that `vista-data index` wrote; .* remove it and run/);
    expect(decode(garbage)).toThrow(expect.objectContaining({ code: "FORMAT", hint }));
  }
  const later = Buffer.from(index);
  later[later.indexOf("version") + 7] = 9;
  expect(decode(later)).toThrow(/version 9; this program reads 2/);
});

test("one flipped bit anywhere in an index is refused", () => {
  const index = encodeIndex({
    opendv: {
      root: "r",
      folders: [
        {
          path: "full_images/A/v",
          videoId: "v",
          stamp: [1, 2, 3, 4, 5, 6],
          scan: {
            layout: { prefix: "", width: 9, extension: "jpg" },
            runs: [0, 99],
            odd: [],
            strays: [],
            strayCount: 0,
            folders: [],
          },
        },
      ],
    },
  });
  for (let bit = 0; bit < index.length * 8; bit++) {
    const flipped = Uint8Array.from(index);
    flipped[bit >> 3]! ^= 1 << (bit & 7);
    expect(() => decodeIndex(flipped, "x"), `bit ${bit}`).toThrow(/^x: is /);
  }
});

/** An index file with a right digest around any content. */
function sealed(content: unknown): Uint8Array {
  const bytes = content instanceof Uint8Array ? content : encode(content);
  const digest = createHash("sha256").update(bytes).digest();
  return encode({ format: "vista-data-index", version: 2, digest, content: bytes });
}

describe("fields out of their bounds are refused by name, right digest or not", () => {
  const folder = (changes: Record<number, unknown>) => {
    const fields: unknown[] = ["full_images/A/v", 1, "A", "v", [1, 2, 3, 4, 5, 6], 0, [0, 99], [], [], 0, []];
    for (const [at, value] of Object.entries(changes)) fields[Number(at)] = value;
    return { opendv: { root: "r", layouts: [["", 9, "jpg"]], folders: [fields] } };
  };
  const chain = (changes: Record<number, unknown>) => {
    const fields: unknown[] = ["scene-0061", "t", "log", [1532402927612460, 83000], Uint8Array.of(1), []];
    for (const [at, value] of Object.entries(changes)) fields[Number(at)] = value;
    return { nuscenes: { root: "n", version: "v1.0-mini", chains: [fields] } };
  };
  test.each<[string, unknown, RegExp]>([
    ["runs of odd length", folder({ 6: [0, 99, 5] }), /folders\[0\]\.runs: has 3 numbers/],
    ["NaN in runs", folder({ 6: [0, Number.NaN] }), /runs\[1\]: is NaN/],
    ["infinity in runs", folder({ 6: [0, Number.POSITIVE_INFINITY] }), /runs\[1\]: is Infinity/],
    ["runs that go back", folder({ 6: [5, -3] }), /runs\[1\]: is -3/],
    ["runs that touch", folder({ 6: [0, 9, 1, 4] }), /runs\[2\]: is 1/],
    ["frames beyond the largest number", folder({ 6: [0, 2 ** 26] }), /runs\[1\]: is 67108864/],
    ["frames beyond it in sum", folder({ 6: [2 ** 25, 2 ** 26 - 1] }), /runs\[1\]: is frame/],
    ["null for runs", folder({ 6: null }), /runs: is no list/],
    ["a path that leads out", folder({ 0: "../../etc" }), /path: leads out of the root/],
    ["a layout that is not there", folder({ 5: 7 }), /layout: is 7/],
    ["frames without a layout", folder({ 5: -1 }), /layout: is -1 beside frames/],
    ["a stamp with NaN", folder({ 4: [1, 2, 3, Number.NaN, 5, 6] }), /stamp\[3\]/],
    [
      "a folder that is no list",
      { opendv: { root: "r", layouts: [], folders: [3] } },
      /folders\[0\]: is no list/,
    ],
    ["times without end", chain({ 3: [1e300, 1] }), /times\[0\]: is 1e\+300/],
    ["too few key-frame bits", chain({ 4: new Uint8Array(0) }), /keyFrames: does not have one bit/],
    ["a scene that is null", chain({ 0: null }), /scene: is no text/],
    ["content that is a number", 7, /content: is no map/],
    ["an array of 4 thousand million", Uint8Array.of(0xdd, 0xff, 0xff, 0xff, 0xff), /no MessagePack/],
    ["a thousand levels", new Uint8Array(1000).fill(0x91), /no MessagePack/],
  ])("%s", (_, content, message) => {
    expect(() => decodeIndex(sealed(content), "x")).toThrow(message);
    expect(() => decodeIndex(sealed(content), "x")).toThrow(expect.objectContaining({ name: "VistaError" }));
  });
  test("and what is within them is read", () => {
    expect(decodeIndex(sealed(folder({})), "x").opendv?.folders[0]?.scan.runs).toEqual([0, 99]);
    expect(decodeIndex(sealed(chain({})), "x").nuscenes?.chains[0]?.files).toHaveLength(2);
  });
});

describe("a second run", () => {
  /** Makes folders look as if they had changed long ago; their ctime is still now, so the clock is put on. */
  function aged(root: string): void {
    for (const row of clean.rows) utimesSync(join(root, folderOf(row)), 1_600_000_000, 1_600_000_000);
    later();
  }
  const again = (root: string, built: BuiltIndex) =>
    buildIndex(root, { previous: decodeIndex(encodeIndex(built.index), "x") });

  test("reads only what changed, whatever the change", async () => {
    const root = copyOf(clean.root);
    aged(root);
    const first = await buildIndex(root);
    expect([first.read, first.reused]).toEqual([6, 0]);
    const second = await again(root, first);
    expect([second.read, second.reused]).toEqual([0, 6]);
    expect(second.index).toEqual(first.index);

    const [a, b, c] = clean.rows as [OpenDvRow, OpenDvRow, OpenDvRow];
    rmSync(frame(root, a, 5));
    renameSync(frame(root, b, 5), frame(root, b, 99));
    // A folder put back with its old time, as `rsync -a` and `mv` do.
    const old = statSync(join(root, folderOf(c)));
    rmSync(frame(root, c, 5));
    utimesSync(join(root, folderOf(c)), old.atime, old.mtime);
    const third = await again(root, second);
    expect([third.read, third.reused]).toEqual([3, 3]);
    for (const row of [a, b, c]) {
      const indexed = third.index.opendv!.folders.find(({ path }) => path === folderOf(row))!;
      expect(indexed.scan).toEqual(scanFolder(join(root, folderOf(row))));
    }
  });

  test("does not trust a listing that was made just after a change", async () => {
    const root = copyOf(clean.root);
    rmSync(frame(root, clean.rows[0]!, 5));
    const first = await buildIndex(root);
    expect(first.index.opendv!.folders.map(({ stamp }) => stamp)).toContain(undefined);
    const second = await again(root, first);
    expect(second.reused).toBeLessThan(6);
  });
});

test("65 million frames in 2,000 folders with 40 gaps each fit in 20 MB", async () => {
  const frames = new FrameSet();
  for (let frame = 0; frame < 32_500; frame++) if (frame % 800 !== 799) frames.add(frame);
  const runs = frames.runs();
  const scan = (): FolderScan => ({
    layout: { prefix: "", width: 9, extension: "jpg" },
    runs,
    odd: [],
    strays: [],
    strayCount: 0,
    folders: [],
  });
  const folders = Array.from({ length: 2000 }, (_, i) => ({
    path: `full_images/Some_Youtuber_${i % 50}/${String(i).padStart(11, "v")}`,
    split: "train" as const,
    youtuber: `Some_Youtuber_${i % 50}`,
    videoId: String(i).padStart(11, "v"),
    stamp: [1_700_000_000 + i, 123_456_789, 1_700_000_000 + i, 987_654_321, 2 ** 40 + i, 1 << 20] as const,
    scan: scan(),
  }));
  const bytes = encodeIndex({ opendv: { root: "r", folders } });
  expect(bytes.length).toBeLessThan(1_000_000);
  expect(decodeIndex(bytes, "x").opendv!.folders[1999]!.scan.runs).toEqual(runs);
});

describe("nuScenes", () => {
  test("CAM_FRONT chains follow `next` through each scene", async () => {
    const root = newFolder();
    await makeNuScenes(root, { scenes: 3, samples: 8, boxes: 0, files: "none" });
    const { index } = await buildIndex(root);
    const tables = join(root, index.nuscenes!.version);
    const read = (name: string) => JSON.parse(readFileSync(join(tables, `${name}.json`), "utf8"));
    const front = (
      read("sample_data") as {
        filename: string;
        timestamp: number;
        is_key_frame: boolean;
        sample_token: string;
      }[]
    ).filter(({ filename }) => filename.includes("/CAM_FRONT/"));
    const { chains } = index.nuscenes!;
    expect(chains.map(({ scene }) => scene)).toEqual(
      (read("scene") as { name: string }[]).map(({ name }) => name).sort(),
    );
    expect(chains.flatMap(({ files }) => files).sort()).toEqual(front.map(({ filename }) => filename).sort());
    for (const { files, keyFrames } of chains) {
      const times = files.map((file) => front.find(({ filename }) => filename === file)!.timestamp);
      expect(times).toEqual([...times].sort((a, b) => a - b));
      expect(keyFrames.filter((key) => key)).toHaveLength(8);
    }
    const start = front.find(({ is_key_frame }) => is_key_frame)!;
    const frames = framesFromSample(tables, start.sample_token, 25);
    expect(frames[0]).toBe(start.filename);
    expect(frames).toHaveLength(25);
    expect(framesFromSample(tables, "0".repeat(32), 25)).toEqual([]);
    expect((await buildIndex(root, { previous: index })).index.nuscenes!.chains).toEqual(chains);
  });
});

describe("a chain with a fault is in the index with all its frames, once each", () => {
  type Links = { token: string; prev: string; next: string; filename: string };
  /** The chains of one scene whose CAM_FRONT rows, in their order, are changed, as the places of their frames in that order. */
  async function piecesOf(change: (rows: Links[]) => void): Promise<number[][]> {
    const root = newFolder();
    await makeNuScenes(root, { scenes: 1, samples: 2, boxes: 0, files: "none" });
    const path = join(root, "v1.0-mini", "sample_data.json");
    const table = JSON.parse(readFileSync(path, "utf8")) as (Links & { timestamp: number })[];
    const front = table.filter(({ filename }) => filename.includes("/CAM_FRONT/"));
    front.sort((a, b) => a.timestamp - b.timestamp);
    expect(front).toHaveLength(7);
    const order = front.map(({ filename }) => filename);
    change(front);
    writeFileSync(path, JSON.stringify(table));
    const { chains } = (await buildIndex(root)).index.nuscenes!;
    return chains.map(({ files }) => files.map((file) => order.indexOf(file)));
  }
  test.each<[string, (rows: Links[]) => void, number[][]]>([
    ["no fault", () => {}, [[0, 1, 2, 3, 4, 5, 6]]],
    [
      "next is empty in the middle",
      (rows) => Object.assign(rows[2]!, { next: "" }),
      [
        [0, 1, 2],
        [3, 4, 5, 6],
      ],
    ],
    [
      "prev is empty in the middle",
      (rows) => Object.assign(rows[3]!, { prev: "" }),
      [
        [0, 1, 2],
        [3, 4, 5, 6],
      ],
    ],
    [
      "next skips a frame",
      (rows) => Object.assign(rows[2]!, { next: rows[4]!.token }),
      [
        [0, 1, 2],
        [3, 4, 5, 6],
      ],
    ],
    [
      "a circle",
      (rows) => {
        rows[0]!.prev = rows[6]!.token;
        rows[6]!.next = rows[0]!.token;
      },
      [[0, 1, 2, 3, 4, 5, 6]],
    ],
  ])("%s", async (_, change, pieces) => {
    expect(await piecesOf(change)).toEqual(pieces);
  });
});

describe("rows of sample_data.json", () => {
  /** A set of one scene whose last row is changed as text. */
  async function withLastRow(change: (row: string) => string): Promise<string> {
    const root = newFolder();
    await makeNuScenes(root, { scenes: 1, samples: 3, boxes: 0, files: "none" });
    const path = join(root, "v1.0-mini", "sample_data.json");
    const table = readFileSync(path, "utf8");
    const at = table.lastIndexOf("{");
    const end = table.lastIndexOf("}") + 1;
    writeFileSync(path, table.slice(0, at) + change(table.slice(at, end)) + table.slice(end));
    return root;
  }
  test("a row that is not JSON is refused where it does not look like CAM_FRONT too", async () => {
    const root = await withLastRow(() => "{oops}");
    await expect(buildIndex(root)).rejects.toMatchObject({
      code: "FORMAT",
      message: /quoted key should start/,
    });
  });
  test.each(["17", '""'])("a CAM_FRONT row whose token is %s is refused, not left out", async (token) => {
    const root = await withLastRow((row) => {
      const filename = "samples/CAM_FRONT/n__CAM_FRONT__1532402927612460.jpg";
      return row
        .replace(/"token": "\w+"/, `"token": ${token}`)
        .replace(/"filename": "[^"]+"/, `"filename": "${filename}"`);
    });
    await expect(buildIndex(root)).rejects.toMatchObject({ code: "FORMAT", message: /has no token/ });
  });
  test("a CAM_FRONT row whose slashes are escaped is found", async () => {
    const row = {
      token: "front",
      sample_token: "none",
      prev: "",
      next: "",
      timestamp: 1532402927612460,
      is_key_frame: true,
      filename: "samples/CAM_FRONT/n__CAM_FRONT__1532402927612460.jpg",
    };
    const root = await withLastRow(() => JSON.stringify(row).replaceAll("/", "\\/"));
    const { chains } = (await buildIndex(root)).index.nuscenes!;
    expect(chains.flatMap(({ files }) => files)).toContain(row.filename);
  });
});

describe("YouTube.json", () => {
  const layout = { prefix: "", width: 9, extension: "jpg" };
  const write = async (runs: number[], options: { clip?: number; stride?: number } = {}) => {
    const path = join(newFolder(), "YouTube.json");
    const result = await writeYouTube(path, [{ folderName: "full_images/A/b", layout, runs }], options);
    const records = JSON.parse(readFileSync(path, "utf8")) as { folder_name: string; first_frame: string }[];
    expect(result).toMatchObject({ clips: records.length, bytes: statSync(path).size });
    return records.map(({ folder_name, first_frame }) => {
      expect(folder_name).toBe("full_images/A/b");
      return first_frame;
    });
  };
  test("every frame starts a clip but the last 24 of a run", async () => {
    const starts = await write([0, 29, 40, 64, 70, 93]);
    expect(starts).toEqual([0, 1, 2, 3, 4, 5, 40].map((n) => `${String(n).padStart(9, "0")}.jpg`));
  });
  test("a folder's name is written in ASCII, as json.dump does, because Python may take the file for one in Latin-1", async () => {
    const path = join(newFolder(), "YouTube.json");
    await writeYouTube(path, [{ folderName: 'full_images/Żółć "中"/v', layout, runs: [0, 24] }]);
    expect(readFileSync(path, "latin1")).toBe(
      '[{"folder_name": "full_images/\\u017b\\u00f3\\u0142\\u0107 \\"\\u4e2d\\"/v", "first_frame": "000000000.jpg"}]\n',
    );
  });
  test("strides and other lengths", async () => {
    expect(await write([0, 29], { stride: 4 })).toEqual(["000000000.jpg", "000000004.jpg"]);
    expect(await write([5, 8], { clip: 3 })).toEqual(["000000005.jpg", "000000006.jpg"]);
  });
  test("no clip over a gap, for any runs: what was written passes the check", async () => {
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(fc.nat({ max: 39 }), { maxLength: 3 }), async (missing) => {
        const root = copyOf(clean.root);
        for (const number of missing) rmSync(frame(root, clean.rows[0]!, number), { force: true });
        const { index } = await buildIndex(root);
        const sources = index
          .opendv!.folders.filter(({ split }) => split === "train")
          .map(({ path, scan }) => ({ folderName: path, layout: scan.layout!, runs: scan.runs }));
        const path = join(root, "YouTube.json");
        await writeYouTube(path, sources, { force: true });
        expect(await collect(checkAnnotations([path], { root, youtube: root }))).toEqual([]);
      }),
      { numRuns: 6 },
    );
  });
  test("nothing is written where there is no clip, or the loader could not read the names", async () => {
    const path = join(newFolder(), "YouTube.json");
    const source = { folderName: "a", layout, runs: [0, 23] };
    await expect(writeYouTube(path, [source])).rejects.toMatchObject({ code: "INCOMPLETE" });
    const odd = { folderName: "a", layout: { ...layout, prefix: "f_" }, runs: [0, 99] };
    await expect(writeYouTube(path, [odd])).rejects.toMatchObject({ code: "UNSUPPORTED" });
    // Half a frame would be in the names that are written, and steps of nothing would never end.
    const whole = { ...source, runs: [0, 99] };
    for (const value of [0, -1, 1.5, Number.NaN])
      for (const name of ["clip", "stride"])
        await expect(writeYouTube(path, [whole], { [name]: value })).rejects.toMatchObject({
          code: "USAGE",
          what: `${name} is ${value}`,
        });
    expect(() => statSync(path)).toThrow(/ENOENT/);
  });
  test("language files: the frames that their clips cover, over several files and in any layout", async () => {
    const folder = newFolder();
    const rows = [...languageRows(clean.rows.slice(0, 2), 60)];
    const gap = rows.filter(
      ({ folder: name, first_frame }) =>
        name !== rows[0]!.folder || Number.parseInt(first_frame, 10) % 50 === 0,
    );
    writeFileSync(join(folder, "a.json"), toPythonJson(gap.slice(0, 5)));
    writeFileSync(join(folder, "b.json"), JSON.stringify(gap.slice(5).reverse(), null, 2));
    const read = (...names: string[]) => {
      const files = names.map((name) => join(folder, name));
      return readLarge("language", files, files, {});
    };
    const folders = await read("a.json", "b.json");
    expect(folders.map(({ folder: name, runs }) => [name, runs])).toEqual([
      [rows[0]!.folder, [0, 39]],
      [folderOf(clean.rows[1]!), [0, 59]],
    ]);
    writeFileSync(join(folder, "c.json"), '[{"folder_name": "x"}]');
    await expect(read("c.json")).rejects.toMatchObject({
      code: "FORMAT",
      where: { record: "record 0", offset: 1 },
    });
  });
});
