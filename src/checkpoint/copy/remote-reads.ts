/** The reads of files that have no descriptor: a lane needs their bytes in memory, and near ranges are read by one request. */

import { settleAll } from "../../core/io/settle.js";
import type { SourceFile } from "../../core/io/source.js";
import { sum } from "../../core/sum.js";
import { type FileRead, joinReads } from "./joined-reads.js";

/** The ranges that are read by one request; what is read along is such as header and padding between records of a torch zip. */
const JOINED = { gap: 4 * 1024, most: 8 * 1024 * 1024, below: Infinity };
/** The largest number of bytes in memory at once, over all files: twice what sixteen requests for windows bring. */
const MAX_BYTES = 64 * 1024 * 1024;
/** The bytes of which all blocks of memory are multiples, so that those for windows, with what is read along, are alike. */
const STEP = 2.5 * 1024 * 1024;

/** A range that a lane works on; {@link readJoined} sets the place of its bytes. */
export class RemoteRead implements FileRead {
  constructor(
    readonly file: SourceFile,
    readonly read: { readonly position: number; readonly length: number; bytes?: Uint8Array | undefined },
  ) {}

  get position() {
    return this.read.position;
  }

  get length() {
    return this.read.length;
  }
}

/**
 * Reads all ranges.
 *
 * @returns the block that holds them, for {@link giveBack}; `undefined` where there is nothing to read
 * @throws VistaError as {@link SourceFile.read} does; then there is nothing to give back
 */
export async function readJoined(reads: readonly RemoteRead[]): Promise<SharedArrayBuffer | undefined> {
  for (const { read } of reads) if (read.length === 0) read.bytes = new Uint8Array(0);
  const joined = joinReads(
    reads.filter(({ length }) => length > 0),
    JOINED,
  );
  if (joined.length === 0) return undefined;
  const block = await take(sum(joined, ({ start, end }) => end - start));
  try {
    let at = 0;
    await settleAll(
      joined.map(({ reads, start, end }) => {
        const bytes = new Uint8Array(block, at, end - start);
        at += bytes.byteLength;
        for (const { read, position, length } of reads)
          read.bytes = bytes.subarray(position - start, position - start + length);
        return reads[0]!.file.readOnce(bytes, start);
      }),
    );
    return block;
  } catch (error) {
    giveBack(block);
    throw error;
  }
}

let used = 0;
/**
 * The blocks that nobody uses now. The thread that works on them shares their memory: memory that moved there and back would be
 * new to the garbage collector each time, and made it run forty times for a gigabyte.
 */
const free: SharedArrayBuffer[] = [];
const waiting: (() => void)[] = [];

/** Returns a block once there is room for it; a block that is larger than all the room is given when no other is in use. */
async function take(length: number): Promise<SharedArrayBuffer> {
  const size = Math.ceil(length / STEP) * STEP;
  while (used > 0 && used + size > MAX_BYTES) await new Promise<void>((tell) => waiting.push(tell));
  used += size;
  const at = free.findIndex(({ byteLength }) => byteLength === size);
  return at < 0 ? new SharedArrayBuffer(size) : free.splice(at, 1)[0]!;
}

/** Gives a block back for further reads; nobody may look at its bytes any more. */
export function giveBack(block: SharedArrayBuffer | undefined): void {
  if (block === undefined) return;
  used -= block.byteLength;
  free.push(block);
  let total = used + sum(free, ({ byteLength }) => byteLength);
  while (total > MAX_BYTES && free.length > 0) total -= free.shift()!.byteLength;
  for (const tell of waiting.splice(0)) tell();
}
