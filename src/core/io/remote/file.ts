/** The files at URLs, which are read by ranges. */
import { setMaxListeners } from "node:events";
import { abortedError } from "../../errors.js";
import { sum } from "../../sum.js";
import { interruptSignal } from "../interrupt.js";
import { settleAll } from "../settle.js";
import { SourceFile } from "../source.js";
import { UrlRanges } from "./ranges.js";
import { environmentKey, type Target } from "./request.js";

/**
 * The number of bytes of the first request, which also tells the size of the file: in most safetensors files they hold the whole
 * header, in most others the first pickle.
 */
const HEAD = 64 * 1024;
/** The largest number of bytes that are kept of what was read, since directories and pickles are read in small steps. */
const KEPT = 16 * 1024 * 1024;
/** The largest number of pieces that are kept, since each read looks through them. */
const MAX_KEPT = 1024;
/** The number of bytes from which on a read is not kept. */
const KEEP_BELOW = 4 * 1024 * 1024;
/** The largest number of bytes of one request; a longer read is made of several at once. */
const REQUEST = 8 * 1024 * 1024;

/** The least number of bytes that a small read fetches, enough for a header and the pickle behind it. */
const LEAST = 4 * 1024;

/** The number of bytes below which a read may be one of many small ones. */
const SMALL = 64 * 1024;
/** The largest number of bytes that one request fetches for small reads that follow one another. */
const MAX_AHEAD = 512 * 1024;

interface Extent {
  readonly start: number;
  readonly bytes: Uint8Array;
}

/** The knowledge about a file that outlives its object for a moment. */
interface Known {
  readonly reader: UrlRanges;
  readonly size: number;
  /** The time until which the file may be opened again without a request. */
  readonly until: number;
  /** The pieces that were read, the oldest first. */
  readonly kept: Extent[];
}

/**
 * The files that were closed again within a moment of the first request for them, by their targets' keys: a file is looked at
 * first and then opened as what it is. Whoever opens one later asks the server anew, since it may be another file by then.
 */
const recent = new Map<string, Known>();
const MAX_RECENT = 64;
/** The largest number of bytes that are kept of each of them, from what was read first. */
const KEPT_OF_RECENT = 1024 * 1024;
const RECENT_MS = 10_000;

export class RemoteFile extends SourceFile {
  readonly #key: string;
  readonly #stop = new AbortController();
  /** The signals of {@link close} and of an interruption in one; made for each request, it would be most of its garbage. */
  #both: { readonly interrupt: AbortSignal; readonly signal: AbortSignal } | undefined;
  /** The position at which the last read ended. */
  #last = Number.NaN;
  /** The number of bytes of which the next small read fetches twice as many if it goes on at that position. */
  #ahead = SMALL;

