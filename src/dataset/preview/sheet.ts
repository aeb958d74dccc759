/** The contact sheet of a clip, with every frame as the model sees it and the actions of its record. */
import { existsSync } from "node:fs";
import type { OverlayOptions } from "sharp";
import { isVistaError, throwIfAborted, VistaError } from "../../core/errors.js";
import { sizeOf } from "../../core/io/regular.js";
import type { RunOptions } from "../../core/progress.js";
import { COMMANDS, hasGoal, type NuScenesRecord, PICTURE } from "../annotations/nuscenes-rows.js";
import { loadSharp } from "../images/decode.js";
import { MOST_PIXELS, tooLarge } from "../images/headers.js";
import { requireCount } from "../options.js";
import type { PreviewClip } from "./clip.js";
import { centreCrop } from "./crop.js";
import { textPath } from "./text.js";

/** The options of {@link drawSheet}. */
export interface SheetOptions extends RunOptions {
  /** The width of the pictures in training, in pixels: `target_width` of the config. The default is 576. */
  width?: number | undefined;
  /** The height of the pictures in training, in pixels: `target_height` of the config. The default is 320. */
  height?: number | undefined;
  /** The width of a picture on the sheet in pixels, which is scaled down from the training size. The default is 384. */
  tile?: number | undefined;
}

const COLUMNS = 5;
const GAP = 8;
/** The height in pixels of what is above the pictures, with the actions of a record; the next is that without. */
const HEADER = 190;
const SHORT_HEADER = 68;
const COLOUR = { back: "#15181c", text: "#e6e6e6", faint: "#8a939e", action: "#ffb000", goal: "#ff4f6d" };

/**
 * Returns one frame as the model gets it: the middle is cut to the training shape and resized by Lanczos' filter at full
 * resolution.
 *
 * @throws VistaError `NOT_FOUND`, `FORMAT` where the picture does not decode, `UNSUPPORTED` beyond {@link MOST_PIXELS}
 */
export async function modelView(path: string, width: number, height: number): Promise<Buffer> {
  try {
    const sharp = loadSharp();
    // libvips would wait for ever for what a pipe holds; it says itself what else is wrong with a name.
    if (sizeOf(path) === -1 && existsSync(path)) {
      throw new VistaError("WRONG_KIND", "this is a folder, a pipe, a socket or a device, not a picture", {
        path,
      });
    }
    const picture = sharp(path, { failOn: "truncated" });
    const { width: fullWidth, height: fullHeight } = await picture.metadata();
    if (fullWidth * fullHeight > MOST_PIXELS) {
      throw new VistaError("UNSUPPORTED", tooLarge(fullWidth, fullHeight), { path });
    }
    const box = centreCrop({ width: fullWidth, height: fullHeight }, { width, height });
    return await picture
      .extract(box)
      .resize(width, height, { fit: "fill", kernel: "lanczos3", fastShrinkOnLoad: false })
      .toColourspace("srgb")
      .removeAlpha()
      .raw()
      .toBuffer();
  } catch (error) {
    if (isVistaError(error)) throw error;
    const message = (error as Error).message.split("\n")[0]!;
    const missing = /missing/i.test(message);
    throw new VistaError(missing ? "NOT_FOUND" : "FORMAT", missing ? "no such picture" : message, {
      path,
      hint: "`vista-data check` names every picture that is missing or damaged.",
      cause: error,
    });
  }
}

/**
 * Draws a contact sheet: every frame of a clip as the model sees it, with the actions of its record.
 *
 * @returns the sheet as PNG
 */
