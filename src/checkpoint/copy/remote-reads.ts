/** Ranges of files that have no descriptor: read into memory before a lane works on them, near ones with one request. */
import { settleAll } from "../../core/io/settle.js";
import type { SourceFile } from "../../core/io/source.js";

/** Bytes between two ranges that are read along: the header and the padding between two records of a torch zip. */
const GAP = 4 * 1024;
/** A joined request is at most this long. */
const MAX_JOINED = 8 * 1024 * 1024;

export interface RemoteRead {
  readonly file: SourceFile;
  readonly position: number;
  readonly target: Uint8Array;
}

/** Fills all targets. @throws VistaError as {@link SourceFile.read} does */
export async function readJoined(reads: readonly RemoteRead[]): Promise<void> {
  const sorted = reads.filter(({ target }) => target.byteLength > 0);
  const order = new Map([...new Set(sorted.map(({ file }) => file))].map((file, i) => [file, i]));
  sorted.sort((a, b) => order.get(a.file)! - order.get(b.file)! || a.position - b.position);
  const requests: Promise<void>[] = [];
  for (let i = 0; i < sorted.length; ) {
    const first = sorted[i]!;
    let end = first.position + first.target.byteLength;
    let next = i + 1;
    for (; next < sorted.length; next++) {
      const { file, position, target } = sorted[next]!;
      const to = Math.max(end, position + target.byteLength);
      if (file !== first.file || position - end > GAP || to - first.position > MAX_JOINED) break;
      end = to;
    }
    requests.push(readOne(sorted.slice(i, next), first.position, end));
    i = next;
  }
  await settleAll(requests);
}

async function readOne(reads: readonly RemoteRead[], start: number, end: number): Promise<void> {
  const { file, target } = reads[0]!;
  if (reads.length === 1) return file.read(target, start);
  const bytes = new Uint8Array(end - start);
  await file.read(bytes, start);
  for (const { position, target } of reads)
    target.set(bytes.subarray(position - start, position - start + target.byteLength));
}
