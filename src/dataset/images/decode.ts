/** Full decoding of an image, to find damage that the headers do not show. */
import { createRequire } from "node:module";
import { VistaError } from "../../core/errors.js";
import { decodesSoundly, decodesWithoutSurplus } from "./baseline.js";
import type { ImageHeader } from "./headers.js";

type Sharp = typeof import("sharp")["default"];

let sharp: Sharp | undefined;

/**
 * Returns sharp, which is loaded on first use because it brings libvips, which a check of headers does not need.
 *
 * @throws VistaError `IO` where its binary is missing, as after `npm install --omit=optional`
 */
export function loadSharp(): Sharp {
  if (sharp !== undefined) return sharp;
  try {
    // Its form for ES modules imports JSON, of which Node warns before 20.18.3 and 22.12.
    sharp = createRequire(import.meta.url)("sharp") as Sharp;
  } catch (cause) {
    throw new VistaError("IO", "images cannot be decoded: the binary of sharp is not installed", {
      hint: "Run `npm install --include=optional sharp@0.35.5` where this package is installed; what needs no image decoded works without it.",
      cause,
    });
  }
  // One thread an image is enough, because many images are decoded side by side.
  sharp.concurrency(1);
  sharp.cache(false);
  return sharp;
}

/**
 * Decodes all data of an image file, at full size: a JPEG that is scaled while it is decoded would hide damage near its end.
 *
 * Baseline JPEG files, which frames usually are, go through libjpeg-turbo itself where its binding runs: it takes two thirds of
 * the time, and sees damage in the last rows that libvips passes over (libvips asks for warnings before each strip of rows, never
 * after the last). It cannot say what the damage is, so libvips is asked for that.
 *
 * @returns what the decoder complains about, or undefined where the image is sound
 */
export async function decodeFault(
  path: string,
  header: ImageHeader,
  bytes: number,
): Promise<string | undefined> {
  const pixels = header.width * header.height;
  const quick = header.baseline && bytes <= MOST_BYTES;
  const sound = quick ? await decodesSoundly(path, pixels) : undefined;
  if (sound === true) return undefined;
  const complaint = await decodeWithVips(path, header.height);
  if (complaint !== undefined || sound === undefined) return complaint;
  if (await decodesWithoutSurplus(path, pixels)) return undefined;
  return "its compressed data is damaged, which shows in the last rows";
}

/** The size in bytes above which files are left to libvips, which never holds a whole one. */
const MOST_BYTES = 1 << 28;

async function decodeWithVips(path: string, height: number): Promise<string | undefined> {
  if ((await gate.together(() => decode(path, height))) === undefined) return undefined;
  // What libvips said may be about another image, because it keeps its messages in one place for all threads. So it decodes once
  // more, alone.
  return gate.alone(() => decode(path, height));
}

/**
 * Decodes all rows of pixels, but takes only the last one. The rows above it are decoded on the way there and never copied;
 * copying is most of what a decode costs besides the decoding itself.
 */
async function decode(path: string, height: number): Promise<string | undefined> {
  const sharp = loadSharp();
  try {
    // The limit is off because the caller has read the header already and has compared its size with MOST_PIXELS of headers.ts.
    await sharp(path, { failOn: "warning", limitInputPixels: false, sequentialRead: true })
      .extract({ left: 0, top: height - 1, width: 1, height: 1 })
      .raw()
      .toBuffer();
    return undefined;
  } catch (error) {
    return tidy((error as Error).message);
  }
}

/** Returns a message of libvips without the name of its part: `VipsJpeg: premature end …` becomes `premature end …`. */
function tidy(message: string): string {
  const lines = message
    .split("\n")
    .map((line) => line.replace(/^.*?Vips[A-Za-z]+: /, "").trim())
    .filter((line) => line !== "" && !/failOn setting/.test(line));
  return [...new Set(lines)].join("; ") || "the decoder gave up";
}

/** A gate through which work runs together, or alone: what runs alone waits for the others to end, and new ones wait for it. */
class Gate {
  #running = 0;
  #drained: (() => void) | undefined;
  #closed: Promise<unknown> = Promise.resolve();

  async together<Result>(work: () => Promise<Result>): Promise<Result> {
    for (let closed = this.#closed; ; closed = this.#closed) {
      await closed;
      if (closed === this.#closed) break;
    }
    this.#running++;
    try {
      return await work();
    } finally {
      this.#running--;
      if (this.#running === 0) this.#drained?.();
    }
  }

  alone<Result>(work: () => Promise<Result>): Promise<Result> {
    const before = this.#closed;
    const result = (async () => {
      await before;
      if (this.#running > 0) {
        await new Promise<void>((resolve) => {
          this.#drained = resolve;
        });
        this.#drained = undefined;
      }
      return work();
    })();
    this.#closed = result.catch(() => {});
    return result;
  }
}

const gate = new Gate();
