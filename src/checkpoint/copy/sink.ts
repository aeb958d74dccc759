/**
 * The copy loop, which lays parts out one after the other in a file. Two threads at once fill windows of the output (reading,
 * checksums, conversions, writing); it takes the memory of their buffers, whatever the size of the model.
 */

import type { FileHandle } from "node:fs/promises";
import { fromSystem, throwIfAborted } from "../../core/errors.js";
import { combineCrc32, crc32 } from "../../core/io/crc32.js";
import { isOutOfDescriptors } from "../../core/io/local-file.js";
import { writeAllSync } from "../../core/io/output.js";
import type { Piece, SourceFile } from "../../core/io/source.js";
import { remember } from "../../core/maps.js";
import type { RunOptions } from "../../core/progress.js";
import { sum } from "../../core/sum.js";
import { Arena } from "./arena.js";
import { checkPlan } from "./check-plan.js";
import { ComputedCache } from "./computed.js";
import { HoldQueue } from "./hold-queue.js";
import { RegionChecks } from "./input-checks.js";
import { type Copied, LanePlan } from "./lane-plan.js";
import { Lanes } from "./lanes.js";
import {
  type FileContent,
  isPlain,
  type OutputPart,
  WINDOW,
  type Window,
  wantsCrc,
  windowsOf,
} from "./parts.js";
import { type Scanned, type ScanRange, scanRanges } from "./scan-ranges.js";
import { runsOfFiles, SmallFiles } from "./small-files.js";
import { conversionBytes, WindowReader } from "./window.js";

/**
 * The largest number of windows that are begun before the first of them is finished. They are many, so that the second thread
 * has work while this one computes: a window that a lane copies takes no memory.
 */
const AHEAD = 32;
/** The number of reads in these windows above which no other is begun: what is known of each takes some hundred bytes. */
const READS_AHEAD = 4096;
/**
 * The number of files written side by side where that takes no memory: a file system lets only one thread at a time write into a
 * file. In four pairs of runs of `reshard`, 3 GB on two busy cores, this took 4 to 18 % less processor time than one at a time.
 */
const FILES_AT_ONCE = 2;
/** The number of windows that this thread makes at once in memory of their own; there may be more where descriptors run out. */
const SLOTS = 3;

export interface WriteOptions extends RunOptions {
  /** Whether to check the CRC-32 of every input region that is read; true by default. */
  verify?: boolean | undefined;
}

/** A file to be written: all its content, from position 0. */
export interface OutputFile {
  /** The path, for messages. */
  readonly path: string;
  readonly content: FileContent;
  /** Opens the file when its turn has come. */
  readonly begin: () => Promise<FileHandle>;
  /** Ends the file when its bytes are written; what this waits for (the disk) goes on beside the next file. */
  readonly end?: () => Promise<void>;
  /** Writes the whole file in place of `begin` and `end`, where it is small enough to be made in memory. */
  readonly write?: (bytes: Uint8Array) => Promise<void>;
  /** Whether the CRC-32 of the whole file is wanted; false by default. A file that `write` writes has none. */
  readonly digest?: boolean;
}

/**
 * Writes files from all their parts, begun in their order. Each input region is checked once, even where its bytes go to more
 * than one of the files.
 *
 * @returns the CRC-32 of each file as a whole; `undefined` where nobody asked for it
 * @throws VistaError `CHECKSUM`, `TRUNCATED`, `IO`, `NO_SPACE`, `ABORTED`; nothing is in flight when it throws
 */
