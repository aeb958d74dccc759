/**
 * The work of one thread of the copy loop: it makes stretches of output from ranges of open files, one after the other and with
 * calls that block. A buffer that fits the processor's cache is filled, checked and written before the next one: on a machine of
 * two cores that takes a third less kernel time than many asynchronous transfers in flight.
 */
import { readSync, writeSync } from "node:fs";
import { copyBytes } from "../../core/io/copy-bytes.js";
import { crc32 } from "../../core/io/crc32.js";
import { castBytes } from "../tensor/cast.js";
import { type DType, dtypeInfo } from "../tensor/dtype.js";
import { countNonFinite, type NonFinite } from "../tensor/non-finite.js";

/** The size of a buffer in bytes, chosen by measurements with 64 KiB to 1 MiB. */
const CHUNK = 256 * 1024;

/** A range of an open file. */
export interface LaneRead {
  readonly fd: number;
  /** The bytes themselves, mostly in memory that threads share, where they came over a network; `fd` then means nothing. */
  bytes?: Uint8Array | undefined;
  readonly position: number;
  readonly length: number;
  /** Whether its CRC-32 is wanted. */
  readonly crc: boolean;
}

/** A stretch of output. */
export type LaneSegment =
  | { readonly kind: "bytes"; readonly bytes: Uint8Array }
  /** The place of bytes that are not known yet: zeros, which are overwritten when they are known. */
  | { readonly kind: "later"; readonly length: number }
  | { readonly kind: "copy"; readonly read: LaneRead }
  /** The elements of the reads, joined and converted; `crc` says whether the CRC-32 of the result is wanted. */
  | {
      readonly kind: "cast";
      readonly reads: readonly LaneRead[];
      readonly from: DType;
      readonly to: DType;
      readonly crc: boolean;
    };

/** A job that writes segments, which follow one another, to an open file. */
export interface CopyJob {
  readonly kind: "copy";
  readonly fd: number;
  readonly position: number;
  readonly segments: readonly LaneSegment[];
}

/** A job that looks at ranges and writes nothing. */
export interface ScanJob {
  readonly kind: "scan";
  readonly reads: readonly LaneScan[];
}

export interface LaneScan extends LaneRead {
  /** The type of the elements where NaN and infinity are to be counted. */
  readonly dtype: DType | undefined;
}

export type LaneJob = (CopyJob | ScanJob) & {
  /** Whether the reads' bytes came over a network. */
  readonly received: boolean;
};

/** The failure of a job, with the parts of a system error that survive the way between threads. */
export interface LaneFailure {
  readonly doing: "read" | "write";
  /** The index of the read that failed among the job's reads, counted over all segments. */
  readonly read: number;
  /** The number of bytes of that read that were there, where the file ends too early. */
  readonly got?: number;
  readonly code?: string;
  readonly syscall?: string;
  readonly message: string;
}

export interface LaneResult {
  /** The CRC-32 of each read that has been made, in order; 0 where it was not wanted. */
  readonly crcs: readonly number[];
  /** The CRC-32 of what each conversion made, in order; 0 where it was not wanted. */
  readonly castCrcs: readonly number[];
  /** The counts for each read that a {@link ScanJob} has made; empty for other jobs. */
  readonly nonFinite: readonly NonFinite[];
  readonly failure?: LaneFailure;
}

class ShortRead extends Error {
  constructor(readonly got: number) {
    super("the file ends too early");
  }
}

/** A lane of the copy loop: the buffers of one thread and what it does with them. */
export class Lane {
  readonly #out = Buffer.allocUnsafeSlow(CHUNK);
  /** The buffer for elements that are to be converted, made when it is needed first. */
  #in: Buffer | undefined;
  #crcs: number[] = [];
  #castCrcs: number[] = [];
  #writing = false;
  #fd = -1;
  /** The position in the output of the buffer's first byte. */
  #position = 0;
  /** The number of bytes in the buffer. */
  #fill = 0;
  /** The number of bytes that the buffer takes before it is written: up to the next multiple of {@link CHUNK} in the output. */
  #room = CHUNK;

  /** Does the job, or as much of it as is possible: a failure of the system is part of the result. */
  run(job: LaneJob): LaneResult {
    this.#crcs = [];
    this.#castCrcs = [];
    this.#writing = false;
    const nonFinite: NonFinite[] = [];
    try {
      if (job.kind === "scan") for (const read of job.reads) nonFinite.push(this.#scan(read));
      else this.#copy(job);
      return { crcs: this.#crcs, castCrcs: this.#castCrcs, nonFinite };
    } catch (error) {
      const { message, code, syscall } = error as NodeJS.ErrnoException;
      const short = error instanceof ShortRead;
      if (!short && (code === undefined || syscall === undefined)) throw error;
      const failure: LaneFailure = {
        doing: this.#writing ? "write" : "read",
        read: this.#crcs.length,
        message,
        ...(short ? { got: error.got } : { code: code!, syscall: syscall! }),
      };
      return { crcs: this.#crcs, castCrcs: this.#castCrcs, nonFinite, failure };
    }
  }

  #copy({ fd, position, segments }: CopyJob): void {
    this.#fd = fd;
    this.#position = position;
    this.#fill = 0;
    this.#room = CHUNK - (position % CHUNK);
    for (const segment of segments) {
      if (segment.kind === "copy") this.#copyRead(segment.read);
      else if (segment.kind === "cast") this.#cast(segment);
      else if (segment.kind === "bytes") {
        this.#fillWith(segment.bytes.length, (target, at) => {
          target.set(segment.bytes.subarray(at, at + target.length));
        });
      } else this.#fillWith(segment.length, (target) => target.fill(0));
    }
    this.#flush();
  }

