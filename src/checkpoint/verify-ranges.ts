/** Describes what verifying scans in a file: its records as ranges, and the bytes between them. */
import { damagedFile } from "../core/errors.js";
import type { Region, SourceFile } from "../core/io/source.js";
import type { ScanRange } from "./copy/scan-ranges.js";
import type { DType } from "./tensor/dtype.js";
import { canBeNonFinite } from "./tensor/non-finite.js";

export interface NamedRange extends ScanRange {
  readonly region: Region;
  readonly name: string;
  /** Whether the CRC-32 of the bytes has to be that of the region. */
  readonly compare: boolean;
}

/**
 * Returns the ranges together with others for all bytes of the file between them, in the order of the bytes; the CRC-32 of each
 * will be computed.
 * @throws VistaError `FORMAT` where records overlap
 */
export function coverWhole(file: SourceFile, ranges: readonly NamedRange[]): NamedRange[] {
  const covered: NamedRange[] = [];
  let at = 0;
  const fill = (end: number) => {
    if (end > at)
      covered.push(
        rangeOf({ file, name: "", offset: at, length: end - at, crc32: undefined }, undefined, ""),
      );
    at = end;
  };
  for (const range of [...ranges].sort((a, b) => a.offset - b.offset || a.length - b.length)) {
    if (range.offset < at)
      throw damagedFile("records of the file overlap", { path: file.path, offset: range.offset });
    fill(range.offset);
    covered.push(range);
    at = range.offset + range.length;
  }
  fill(file.size);
  return covered.map((range) => ({ ...range, crc: true }));
}

/** Returns the range of a record, with the type of its elements where NaN and infinity are to be counted. */
export function rangeOf(region: Region, dtype: DType | undefined, name: string): NamedRange {
  const { file, offset, length } = region;
  const counts = dtype !== undefined && canBeNonFinite(dtype);
  return {
    region,
    name,
    file,
    offset,
    length,
    crc: Boolean(region.crc32),
    compare: Boolean(region.crc32),
    dtype: counts ? dtype : undefined,
  };
}