  private constructor(
    target: Target,
    private readonly known: Known,
  ) {
    super(target.path, known.size);
    this.#key = keyOf(target);
    // Each request under way adds a listener, and there may be many.
    setMaxListeners(0, this.#stop.signal);
  }

  static async openUrl(target: Target): Promise<RemoteFile> {
    const before = recent.get(keyOf(target));
    recent.delete(keyOf(target));
    if (before !== undefined && before.until > Date.now()) return new RemoteFile(target, before);
    const reader = new UrlRanges(target);
    const bytes = new Uint8Array(HEAD);
    const { got, size } = await reader.read(bytes, 0, interruptSignal());
    const kept = [{ start: 0, bytes: bytes.subarray(0, got) }];
    return new RemoteFile(target, { reader, size, until: Date.now() + RECENT_MS, kept });
  }

  override get isLocal(): boolean {
    return false;
  }

  override async read(target: Uint8Array, position: number): Promise<void> {
    this.#checkRead(target, position);
    const small = target.byteLength < SMALL;
    const follows = small && position >= this.#last && position - this.#last < SMALL;
    this.#last = position + target.byteLength;
    if (!follows) this.#ahead = SMALL;
    if (small && !this.has(position, target.byteLength)) {
      // Small ranges follow one another, as when two checkpoints are compared: each request fetches more than the last.
      if (follows) this.#ahead = Math.min(this.#ahead * 2, MAX_AHEAD);
      const length = Math.max(follows ? this.#ahead : LEAST, target.byteLength);
      const block = new Uint8Array(Math.min(length, this.size - position));
      await this.#fetch(block, position);
      this.#keep(position, block);
    }
    const fetched = await this.#fetchMissing(target, position);
    if (fetched && target.byteLength < KEEP_BELOW) this.#keep(position, target.slice());
  }

  override async readOnce(target: Uint8Array, position: number): Promise<void> {
    // Small reads may be many, one after the other, so what is fetched for them is kept.
    if (target.byteLength < SMALL) return this.read(target, position);
    this.#checkRead(target, position);
    await this.#fetchMissing(target, position);
  }

  override readSmall(target: Uint8Array, position: number): Promise<void> | undefined {
    if (!this.has(position, target.byteLength)) return this.read(target, position);
    this.#fill(target, position);
    return undefined;
  }

  override has(position: number, length: number): boolean {
    return this.known.kept.some(
      ({ start, bytes }) => start <= position && position + length <= start + bytes.byteLength,
    );
  }

  override hold(): Promise<number> {
    throw new Error("a file at a URL has no descriptor");
  }

  override release(): void {}

  override async close(): Promise<void> {
    if (this.#stop.signal.aborted) return;
    this.#stop.abort(abortedError(undefined));
    const { kept, ...known } = this.known;
    let room = KEPT_OF_RECENT;
    const few = kept.filter(({ bytes }) => {
      room -= bytes.byteLength;
      return room >= 0;
    });
    recent.delete(this.#key);
    recent.set(this.#key, { ...known, kept: few });
    if (recent.size > MAX_RECENT) recent.delete(recent.keys().next().value!);
  }

  #checkRead(target: Uint8Array, position: number): void {
    if (position + target.byteLength > this.size)
      throw this.truncated(position, target.byteLength, this.size - position);
    if (this.#stop.signal.aborted) throw this.closed();
  }

  /** Fills `target` with what is in memory and fetches the rest. @returns whether there was a rest */
  async #fetchMissing(target: Uint8Array, position: number): Promise<boolean> {
    const missing = this.#fill(target, position);
    if (missing === undefined) return false;
    const { start, end } = missing;
    const requests: Promise<void>[] = [];
    for (let at = start; at < end; at += REQUEST)
      requests.push(this.#fetch(target.subarray(at - position, Math.min(at + REQUEST, end) - position), at));
    await settleAll(requests);
    return true;
  }

  async #fetch(target: Uint8Array, position: number): Promise<void> {
    const { got } = await this.known.reader.read(target, position, this.#signal());
    if (got < target.byteLength) throw this.truncated(position, target.byteLength, got);
  }

  #signal(): AbortSignal {
    const interrupt = interruptSignal();
    if (interrupt === undefined) return this.#stop.signal;
    if (this.#both?.interrupt !== interrupt) {
      this.#both = { interrupt, signal: AbortSignal.any([this.#stop.signal, interrupt]) };
      setMaxListeners(0, this.#both.signal);
    }
    return this.#both.signal;
  }

  /** Copies what is in memory to `target`. @returns the range that is not in memory */
  #fill(target: Uint8Array, position: number): { start: number; end: number } | undefined {
    let start = position;
    let end = position + target.byteLength;
    // The target is filled from both ends, since of a directory either the beginning or the end is in memory.
    for (let found = true; found && start < end; ) {
      found = false;
      for (const extent of this.known.kept) {
        const from = extent.start;
        const to = from + extent.bytes.byteLength;
        if (from <= start && start < to) {
          const take = Math.min(to, end) - start;
          target.set(extent.bytes.subarray(start - from, start - from + take), start - position);
          start += take;
          found = true;
        } else if (from < end && end <= to) {
          const cut = Math.max(from, start);
          target.set(extent.bytes.subarray(cut - from, end - from), cut - position);
          end = cut;
          found = true;
        }
        if (start >= end) break;
      }
    }
    return start < end ? { start, end } : undefined;
  }

  #keep(start: number, bytes: Uint8Array): void {
    const { kept } = this.known;
    kept.push({ start, bytes });
    let size = sum(kept, ({ bytes }) => bytes.byteLength);
    while ((size > KEPT || kept.length > MAX_KEPT) && kept.length > 1) size -= kept.shift()!.bytes.byteLength;
  }
}

/**
 * Returns the key under which what is known of a file or a listing is kept for a moment. The environment is part of it: a process
 * may change its credentials, and what the old ones could read the new ones must be asked for.
 */
export function keyOf({ key, url }: Target): string {
  return `${environmentKey()} ${key ?? url}`;
}
