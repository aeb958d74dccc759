/** Opening of inputs, wherever they are. */
import { LocalFile } from "./local-file.js";
import { isRemote } from "./places.js";
import { checkSize } from "./regular.js";
import type { SourceFile } from "./source.js";

/**
 * Opens an input.
 *
 * @param path  a file, or a URL (`https://`, `http://`, `s3://`, `hf://`), for which the code is loaded only then
 * @throws VistaError `NOT_FOUND`, `WRONG_KIND`, `IO`
 */
export async function openSource(path: string): Promise<SourceFile> {
  if (isRemote(path)) return (await import("./remote/index.js")).openRemote(path);
  return LocalFile.openPath(path);
}

/** Reads a small file as a whole. @throws VistaError as {@link openSource} does; `FORMAT` for more than `limit` bytes */
export async function readSmallFile(path: string, limit: number): Promise<Buffer> {
  const file = await openSource(path);
  try {
    checkSize(file.size, path, limit);
    const bytes = Buffer.allocUnsafeSlow(file.size);
    await file.read(bytes, 0);
    return bytes;
  } finally {
    await file.close();
  }
}
