/** The reads of files that have no descriptor: a lane needs their bytes in memory, and near ranges are read by one request. */

import { settleAll } from "../../core/io/settle.js";
import type { SourceFile } from "../../core/io/source.js";
import { remember } from "../../core/maps.js";
import { sum } from "../../core/sum.js";

/** The largest gap between two ranges in bytes that is read along, such as header and padding between records of a torch zip. */
const GAP = 4 * 1024;
/** The largest number of bytes of a joined request. */
const MAX_JOINED = 8 * 1024 * 1024;
/** The largest number of bytes in memory at once, over all files: twice what sixteen requests for windows bring. */
const MAX_BYTES = 64 * 1024 * 1024;
/** The bytes of which all blocks of memory are multiples, so that those for windows, with what is read along, are alike. */
const STEP = 2.5 * 1024 * 1024;

/** A range that a lane works on; {@link readJoined} sets the place of its bytes. */
export interface RemoteRead {
  readonly file: SourceFile;
  readonly read: { readonly position: number; readonly length: number; bytes?: Uint8Array | undefined };
}

/**
 * Reads all ranges.
 *
 * @returns the block that holds them, for {@link giveBack}; `undefined` where there is nothing to read
 * @throws VistaError as {@link SourceFile.read} does; then there is nothing to give back
 */
export async function readJoined(reads: readonly RemoteRead[]): Promise<SharedArrayBuffer | undefined> {
  const groups = joinedGroups(reads);
  if (groups.length === 0) return undefined;
  const block = await take(sum(groups, ({ start, end }) => end - start));
  try {
    let at = 0;
    await settleAll(
      groups.map(({ file, start, end, reads }) => {
        const bytes = new Uint8Array(block, at, end - start);
        at += bytes.byteLength;
        for (const { read } of reads)
          read.bytes = bytes.subarray(read.position - start, read.position - start + read.length);
        return file.readOnce(bytes, start);
      }),
    );
    return block;
  } catch (error) {
    giveBack(block);
    throw error;
  }
}

interface Group {
  readonly file: SourceFile;
  readonly start: number;
  end: number;
  readonly reads: RemoteRead[];
}

function joinedGroups(reads: readonly RemoteRead[]): Group[] {
  const byFile = new Map<SourceFile, RemoteRead[]>();
  for (const each of reads) {
    if (each.read.length === 0) each.read.bytes = new Uint8Array(0);
    else remember(byFile, each.file, () => []).push(each);
  }
  const groups: Group[] = [];
  for (const [file, list] of byFile) {
    list.sort((a, b) => a.read.position - b.read.position);
    let group: Group | undefined;
    for (const each of list) {
      const { position, length } = each.read;
      const end = position + length;
      if (group !== undefined && position - group.end <= GAP && end - group.start <= MAX_JOINED) {
        group.end = Math.max(group.end, end);
        group.reads.push(each);
        continue;
      }
      group = { file, start: position, end, reads: [each] };
      groups.push(group);
    }
  }
  return groups;
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
