/** Full decoding of an image, to find damage that the headers do not show. */
import type { Sharp } from "sharp";

/** libjpeg's complaint about stray bytes between segments: the picture itself is whole, and Pillow says nothing. */
const HARMLESS = /extraneous bytes before marker/i;

/** Loaded on first use: sharp brings libvips, which a check of headers does not need. */
let loading: Promise<typeof import("sharp")> | undefined;

async function loadSharp(): Promise<typeof import("sharp")["default"]> {
  loading ??= import("sharp");
  const { default: sharp } = await loading;
  return sharp;
}

/** Call once before many images are decoded: one thread an image, because many images are decoded side by side. */
export async function prepareDecoding(): Promise<void> {
  const sharp = await loadSharp();
  sharp.concurrency(1);
  sharp.cache(false);
}

/**
 * Decodes all data of an image file, at full size: a JPEG scaled while it is decoded would hide damage near its end.
 *
 * Only the last row of pixels is handed over. The rows above it are decoded on the way there, but are never copied,
 * which is most of what a decode costs beside the decoding itself.
 *
 * @returns what the decoder complains about, or undefined where the image is sound
 */
export async function decodeFault(
  path: string,
  size: { width: number; height: number },
): Promise<string | undefined> {
  const sharp = await loadSharp();
  const decode = async (failOn: "warning" | "truncated") => {
    // The limit on pixels is for images from strangers on the web; here the header has been read already.
    const image: Sharp = sharp(path, { failOn, limitInputPixels: false, sequentialRead: true });
    await image
      .extract({ left: 0, top: size.height - 1, width: size.width, height: 1 })
      .raw()
      .toBuffer();
  };
  try {
    await decode("warning");
    return undefined;
  } catch (error) {
    const message = (error as Error).message;
    if (!HARMLESS.test(message)) return tidy(message);
  }
  // The harmless complaint may have hidden a serious one that comes after it.
  try {
    await decode("truncated");
    return undefined;
  } catch (error) {
    return tidy((error as Error).message);
  }
}

/** `Input file has corrupt header: VipsJpeg: premature end …` → `premature end …`. */
function tidy(message: string): string {
  const lines = message
    .split("\n")
    .map((line) => line.replace(/^.*?Vips[A-Za-z]+: /, "").trim())
    .filter((line) => line !== "");
  return [...new Set(lines)].join("; ") || "the decoder gave up";
}
