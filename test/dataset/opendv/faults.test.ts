/** The planted-fault matrix: each fault is named by its rule and place and nothing else, each near miss by nothing. */
import {
  copyFileSync,
  cpSync,
  linkSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { folderOf, makeJpeg, type OpenDvRow, writeMeta } from "../../../bench/make-opendv.mjs";
import { findYouTubeClips } from "../../../src/dataset/annotations/make/youtube-sources.js";
import { buildIndex } from "../../../src/dataset/frame-index/build.js";
import { encodeIndex } from "../../../src/dataset/frame-index/format.js";
import { checkOpenDv, type OpenDvCheckOptions } from "../../../src/dataset/opendv/check.js";
import { readSplits } from "../../../src/dataset/opendv/meta.js";
import { OPENDV_RULES } from "../../../src/dataset/opendv/rules.js";
import {
  collect,
  copyOf,
  frame,
  later,
  makeSet,
  newFolder,
  noise,
  removeFolders,
  replace,
} from "./support.js";

let clean: { root: string; rows: OpenDvRow[] };
let rows: OpenDvRow[];
let train: OpenDvRow;
let val: OpenDvRow;

beforeAll(async () => {
  clean = await makeSet({ youtubers: 2, videoFiles: true });
  rows = clean.rows;
  train = rows[1]!;
  val = rows[3]!;
});
afterAll(removeFolders);

/** `[rule without its prefix, path, count, a part of the message]` of what the check finds. */
async function found(
  plant: (root: string) => unknown,
  options: OpenDvCheckOptions = {},
): Promise<[string, string, number | undefined, string][]> {
  const root = copyOf(clean.root);
  await plant(root);
  const findings = await collect(checkOpenDv(root, options));
  return findings.map(({ rule, path, count, message }) => [
    rule.replace("opendv/", ""),
    path,
    count,
    message,
  ]);
}

/** Changes one row of both lists. */
function editRow(root: string, row: OpenDvRow, change: Partial<Record<keyof OpenDvRow, unknown>>): void {
  writeMeta(
    root,
    rows.map((one) => (one === row ? ({ ...one, ...change } as OpenDvRow) : one)),
  );
}

function dropFrames(root: string, row: OpenDvRow, from: number, to: number): void {
  for (let number = from; number <= to; number++) rmSync(frame(root, row, number));
}

const covered = new Set<string>();
function fault(
  rule: keyof typeof OPENDV_RULES,
  name: string,
  plant: (root: string) => unknown,
  place: () => string,
  message: string | RegExp,
  options: OpenDvCheckOptions = {},
): void {
  covered.add(rule);
  test(`${rule}: ${name}`, async () => {
    const findings = await found(plant, options);
    expect(findings.map(([code, path]) => [code, path])).toEqual([[rule, place()]]);
    expect(findings[0]![3]).toMatch(message);
  });
}
const spared = new Set<string>();
/** Something that is nearly a fault of `rule`, and legal: nothing is found, by this rule or another. */
function nearMiss(
  rule: keyof typeof OPENDV_RULES,
  name: string,
  plant: (root: string) => unknown,
  options: OpenDvCheckOptions = {},
): void {
  spared.add(rule);
  test(`${rule}, near miss: ${name}`, async () => {
    expect(await found(plant, options)).toEqual([]);
  });
}
const folder = (row: () => OpenDvRow) => () => folderOf(row());
const here = () => train;

test("a clean set has no finding, at every level", async () => {
  for (const images of ["names", "headers", "decode"] as const) {
    const check = checkOpenDv(clean.root, { images });
    expect(await collect(check)).toEqual([]);
    expect(check.summary).toMatchObject({
      title: "OpenDV-YouTube, 4 videos, %09d.jpg from 0",
      interrupted: false,
      coverage: [
        { what: "video folders", checked: 4, total: 4 },
        { what: "frames (names)", checked: 160, total: 160 },
        { what: "frames (sizes)", checked: 160, total: 160 },
        ...(images === "names" ? [] : [{ checked: 160, total: 160 }]),
      ],
    });
    expect(check.summary.sampled).toBeUndefined();
  }
});

describe("folders", () => {
  fault(
    "no-frames",
    "only videos are there",
    (root) => {
      rmSync(join(root, "full_images"), { recursive: true });
      rmSync(join(root, "val_images"), { recursive: true });
    },
    () => ".",
    /not one folder/,
  );
  nearMiss("no-frames", "one video with one frame, in the second of two splits", (root) => {
    rmSync(join(root, "full_images"), { recursive: true });
    mkdirSync(join(root, "full_images"));
    dropFrames(root, val, 1, 39);
    writeMeta(root, [{ ...val, end_discard: 33 }]);
  });
  fault(
    "empty-folder",
    "a killed run",
    (root) => dropFrames(root, train, 0, 39),
    folder(here),
    /holds no frame/,
  );
  fault(
    "empty-folder",
    "of a video that should give five frames",
    (root) => {
      dropFrames(root, train, 0, 39);
      editRow(root, train, { start_discard: 93.5 });
    },
    folder(here),
    /holds no frame/,
  );
  nearMiss("empty-folder", "a video that is as long as what is discarded of it", (root) => {
    dropFrames(root, train, 0, 39);
    editRow(root, train, { start_discard: 94 });
  });
  fault(
    "only-last-frame",
    "a run that found the folder empty",
    (root) => dropFrames(root, train, 0, 38),
    folder(here),
    /only frame 39/,
  );
  fault(
    "only-last-frame",
    "of a video of two frames",
    (root) => {
      dropFrames(root, train, 2, 39);
      rmSync(frame(root, train, 0));
      editRow(root, train, { end_discard: 33.8 });
    },
    folder(here),
    /only frame 1 /,
  );
  nearMiss("only-last-frame", "a video of one frame, which is the first, too", (root) => {
    dropFrames(root, train, 1, 39);
    editRow(root, train, { end_discard: 33.9 });
  });
  fault("gap", "one frame", (root) => rmSync(frame(root, train, 7)), folder(here), /^frame 7 is missing$/);
  fault(
    "gap",
    "at the start",
    (root) => dropFrames(root, train, 0, 2),
    folder(here),
    /^frames 0 to 2 are missing \(3 frames\), at the start$/,
  );
  fault("gap", "next to the last", (root) => rmSync(frame(root, train, 38)), folder(here), /^frame 38 is/);
  nearMiss("gap", "the last frame, which decoders often do not give", (root) =>
    rmSync(frame(root, train, 39)),
  );
  fault(
    "short",
    "half-extracted",
    (root) => dropFrames(root, train, 18, 39),
    folder(here),
    /ends at frame 17, 22 frames before the 40 .*tolerance 21/,
  );
  nearMiss("short", "by no more than the tolerance", (root) => dropFrames(root, train, 19, 39));
  fault(
    "long",
    "a wrong discard",
    (root) => editRow(root, train, { end_discard: 33 }),
    folder(here),
    /goes on to frame 39, 30 frames more than the 10/,
  );
  fault(
    "gap",
    "a number far behind the others, which is not a frame too many",
    (root) => renameSync(frame(root, train, 39), frame(root, train, 3900)),
    folder(here),
    /frames 39 to 3899 are missing/,
  );
  nearMiss("long", "by no more than the tolerance", (root) => editRow(root, train, { end_discard: 32.05 }));
  fault(
    "frame-name",
    "another width",
    (root) => renameSync(frame(root, train, 5), join(root, folderOf(train), "000005.jpg")),
    folder(here),
    /1 frame is named %06d.jpg where the folder has %09d.jpg/,
  );
  fault(
    "frame-name",
    "another extension, at the end",
    (root) => renameSync(frame(root, train, 39), frame(root, train, 39).replace(".jpg", ".jpeg")),
    folder(here),
    /%09d.jpeg/,
  );
  nearMiss("frame-name", "numbers that are not padded, of one digit and of two", (root) => {
    for (let number = 0; number < 40; number++) {
      renameSync(frame(root, train, number), join(root, folderOf(train), `${number}.jpg`));
    }
  });
  fault(
    "duplicate-frame",
    "another width",
    (root) => copyFileSync(frame(root, train, 5), join(root, folderOf(train), "00005.jpg")),
    folder(here),
    /frame 5 is there twice: 000000005.jpg and 00005.jpg/,
  );
  fault(
    "duplicate-frame",
    "as PNG",
    async (root) =>
      writeFileSync(
        frame(root, train, 5).replace("jpg", "png"),
        await sharp(frame(root, train, 5))
          .png()
          .toBuffer(),
      ),
    folder(here),
    /000000005.png/,
  );
  nearMiss("duplicate-frame", "one picture under two numbers: the car stands still", (root) => {
    rmSync(frame(root, train, 6));
    linkSync(frame(root, train, 5), frame(root, train, 6));
  });
  nearMiss("duplicate-frame", "number 1 is the start of number 10", (root) => {
    for (let number = 0; number < 40; number++) {
      renameSync(frame(root, train, number), join(root, folderOf(train), `${number}.jpg`));
    }
  });
  for (const name of ["Thumbs.db", "000000005 (1).jpg", "000000005.jpg.part", "._000000005.jpg"]) {
    fault(
      "stray-file",
      name,
      (root) => writeFileSync(join(root, folderOf(train), name), "x"),
      folder(here),
      new RegExp(`${name.replace(/[().]/g, "\\$&")} is no frame`),
    );
  }
  fault(
    "stray-file",
    "a link to a file, which is no folder",
    (root) => {
      writeFileSync(join(root, "list.txt"), "x");
      symlinkSync(join(root, "list.txt"), join(root, folderOf(train), "list"));
    },
    folder(here),
    /list is no frame/,
  );
  nearMiss("stray-file", "what the Finder and a storage box leave everywhere", (root) => {
    writeFileSync(join(root, folderOf(train), ".DS_Store"), "x");
    for (const place of ["full_images", folderOf(train)]) {
      mkdirSync(join(root, place, "@eaDir/000000000.jpg"), { recursive: true });
    }
  });
  fault(
    "layout",
    "one video as PNG",
    async (root) => {
      const png = await sharp(await makeJpeg(1280, 720))
        .png()
        .toBuffer();
      for (let number = 0; number < 40; number++) {
        rmSync(frame(root, train, number));
        writeFileSync(frame(root, train, number).replace("jpg", "png"), png);
      }
    },
    folder(here),
    /%09d.png, the set %09d.jpg/,
  );
  nearMiss("layout", "padded to the width of the last frame, as an older script did", (root) => {
    for (let number = 0; number < 40; number++) {
      renameSync(
        frame(root, train, number),
        join(root, folderOf(train), `${String(number).padStart(2, "0")}.jpg`),
      );
    }
  });
  fault(
    "broken-link",
    "a youtuber on a disk that is not mounted",
    (root) => symlinkSync(join(root, "nowhere"), join(root, "full_images/Gone_Films")),
    () => "full_images/Gone_Films",
    /leads nowhere/,
  );
  fault(
    "broken-link",
    "a video whose link leads nowhere, which is not missing as well",
    (root) => {
      rmSync(join(root, folderOf(train)), { recursive: true });
      symlinkSync("nowhere", join(root, folderOf(train)));
    },
    folder(here),
    /leads nowhere/,
  );
  fault(
    "broken-link",
    "a split on a disk that is not mounted",
    (root) => {
      rmSync(join(root, "full_images"), { recursive: true });
      symlinkSync("/mnt/nowhere", join(root, "full_images"));
    },
    () => "full_images",
    /leads nowhere/,
  );
  const linkFrames = (root: string, to: number) => {
    for (let number = 0; number <= to; number++) {
      rmSync(frame(root, train, number));
      symlinkSync(`/nowhere/${number}.jpg`, frame(root, train, number));
    }
  };
  fault(
    "broken-link",
    "a frame that is a link to nowhere, found without opening one, which is no gap as well",
    (root) => linkFrames(root, 0),
    folder(here),
    /^1 frame is a link to nowhere/,
    { images: "names" },
  );
  fault(
    "broken-link",
    "a folder of links to a disk that is not mounted, whose frames are not to be extracted again",
    (root) => linkFrames(root, 39),
    folder(here),
    /^40 frames are links to nowhere/,
  );
  for (const [what, target] of [
    ["circle", "meta"],
    ["link to nowhere", "/nowhere/at/all"],
  ] as const) {
    fault(
      "broken-link",
      `meta is a ${what}, so that nobody knows whether there is a list`,
      (root) => {
        rmSync(join(root, "meta"), { recursive: true });
        symlinkSync(target, join(root, "meta"));
      },
      () => "meta",
      /symbolic link/,
    );
  }
  fault(
    "broken-link",
    "the videos of a youtuber cannot be listed, one of which has no frames",
    (root) => {
      const videos = join(root, "videos", train.youtuber.replaceAll(" ", "_"));
      rmSync(videos, { recursive: true });
      symlinkSync(videos, videos);
    },
    () => `videos/${train.youtuber.replaceAll(" ", "_")}`,
    /in a circle/,
  );
  nearMiss(
    "broken-link",
    "meta and videos are links to other disks, with files beside the youtubers",
    (root) => {
      for (const name of ["meta", "videos"]) {
        const elsewhere = join(newFolder(), "it");
        renameSync(join(root, name), elsewhere);
        symlinkSync(elsewhere, join(root, name));
      }
      writeFileSync(join(root, "videos/README.md"), "x");
    },
  );
  nearMiss("broken-link", "a video folder that is a link to another disk", (root) => {
    renameSync(join(root, folderOf(train)), join(root, "elsewhere"));
    symlinkSync("../../elsewhere", join(root, folderOf(train)));
  });
  nearMiss("broken-link", "archives and notes beside the frames, and the root of a disk", (root) => {
    writeFileSync(join(root, "full_images.tar"), "x");
    writeFileSync(join(root, "val_images.zip"), "x");
    writeFileSync(join(root, "full_images/README.md"), "x");
    symlinkSync("README.md", join(root, "full_images/LICENSE"));
    mkdirSync(join(root, "full_images/lost+found/#1234"), { recursive: true });
  });
  test("clips and indexes are not made of a part: a youtuber whose disk is not mounted is an error", async () => {
    const root = copyOf(clean.root);
    symlinkSync("/nowhere/at/all", join(root, "full_images/Gone_Films"));
    const failure = { code: "IO", where: { path: join(root, "full_images/Gone_Films") } };
    await expect(findYouTubeClips(root)).rejects.toMatchObject(failure);
    await expect(buildIndex(root)).rejects.toMatchObject(failure);
    unlinkSync(join(root, "full_images/Gone_Films"));
    rmSync(join(root, "videos"), { recursive: true });
    symlinkSync("/nowhere/at/all", join(root, "videos"));
    expect((await buildIndex(root)).index.opendv?.folders.length).toBe(4);
  });
  test("links to nowhere are no frames for clips, and a folder with some is listed again for an index", async () => {
    const root = copyOf(clean.root);
    const elsewhere = join(newFolder(), "20");
    symlinkSync(elsewhere, `${frame(root, train, 20)}.link`);
    copyFileSync(frame(root, train, 20), `${elsewhere}.away`);
    renameSync(`${frame(root, train, 20)}.link`, frame(root, train, 20));
    later();
    const runs = ({ index }: Awaited<ReturnType<typeof buildIndex>>) =>
      index.opendv?.folders.find(({ videoId }) => videoId === train.videoid)?.scan.runs;
    const before = await buildIndex(root);
    expect(runs(before)).toEqual([0, 19, 21, 39]);
    renameSync(`${elsewhere}.away`, elsewhere);
    const after = await buildIndex(root, { previous: before.index });
    expect(runs(after)).toEqual([0, 39]);
    expect(after).toMatchObject({ read: 1, reused: 3 });
  });
  test("a set that cannot be listed is an error, not one without frames", async () => {
    const root = join(newFolder(), "circle");
    symlinkSync(root, root);
    await expect(collect(checkOpenDv(root))).rejects.toMatchObject({ code: "IO", where: { path: root } });
  });
  test("full_images in capitals is looked at, too", async () => {
    const root = copyOf(clean.root);
    renameSync(join(root, "full_images"), join(root, "Full_Images"));
    const check = checkOpenDv(root);
    await collect(check);
    expect(check.summary.coverage[0]).toMatchObject({ checked: 4, total: 4 });
  });
  nearMiss("missing-folder", "a set spread over full_images and full_images_2", (root) => {
    const [, youtuber] = folderOf(train).split("/");
    mkdirSync(join(root, "full_images_2"));
    renameSync(join(root, "full_images", youtuber!), join(root, "full_images_2", youtuber!));
  });
});

describe("images", () => {
  fault(
    "truncated-last-frame",
    "an interrupted run",
    (root) => {
      replace(frame(root, train, 39), readFileSync(frame(root, train, 38)));
      truncateSync(frame(root, train, 39), 3000);
    },
    () => `${folderOf(train)}/000000039.jpg`,
    /no end marker: cut off at 3000 bytes/,
  );
  fault(
    "truncated-last-frame",
    "an interrupted run, before the first byte, at the level of names",
    (root) => replace(frame(root, train, 39), ""),
    () => `${folderOf(train)}/000000039.jpg`,
    /0 bytes/,
    { images: "names" },
  );
  nearMiss("truncated-last-frame", "bytes after the end marker, which need not be the last two", (root) =>
    replace(frame(root, train, 39), Buffer.concat([readFileSync(frame(root, train, 38)), Buffer.from("\n")])),
  );
  fault(
    "truncated-image",
    "a copy that failed",
    (root) => replace(frame(root, train, 9), readFileSync(frame(root, train, 8)).subarray(0, -2)),
    () => `${folderOf(train)}/000000009.jpg`,
    /no end marker/,
  );
  nearMiss("truncated-image", "bytes after the end marker", (root) =>
    replace(frame(root, train, 9), Buffer.concat([readFileSync(frame(root, train, 8)), Buffer.alloc(64)])),
  );
  fault(
    "empty-image",
    "0 bytes",
    (root) => replace(frame(root, train, 9), ""),
    () => `${folderOf(train)}/000000009.jpg`,
    /0 bytes/,
  );
  nearMiss("empty-image", "a black frame, as small as a picture can be", async (root) => {
    const create = { width: 1280, height: 720, channels: 3 as const, background: "black" };
    replace(frame(root, train, 9), await sharp({ create }).greyscale().jpeg({ quality: 1 }).toBuffer());
  });
  fault(
    "not-an-image",
    "an error page",
    (root) => replace(frame(root, train, 9), "<html>quota exceeded</html>"),
    () => `${folderOf(train)}/000000009.jpg`,
    /starts with 3c 68 74 6d.*neither JPEG, PNG nor WebP/,
  );
  nearMiss("not-an-image", "a PNG under the name of a JPEG, which Pillow opens", async (root) =>
    replace(
      frame(root, train, 9),
      await sharp(frame(root, train, 8))
        .png()
        .toBuffer(),
    ),
  );
  fault(
    "damaged-image",
    "a lost disk block, found by a decode",
    async (root) => {
      const raw = { width: 1280, height: 720, channels: 3 as const };
      const image = await sharp(noise(1280, 720), { raw }).jpeg().toBuffer();
      image.fill(0xff, 20_000, 20_064);
      replace(frame(root, train, 9), image);
    },
    () => `${folderOf(train)}/000000009.jpg`,
    /does not decode: Corrupt JPEG data/,
    { images: "decode" },
  );
  nearMiss(
    "damaged-image",
    "other kinds of JPEG: progressive, grey, CMYK, with bytes after the end",
    async (root) => {
      const image = sharp(noise(1280, 720), { raw: { width: 1280, height: 720, channels: 3 } });
      const kinds = [
        image.clone().jpeg({ progressive: true, chromaSubsampling: "4:4:4" }),
        image.clone().greyscale().jpeg(),
        image.clone().toColourspace("cmyk").jpeg(),
      ];
      for (const [i, kind] of kinds.entries()) {
        replace(frame(root, rows[i]!, 0), Buffer.concat([await kind.toBuffer(), Buffer.alloc(i * 5)]));
      }
    },
    // The first and last of each folder.
    { images: "decode", sample: 0 },
  );
  test("unreadable-image: a frame whose disk is gone since the folder was listed for an index", async () => {
    covered.add("unreadable-image");
    const root = copyOf(clean.root);
    const elsewhere = join(newFolder(), "9");
    renameSync(frame(root, train, 9), elsewhere);
    symlinkSync(elsewhere, frame(root, train, 9));
    later();
    const index = join(newFolder(), "an.index");
    writeFileSync(index, encodeIndex((await buildIndex(root)).index));
    rmSync(elsewhere);
    for (const images of ["names", "headers"] as const) {
      const findings = await collect(checkOpenDv(root, { index, images }));
      expect(findings.map(({ rule, path }) => [rule, path])).toEqual([
        ["opendv/unreadable-image", `${folderOf(train)}/000000009.jpg`],
      ]);
    }
  });
  nearMiss("unreadable-image", "a link to a frame on another disk", (root) => {
    const elsewhere = join(newFolder(), "9");
    copyFileSync(frame(root, train, 9), elsewhere);
    rmSync(frame(root, train, 9));
    symlinkSync(elsewhere, frame(root, train, 9));
  });
  fault(
    "size-change",
    "frames of another download",
    async (root) => {
      const larger = await makeJpeg(1920, 1080);
      for (const number of [20, 21]) replace(frame(root, train, number), larger);
    },
    folder(here),
    /000000020.jpg and 1 more of those opened are 1920 × 1080, the first frame is 1280 × 720/,
  );
  nearMiss("size-change", "a frame that says it lies on its side, which Pillow does not heed", async (root) =>
    replace(
      frame(root, train, 20),
      await sharp(frame(root, train, 19))
        .withMetadata({ orientation: 6 })
        .toBuffer(),
    ),
  );
  const resize = (width: number, height: number) => async (root: string) => {
    const image = await makeJpeg(width, height);
    for (let number = 0; number < 40; number++) replace(frame(root, train, number), image);
  };
  fault("small-frames", "540p", resize(960, 540), folder(here), /960 × 540/);
  fault("small-frames", "both sides are short by one", resize(1279, 719), folder(here), /1279 × 719/);
  nearMiss("small-frames", "one side is short by one, the other is not", resize(1279, 720));
  fault(
    "small-frames",
    "left out by the script, says its log",
    (root) => {
      dropFrames(root, train, 0, 39);
      const entry = {
        video_path: `OpenDV-YouTube/videos/x/${train.videoid}.webm`,
        problem: "< 720p",
        action: "skipped",
      };
      writeFileSync(join(root, "vid2img_exceptions.txt"), `${JSON.stringify(entry, null, 4)},\n`);
    },
    folder(here),
    /left the video out/,
  );
  fault("aspect", "4:3", resize(1440, 1080), folder(here), /1440 × 1080, that is 1.333/);
  fault("aspect", "two pixels too wide", resize(1282, 720), folder(here), /1282 × 720/);
  nearMiss("aspect", "one pixel too wide", resize(1281, 720));
  nearMiss("aspect", "a width that had to be rounded", resize(1366, 768));
  nearMiss("aspect", "1080p", resize(1920, 1080));
});

describe("the list of videos", () => {
  fault(
    "meta-missing",
    "no file",
    (root) => rmSync(join(root, "meta"), { recursive: true }),
    () => ".",
    /no meta/,
  );
  nearMiss("meta-missing", "in the root, under the name that the sheet is downloaded by", (root) => {
    renameSync(join(root, "meta/OpenDV-YouTube.csv"), join(root, "OpenDV-YouTube - Full.csv"));
    rmSync(join(root, "meta"), { recursive: true });
  });
  fault(
    "meta-unreadable",
    "JSON cut off",
    (root) => truncateSync(join(root, "meta/OpenDV-YouTube.json"), 700),
    () => "meta/OpenDV-YouTube.json",
    /ends inside row 1/,
  );
  fault(
    "meta-unreadable",
    "a list that cannot be opened, beside one that can: the rest is looked at",
    (root) => {
      rmSync(join(root, "meta/OpenDV-YouTube.json"));
      symlinkSync("OpenDV-YouTube.json", join(root, "meta/OpenDV-YouTube.json"));
    },
    () => "meta/OpenDV-YouTube.json",
    /too many symbolic links/,
  );
  fault(
    "meta-unreadable",
    "CSV without its columns",
    (root) => writeFileSync(join(root, "meta/OpenDV-YouTube.csv"), "a,b\n1,2\n"),
    () => "meta/OpenDV-YouTube.csv",
    /no column for videoid, youtuber/,
  );
  fault(
    "meta-unreadable",
    "a header and no row",
    (root) => writeMeta(root, [], ["OpenDV-YouTube.csv"]),
    () => "meta/OpenDV-YouTube.csv",
    /not one video/,
  );
  fault(
    "meta-unreadable",
    "CSV in the letters of an old Windows",
    (root) => {
      const path = join(root, "meta/OpenDV-YouTube.csv");
      writeFileSync(path, readFileSync(path, "utf8").replaceAll("Driving", "Stra\u00dfe"), "latin1");
    },
    () => "meta/OpenDV-YouTube.csv",
    /not UTF-8/,
  );
  nearMiss(
    "meta-unreadable",
    "a title of two lines, quotes within a cell, columns in another order",
    (root) => {
      const cell = (value: unknown) => `"${String(value).replaceAll('"', '""')}"`;
      const lines = rows.map((row) =>
      [row.youtuber, `5" screen`, cell("two\r\nlines, and more"), row.videoid, row.split, row.subset, row.duration, 90, "30.0"].join(),
    ); // biome-ignore format: one row
      const header =
        "YouTuber,Screen,Title,VideoID,train / val,mini / full set,Duration,Discarded Length at the Begininning (second),Discarded Length at the Ending (second)";
      writeFileSync(join(root, "meta/OpenDV-YouTube.csv"), [header, ...lines].join("\n"));
    },
  );
  const jsonOnly = (root: string, change: Partial<Record<keyof OpenDvRow, unknown>>) => {
    rmSync(join(root, "meta/OpenDV-YouTube.csv"));
    writeMeta(
      root,
      rows.map((one) => (one === train ? ({ ...one, ...change } as OpenDvRow) : one)),
      ["OpenDV-YouTube.json"],
    );
  };
  const list = () => "meta/OpenDV-YouTube.json";
  fault(
    "meta-row",
    "a split of its own",
    (root) => jsonOnly(root, { split: "Test" }),
    list,
    /"Test", neither/,
  );
  fault(
    "meta-row",
    "a length that no number can hold",
    (root) => {
      jsonOnly(root, { length: 12345.5 });
      const path = join(root, "meta/OpenDV-YouTube.json");
      writeFileSync(path, readFileSync(path, "utf8").replace("12345.5", "1e400"));
    },
    list,
    /length of .* is Infinity seconds/,
  );
  const lineOfTrain = (change: (line: string) => string) => (root: string) => {
    const path = join(root, "meta/OpenDV-YouTube.csv");
    const lines = readFileSync(path, "utf8").split("\n");
    const at = lines.findIndex((line) => line.includes(train.videoid));
    writeFileSync(path, lines.with(at, change(lines[at]!)).join("\n"));
  };
  fault(
    "meta-row",
    "a comma too many at the end of a row",
    lineOfTrain((line) => line.replace(/\r?$/, ",$&")),
    () => "meta/OpenDV-YouTube.csv",
    /has 13 cells, the header 12/,
  );
  nearMiss("meta-row", "a duration of hours, and a youtuber with marks in the name", (root) => {
    rmSync(join(root, "meta/OpenDV-YouTube.json"));
    const odd = { youtuber: "Dr. Drive & Co: part #1", duration: "1:00:01", start_discard: 3567 };
    renameSync(
      join(root, "full_images", train.youtuber.replaceAll(" ", "_")),
      join(root, "full_images", odd.youtuber.replaceAll(" ", "_")),
    );
    renameSync(
      join(root, "videos", train.youtuber.replaceAll(" ", "_")),
      join(root, "videos", odd.youtuber.replaceAll(" ", "_")),
    );
    const of = (row: OpenDvRow) => (row.youtuber === train.youtuber ? { youtuber: odd.youtuber } : {});
    writeMeta(
      root,
      rows.map((row) => ({ ...row, ...of(row), ...(row === train ? odd : {}) })),
      ["OpenDV-YouTube.csv"],
    );
  });
  fault(
    "meta-spelling",
    "subset in lower case",
    (root) => jsonOnly(root, { subset: "full" }),
    list,
    /"full"/,
  );
  fault(
    "meta-spelling",
    "a blank after the split",
    (root) => jsonOnly(root, { split: "Train " }),
    list,
    /blanks/,
  );
  nearMiss("meta-spelling", "split in capitals, which the script folds", (root) =>
    jsonOnly(root, { split: "TRAIN" }),
  );
  fault(
    "meta-blank",
    "a bare NaN for a discard",
    (root) => jsonOnly(root, { start_discard: Number.NaN }),
    list,
    /at the start .* is blank/,
  );
  nearMiss("meta-blank", "a bare NaN for the area", (root) => jsonOnly(root, { area: Number.NaN }));
  nearMiss("meta-blank", "a discard of 0", (root) => jsonOnly(root, { start_discard: 0, length: 34 }));
  nearMiss("meta-mismatch", "CSV alone", (root) => rmSync(join(root, "meta/OpenDV-YouTube.json")));
  nearMiss("meta-row", "CSV with a byte order mark and empty rows at its end", (root) => {
    const path = join(root, "meta/OpenDV-YouTube.csv");
    writeFileSync(path, `\ufeff${readFileSync(path, "utf8")},,,,,,,,,,,\r\n,,,,,,,,,,,\r\n`);
  });
  fault(
    "meta-duplicate",
    "a row twice",
    (root) => {
      rmSync(join(root, "meta/OpenDV-YouTube.csv"));
      writeMeta(root, [...rows, train], ["OpenDV-YouTube.json"]);
    },
    list,
    /is listed in row 1 already/,
  );
  fault(
    "meta-duplicate",
    "a video in both splits",
    (root) => {
      rmSync(join(root, "meta/OpenDV-YouTube.csv"));
      writeMeta(root, [...rows, { ...train, split: "Val" }], ["OpenDV-YouTube.json"]);
      const moved = join(root, folderOf({ ...train, split: "Val" }));
      mkdirSync(join(moved, ".."), { recursive: true });
      renameSync(join(root, folderOf(train)), moved);
    },
    list,
    /is listed in row 1 already, in the split train and not val$/,
  );
  fault(
    "meta-duplicate",
    "with another discard, so that it has 140 frames or 40: neither number is looked for",
    (root) => {
      rmSync(join(root, "meta/OpenDV-YouTube.csv"));
      writeMeta(root, [...rows, { ...train, start_discard: 80 }], ["OpenDV-YouTube.json"]);
      dropFrames(root, train, 5, 39);
    },
    list,
    /is listed in row 1 already, with 40 frames and not 140 frames, so that its frames are not counted$/,
  );
  fault(
    "meta-duplicate",
    "under another youtuber",
    (root) => {
      rmSync(join(root, "meta/OpenDV-YouTube.csv"));
      writeMeta(root, [...rows, { ...train, youtuber: "Some One" }], ["OpenDV-YouTube.json"]);
    },
    list,
    /is listed in row 1 already, under the youtuber \w+ and not Some_One$/,
  );
  test.each(["Train", "Val"])(
    "a video that both splits list is out of place among the training images (%s first)",
    async (split) => {
      const other = split === "Val" ? "Train" : "Val";
      const findings = await found((root) => {
        rmSync(join(root, "meta/OpenDV-YouTube.csv"));
        writeMeta(
          root,
          [...rows.map((row) => (row === train ? { ...row, split } : row)), { ...train, split: other }],
          ["OpenDV-YouTube.json"],
        );
      });
      expect(findings.map(([code, path]) => [code, path])).toEqual([
        ["meta-duplicate", list()],
        ["wrong-split", folderOf(train)],
      ]);
    },
  );
  test("a video that is listed for both splits is for validation, in whatever order", async () => {
    for (const split of ["Train", "Val"]) {
      const other = split === "Val" ? "Train" : "Val";
      const root = newFolder();
      writeMeta(
        root,
        [
          { ...train, split },
          { ...train, split: other },
        ],
        ["OpenDV-YouTube.json"],
      );
      const splits = await readSplits([join(root, "meta/OpenDV-YouTube.json")]);
      expect([...splits]).toEqual([[train.videoid, "val"]]);
    }
  });
  test("a list that is cut off says no splits: clips are not made without them", async () => {
    const root = copyOf(clean.root);
    truncateSync(join(root, "meta/OpenDV-YouTube.json"), 700);
    await expect(findYouTubeClips(root)).rejects.toMatchObject({
      code: "FORMAT",
      where: { path: join(root, "meta/OpenDV-YouTube.json") },
    });
  });
  /** The training video under its ID with the case of its letters turned round: another video. */
  const twin = () => ({
    ...train,
    videoid: train.videoid.replace(/[a-z]/gi, (letter) =>
      letter === letter.toUpperCase() ? letter.toLowerCase() : letter.toUpperCase(),
    ),
  });
  const addTwin = (root: string) => {
    cpSync(join(root, folderOf(train)), join(root, folderOf(twin())), { recursive: true });
    writeMeta(root, [...rows, twin()]);
  };
  nearMiss("meta-duplicate", "IDs that differ in the case of their letters", addTwin);
  nearMiss("video-twice", "IDs that differ in the case of their letters", addTwin);
  fault(
    "meta-mismatch",
    "a row more in the CSV, whose video was not downloaded by any other youtuber",
    (root) => writeMeta(root, [...rows, { ...train, videoid: "AAAAAAAAAAA" }], ["OpenDV-YouTube.csv"]),
    () => "meta/OpenDV-YouTube.csv",
    /1 video is listed here and not in meta\/OpenDV-YouTube.json: AAAAAAAAAAA/,
  );
  nearMiss("meta-mismatch", "a list of the mini subset beside the full one", (root) =>
    writeFileSync(
      join(root, "meta/OpenDV-mini.json"),
      JSON.stringify(rows.filter((row) => row.subset === "Mini")),
    ),
  );
});

describe("the list against the folders", () => {
  const removeVideo = (root: string, row: OpenDvRow) =>
    rmSync(join(root, folderOf(row)), { recursive: true });
  fault(
    "missing-folder",
    "downloaded, never extracted",
    (root) => removeVideo(root, train),
    folder(here),
    /downloaded/,
  );
  fault(
    "missing-folder",
    "no videos at hand, others of the youtuber are there",
    (root) => {
      removeVideo(root, train);
      rmSync(join(root, "videos"), { recursive: true });
    },
    folder(here),
    /has no folder/,
  );
  fault(
    "not-downloaded",
    "gone from YouTube",
    (root) => {
      removeVideo(root, train);
      rmSync(join(root, "videos", train.youtuber.replaceAll(" ", "_"), `${train.videoid}.webm`));
    },
    () => train.youtuber.replaceAll(" ", "_"),
    /1 video has neither/,
  );
  fault(
    "partial",
    "one video of four",
    (root) => {
      for (const row of rows) if (row !== train) removeVideo(root, row);
      rmSync(join(root, "videos"), { recursive: true });
    },
    () => "meta/OpenDV-YouTube.json",
    /1 of the 4 videos/,
  );
  fault(
    "partial",
    "two videos of five",
    (root) => {
      for (const row of rows.slice(0, 2)) removeVideo(root, row);
      writeMeta(root, [...rows, { ...train, videoid: "AAAAAAAAAAA" }]);
      rmSync(join(root, "videos"), { recursive: true });
    },
    () => "meta/OpenDV-YouTube.json",
    /2 of the 5 videos/,
  );
  nearMiss("missing-folder", "a video that its discards leave nothing of", (root) => {
    removeVideo(root, train);
    editRow(root, train, { start_discard: 94 });
  });
  nearMiss("missing-folder", "a video that the script left out for its size, as its log says", (root) => {
    removeVideo(root, train);
    const entry = { video_path: `x/${train.videoid}.webm`, problem: "< 720p", action: "skipped" };
    writeFileSync(join(root, "vid2img_exceptions.txt"), `${JSON.stringify(entry, null, 4)},\n`);
  });
  nearMiss("not-downloaded", "the video was removed once its frames were there", (root) => {
    rmSync(join(root, "videos", train.youtuber.replaceAll(" ", "_"), `${train.videoid}.webm`));
  });
  nearMiss("partial", "the mini subset alone", (root) => {
    for (const row of rows) if (row.subset !== "Mini") removeVideo(root, row);
    for (const row of rows) {
      if (row.subset !== "Mini") {
        rmSync(join(root, "videos", row.youtuber.replaceAll(" ", "_"), `${row.videoid}.webm`));
      }
    }
    rmSync(join(root, "val_images"), { recursive: true });
  });
  nearMiss("partial", "the validation split alone", (root) => {
    rmSync(join(root, "full_images"), { recursive: true });
    rmSync(join(root, "videos"), { recursive: true });
  });
  fault(
    "unknown-folder",
    "a video of one's own",
    (root) => {
      const path = join(root, "full_images/My_Drives/mydashcam01");
      mkdirSync(path, { recursive: true });
      copyFileSync(frame(root, train, 0), join(path, "000000000.jpg"));
    },
    () => "full_images/My_Drives/mydashcam01",
    /no video of the list/,
  );
  nearMiss(
    "unknown-folder",
    "a youtuber with a blank after the name, which the script makes a _ of",
    (root) => {
      for (const top of ["full_images", "videos"]) {
        renameSync(
          join(root, top, train.youtuber.replaceAll(" ", "_")),
          join(root, top, `${train.youtuber.replaceAll(" ", "_")}_`),
        );
      }
      writeMeta(
        root,
        rows.map((row) => (row.youtuber === train.youtuber ? { ...row, youtuber: `${row.youtuber} ` } : row)),
      );
    },
  );
  nearMiss("unknown-folder", "a youtuber with accents, in the form that macOS writes them in", (root) => {
    const name = "Keno Veli\u010danstveni";
    for (const top of ["full_images", "videos"]) {
      renameSync(
        join(root, top, train.youtuber.replaceAll(" ", "_")),
        join(root, top, name.replaceAll(" ", "_").normalize("NFD")),
      );
    }
    writeMeta(
      root,
      rows.map((row) => (row.youtuber === train.youtuber ? { ...row, youtuber: name } : row)),
    );
  });
  fault(
    "wrong-split",
    "a validation video among the training images",
    (root) => {
      const [, youtuber, id] = folderOf(val).split("/");
      mkdirSync(join(root, "full_images", youtuber!), { recursive: true });
      renameSync(join(root, folderOf(val)), join(root, "full_images", youtuber!, id!));
    },
    () => folderOf(val).replace("val_images", "full_images"),
    /in val, its folder is among the train images/,
  );
  nearMiss("wrong-split", "a youtuber with videos in both splits", (root) => {
    const moved = { ...train, split: "Val" };
    mkdirSync(join(root, folderOf(moved), ".."), { recursive: true });
    renameSync(join(root, folderOf(train)), join(root, folderOf(moved)));
    writeMeta(
      root,
      rows.map((row) => (row === train ? moved : row)),
    );
  });
  fault(
    "video-twice",
    "on two disks",
    (root) => {
      const copy = join(root, folderOf(train).replace("full_images", "full_images_b"));
      mkdirSync(copy, { recursive: true });
      for (let number = 0; number < 40; number++) {
        copyFileSync(frame(root, train, number), join(copy, `${String(number).padStart(9, "0")}.jpg`));
      }
    },
    () => folderOf(train).replace("full_images", "full_images_b"),
    /the same video is in full_images\//,
  );
});

test("loader-name: f_%06d.jpg is recognised, and said to be unreadable for Vista", async () => {
  covered.add("loader-name");
  const { root } = await makeSet({ youtubers: 2, pattern: "f_%06d.jpg", base: 1 });
  const check = checkOpenDv(root);
  const findings = await collect(check);
  expect(findings.map(({ rule, path }) => [rule, path])).toEqual([["opendv/loader-name", "."]]);
  expect(check.summary.title).toBe("OpenDV-YouTube, 4 videos, f_%06d.jpg from 1");
});

describe("loader-name", () => {
  spared.add("loader-name");
  test("near miss: numbers of any width, from 1, with the extension in capitals", async () => {
    const { root } = await makeSet({ youtubers: 2, pattern: "%06d.JPG", base: 1 });
    const check = checkOpenDv(root);
    expect(await collect(check)).toEqual([]);
    expect(check.summary.title).toBe("OpenDV-YouTube, 4 videos, %06d.JPG from 1");
  });
});

test("every rule has a planted fault", () => {
  expect([...covered].sort()).toEqual(Object.keys(OPENDV_RULES).sort());
});

test("every rule has a near miss", () => {
  expect([...spared].sort()).toEqual(Object.keys(OPENDV_RULES).sort());
});
