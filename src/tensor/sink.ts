/**
 * The copy loop: lays parts out one after the other in a file, with a few buffers in flight. Reading, checksums and
 * writing overlap; memory is the buffers, whatever the size of the model.
 */
import type { FileHandle } from "node:fs/promises";
import { crc32 } from "node:zlib";
import { fromSystem, throwIfAborted } from "../errors.js";
import { combineCrc32 } from "../io/crc32.js";
import type { RunOptions } from "../progress.js";
import { RegionChecks } from "./checks.js";
import { dtypeInfo } from "./dtype.js";
import type { Tensor } from "./tensor.js";
import { ARENA_STEP, Arena, ComputedCache, type ReadOp, WindowReader } from "./window.js";

/** Bytes of one buffer: measured against 0.5 to 4 MiB; larger ones leave the processor's cache between read and write. */
const WINDOW = 2 * 1024 * 1024;
/** Buffers in flight: enough to keep libuv's four threads busy. */
const SLOTS = 4;

/** A part of the output, in order, without gaps. */
export type OutputPart =
  | {
      readonly kind: "bytes";
      readonly length: number;
      /** Called once, when everything before this part is done: what it returns may depend on earlier CRCs. */
      readonly bytes: () => Uint8Array;
    }
  | {
      readonly kind: "tensor";
      readonly tensor: Tensor;
      /** Called with the CRC-32 of the tensor's bytes when they are done. */
      readonly onCrc32?: (crc32: number) => void;
    };

export interface WriteOptions extends RunOptions {
  /** Check the CRC-32 of every input region that is read. Default true. */
  verify?: boolean;
  /** What {@link RunOptions.onProgress} calls it. Default `write`. */
  phase?: string;
}

export function partLength(part: OutputPart): number {
  return part.kind === "bytes" ? part.length : part.tensor.byteLength;
}

/** One file to be written: all its parts, from position 0. */
export interface OutputFile {
  readonly handle: FileHandle;
  /** For messages. */
  readonly path: string;
  readonly parts: readonly OutputPart[];
}

/**
 * Writes all parts to `handle`, from position 0.
 *
 * @param path  of the output, for messages
 * @returns the number of bytes written
 * @throws VistaError `CHECKSUM`, `TRUNCATED`, `IO`, `NO_SPACE`, `ABORTED`; nothing is in flight when it throws
 */
export function writeParts(
  handle: FileHandle,
  path: string,
  parts: readonly OutputPart[],
  options: WriteOptions = {},
): Promise<number> {
  return writeFiles([{ handle, path, parts }], options);
}

/**
 * Writes several files one after the other, as {@link writeParts} does one. Each input region is checked once, also where
 * its bytes go to more than one of the files.
 *
 * @returns the number of bytes written to all files
 */
export async function writeFiles(files: readonly OutputFile[], options: WriteOptions = {}): Promise<number> {
  const all = files.flatMap(({ parts }) => parts);
  const total = all.reduce((sum, part) => sum + partLength(part), 0);
  const checks = options.verify === false ? undefined : new RegionChecks(tensorsOf(all));
  const work = total + (checks?.extraBytes ?? 0);
  let done = 0;
  const report = (bytes: number) => {
    done += bytes;
    options.onProgress?.({ phase: options.phase ?? "write", done, total: work, unit: "bytes" });
  };
  const slots: Slot[] = [];
  for (const { handle, path, parts } of files) {
    await new Copier(handle, path, checks, slots, report).run(windowsOf(parts), options.signal);
  }
  if (checks !== undefined) {
    await readExtra(checks, options.signal, report);
    checks.finish();
  }
  return total;
}

/** A stretch of one part inside a window. */
interface Slice {
  readonly part: OutputPart;
  /** From the part's start, in bytes. */
  readonly from: number;
  /** Where in the window. */
  readonly at: number;
  readonly length: number;
  /** True where the part ends here. */
  readonly last: boolean;
}

interface Window {
  readonly position: number;
  readonly length: number;
  readonly slices: readonly Slice[];
}

/** Cuts the parts into windows of {@link WINDOW} bytes. */
function* windowsOf(parts: readonly OutputPart[]): Generator<Window> {
  let position = 0;
  let length = 0;
  let slices: Slice[] = [];
  for (const part of parts) {
    const size = partLength(part);
    let from = 0;
    do {
      const take = Math.min(size - from, WINDOW - length);
      slices.push({ part, from, at: length, length: take, last: from + take === size });
      from += take;
      length += take;
      if (length === WINDOW) {
        yield { position, length, slices };
        position += length;
        length = 0;
        slices = [];
      }
    } while (from < size);
  }
  if (slices.length > 0) yield { position, length, slices };
}

/** What one window in flight needs. */
interface Slot {
  readonly buffer: Uint8Array;
  readonly arena: Arena;
}

/** Bytes that are read to be converted. */
function conversionBytes({ slices }: Window): number {
  let sum = 0;
  for (const { part, length } of slices) {
    if (part.kind !== "tensor" || part.tensor.source.kind !== "cast") continue;
    const { from } = part.tensor.source;
    sum += (length / dtypeInfo(part.tensor.dtype).bits) * dtypeInfo(from.dtype).bits + ARENA_STEP;
  }
  return sum;
}