  #copyRead(read: LaneRead): void {
    let crc = 0;
    if (read.bytes !== undefined && read.length >= CHUNK) {
      // A long read that is in memory already need not go through the buffer.
      this.#flush();
      for (let at = 0; at < read.length; ) {
        const part = read.bytes.subarray(at, at + this.#room);
        if (read.crc) crc = crc32(part, crc);
        this.#write(part);
        at += part.length;
      }
    } else
      this.#fillWith(read.length, (target, at) => {
        readFully(read, target, at);
        if (read.crc) crc = crc32(target, crc);
      });
    this.#crcs.push(crc);
  }

  #cast({ reads, from, to, crc }: Extract<LaneSegment, { kind: "cast" }>): void {
    const width = dtypeInfo(from).bits / 8;
    const outWidth = dtypeInfo(to).bits / 8;
    let length = 0;
    for (const read of reads) length += read.length;
    const source = new JoinedReads(reads, this.#crcs);
    this.#in ??= Buffer.allocUnsafeSlow(CHUNK);
    // So many elements fit the input buffer, whatever the dtypes; the output buffer takes them as it has room.
    const elements = CHUNK / Math.max(width, outWidth);
    let castCrc = 0;
    for (let left = length / width; left > 0; ) {
      if (this.#room - this.#fill < outWidth) {
        this.#flush();
        // Where elements do not begin at multiples of their width, the room up to the next multiple may be less than one.
        if (this.#room < outWidth) this.#room = CHUNK;
      }
      const count = Math.min(left, elements, Math.floor((this.#room - this.#fill) / outWidth));
      const bytes = this.#in.subarray(0, count * width);
      source.next(bytes);
      const end = this.#fill + count * outWidth;
      const result = this.#out.subarray(this.#fill, end);
      castBytes(bytes, from, result, to);
      if (crc) castCrc = crc32(result, castCrc);
      this.#fill = end;
      left -= count;
    }
    source.end();
    this.#castCrcs.push(castCrc);
  }

  /** Calls `fill` for `length` bytes of output, a bufferful at a time. */
  #fillWith(length: number, fill: (target: Buffer, at: number) => void): void {
    for (let at = 0; at < length; ) {
      if (this.#fill === this.#room) this.#flush();
      const take = Math.min(length - at, this.#room - this.#fill);
      fill(this.#out.subarray(this.#fill, this.#fill + take), at);
      this.#fill += take;
      at += take;
    }
  }

  #flush(): void {
    this.#write(this.#out.subarray(0, this.#fill));
    this.#fill = 0;
  }

  #write(bytes: Uint8Array): void {
    this.#writing = true;
    for (let done = 0; done < bytes.length; ) {
      done += writeSync(this.#fd, bytes, done, bytes.length - done, this.#position + done);
    }
    this.#writing = false;
    this.#position += bytes.length;
    this.#room = CHUNK - (this.#position % CHUNK);
  }

  #scan(read: LaneScan): NonFinite {
    const nonFinite = { nan: 0, inf: 0 };
    let crc = 0;
    for (let at = 0; at < read.length; at += CHUNK) {
      const bytes = this.#out.subarray(0, Math.min(CHUNK, read.length - at));
      readFully(read, bytes, at);
      if (read.crc) crc = crc32(bytes, crc);
      if (read.dtype !== undefined) countNonFinite(read.dtype, bytes, nonFinite);
    }
    this.#crcs.push(crc);
    return nonFinite;
  }
}

/** A run of bytes that several reads make together; the CRC of each read is noted when it is done. */
class JoinedReads {
  #index = 0;
  #at = 0;
  #crc = 0;

  constructor(
    private readonly reads: readonly LaneRead[],
    private readonly crcs: number[],
  ) {}

  next(target: Buffer): void {
    for (let done = 0; done < target.length; ) {
      const read = this.reads[this.#index]!;
      const take = Math.min(target.length - done, read.length - this.#at);
      const part = target.subarray(done, done + take);
      readFully(read, part, this.#at);
      if (read.crc) this.#crc = crc32(part, this.#crc);
      done += take;
      this.#at += take;
      if (this.#at === read.length) this.#close();
    }
  }

  /** Notes the CRCs of reads of no bytes that come last. */
  end(): void {
    while (this.#index < this.reads.length) this.#close();
  }

  #close(): void {
    this.crcs.push(this.#crc);
    this.#index++;
    this.#at = 0;
    this.#crc = 0;
  }
}

function readFully(read: LaneRead, target: Buffer, from: number): void {
  if (read.bytes !== undefined) {
    copyBytes(read.bytes.subarray(from, from + target.length), target);
    return;
  }
  for (let done = 0; done < target.length; ) {
    const got = readSync(read.fd, target, done, target.length - done, read.position + from + done);
    if (got === 0) throw new ShortRead(from + done);
    done += got;
  }
}
