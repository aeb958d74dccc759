/**
 * Makes the pictures of the README, docs/images/: `npm run docs:images`. Each shows what a command really gives, run here and now:
 * a merge of a fixture as a terminal shows it, a contact sheet, and the HTML report of a set with faults. The sets are generated, and their
 * frames are drawn here, since those of nuScenes may not be passed on. Needs a build and a Chromium (CHROMIUM, default /usr/bin/chromium).
 */
import { spawnSync } from "node:child_process";
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { chromium } from "playwright-core";
import sharp from "sharp";
import { makeNuScenes } from "../bench/make-nuscenes.mjs";
import { makeOpenDv } from "../bench/make-opendv.mjs";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const IMAGES = join(ROOT, "docs/images");
/** Bytes of a picture at most: the README is read over slow lines, too. */
const LIMIT = 150_000;

function run(command, args, cwd, env = {}) {
  const { stdout, stderr, error } = spawnSync(process.execPath, [join(ROOT, `bin/${command}.js`), ...args], {
    cwd,
    env: { ...process.env, ...env },
    encoding: "utf8",
  });
  if (error) throw error;
  return { stdout, stderr };
}

function save(name, content) {
  if (content.length > LIMIT) throw new Error(`${name} has ${content.length} bytes, more than ${LIMIT}`);
  writeFileSync(join(IMAGES, name), content);
  console.log(`docs/images/${name}: ${content.length} bytes`);
}

const small = (image) => image.png({ palette: true, colours: 128, effort: 10, dither: 0 }).toBuffer();

// A terminal, drawn from the text with its colours.
const COLUMNS = 100;
const LINE = 20;
const LETTER = 8.43;
const ESCAPE = String.fromCharCode(27);
const STYLES = new RegExp(`(${ESCAPE}\\[\\d+m)`);
const COLOURS = { 31: "#ff8a8f", 32: "#58c98f", 33: "#f0b050", 36: "#6fd3e0" };

function terminal(lines) {
  const shown = lines.flatMap((line) => wrap(line));
  const width = COLUMNS * LETTER + 32;
  const rows = shown.map((parts, i) => {
    const spans = parts.map(({ text, style }) => `<tspan${style}>${escapeXml(text)}</tspan>`).join("");
    return `<text x="16" y="${48 + i * LINE}" xml:space="preserve">${spans}</text>`;
  });
  const dots = ["#ff5f57", "#febc2e", "#28c840"].map(
    (fill, i) => `<circle cx="${18 + i * 18}" cy="16" r="5" fill="${fill}"/>`,
  );
  const height = 48 + shown.length * LINE;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}">
<title>vista-ckpt on a terminal</title>
<rect width="100%" height="100%" rx="8" fill="#12161c"/>
${dots.join("")}
<g font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace" font-size="14" fill="#e4e8ee">
${rows.join("\n")}
</g>
</svg>
`;
}

/** A line in parts of one style each, broken where the terminal would break it. */
function wrap(line) {
  const rows = [[]];
  let style = "";
  let at = 0;
  for (const part of line.split(STYLES)) {
    const code = part.startsWith(ESCAPE) ? part.slice(2, -1) : undefined;
    if (code !== undefined) {
      if (COLOURS[code]) style = ` fill="${COLOURS[code]}"`;
      else style = { 1: ' font-weight="bold"', 2: ' fill="#9aa6b8"' }[code] ?? "";
      continue;
    }
    for (let text = part; text !== ""; ) {
      const fits = text.slice(0, COLUMNS - at);
      rows.at(-1).push({ text: fits, style });
      at += fits.length;
      text = text.slice(fits.length);
      if (text === "") break;
      rows.push([]);
      at = 0;
    }
  }
  return rows;
}

function escapeXml(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}

/** Gives the tables the poses of a car that goes straight on, faster and faster: those of the generator are random. */
function driveStraightOn(version) {
  const read = (name) => JSON.parse(readFileSync(join(version, `${name}.json`), "utf8"));
  const write = (name, rows) => writeFileSync(join(version, `${name}.json`), JSON.stringify(rows));
  // As they are mounted in nuScenes, rounded: the camera looks ahead, the lidar's second axis points ahead.
  const mounted = {
    CAM_FRONT: {
      translation: [1.7, 0, 1.5],
      rotation: [0.5, -0.5, 0.5, -0.5],
      camera_intrinsic: [
        [1266, 0, 816],
        [0, 1266, 491],
        [0, 0, 1],
      ],
    },
    LIDAR_TOP: { translation: [0.94, 0, 1.84], rotation: [Math.SQRT1_2, 0, 0, -Math.SQRT1_2] },
  };
  const channels = new Map(read("sensor").map(({ channel, token }) => [token, channel]));
  const start = Math.min(...read("ego_pose").map(({ timestamp }) => timestamp));
  write(
    "ego_pose",
    read("ego_pose").map((row) => {
      const seconds = ((row.timestamp - start) / 1e6) % 40;
      return { ...row, translation: [7 * seconds + 0.12 * seconds ** 2, 0, 0], rotation: [1, 0, 0, 0] };
    }),
  );
  write(
    "calibrated_sensor",
    read("calibrated_sensor").map((row) => ({ ...row, ...mounted[channels.get(row.sensor_token)] })),
  );
}

/** A drive along a street: one frame, `metres` from its start. */
async function street(metres) {
  const [width, height, horizon] = [1600, 900, 420];
  const far = (distance) => horizon + 480 / Math.max(distance, 0.8);
  const side = (offset, distance) => 800 + (offset * 900) / Math.max(distance, 0.8);
  const shapes = [];
  for (let i = 14; i >= 0; i--) {
    const distance = i * 9 + 9 - (metres % 9);
    const shade = (Math.floor(metres / 9) + i) % 3;
    const size = 2600 / distance;
    for (const x of [side(-7, distance) - size * 0.8, side(7, distance)]) {
      shapes.push(
        `<rect x="${x}" y="${far(distance) - size * 0.9}" width="${size * 0.8}" height="${size * 0.9}" fill="${["#8d7f74", "#77838f", "#a39a8a"][shade]}"/>`,
      );
    }
  }
  const marks = [];
  for (let i = 12; i >= 0; i--) {
    const near = i * 6 + 2 - (metres % 6);
    const [a, b] = [Math.max(near, 1), Math.max(near + 2.5, 1)];
    marks.push(
      `<path d="M ${side(-0.08, a)} ${far(a)} L ${side(0.08, a)} ${far(a)} L ${side(0.08, b)} ${far(b)} L ${side(-0.08, b)} ${far(b)} Z" fill="#f2f2ee"/>`,
    );
  }
  const svg = `<svg width="${width}" height="${height}"><rect width="100%" height="${horizon}" fill="#a9c8e6"/>
    <rect y="${horizon}" width="100%" height="100%" fill="#7d8a6b"/>${shapes.join("")}
    <path d="M 790 ${horizon} L 810 ${horizon} L ${side(4, 1)} ${far(1)} L ${side(-4, 1)} ${far(1)} Z" fill="#54575c"/>${marks.join("")}
    <rect x="${side(1.1, 14)}" y="${far(14) - 90}" width="110" height="90" rx="14" fill="#b23a3a"/></svg>`;
  return sharp(Buffer.from(svg)).flatten().jpeg({ quality: 80 }).toBuffer();
}