export async function drawSheet(clip: PreviewClip, options: SheetOptions = {}): Promise<Buffer> {
  const { width = 576, height = 320, signal, onProgress } = options;
  for (const [name, side] of Object.entries({ width, height, tile: options.tile })) requireCount(name, side);
  const sharp = loadSharp();
  const tileWidth = Math.min(options.tile ?? 384, width);
  const tileHeight = Math.max(1, Math.round((tileWidth * height) / width));
  const rows = Math.ceil(clip.frames.length / COLUMNS);
  const sheetWidth = COLUMNS * (tileWidth + GAP) + GAP;
  const headerHeight = clip.actions === undefined ? SHORT_HEADER : HEADER;
  const sheetHeight = headerHeight + rows * (tileHeight + GAP) + GAP;
  const placeOf = (i: number) => ({
    left: GAP + (i % COLUMNS) * (tileWidth + GAP),
    top: headerHeight + Math.floor(i / COLUMNS) * (tileHeight + GAP),
  });
  const tiles: OverlayOptions[] = [];
  const drawing: string[] = [];
  for (const [i, path] of clip.frames.entries()) {
    throwIfAborted(signal);
    const raw = { width, height, channels: 3 as const };
    const view = await modelView(path, width, height);
    const tile = await sharp(view, { raw })
      .resize(tileWidth, tileHeight, { kernel: "lanczos3" })
      .png()
      .toBuffer();
    const { left, top } = placeOf(i);
    tiles.push({ input: tile, left, top });
    drawing.push(
      `<rect x="${left}" y="${top}" width="30" height="18" fill="${COLOUR.back}" opacity="0.75"/>`,
      line(String(i), left + 5, top + 4, 10, COLOUR.text),
    );
    onProgress?.({ phase: "draw", done: i + 1, total: clip.frames.length, unit: "images" });
  }
  drawing.push(...header(clip, `${width} × ${height}`, sheetWidth));
  if (clip.actions !== undefined) {
    drawing.push(...goalMark(clip.actions, { width, height }, tileWidth, placeOf(0)));
  }
  const overlay = `<svg xmlns="http://www.w3.org/2000/svg" width="${sheetWidth}" height="${sheetHeight}">${drawing.join("")}</svg>`;
  return sharp({
    create: { width: sheetWidth, height: sheetHeight, channels: 3, background: COLOUR.back },
  })
    .composite([...tiles, { input: Buffer.from(overlay), left: 0, top: 0 }])
    .png()
    .toBuffer();
}

function line(text: string, x: number, y: number, height: number, colour: string): string {
  const stroke = Math.max(1.2, height / 8).toFixed(1);
  return `<path d="${textPath(text, x, y, height)}" fill="none" stroke="${colour}" stroke-width="${stroke}" stroke-linecap="round" stroke-linejoin="round"/>`;
}

function header({ title, frames, actions }: PreviewClip, size: string, sheetWidth: number): string[] {
  const lines = [
    line(title.slice(0, 100), GAP + 4, 14, 16, COLOUR.text),
    line(`${frames.length} frames, cut and resized to ${size} as in training`, GAP + 4, 44, 11, COLOUR.faint),
  ];
  if (actions === undefined) return lines;
  const { cmd, speed, angle, z, goal, traj } = actions;
  const list = (values: readonly number[], unit: string) =>
    values.length === 0 ? "none" : `${values.map((value) => value.toFixed(1)).join("  ")} ${unit}`;
  const goalText = hasGoal(actions)
    ? `${goal[0].toFixed(0)}, ${goal[1].toFixed(0)} px of ${PICTURE.width} × ${PICTURE.height}`
    : z <= 0
      ? "none (behind the camera)"
      : `outside the picture (${goal[0].toFixed(0)}, ${goal[1].toFixed(0)})`;
  const rows: [string, string][] = [
    ["command", `${cmd} ${COMMANDS[cmd] ?? "unknown"}`],
    ["speed", list(speed, "km/h")],
    ["angle", list(angle, "°")],
    ["goal", goalText],
    [
      "trajectory",
      `${pairs(traj)
        .map(([x, y]) => `(${x.toFixed(1)}, ${y.toFixed(1)})`)
        .join(" ")} m`,
    ],
  ];
  for (const [i, [name, value]] of rows.entries()) {
    const y = 72 + i * 23;
    lines.push(line(name, GAP + 4, y, 12, COLOUR.faint), line(value, GAP + 150, y, 12, COLOUR.action));
  }
  lines.push(...trajectoryPlot(traj, sheetWidth - HEADER - GAP, GAP, HEADER - 2 * GAP));
  return lines;
}