export async function writeFiles(
  files: readonly OutputFile[],
  options: WriteOptions = {},
): Promise<(number | undefined)[]> {
  checkPlan(files.flatMap(({ content }) => content.tensors ?? []));
  const total = sum(files, ({ content }) => content.length);
  const checks = options.verify === false ? undefined : new RegionChecks();
  let work = total;
  let done = 0;
  const report = (bytes: number) => {
    done += bytes;
    options.onProgress?.({ phase: "write", done, total: work, unit: "bytes" });
  };
  const lanes = new Lanes(total);
  const turns = new HoldQueue();
  const digests: (number | undefined)[] = files.map(() => undefined);
  const atOnce = files.every(({ content }) => content.copied) ? FILES_AT_ONCE : 1;
  const running = new Set<Promise<void>>();
  let failure: { error: unknown } | undefined;
  let ending = Promise.resolve();
  const spare: SmallFiles[] = [];
  const writeSmall = async (first: number, end: number) => {
    throwIfAborted(options.signal);
    const memory = spare.pop() ?? new SmallFiles();
    const run = files.slice(first, end);
    await memory.write(run, checks);
    spare.push(memory);
    report(sum(run, ({ content }) => content.length));
  };
  const writeLarge = async (i: number, handle: FileHandle) => {
    const file = files[i]!;
    const crc = await new Copier(file, handle, checks, lanes, turns, report).run(options.signal);
    if (file.digest) digests[i] = crc;
    await ending;
    ending = file.end?.() ?? ending;
    ending.catch(() => {}); // A failure is thrown where `ending` is waited for.
  };
  try {
    for (const { first, end, small } of runsOfFiles(files)) {
      if (running.size === atOnce) await Promise.race(running);
      if (failure !== undefined) break;
      const work = small ? writeSmall(first, end) : writeLarge(first, await files[first]!.begin());
      const writing: Promise<void> = work
        .catch((error: unknown) => {
          failure ??= { error };
        })
        .finally(() => running.delete(writing));
      running.add(writing);
    }
    await Promise.all(running);
    if (failure !== undefined) throw failure.error;
    if (checks !== undefined) {
      const missing = checks.missing();
      work += sum(missing, ({ length }) => length);
      await readExtra(missing, checks, lanes, options.signal, report);
      checks.finish();
    }
    await ending;
  } finally {
    await Promise.allSettled([...running, ending]);
    lanes.close();
  }
  return digests;
}

class Copier {
  readonly #computed = new ComputedCache();
  readonly #slots: Slot[] = [];
  #slotsUsed = 0;
  #readsUnderWay = 0;
  readonly #finisher: Finisher;
  #failure: { error: unknown } | undefined;

  constructor(
    private readonly file: OutputFile,
    private readonly handle: FileHandle,
    private readonly checks: RegionChecks | undefined,
    private readonly lanes: Lanes,
    private readonly turns: HoldQueue,
    private readonly report: (bytes: number) => void,
  ) {
    this.#finisher = new Finisher(file, handle);
  }

  /** Copies the file. @returns the CRC-32 of the whole file, where that is wanted */
  async run(signal: AbortSignal | undefined): Promise<number> {
    // Windows are copied in any order, but finished (checksums, closing records) one after the other: the first in the queue is
    // always the next to be done.
    const queue: Promise<void>[] = [];
    let last = Promise.resolve();
    let started = 0;
    for (const window of windowsOf(await this.file.content.parts())) {
      const plain = window.slices.every(isPlain);
      await this.turns.taken();
      const isFull = () => queue.length === AHEAD || this.#readsUnderWay > READS_AHEAD;
      while (queue.length > 0 && (isFull() || (!plain && this.#slotsUsed === SLOTS))) await queue.shift();
      if (this.#failure !== undefined || signal?.aborted) break;
      last = this.#copy(window, plain, last, signal).catch((error: unknown) => {
        this.#failure ??= { error };
      });
      queue.push(last);
      started++;
    }
    await last;
    if (this.#failure !== undefined) throw this.#failure.error;
    throwIfAborted(signal);
    if (started === 0) throw new Error("an output without parts");
    return this.#finisher.digest;
  }

  /** Copies a window and finishes it. @param before  settles when all earlier windows are finished */
  async #copy(
    window: Window,
    plain: boolean,
    before: Promise<void>,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const copying = plain ? this.#copyPlain(window, signal) : this.#copyHere(window);
    // A failure must not end this before the window's turn, since nothing may be in flight when the whole copy fails.
    const [outcome] = await Promise.allSettled([copying, before]);
    if (outcome.status === "rejected") throw outcome.reason;
    const copied = outcome.value;
    if (this.#failure !== undefined) return;
    if (this.checks !== undefined) for (const read of copied.reads) this.checks.add(read);
    this.#finisher.finish(window, copied.crcs);
    this.report(window.length);
  }

  /** Copies a window in a lane, or here where the process may not have all its files open at once. */
  async #copyPlain(window: Window, signal: AbortSignal | undefined): Promise<Copied> {
    try {
      return await this.#copyInLane(window, signal);
    } catch (error) {
      if (!isOutOfDescriptors(error)) throw error;
      return this.#copyHere(window);
    }
  }

  /** Copies a window whose tensors are read as they are or converted element by element. */
  async #copyInLane(window: Window, signal: AbortSignal | undefined): Promise<Copied> {
    const plan = new LanePlan(this.checks !== undefined, this.file.digest ?? false);
    try {
      await this.turns.take(async () => {
        for (const slice of window.slices) await plan.add(slice);
        this.#readsUnderWay += plan.reads;
      });
      const received = await plan.files.receive();
      const { path } = this.file;
      const { segments } = plan;
      const job = {
        kind: "copy" as const,
        fd: this.handle.fd,
        position: window.position,
        segments,
        received,
      };
      const result = await this.lanes.run(job, signal);
      if (result.failure !== undefined) throw plan.error(result.failure, path);
      return plan.copied(window, result.crcs, result.castCrcs);
    } finally {
      this.#readsUnderWay -= plan.reads;
      plan.files.release();
    }
  }

  /** Copies a window in memory of its own, which views and computed tensors need. */
  async #copyHere(window: Window): Promise<Copied> {
    this.#slotsUsed++;
    const slot = this.#slots.pop() ?? { buffer: Buffer.allocUnsafeSlow(WINDOW), arena: new Arena() };
    try {
      const bytes = slot.buffer.subarray(0, window.length);
      slot.arena.reset(conversionBytes(window));
      const reader = new WindowReader(this.#computed, this.checks !== undefined, slot.arena);
      reader.addWindow(window, bytes);
      const reads = await reader.run();
      await writeAll(this.handle, this.file.path, bytes, window.position);
      return {
        reads,
        crcs: window.slices.map((slice) =>
          wantsCrc(slice, this.file.digest ?? false)
            ? [{ crc32: crc32(bytes.subarray(slice.at, slice.at + slice.length)), length: slice.length }]
            : [],
        ),
      };
    } finally {
      this.#slots.push(slot);
      this.#slotsUsed--;
    }
  }
}

/** The memory of a window that this thread copies. */
interface Slot {
  readonly buffer: Uint8Array;
  readonly arena: Arena;
}

/** The end of windows in the order of the output: it carries the CRCs of tensors and of the file along, and writes late parts. */
class Finisher {
  #crc = 0;
  #digest = 0;

