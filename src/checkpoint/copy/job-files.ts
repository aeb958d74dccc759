/**
 * The files of a lane's job, from before its reads are planned until it is done. Those of this machine are held open; of others a
 * lane needs the bytes in memory, and near ranges are read by one request.
 */
import { settleAll } from "../../core/io/settle.js";
import type { SourceFile } from "../../core/io/source.js";
import { sum } from "../../core/sum.js";
import { type FileRead, joinReads } from "./joined-reads.js";
import type { LaneRead } from "./lane.js";

/** The ranges that are read by one request; what is read along is such as header and padding between records of a torch zip. */
const JOINED = { gap: 4 * 1024, most: 8 * 1024 * 1024, below: Infinity };
/** The largest number of bytes in memory at once, over all files: twice what sixteen requests for windows bring. */
const MAX_BYTES = 64 * 1024 * 1024;
/** The bytes of which all blocks of memory are multiples, so that those for windows, with what is read along, are alike. */
const STEP = 2.5 * 1024 * 1024;

/** The descriptor in reads of a file that has none. */
const NO_DESCRIPTOR = -1;

interface RemoteRead extends FileRead {
  readonly read: LaneRead;
}

export class JobFiles {
  readonly #held = new Map<SourceFile, number>();
  readonly #remote: RemoteRead[] = [];
  #block: SharedArrayBuffer | undefined;

  /** @param patience  the milliseconds to wait for a descriptor where the process has none left; by default those of a file */
  constructor(private readonly patience?: number) {}

  /** Returns the descriptor of a file that is held, or has none; `undefined` where {@link hold} is to be asked for it. */
  descriptorOf(file: SourceFile): number | undefined {
    return file.isLocal ? this.#held.get(file) : NO_DESCRIPTOR;
  }

  async hold(file: SourceFile): Promise<number> {
    const fd = await file.hold(this.patience);
    this.#held.set(file, fd);
    return fd;
  }

  /** Takes note of a read, whose bytes {@link receive} brings where the file is not on this machine. */
  note(file: SourceFile, read: LaneRead): void {
    if (file.isLocal) return;
    const { position, length } = read;
    if (length === 0) read.bytes = new Uint8Array(0);
    else this.#remote.push({ file, position, length, read });
  }

  /**
   * Fetches the bytes of all reads that were noted.
   * @returns whether there were any to receive
   * @throws VistaError as {@link SourceFile.read} does
   */
  async receive(): Promise<boolean> {
    const joined = joinReads(this.#remote, JOINED);
    if (joined.length === 0) return false;
    const block = await take(sum(joined, ({ start, end }) => end - start));
    this.#block = block;
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
    return true;
  }

  /** Lets go of the files and of the memory; nobody may look at the bytes any more. */
  release(): void {
    for (const file of this.#held.keys()) file.release();
    this.#held.clear();
    if (this.#block !== undefined) giveBack(this.#block);
    this.#block = undefined;
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

function giveBack(block: SharedArrayBuffer): void {
  used -= block.byteLength;
  free.push(block);
  let total = used + sum(free, ({ byteLength }) => byteLength);
  while (total > MAX_BYTES && free.length > 0) total -= free.shift()!.byteLength;
  for (const tell of waiting.splice(0)) tell();
}
