/** The translation of a window of output into a lane's job, and of the lane's answer into checks and errors. */
import { fromSystem } from "../../core/errors.js";
import type { SourceFile } from "../../core/io/source.js";
import { dtypeInfo } from "../tensor/dtype.js";
import { piecesBetween, type Tensor } from "../tensor/tensor.js";
import type { DoneRead } from "./input-checks.js";
import { JobFiles } from "./job-files.js";
import type { LaneFailure, LaneRead, LaneSegment } from "./lane.js";
import { type Slice, type Window, wantsCrc } from "./parts.js";

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

/** A window as segments of a lane's job. */
export class LanePlan {
  readonly segments: LaneSegment[] = [];
  /** The files of the reads; what they hold is to be released. */
  readonly files = new JobFiles(PATIENCE_MS);
  readonly #reads: PlannedRead[] = [];
  /** The place of each slice's CRCs among those of the reads or of the conversions. */
  readonly #crcsOf: (
    | { kind: "reads"; from: number; to: number }
    | { kind: "cast"; at: number }
    | undefined
  )[] = [];
  #casts = 0;

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
      const fd = this.files.descriptorOf(region.file) ?? (await this.files.hold(region.file));
      const read = { fd, position: region.offset + start, length: piece.length, crc: wanted };
      this.files.note(region.file, read);
      reads.push(read);
    }
    return reads;
  }

  get reads(): number {
    return this.#reads.length;
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
