/** Joins reads that lie near one another in a file: one longer read takes less than several, be it a system call or a request. */
import type { SourceFile } from "../../core/io/source.js";

export interface FileRead {
  readonly file: SourceFile;
  readonly position: number;
  readonly length: number;
}

/** Reads of one file that follow one another closely, which become one read from `start` to `end`. */
export interface JoinedRead<Read extends FileRead> {
  readonly reads: readonly Read[];
  readonly start: number;
  readonly end: number;
}

export interface JoinLimits {
  /** The largest gap between two reads in bytes that is read along rather than skipped. */
  readonly gap: number;
  /** The largest number of bytes of a joined read. */
  readonly most: number;
  /** The number of bytes from which on a read is not joined. */
  readonly below: number;
}

export function joinReads<Read extends FileRead>(
  reads: readonly Read[],
  { gap, most, below }: JoinLimits,
): JoinedRead<Read>[] {
  const sorted = reads.slice().sort((a, b) => {
    if (a.file !== b.file) return a.file.path < b.file.path ? -1 : 1;
    return a.position - b.position;
  });
  const joined: JoinedRead<Read>[] = [];
  for (let i = 0; i < sorted.length; ) {
    const { file, position: start, length } = sorted[i]!;
    let end = start + length;
    let next = i + 1;
    if (length < below) {
      for (; next < sorted.length; next++) {
        const read = sorted[next]!;
        const readEnd = read.position + read.length;
        if (read.file !== file || read.length >= below) break;
        if (read.position - end > gap || readEnd - start > most) break;
        end = Math.max(end, readEnd);
      }
    }
    joined.push({ reads: sorted.slice(i, next), start, end });
    i = next;
  }
  return joined;
}
