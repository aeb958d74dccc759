/** Tells safetensors files from others, and has the limits of their headers. */

/**
 * The largest length of a header in bytes, which is the reference's limit. Real headers stay far below: 100,000 tensors take
 * about 10 MB.
 */
export const MAX_HEADER = 100_000_000;

/**
 * The largest number of tensors of one file, read or written. The reference has no limit but the header's, with which 1.7 million
 * fit; real files have up to 100,000.
 */
export const MAX_TENSORS = 200_000;

/** The name under which a header keeps its metadata. */
export const METADATA = "__metadata__";

/**
 * Tells whether a file begins as a safetensors file does: with a sensible header length, then `{`, which white space may precede.
 */
export function looksLikeSafetensors(head: Uint8Array): boolean {
  if (head.length < 9) return false;
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  return (
    view.getBigUint64(0, true) <= BigInt(MAX_HEADER) &&
    /^\s*\{|^\s+$/.test(Buffer.from(head.subarray(8)).toString("latin1"))
  );
}
