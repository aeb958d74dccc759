/**
 * OpenDV-YouTube, side by side with the peers, in one run:
 *   1. 1 M frames in 200 folders: our check, against `find -type f | wc -l`
 *   2. memory with ten times fewer frames, to see that it is flat
 *   3. images a second on full decode, against two Pillow processes
 *   4. a language file: MB/s of the check
 *   5. the index of 65 M frames from a simulated listing: size and memory
 *
 * node bench/opendv.mjs [--frames 1000000] [--folders 200] [--language-mb 1600] [--images 240] [--keep FOLDER]
 *   [--python PYTHON]   (an interpreter with Pillow; default .venv-peers/images)
 */
import { execFileSync, spawnSync } from "node:child_process";
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import sharp from "sharp";
import { languageRows, makeOpenDv, makeRows } from "./make-opendv.mjs";

const { values } = parseArgs({
  options: {
    frames: { type: "string", default: "1000000" },
    folders: { type: "string", default: "200" },
    "language-mb": { type: "string", default: "1600" },
    images: { type: "string", default: "240" },
    keep: { type: "string" },
    python: { type: "string" },
    child: { type: "string" },
    root: { type: "string" },
  },
});
const dist = (path) => import(new URL(`../dist/dataset/${path}.js`, import.meta.url).href);

if (values.child !== undefined) await child(values.child, values.root);
else await main();

/** Each measurement is a process of its own, so that its peak memory is its own. */
async function child(task, root) {
  const start = performance.now();
  const result = {};
  if (task === "check") {
    const { checkOpenDv } = await dist("opendv/check");
    const check = checkOpenDv(root);
    let findings = 0;
    for await (const _ of check) findings++;
    result.findings = findings;
    result.coverage = check.summary.coverage.map(({ what, checked }) => `${what} ${checked}`).join(", ");
  } else if (task === "decode") {
    const { checkImages } = await dist("images/check");
    const paths = imagePaths(root);
    for await (const { fault } of checkImages(paths, "decode")) if (fault) throw new Error(fault);
    result.images = paths.length;
  } else if (task === "language") {
    const { checkAnnotations } = await dist("annotations/check");
    const check = checkAnnotations([root], { youtube: false });
    let findings = 0;
    for await (const { severity } of check) if (severity === "error") findings++;
    result.errors = findings;
    result.records = check.summary.coverage[0].checked;
  } else {
    Object.assign(result, await simulatedIndex());
  }
  result.seconds = (performance.now() - start) / 1000;
  result.peakMB = process.resourceUsage().maxRSS / 1000;
  process.stdout.write(JSON.stringify(result));
}

/** 65 M frames in 2,000 folders through the same code that lists folders, with a gap every 800 frames. */
async function simulatedIndex() {
  const [{ indexLocated }, { encodeIndex, decodeIndex }, { FrameSet }] = await Promise.all([
    dist("frame-index/build"),
    dist("frame-index/format"),
    dist("opendv/runs"),
  ]);
  const folders = Array.from({ length: 2000 }, (_, i) => {
    const videoId = `video${String(i).padStart(6, "0")}`;
    const youtuber = `Some_Youtuber_${i % 60}`;
    return { path: `full_images/${youtuber}/${videoId}`, split: "train", youtuber, videoId };
  });
  const root = mkdtempSync(join(tmpdir(), "vista-index-"));
  for (const { path } of folders) mkdirSync(join(root, path), { recursive: true });
  let frames = 0;
  const scan = () => {
    const set = new FrameSet();
    for (let frame = 0; frame < 32_541; frame++) if (frame % 800 !== 799) set.add(frame);
    frames += set.size;
    const layout = { prefix: "", width: 9, extension: "jpg" };
    return { layout, runs: set.runs(), odd: [], strays: [], strayCount: 0, folders: [] };
  };
  const found = { root, folders, splits: ["train"], broken: [], skipped: new Set(), metaFiles: [] };
  const { index } = await indexLocated({ opendv: { found, dataRoot: root } }, { scan });
  const bytes = encodeIndex(index);
  decodeIndex(bytes, "index");
  rmSync(root, { recursive: true });
  return { frames, bytes: bytes.length };
}

function imagePaths(folder) {
  return Array.from({ length: Number(values.images) }, (_, i) =>
    join(folder, `${String(i % 40).padStart(9, "0")}.jpg`),
  );
}

function measure(task, root) {
  const args = [fileURLToPath(import.meta.url), "--child", task, "--root", root, "--images", values.images];
  return JSON.parse(execFileSync(process.execPath, args, { maxBuffer: 1 << 20 }).toString());
}

async function main() {
  const folder = values.keep ?? mkdtempSync(join(tmpdir(), "vista-bench-"));
  mkdirSync(folder, { recursive: true });
  try {
    await listing(folder);
    await decoding(folder);
    await languageFile(folder);
    const { frames, bytes, peakMB, seconds } = measure("index", folder);
    print(
      "index, simulated",
      `${frames} frames: ${(bytes / 1e6).toFixed(2)} MB, peak ${peakMB.toFixed(0)} MB, ${seconds.toFixed(1)} s`,
    );
  } finally {
    if (values.keep === undefined) rmSync(folder, { recursive: true, force: true });
  }
}

