/** The translation of a window of output into a lane's job, and of the lane's answer into checks and errors. */
import { fromSystem } from "../../core/errors.js";
import type { SourceFile } from "../../core/io/source.js";
import { dtypeInfo } from "../tensor/dtype.js";
import { piecesBetween, type Tensor } from "../tensor/tensor.js";
import type { DoneRead } from "./input-checks.js";
import type { LaneFailure, LaneRead, LaneSegment } from "./lane.js";
import { type Slice, type Window, wantsCrc } from "./parts.js";
import { giveBack, type RemoteRead, readJoined } from "./remote-reads.js";

/** The reads and the CRCs of a window that was copied, which the copy loop needs to finish it. */
export interface Copied {
  /** All reads that were made, for the checks. */
  readonly reads: readonly DoneRead[];
  /** The CRC-32 of each slice, in parts that follow one another; there are none where the CRC of the slice is not wanted. */
  readonly crcs: readonly (readonly { crc32: number; length: number }[])[];
}

/** A read as planned, before its CRC is known. */
type PlannedRead = Omit<DoneRead, "crc32"> & { readonly crc: boolean };

/** The milliseconds that a window waits for one more descriptor; after that it is copied with one at a time. */
const PATIENCE_MS = 250;

/** A window as segments of a lane's job. It holds the files open until {@link release}. */
export class LanePlan {
  readonly segments: LaneSegment[] = [];
  readonly #reads: PlannedRead[] = [];
  readonly #held = new Map<SourceFile, number>();
  /** The place of each slice's CRCs among those of the reads or of the conversions. */
  readonly #crcsOf: (
    | { kind: "reads"; from: number; to: number }
    | { kind: "cast"; at: number }
    | undefined
  )[] = [];
  #casts = 0;
  readonly #remote: RemoteRead[] = [];
  #block: SharedArrayBuffer | undefined;

  /** @param allCrcs  whether the CRC-32 of all tensors is wanted */
  constructor(
    private readonly verify: boolean,
    private readonly allCrcs: boolean,
  ) {}

  async add(slice: Slice): Promise<void> {
    const { part, from, length } = slice;
    this.#crcsOf.push(undefined);
    if (length === 0) return;
    if (part.kind === "bytes") {
      this.segments.push({ kind: "bytes", bytes: part.bytes.subarray(from, from + length) });
      return;
    }
    if (part.kind === "late") {
      this.segments.push({ kind: "later", length });
      return;
    }
    const { tensor } = part;
    const crc = wantsCrc(slice, this.allCrcs);
    const first = this.#reads.length;
    if (tensor.source.kind === "cast") {
      const { from: inner } = tensor.source;
      const scale = dtypeInfo(inner.dtype).bits / dtypeInfo(tensor.dtype).bits;
      const reads = await this.#plan(inner, from * scale, length * scale, false);
      this.segments.push({ kind: "cast", reads, from: inner.dtype, to: tensor.dtype, crc });
      if (crc) this.#crcsOf[this.#crcsOf.length - 1] = { kind: "cast", at: this.#casts };
      this.#casts++;
      return;
    }
    for (const read of await this.#plan(tensor, from, length, crc))
      this.segments.push({ kind: "copy", read });
    if (crc) this.#crcsOf[this.#crcsOf.length - 1] = { kind: "reads", from: first, to: this.#reads.length };
  }

  /** Plans the reads of a part of a tensor that is made of pieces. @param crc  whether their CRCs are wanted in any case */
  async #plan(tensor: Tensor, from: number, length: number, crc: boolean): Promise<LaneRead[]> {
    if (tensor.source.kind !== "pieces") throw new Error("a tensor that is not made of pieces");
    const reads: LaneRead[] = [];
    for (const piece of piecesBetween(tensor.source.pieces, from, length)) {
      const { region, start } = piece;
      const wanted = crc || (this.verify && region.crc32 !== undefined);
      this.#reads.push({ region, start, length: piece.length, crc: wanted });
      const read = { position: region.offset + start, length: piece.length, crc: wanted };
      if (region.file.isLocal) {
        const fd = this.#held.get(region.file) ?? (await this.#hold(region.file));
        reads.push({ fd, ...read });
      } else {
        const remote: LaneRead = { fd: -1, ...read };
        this.#remote.push({ file: region.file, read: remote });
        reads.push(remote);
      }
    }
    return reads;
  }

  /** Reads what is not on this machine, after the last {@link add}. @returns whether there was something */
  async readRemote(): Promise<boolean> {
    this.#block = await readJoined(this.#remote);
    return this.#block !== undefined;
  }

  get reads(): number {
    return this.#reads.length;
  }

  async #hold(file: SourceFile): Promise<number> {
    const fd = await file.hold(PATIENCE_MS);
    this.#held.set(file, fd);
    return fd;
  }

  release(): void {
    for (const file of this.#held.keys()) file.release();
    this.#held.clear();
    giveBack(this.#block);
  }

  copied(window: Window, crcs: readonly number[], castCrcs: readonly number[]): Copied {
    const reads = this.#reads.map(({ region, start, length, crc }, i) => ({
      region,
      start,
      length,
      crc32: crc ? crcs[i]! : undefined,
    }));
    return {
      reads,
      crcs: this.#crcsOf.map((place, i) => {
        if (place === undefined) return [];
        if (place.kind === "cast") return [{ crc32: castCrcs[place.at]!, length: window.slices[i]!.length }];
        return reads.slice(place.from, place.to).map(({ crc32, length }) => ({ crc32: crc32!, length }));
      }),
    };
  }

  error(failure: LaneFailure, output: string): unknown {
    if (failure.doing === "write") return fromSystem(systemError(failure), output, "write the output");
    const { region, start, length } = this.#reads[failure.read]!;
    return readError(failure, region.file, region.offset + start, length);
  }
}

/** Returns the error for a read of a lane that failed. */
export function readError(failure: LaneFailure, file: SourceFile, position: number, length: number): unknown {
  if (failure.got !== undefined) return file.truncated(position, length, failure.got);
  return fromSystem(systemError(failure), file.path, "read the file");
}

function systemError({ message, code, syscall }: LaneFailure): Error {
  return Object.assign(new Error(message), { code, syscall });
}