function pairs(flat: readonly number[]): [number, number][] {
  const points: [number, number][] = [];
  for (let i = 0; i + 1 < flat.length; i += 2) points.push([flat[i]!, flat[i + 1]!]);
  return points;
}

/**
 * The distance in metres up to which the rings are 20 m apart at most. Beyond it, which no drive is, they are a power of ten
 * apart.
 */
const MOST_REACH = 200;

/**
 * Returns the plot of a trajectory seen from above: forward is up, left is left (where records count upwards), and there is one
 * scale for both. There is a ring every 5, 10 or 20 m, and 12 rings at most.
 */
export function trajectoryPlot(traj: readonly number[], left: number, top: number, side: number): string[] {
  const points = pairs(traj);
  // A car gets 100 m far in the 2 s of a clip. Figures beyond the range of a double would have no scale.
  const reach = Math.min(
    Number.MAX_VALUE,
    Math.max(5, ...points.map(([x, y]) => Math.max(Math.abs(x) * 2, y, -y * 4))),
  );
  const scale = (side - 30) / reach;
  const origin = { x: left + side / 2, y: top + side - 14 };
  const places = points.map(([x, y]) =>
    [origin.x - x * scale, origin.y - y * scale].map((pixels) => pixels.toFixed(1)),
  );
  const step =
    reach > MOST_REACH ? 10 ** Math.ceil(Math.log10(reach / 10)) : reach > 40 ? 20 : reach > 15 ? 10 : 5;
  const parts = [
    `<clipPath id="plot"><rect x="${left}" y="${top}" width="${side}" height="${side}"/></clipPath>`,
    `<rect x="${left}" y="${top}" width="${side}" height="${side}" fill="#20252b"/>`,
  ];
  const rings = Math.floor((reach / step) * 1.2);
  for (let ring = 1; ring <= rings; ring++) {
    parts.push(
      `<circle clip-path="url(#plot)" cx="${origin.x}" cy="${origin.y}" r="${(ring * (step * scale)).toFixed(1)}" fill="none" stroke="#3a424c"/>`,
    );
  }
  parts.push(
    `<path d="M${places.map((place) => place.join(" ")).join("L")}" fill="none" stroke="${COLOUR.action}" stroke-width="3" stroke-linejoin="round"/>`,
  );
  for (const [x, y] of places) parts.push(`<circle cx="${x}" cy="${y}" r="4" fill="${COLOUR.action}"/>`);
  parts.push(line(`rings ${step} m`, left + 6, top + 6, 9, COLOUR.faint));
  return parts;
}

/** Draws the goal on the first frame, where the crop leaves it in the picture. */
function goalMark(
  actions: NuScenesRecord,
  target: { width: number; height: number },
  tileWidth: number,
  place: { left: number; top: number },
): string[] {
  if (!hasGoal(actions)) return [];
  const box = centreCrop(PICTURE, target);
  const scale = tileWidth / box.width;
  const x = (actions.goal[0] - box.left) * scale;
  const y = (actions.goal[1] - box.top) * scale;
  if (x < 0 || y < 0 || x > tileWidth || y > box.height * scale) return [];
  const [cx, cy] = [(place.left + x).toFixed(1), (place.top + y).toFixed(1)];
  return [
    `<circle cx="${cx}" cy="${cy}" r="9" fill="none" stroke="${COLOUR.goal}" stroke-width="3"/>`,
    `<path d="M${cx} ${place.top + y - 14}v28M${place.left + x - 14} ${cy}h28" stroke="${COLOUR.goal}" stroke-width="1.5"/>`,
  ];
}
