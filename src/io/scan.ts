/** Reading many ranges in order, a few ahead of the one that is being looked at. */
import { throwIfAborted } from "../errors.js";
import type { RunOptions } from "../progress.js";
import type { SourceFile } from "./source.js";

/** Bytes of one buffer. */
const WINDOW = 4 * 1024 * 1024;
/** Reads in flight. */
const AHEAD = 4;

/** A range of a file; `onBytes` is called with its bytes in order, in parts of up to 4 MiB. */
export interface ScanRange {
  readonly file: SourceFile;
  readonly offset: number;
  readonly length: number;
  readonly onBytes: (bytes: Uint8Array) => void;
  /** Called when the range is done, also where it is empty. */
  readonly onEnd?: () => void;
}

/**
 * Reads all ranges, each `onBytes` in order. A read that fails goes to `onError`, and the rest of that range is left out.
 * @throws VistaError `ABORTED`, and what `onError` throws
 */
export async function scanRanges(
  ranges: Iterable<ScanRange>,
  options: RunOptions & { readonly onError: (error: unknown, range: ScanRange) => void },
): Promise<void> {
  const failed = new Set<ScanRange>();
  const spare: Buffer[] = [];
  const queue: { range: ScanRange; bytes: Buffer; buffer: Buffer; read: Promise<unknown>; last: boolean }[] =
    [];
  const takeFirst = async () => {
    const { range, bytes, buffer, read, last } = queue.shift()!;
    const error = await read;
    spare.push(buffer);
    if (failed.has(range)) return;
    if (error !== undefined) {
      failed.add(range);
      options.onError(error, range);
      return;
    }
    range.onBytes(bytes);
    if (last) range.onEnd?.();
  };
  try {
    for (const range of ranges) {
      let at = 0;
      do {
        throwIfAborted(options.signal);
        const buffer = spare.pop() ?? Buffer.allocUnsafeSlow(WINDOW);
        const bytes = buffer.subarray(0, Math.min(WINDOW, range.length - at));
        // The outcome as a value: a read that fails before its turn must not be an unhandled rejection.
        const read = range.file.read(bytes, range.offset + at).then(
          () => undefined,
          (error: unknown) => error,
        );
        at += bytes.length;
        queue.push({ range, bytes, buffer, read, last: at >= range.length });
        if (queue.length === AHEAD) await takeFirst();
      } while (at < range.length);
    }
    while (queue.length > 0) await takeFirst();
    throwIfAborted(options.signal);
  } finally {
    await Promise.all(queue.map(({ read }) => read));
  }
}
