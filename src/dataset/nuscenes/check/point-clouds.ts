/**
 * The faults of a point cloud that its first bytes and its size show. The sources are the devkit's `utils/data_classes.py` (lidar
 * files are bare floats, radar files are binary PCD) and the description of the PCD file format 0.7 of the Point Cloud Library.
 */

import type { FileHandle } from "node:fs/promises";
import { rethrowExhausted } from "../../../core/errors.js";
import { openAnything, readInto } from "../../../core/io/regular.js";
import type { NuScenesRule } from "./rules.js";

interface CloudFault {
  rule: NuScenesRule;
  detail: string;
}

/** The size of a point in bytes: x, y, z, intensity and ring as 32-bit floats, which the devkit's LidarPointCloud reads. */
export const LIDAR_POINT_BYTES = 20;
/** The number of bytes that are searched for the header, which has some 400 bytes in nuScenes' radar files. */
const HEADER_BYTES = 2048;

/** Tells whether a file is named as one of a point cloud that the devkit reads: `.bin` of a lidar (`.pcd.bin`), `.pcd` of a radar. */
export function isCloud(name: string): boolean {
  return name.endsWith(".bin") || name.endsWith(".pcd");
}

/** Returns what is wrong with a point cloud, or undefined. */
export async function cloudFault(path: string, name: string): Promise<CloudFault | undefined> {
  try {
    const handle = await openAnything(path);
    try {
      const stats = await handle.stat();
      if (!stats.isFile()) return { rule: "unreadable-file", detail: "is not a regular file" };
      if (stats.size === 0) return { rule: "empty-file", detail: "is empty (0 bytes)" };
      const detail = name.endsWith(".bin") ? lidarFault(stats.size) : await pcdFault(handle, stats.size);
      return detail === undefined ? undefined : { rule: "bad-point-cloud", detail };
    } finally {
      await handle.close();
    }
  } catch (error) {
    rethrowExhausted(error);
    const { code } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    return { rule: "unreadable-file", detail: `cannot be read (${code})` };
  }
}

function lidarFault(size: number): string | undefined {
  if (size % LIDAR_POINT_BYTES === 0) return undefined;
  return `${size} bytes are no whole number of points of ${LIDAR_POINT_BYTES} bytes`;
}

async function pcdFault(handle: FileHandle, size: number): Promise<string | undefined> {
  const buffer = Buffer.alloc(HEADER_BYTES);
  const bytesRead = await readInto(handle, buffer, 0);
  const head = buffer.toString("latin1", 0, bytesRead);
  if (!head.startsWith("# .PCD")) return 'does not start with "# .PCD"';
  const data = /^DATA (\S+)\r?\n/m.exec(head);
  if (data === null) {
    const end = bytesRead < size ? "" : `: cut off at ${size} bytes`;
    return `has no line with DATA in its first ${bytesRead} bytes${end}`;
  }
  // The size of text or of compressed points is not known from the header.
  if (data[1] !== "binary") return undefined;
  const numbers = (key: string) =>
    new RegExp(`^${key} ([\\d ]+)`, "m").exec(head)?.[1]?.trim().split(/ +/).map(Number);
  const [sizes, points] = [numbers("SIZE"), numbers("POINTS")?.[0]];
  if (sizes === undefined || points === undefined) return "has no SIZE or no POINTS in its header";
  const counts = numbers("COUNT");
  const pointBytes = sizes.reduce((sum, each, i) => sum + each * (counts?.[i] ?? 1), 0);
  const wanted = data.index + data[0].length + points * pointBytes;
  return size < wanted ? `is cut off: ${size} bytes, ${wanted} for ${points} points` : undefined;
}