  constructor(
    private readonly file: OutputFile,
    private readonly handle: FileHandle,
  ) {}

  /** The CRC-32 of everything that is finished; 0 where it is not wanted. */
  get digest(): number {
    return this.#digest;
  }

  finish({ position, slices }: Window, crcs: Copied["crcs"]): void {
    slices.forEach(({ part, from, at, length, last }, i) => {
      if (part.kind === "bytes") this.#digestBytes(part.bytes.subarray(from, from + length));
      if (part.kind === "late" && last) this.#digestBytes(this.#write(part, position + at - from));
      if (part.kind !== "tensor") return;
      for (const { crc32, length } of crcs[i]!) {
        if (part.onCrc32 !== undefined) this.#crc = combineCrc32(this.#crc, crc32, length);
        if (this.file.digest) this.#digest = combineCrc32(this.#digest, crc32, length);
      }
      if (!last || part.onCrc32 === undefined) return;
      part.onCrc32(this.#crc);
      this.#crc = 0;
    });
  }

  #digestBytes(bytes: Uint8Array): void {
    if (this.file.digest) this.#digest = crc32(bytes, this.#digest);
  }

  /** Writes a late part with calls that block, since it is a few bytes; there is about one for each tensor. */
  #write(part: Extract<OutputPart, { kind: "late" }>, position: number): Uint8Array {
    const bytes = part.bytes();
    if (bytes.byteLength !== part.length)
      throw new Error("a part of the output has another length than planned");
    try {
      writeAllSync(this.handle.fd, bytes, position);
    } catch (error) {
      throw fromSystem(error, this.file.path, "write the output");
    }
    return bytes;
  }
}

async function writeAll(
  handle: FileHandle,
  path: string,
  bytes: Uint8Array,
  position: number,
): Promise<void> {
  try {
    for (let done = 0; done < bytes.byteLength; ) {
      done += (await handle.write(bytes, done, bytes.byteLength - done, position + done)).bytesWritten;
    }
  } catch (error) {
    throw fromSystem(error, path, "write the output");
  }
}

/** Reads what the checks need beyond what was copied, one file after the other: there may be more than can be open at once. */
async function readExtra(
  missing: readonly Piece[],
  checks: RegionChecks,
  lanes: Lanes,
  signal: AbortSignal | undefined,
  report: (bytes: number) => void,
): Promise<void> {
  const byFile = new Map<SourceFile, (ScanRange & Piece)[]>();
  for (const piece of missing) {
    const { file, offset } = piece.region;
    const range = { ...piece, file, offset: offset + piece.start, crc: true, dtype: undefined };
    remember(byFile, file, () => []).push(range);
  }
  const onError = (error: unknown) => {
    throw error;
  };
  const onScanned = (piece: Piece, { crc32 }: Scanned) => checks.add({ ...piece, crc32 });
  for (const ranges of byFile.values())
    await scanRanges(ranges, { lanes, signal, onBytes: report, onScanned, onError });
}
