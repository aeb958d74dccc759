/** The small pictures in the HTML report: those of sound frames, and those that findings are about. */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { loadSharp } from "../images/decode.js";
import { MOST_PIXELS } from "../images/headers.js";
import type { Report } from "./report.js";

export interface Thumbnail {
  path: string;
  /** The rule of the finding; missing for a sound frame. */
  rule?: string;
  message?: string;
  /** The picture as a `data:` URI, or undefined where not even a part of it can be decoded. */
  image: string | undefined;
}

const WIDTH = 224;
/**
 * The number of pictures that a rule shows, however many are bad; `BAD` is the number for all rules. With the 24 sound pictures
 * of each part, a report stays under 2 MB.
 */
const PER_RULE = 8;
const BAD = 40;

/** The small pictures of a report: those that findings are about, and sound ones. */
export interface Thumbnails {
  bad: Thumbnail[];
  sound: Thumbnail[];
}

/** Makes the small pictures of a report. Files that are not there are left out. */
export async function makeThumbnails(report: Report): Promise<Thumbnails> {
  const bad: Thumbnail[] = [];
  const perRule = new Map<string, number>();
  const seen = new Set<string>();
  for (const { rule, path, message } of report.findings) {
    if (!/\.(jpe?g|png|webp)$/i.test(path) || seen.has(path) || bad.length >= BAD) continue;
    const count = perRule.get(rule) ?? 0;
    if (count >= PER_RULE || !existsSync(join(report.root, path))) continue;
    perRule.set(rule, count + 1);
    seen.add(path);
    bad.push({ rule, path, message, image: await shrink(join(report.root, path)) });
  }
  const sound: Thumbnail[] = [];
  for (const path of report.parts.flatMap(({ samples }) => samples ?? [])) {
    const image = await shrink(join(report.root, path));
    if (image !== undefined) sound.push({ path, image });
  }
  return { bad, sound };
}

/** Returns what can be decoded of a picture; of a JPEG that is cut off, this is the upper part. */
async function shrink(path: string): Promise<string | undefined> {
  const sharp = loadSharp();
  try {
    const bytes = await sharp(path, { failOn: "none", limitInputPixels: MOST_PIXELS })
      .resize({ width: WIDTH, height: Math.round((WIDTH * 9) / 16), fit: "cover" })
      .jpeg({ quality: 60 })
      .toBuffer();
    return `data:image/jpeg;base64,${bytes.toString("base64")}`;
  } catch {
    return undefined;
  }
}