class Copier {
  readonly #handle: FileHandle;
  readonly #path: string;
  readonly #checks: RegionChecks | undefined;
  readonly #report: (bytes: number) => void;
  readonly #computed = new ComputedCache();
  readonly #finisher = new SliceFinisher();
  readonly #slots: Slot[];
  #failure: { error: unknown } | undefined;

  constructor(
    handle: FileHandle,
    path: string,
    checks: RegionChecks | undefined,
    slots: Slot[],
    report: (bytes: number) => void,
  ) {
    this.#handle = handle;
    this.#path = path;
    this.#checks = checks;
    this.#slots = slots;
    this.#report = report;
  }

  async run(windows: Iterable<Window>, signal: AbortSignal | undefined): Promise<void> {
    const running = new Set<Promise<void>>();
    // Windows are read and written out of order, but finished (checksums, closing records) one after the other.
    let turn = Promise.resolve();
    let started = 0;
    for (const window of windows) {
      while (running.size === SLOTS && this.#failure === undefined) await Promise.race(running);
      if (this.#failure !== undefined || signal?.aborted) break;
      const slot = this.#slots.pop() ?? {
        buffer: Buffer.allocUnsafeSlow(WINDOW),
        arena: new Arena(),
      };
      const myTurn = turn;
      let passTurn!: () => void;
      turn = new Promise((resolve) => {
        passTurn = resolve;
      });
      const task: Promise<void> = this.#copy(window, slot, myTurn, passTurn)
        .catch((error: unknown) => {
          this.#failure ??= { error };
        })
        .finally(() => {
          passTurn();
          this.#slots.push(slot);
          running.delete(task);
        });
      running.add(task);
      started++;
    }
    await Promise.all(running);
    if (this.#failure !== undefined) throw this.#failure.error;
    throwIfAborted(signal);
    if (started === 0) throw new Error("an output without parts");
  }

  async #copy(window: Window, slot: Slot, myTurn: Promise<void>, passTurn: () => void): Promise<void> {
    const bytes = slot.buffer.subarray(0, window.length);
    slot.arena.reset(conversionBytes(window));
    const targets = window.slices.map(({ at, length }) => bytes.subarray(at, at + length));
    const always = window.slices.some(({ part }) => part.kind === "tensor" && part.onCrc32 !== undefined);
    const crcs = { verify: this.#checks !== undefined, always };
    const reader = new WindowReader(this.#computed, crcs, slot.arena);
    const reads = window.slices.map(({ part, from, length }, i) =>
      part.kind === "tensor" && length > 0 ? reader.add(part.tensor, from, targets[i]!) : undefined,
    );
    const ops = await reader.run();
    await myTurn;
    if (this.#failure !== undefined) return;
    this.#checks?.addReads(ops);
    window.slices.forEach((slice, i) => {
      this.#finisher.finish(slice, targets[i]!, reads[i]);
    });
    passTurn();
    await writeAll(this.#handle, this.#path, bytes, window.position);
    this.#report(bytes.byteLength);
  }
}

/** Completes slices in output order: closing records are filled in, CRCs of tensors carried along. */
class SliceFinisher {
  #bytes: Uint8Array | undefined;
  #crc = 0;

  finish(slice: Slice, target: Uint8Array, reads: readonly ReadOp[] | undefined): void {
    const { part, from, length, last } = slice;
    if (part.kind === "bytes") {
      this.#bytes ??= part.bytes();
      if (this.#bytes.byteLength !== part.length)
        throw new Error("a part of the output has another length than planned");
      target.set(this.#bytes.subarray(from, from + length));
      if (last) this.#bytes = undefined;
      return;
    }
    if (part.onCrc32 === undefined) return;
    if (reads === undefined) this.#crc = crc32(target, this.#crc);
    else for (const op of reads) this.#crc = combineCrc32(this.#crc, op.crc32!, op.target.byteLength);
    if (last) {
      part.onCrc32(this.#crc);
      this.#crc = 0;
    }
  }
}

function* tensorsOf(parts: readonly OutputPart[]): Generator<Tensor> {
  for (const part of parts) if (part.kind === "tensor") yield part.tensor;
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

/** Reads what the checks need beyond what was copied. */
async function readExtra(
  checks: RegionChecks,
  signal: AbortSignal | undefined,
  report: (bytes: number) => void,
): Promise<void> {
  if (checks.extra.length === 0) return;
  const buffer = Buffer.allocUnsafeSlow(WINDOW);
  for (const { region, start, end } of checks.extra) {
    for (let at = start; at < end; at += WINDOW) {
      throwIfAborted(signal);
      const bytes = buffer.subarray(0, Math.min(WINDOW, end - at));
      await region.file.read(bytes, region.offset + at);
      checks.addExtra(region, at, bytes.byteLength, crc32(bytes));
      report(bytes.byteLength);
    }
  }
}