async function listing(folder) {
  const count = Number(values.folders);
  const perFolder = Math.floor(Number(values.frames) / count);
  const set = join(folder, "set");
  const small = join(folder, "small");
  const shape = { youtubers: Math.ceil(count / 10), videos: 10, val: Math.ceil(count / 20) };
  if (!existsSync(set)) await makeOpenDv(set, { ...shape, frames: perFolder });
  if (!existsSync(small)) await makeOpenDv(small, { ...shape, frames: Math.ceil(perFolder / 10) });
  const find = () => {
    const start = performance.now();
    const { stdout } = spawnSync("sh", ["-c", `find "${set}" -type f | wc -l`]);
    return { seconds: (performance.now() - start) / 1000, files: Number(stdout) };
  };
  const rounds = [0, 1, 2].map(() => ({ find: find(), check: measure("check", set) }));
  const best = (of) => Math.min(...rounds.map((round) => round[of].seconds));
  print("find -type f | wc -l", `${rounds[0].find.files} files: ${best("find").toFixed(2)} s (best of 3)`);
  const { coverage, findings, peakMB } = rounds[0].check;
  print(
    "check",
    `${best("check").toFixed(2)} s (best of 3), ${(best("check") / best("find")).toFixed(2)} × find, peak ${peakMB.toFixed(0)} MB; ${coverage}; ${findings} findings`,
  );
  const tenth = measure("check", small);
  print("check, a tenth of it", `${tenth.seconds.toFixed(2)} s, peak ${tenth.peakMB.toFixed(0)} MB`);
}

/** Pictures about as dense as OpenDV's: 1080p, some 400 kB. */
async function decoding(folder) {
  const images = join(folder, "images");
  if (!existsSync(images)) {
    mkdirSync(images);
    for (let i = 0; i < 40; i++)
      writeFileSync(join(images, `${String(i).padStart(9, "0")}.jpg`), await texture(i));
  }
  const size = statSync(join(images, "000000000.jpg")).size;
  const python = values.python ?? fileURLToPath(new URL("../.venv-peers/images/bin/python", import.meta.url));
  const script = `
import sys, time
from multiprocessing import Pool
from PIL import Image
def load(path):
    with Image.open(path) as image: image.load()
if __name__ == "__main__":
    paths = [f"{sys.argv[1]}/{i % 40:09d}.jpg" for i in range(int(sys.argv[2]))]
    with Pool(2) as pool:
        pool.map(load, paths[:4])
        start = time.time(); pool.map(load, paths, chunksize=8); print(len(paths) / (time.time() - start))
`;
  writeFileSync(join(folder, "pillow.py"), script);
  const rounds = [0, 1, 2].map(() => {
    const { images: count, seconds } = measure("decode", images);
    const theirs = Number(
      execFileSync(python, [join(folder, "pillow.py"), images, values.images]).toString(),
    );
    return { ours: count / seconds, theirs };
  });
  const best = (of) => Math.max(...rounds.map((round) => round[of]));
  print(
    "decode, 2 Pillow processes",
    `${best("theirs").toFixed(0)} images/s of ${(size / 1000).toFixed(0)} kB, 1080p (best of 3)`,
  );
  print(
    "decode, ours",
    `${best("ours").toFixed(0)} images/s (best of 3), ${(best("ours") / best("theirs")).toFixed(2)} × Pillow`,
  );
}

async function texture(seed) {
  const width = 1920;
  const height = 1080;
  const layer = async (scale, spread) => {
    const [w, h] = [Math.ceil(width / scale), Math.ceil(height / scale)];
    const pixels = Buffer.alloc(w * h * 3);
    let state = seed * 7919 + scale;
    for (let i = 0; i < pixels.length; i++) {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      pixels[i] = 128 + (((state >>> 24) - 128) * spread) / 128;
    }
    return sharp(pixels, { raw: { width: w, height: h, channels: 3 } })
      .resize(width, height)
      .raw()
      .toBuffer();
  };
  const [coarse, fine] = [await layer(120, 90), await layer(3, 26)];
  for (let i = 0; i < coarse.length; i++) coarse[i] = (coarse[i] + fine[i]) >> 1;
  return sharp(coarse, { raw: { width, height, channels: 3 } })
    .jpeg({ quality: 95 })
    .toBuffer();
}

async function languageFile(folder) {
  const path = join(folder, "10hz_YouTube_train_split0.json");
  if (!existsSync(path)) {
    const wanted = Number(values["language-mb"]) * 1e6;
    const fd = openSync(path, "w");
    let text = "[";
    let written = 0;
    for (const row of languageRows(
      makeRows({ youtubers: 40, videos: 5, val: 0 }),
      Math.ceil(wanted / 222 / 200),
    )) {
      const { cmd, blip, folder: name, first_frame, last_frame } = row;
      text += `${written + text.length > 1 ? ", " : ""}{"cmd": ${cmd}, "blip": "${blip}", "folder": "${name}", "first_frame": "${first_frame}", "last_frame": "${last_frame}"}`;
      if (text.length > 8e6) {
        written += writeSync(fd, text);
        text = "";
      }
    }
    writeSync(fd, `${text}]`);
    closeSync(fd);
  }
  const megabytes = statSync(path).size / 1e6;
  const { seconds, peakMB, records, errors } = measure("language", path);
  print(
    "language file",
    `${megabytes.toFixed(0)} MB, ${records} records: ${seconds.toFixed(1)} s, ${(megabytes / seconds).toFixed(0)} MB/s, peak ${peakMB.toFixed(0)} MB; ${errors} errors`,
  );
}

function print(name, text) {
  process.stdout.write(`${name.padEnd(28)}${text}\n`);
}
