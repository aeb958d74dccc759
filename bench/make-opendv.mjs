/**
 * Makes an OpenDV-YouTube set of any size, the same for the same options: frames as DriveAGI's scripts leave them, the
 * list of videos as CSV and as the JSON that meta_preprocess.py writes, and (if asked for) empty video files, language
 * files and Vista's YouTube.json. All frames of a video are hard links to one small JPEG.
 *
 * From the shell: node bench/make-opendv.mjs FOLDER [--youtubers 3] [--videos 2] [--frames 60] [--val 1]
 *   [--width 1280 --height 720] [--pattern %09d.jpg] [--base 0] [--no-meta] [--video-files] [--seed 0]
 */
import { linkSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import sharp from "sharp";

const AREAS = ["United States", "Japan", "Germany", "Brazil", "Croatia", "Vietnam"];
const HEADER = [
  "ID",
  "VideoID",
  "Title",
  "YouTuber",
  "Link",
  "Duration",
  "Train / Val",
  "Mini / Full Set",
  "Nation or Area (Inferred by GPT)",
  "State, Province, or City (Inferred by GPT and refined by human)",
  "Discarded Length at the Begininning (second)",
  "Discarded Length at the Ending (second)",
];
/** Links that one file may have on ext4 is 65,000; XFS and btrfs differ. */
const LINKS = 60_000;
const ID_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";

/** A JPEG of a plausible street: sky, ground and a seeded tint. */
export function makeJpeg(width, height, seed = 0) {
  const tint = (seed * 47) % 200;
  const svg = `<svg width="${width}" height="${height}"><rect width="100%" height="100%" fill="rgb(${tint},140,220)"/>
    <rect y="55%" width="100%" height="45%" fill="#555"/><path d="M ${width * 0.45} ${height * 0.55} L ${width * 0.1}
    ${height} L ${width * 0.2} ${height} Z" fill="#eee"/></svg>`;
  return sharp(Buffer.from(svg)).flatten().jpeg({ quality: 60 }).toBuffer();
}

/** `%09d.jpg`, `f_%06d.jpg`, `%d.png` with a number. */
export function formatFrame(pattern, number) {
  return pattern.replace(/%(?:0(\d+))?d/, (_, width) => String(number).padStart(Number(width ?? 0), "0"));
}

/** Rows as meta_preprocess.py has them in its JSON. */
export function makeRows({ youtubers = 3, videos = 2, val = 1, frames = 60, seed = 0 } = {}) {
  const random = generator(seed + 1);
  const rows = [];
  for (let y = 0; y < youtubers; y++) {
    for (let v = 0; v < videos; v++) {
      const id = Array.from({ length: 11 }, () => ID_ALPHABET[Math.floor(random() * 64)]).join("");
      const length = Math.ceil(frames / 10) + 120;
      rows.push({
        id: rows.length + 1,
        videoid: id,
        title: `Driving, part ${v + 1} "4K"`,
        youtuber: `Road Film ${y}`,
        link: `https://www.youtube.com/watch?v=${id}`,
        duration: `${Math.floor(length / 60)}:${String(length % 60).padStart(2, "0")}`,
        split: rows.length >= youtubers * videos - val ? "Val" : "Train",
        subset: rows.length % 2 === 0 ? "Mini" : "Full",
        area: AREAS[rows.length % AREAS.length],
        state: rows.length % 3 === 0 ? "N/A" : `Town ${y}`,
        start_discard: 90,
        end_discard: 30,
        length,
      });
    }
  }
  return rows;
}

export function folderOf(row) {
  return `${row.split.trim().toLowerCase() === "val" ? "val_images" : "full_images"}/${row.youtuber.replaceAll(" ", "_")}/${row.videoid}`;
}

export function writeMeta(root, rows, names = ["OpenDV-YouTube.csv", "OpenDV-YouTube.json"]) {
  mkdirSync(join(root, "meta"), { recursive: true });
  for (const name of names) {
    writeFileSync(join(root, "meta", name), name.endsWith(".csv") ? toCsv(rows) : toPandasJson(rows));
  }
}

function toCsv(rows) {
  const cell = (value) => (/[",\n]/.test(String(value)) ? `"${String(value).replaceAll('"', '""')}"` : value);
  const lines = rows.map(
    (row) =>
    [
      row.id, row.videoid, row.title, row.youtuber, row.link, row.duration, row.split, row.subset, row.area,
      row.state === "N/A" ? "" : row.state, row.start_discard, row.end_discard,
    ], // biome-ignore format: the sheet's columns
  );
  return `${[HEADER, ...lines].map((line) => line.map(cell).join(",")).join("\r\n")}\r\n`;
}

/** `json.dump(…, indent=4)`; a field that is NaN is written bare, as Python does. */
function toPandasJson(rows) {
  return JSON.stringify(rows, (_, value) => (Number.isNaN(value) ? "@NaN@" : value), 4).replaceAll(
    '"@NaN@"',
    "NaN",
  );
}

/** Makes the set and returns its rows, each with `folder` and the path of its first frame. */
export async function makeOpenDv(root, options = {}) {
  const { frames = 60, width = 1280, height = 720, pattern = "%09d.jpg", base = 0, seed = 0 } = options;
  const rows = makeRows(options);
  const image = await makeJpeg(width, height, seed);
  const bytes = pattern.endsWith(".png") ? await sharp(image).png().toBuffer() : image;
  for (const row of rows) {
    const folder = join(root, folderOf(row));
    mkdirSync(folder, { recursive: true });
    let source;
    for (let frame = 0; frame < frames; frame++) {
      const file = join(folder, formatFrame(pattern, base + frame));
      if (frame % LINKS === 0) {
        writeFileSync(file, bytes);
        source = file;
      } else linkSync(source, file);
    }
    if (options.videoFiles) {
      const videos = join(root, "videos", row.youtuber.replaceAll(" ", "_"));
      mkdirSync(videos, { recursive: true });
      writeFileSync(join(videos, `${row.videoid}.webm`), "");
    }
  }
  if (options.meta !== false) writeMeta(root, rows);
  return rows;
}

/** A DriveAGI language file: clips of 40 frames, one a frame. `length` rows a folder. */
export function* languageRows(rows, frames) {
  for (const row of rows) {
    for (let first = 0; first + 40 <= frames; first++) {
      yield {
        cmd: (first + row.id) % 14,
        blip: "a car driving down a street with buildings on both sides, seen from the driver's seat",
        folder: folderOf(row),
        first_frame: formatFrame("%09d.jpg", first),
        last_frame: formatFrame("%09d.jpg", first + 39),
      };
    }
  }
}

/** `json.dump(rows, f)`: one line, a blank after each colon and comma. */
export function toPythonJson(value) {
  return JSON.stringify(value, null, 1)
    .replace(/\n\s*([\]}])/g, "$1")
    .replace(/([[{])\n\s*/g, "$1")
    .replace(/,\n\s*/g, ", ");
}

function generator(seed) {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      youtubers: { type: "string" },
      videos: { type: "string" },
      frames: { type: "string" },
      val: { type: "string" },
      width: { type: "string" },
      height: { type: "string" },
      base: { type: "string" },
      seed: { type: "string" },
      pattern: { type: "string" },
      "no-meta": { type: "boolean" },
      "video-files": { type: "boolean" },
    },
  });
  if (positionals.length !== 1) throw new Error("usage: make-opendv.mjs FOLDER [options]");
  const numbers = Object.entries(values).filter(
    ([key]) => !["pattern", "no-meta", "video-files"].includes(key),
  );
  await makeOpenDv(positionals[0], {
    ...Object.fromEntries(numbers.map(([key, value]) => [key, Number(value)])),
    ...(values.pattern === undefined ? {} : { pattern: values.pattern }),
    meta: !values["no-meta"],
    videoFiles: values["video-files"] ?? false,
  });
}
