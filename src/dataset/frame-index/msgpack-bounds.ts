/**
 * A walk over MessagePack that builds nothing. It comes before the library, which allocates an array of the length that a header
 * claims before it has seen one item, and a damaged header may claim four thousand million.
 *
 * The source of the rules is the MessagePack specification (github.com/msgpack/msgpack, spec.md), "Formats".
 */

/**
 * Makes sure that the bytes are one whole value.
 *
 * @throws Error where a value goes on past the end, nests deeper than `maxDepth`, or has a type that no index has (such as an
 *   extension type), and where bytes follow the value
 */
export function checkMsgpackBounds(bytes: Uint8Array, maxDepth: number): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  /** The numbers of values that are still to come, level by level. */
  const open = [1];
  let at = 0;
  const length = (width: 1 | 2 | 4): number => {
    const value =
      width === 1 ? view.getUint8(at + 1) : width === 2 ? view.getUint16(at + 1) : view.getUint32(at + 1);
    at += width;
    return value;
  };
  while (open.length > 0) {
    const level = open.length - 1;
    if (open[level] === 0) {
      open.pop();
      continue;
    }
    open[level]!--;
    const type = view.getUint8(at);
    /** The number of bytes after the header; `items` is the number of values within. */
    let body = 0;
    let items: number | undefined;
    if (type < 0x80 || type >= 0xe0) body = 0;
    else if (type < 0x90) items = (type & 0x0f) * 2;
    else if (type < 0xa0) items = type & 0x0f;
    else if (type < 0xc0) body = type & 0x1f;
    else if (type === 0xc0 || type === 0xc2 || type === 0xc3) body = 0;
    else if (type === 0xc4 || type === 0xd9) body = length(1);
    else if (type === 0xc5 || type === 0xda) body = length(2);
    else if (type === 0xc6 || type === 0xdb) body = length(4);
    else if (type === 0xca) body = 4;
    else if (type === 0xcb) body = 8;
    else if (type >= 0xcc && type <= 0xcf) body = 1 << (type - 0xcc);
    else if (type >= 0xd0 && type <= 0xd3) body = 1 << (type - 0xd0);
    else if (type === 0xdc) items = length(2);
    else if (type === 0xdd) items = length(4);
    else if (type === 0xde) items = length(2) * 2;
    else if (type === 0xdf) items = length(4) * 2;
    else throw new RangeError(`type 0x${type.toString(16)} at byte ${at} is none that an index has`);
    at += 1 + body;
    if (at + (items ?? 0) > bytes.length)
      throw new RangeError(`a value goes on past the end, byte ${bytes.length}`);
    if (items === undefined) continue;
    if (open.length >= maxDepth + 1) throw new RangeError(`values nest more than ${maxDepth} deep`);
    open.push(items);
  }
  if (at !== bytes.length) throw new RangeError(`${bytes.length - at} bytes after the value`);
}
