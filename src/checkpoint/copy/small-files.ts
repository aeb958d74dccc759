/**
 * The small output files, which are made in memory and written with one call each: the ways of a large file (a descriptor, jobs
 * for two threads, closing records afterwards) cost a millisecond a file, and a universal checkpoint has thousands.
 */
import { crc32 } from "../../core/io/crc32.js";
import { sum } from "../../core/sum.js";
import { rangesOf } from "../tensor/tensor.js";
import { Arena } from "./arena.js";
import { ComputedCache } from "./computed.js";
import type { DoneRead, RegionChecks } from "./input-checks.js";
import { type FileContent, partLength, tensorsIn, WINDOW, type Window, windowsOf } from "./parts.js";
import { conversionBytes, WindowReader } from "./window.js";

/** The largest size of a small file in bytes: up to it this way is faster. */
const SMALL = 256 * 1024;

/** The largest number of files in one run, since their plans are in memory together. */
const MOST = 32;

/**
 * The number of reads above which no other file of a run is planned together with them: a shard of a thousand ranks has thousands,
 * and what is known of each takes some hundred bytes.
 */
const READS = 4096;

export interface SmallFile {
  readonly content: FileContent;
  /** Writes the whole file; a file without this function is never small. */
  readonly write?: (bytes: Uint8Array) => Promise<void>;
}

/**
 * Cuts files into runs: each large file alone, and small files that follow one another together, up to {@link MOST} of them and a
 * window of bytes.
 * @returns for each run the index of its first file and the index behind its last
 */
export function* runsOfFiles(
  files: readonly SmallFile[],
): Generator<{ first: number; end: number; small: boolean }> {
  let first = 0;
  let bytes = 0;
  for (const [i, { content, write }] of files.entries()) {
    const { length } = content;
    const small = write !== undefined && length > 0 && length <= SMALL;
    if (first < i && (!small || bytes + length > WINDOW || i - first === MOST)) {
      yield { first, end: i, small: true };
      first = i;
      bytes = 0;
    }
    if (small) bytes += length;
    else {
      yield { first: i, end: i + 1, small: false };
      first = i + 1;
    }
  }
  if (first < files.length) yield { first, end: files.length, small: true };
}

/** The memory for a run of small files. */
export class SmallFiles {
  readonly #buffer = Buffer.allocUnsafeSlow(WINDOW);
  readonly #arena = new Arena();

  /**
   * Makes and writes the files, in their order.
   * @param checks  receives all reads; without it no CRC of what is read is computed
   */
  async write(files: readonly SmallFile[], checks?: RegionChecks): Promise<void> {
    for (let next = 0; next < files.length; ) {
      const windows: Window[][] = [];
      for (let reads = 0; next + windows.length < files.length && reads <= READS; ) {
        const parts = await files[next + windows.length]!.content.parts();
        windows.push([...windowsOf(parts)]);
        reads += sum(tensorsIn(parts), rangesOf);
      }
      const together = files.slice(next, next + windows.length);
      for (const read of await this.#write(together, windows, checks !== undefined)) checks?.add(read);
      next += windows.length;
    }
  }

  async #write(
    files: readonly SmallFile[],
    windows: readonly (readonly Window[])[],
    verify: boolean,
  ): Promise<readonly DoneRead[]> {
    this.#arena.reset(sum(windows.flat(), conversionBytes));
    const reader = new WindowReader(new ComputedCache(), verify, this.#arena);
    let start = 0;
    const contents = files.map(({ content }, i) => {
      const bytes = this.#buffer.subarray(start, start + content.length);
      start += content.length;
      // A file of very many parts has several windows.
      for (const window of windows[i]!) {
        const { position, length } = window;
        reader.addWindow(window, bytes.subarray(position, position + length));
      }
      return bytes;
    });
    const reads = await reader.run();
    for (const [i, bytes] of contents.entries()) {
      for (const window of windows[i]!) {
        for (const { part, at, length, last } of window.slices) {
          // A tensor of very many ranges is in several windows, and complete with the last.
          if (!last || part.kind === "bytes") continue;
          const end = window.position + at + length;
          const whole = bytes.subarray(end - partLength(part), end);
          if (part.kind === "late") whole.set(part.bytes());
          else part.onCrc32?.(crc32(whole));
        }
      }
      await files[i]!.write!(bytes);
    }
    return reads;
  }
}
