/** Full decoding of baseline JPEG files by libjpeg-turbo, where @julusian/jpeg-turbo has a binary for this platform. */
import { readRegular } from "../../core/io/regular.js";

type Turbo = typeof import("@julusian/jpeg-turbo");

let loading: Promise<Turbo | undefined> | undefined;

/** Loads the optional dependency; returns undefined where it is not installed or has no binary. */
function loadTurbo(): Promise<Turbo | undefined> {
  loading ??= import("@julusian/jpeg-turbo").then(
    ({ default: turbo }) => turbo,
    () => undefined,
  );
  return loading;
}

/** The buffers for pixels, which are used again because nobody looks at the pixels; there are as many as decodes under way. */
const spare: Buffer[] = [];

/**
 * Tells whether all data of a baseline JPEG file decodes without a warning; returns undefined where libjpeg-turbo cannot be had.
 *
 * @throws the system's error where the file cannot be read
 */
export function decodesSoundly(path: string, pixels: number): Promise<boolean | undefined> {
  return withFile(path, pixels, passes);
}

/** Tells whether a file that does not decode soundly does so without up to {@link MOST_SURPLUS} bytes before its end marker. */
export function decodesWithoutSurplus(path: string, pixels: number): Promise<boolean | undefined> {
  return withFile(path, pixels, async (turbo, file, out) => {
    const end = file.lastIndexOf(EOI);
    for (let surplus = 1; surplus <= Math.min(MOST_SURPLUS, end); surplus++) {
      const trimmed = Buffer.concat([file.subarray(0, end - surplus), EOI]);
      if (await passes(turbo, trimmed, out)) return true;
    }
    return false;
  });
}

/**
 * The largest number of surplus bytes. Cameras are known to leave a few bytes between the last code and the end marker, and every
 * reader skips them.
 */
const MOST_SURPLUS = 32;
const EOI = Buffer.from([0xff, 0xd9]);

async function withFile(
  path: string,
  pixels: number,
  look: (turbo: Turbo, file: Buffer, out: Buffer) => Promise<boolean>,
): Promise<boolean | undefined> {
  const turbo = await loadTurbo();
  if (turbo === undefined) return undefined;
  const file = await readRegular(path);
  let out = spare.pop();
  if (out === undefined || out.length < pixels) out = Buffer.allocUnsafeSlow(pixels);
  try {
    return await look(turbo, file, out);
  } finally {
    spare.push(out);
  }
}

/**
 * Tells whether a file decodes without a warning. The pixels are grey, so that the codes of all components are read, but only one
 * of them is turned into pixels.
 */
async function passes(turbo: Turbo, file: Buffer, out: Buffer): Promise<boolean> {
  try {
    await turbo.decompress(file, out, { format: turbo.FORMAT_GRAY });
    return true;
  } catch {
    return false; // The error is not used, because its message is "No error" for every warning.
  }
}