const folder = mkdtempSync(join(tmpdir(), "images-"));
const work = join(folder, "vista");
mkdirSync(work);
mkdirSync(IMAGES, { recursive: true });
try {
  cpSync(join(ROOT, "fixtures/zero/vista-phase2"), join(work, "last.ckpt"), { recursive: true });
  const commands = [
    "merge last.ckpt -o pytorch_model.bin",
    "to-st pytorch_model.bin -o vista.safetensors",
    "verify vista.safetensors",
  ];
  const lines = commands.flatMap((command) => {
    const { stdout, stderr } = run("vista-ckpt", command.split(" "), work, { FORCE_COLOR: "1" });
    return [
      `${ESCAPE}[32m$${ESCAPE}[0m vista-ckpt ${command}`,
      ...`${stdout}${stderr}`.trimEnd().split("\n"),
    ];
  });
  save("merge.svg", terminal(lines));

  const nuscenes = join(work, "data/nuscenes");
  mkdirSync(join(work, "annos"));
  mkdirSync(nuscenes, { recursive: true });
  makeNuScenes(nuscenes, {
    scenes: 4,
    samples: 20,
    boxes: 4,
    version: "v1.0-mini",
    files: "small",
    image: await street(0),
  });
  driveStraightOn(join(nuscenes, "v1.0-mini"));
  await makeOpenDv(join(work, "data/YouTube"), { youtubers: 5, videos: 3, frames: 120 });
  run(
    "vista-data",
    [
      "annos",
      "nuscenes",
      "data/nuscenes",
      "--version",
      "v1.0-mini",
      "--split",
      "all",
      "-o",
      "annos/nuScenes.json",
    ],
    work,
  );
  const records = JSON.parse(readFileSync(join(work, "annos/nuScenes.json"), "utf8"));
  const chosen = records.findIndex(({ speed, traj, z }) => speed.length > 0 && traj[9] > 10 && z > 0);
  if (chosen < 0) throw new Error(`no record drives ahead: ${JSON.stringify(records[0])}`);
  const record = records[chosen];
  for (const [i, frame] of record.frames.entries())
    writeFileSync(join(nuscenes, frame), await street((i * record.traj[9]) / 24));
  const preview = [
    "preview",
    `annos/nuScenes.json#${chosen}`,
    "--root",
    ".",
    "--tile",
    "220",
    "-o",
    "clip.png",
  ];
  console.log(run("vista-data", preview, work).stdout.trim());
  save("preview.png", await small(sharp(join(work, "clip.png")).flatten({ background: "#ffffff" })));

  // Faults of the kinds that real sets have.
  const front = readdirSync(join(nuscenes, "sweeps/CAM_FRONT")).sort();
  for (const name of front.slice(40, 52)) rmSync(join(nuscenes, "sweeps/CAM_FRONT", name));
  for (const name of front.slice(60, 64)) truncateSync(join(nuscenes, "sweeps/CAM_FRONT", name), 14_000);
  rmSync(join(nuscenes, "can_bus/scene-0061_vehicle_monitor.json"));
  const video = readdirSync(join(work, "data/YouTube/full_images"), { recursive: true }).find(
    (path) => path.split("/").length === 2,
  );
  for (let i = 30; i < 42; i++) rmSync(join(work, "data/YouTube/full_images", video, `0000000${i}.jpg`));
  for (const at of [3, 9]) records[at].traj.length = 8;
  delete records[5].z;
  writeFileSync(join(work, "annos/nuScenes.json"), JSON.stringify(records));
  run("vista-data", ["check", "vista", "--report", "report.html"], folder);
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu"],
  });
  try {
    const page = await browser.newPage({ viewport: { width: 1100, height: 980 } });
    await page.goto(pathToFileURL(join(folder, "report.html")).href);
    save("report.png", await small(sharp(await page.screenshot())));
  } finally {
    await browser.close();
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
