/**
 * The width, height and end of JPEG, PNG and WebP files, from a few reads.
 *
 * The sources are ITU-T T.81 annex B (JPEG markers), W3C PNG third edition, sections 5.2 and 11.2 (signature, IHDR, IEND), and
 * RFC 9649 (WebP).
 */
import { formatCount } from "../../core/text.js";

/** A function that reads at an absolute offset; it returns fewer bytes than asked for only at the end of the file. */
type ReadAt = (offset: number, length: number) => Promise<Buffer>;

/** The facts that the first and last bytes of an image file tell. */
export interface ImageHeader {
  format: "jpeg" | "png" | "webp";
  width: number;
  height: number;
  /** Whether the end (EOI, IEND, or that of the RIFF chunk of a WebP) was found; where it is nowhere, the file was cut off. */
  complete: boolean;
  /** Whether it is a baseline JPEG of 8 bits with one component (grey) or three, as cameras and video tools write them. */
  baseline: boolean;
}

/** The error for bytes that are no image, or break the format before the size is known. The message says how. */
export class NotAnImage extends Error {
  /** @param cut  whether the file starts as an image and ends before its size is known */
  constructor(
    message: string,
    readonly cut = false,
  ) {
    super(message);
  }
}

/**
 * The number of bytes of the first read: most JPEG files have their frame header within 4 kB, and an embedded profile or
 * thumbnail costs another read.
 */
const HEAD_BYTES = 4096;
const PNG_SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
/** An empty chunk of type IEND with its CRC, which is always these 12 bytes. */
const PNG_END = Buffer.from([0, 0, 0, 0, 0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82]);

const SOI = 0xd8;
const EOI = 0xd9;
const SOS = 0xda;

/**
 * The largest image that is decoded, in pixels. The decoder of a progressive or interlaced one holds the whole of it, with 6
 * bytes a pixel, which is 200 MB here. The largest real frames are of 8K video, with 7680 × 4320 = 33,177,600 pixels; those of
 * nuScenes have 1,440,000.
 */
export const MOST_PIXELS = 1 << 25;

/** Returns what is said of an image that is larger. */
export function tooLarge(width: number, height: number): string {
  const pixels = `${width} × ${height} = ${formatCount(width * height)} pixels`;
  return `has ${pixels}, more than the ${formatCount(MOST_PIXELS)} up to which images are decoded`;
}

/**
 * The number of bytes of a JPEG that are searched for its frame header. Before it come profiles, thumbnails and metadata: some
 * 100 kB from cameras, and some megabytes where an editor has put its history there.
 */
const MOST_HEADER_BYTES = 64 << 20;
/**
 * The number of chunks of a PNG that are searched for its end. Encoders make chunks of 8 kB and more, so that this many are 8 GB.
 */
const MOST_CHUNKS = 1 << 20;
const LARGEST_WINDOW = 1 << 20;

/**
 * The bytes of the file around the place that is looked at. They turn small reads into few larger ones, which grow as a walk goes
 * on.
 */
class Window {
  #bytes: Buffer;
  #start = 0;
  #next = HEAD_BYTES;

  constructor(
    private readonly readAt: ReadAt,
    head: Buffer,
  ) {
    this.#bytes = head;
  }

  /** Returns the bytes at hand from `offset` on: at least `length` bytes, and fewer only at the end of the file. */
  async from(offset: number, length: number): Promise<Buffer> {
    const at = offset - this.#start;
    if (at < 0 || at + length > this.#bytes.length) {
      this.#bytes = await this.readAt(offset, Math.max(length, this.#next));
      this.#start = offset;
      this.#next = Math.min(this.#next * 2, LARGEST_WINDOW);
      return this.#bytes;
    }
    return this.#bytes.subarray(at);
  }
}

/**
 * Reads the header of an image file of `size` bytes.
 *
 * @throws NotAnImage where the bytes are neither JPEG, PNG nor WebP, or end before the size is known
 */
export async function readImageHeader(readAt: ReadAt, size: number): Promise<ImageHeader> {
  const head = await readAt(0, Math.min(size, HEAD_BYTES));
  const window = new Window(readAt, head);
  if (head[0] === 0xff && head[1] === SOI) return readJpeg(window, size);
  if (head.subarray(0, 8).equals(PNG_SIGNATURE)) return readPng(window, size, head);
  if (/^RIFF.{4}WEBP/s.test(head.toString("latin1", 0, 12))) return readWebp(size, head);
  throw new NotAnImage(`starts with ${describeStart(head)}, which is neither JPEG, PNG nor WebP`);
}

function describeStart(head: Buffer): string {
  return head.subarray(0, 4).toString("hex").replace(/../g, "$& ").trim();
}

async function readJpeg(window: Window, size: number): Promise<ImageHeader> {
  const { width, height, baseline, next } = await readJpegFrame(window);
  const tail = await window.from(size - 2, 2);
  let complete = tail[0] === 0xff && tail[1] === EOI;
  // The whole file is walked only without an end marker at its end: bytes after the marker are legal and harmless (padding, a
  // maker's trailer).
  if (!complete) complete = await hasEndMarker(window, next);
  return { format: "jpeg", width, height, complete, baseline };
}

/** Walks the marker segments up to the frame header (SOF0 … SOF15). `next` is the offset of the segment after it. */
async function readJpegFrame(
  window: Window,
): Promise<{ width: number; height: number; baseline: boolean; next: number }> {
  let offset = 2;
  while (offset < MOST_HEADER_BYTES) {
    const segment = await window.from(offset, 10);
    if (segment.length < 4) throw new NotAnImage("a JPEG that ends within its headers", true);
    if (segment[0] !== 0xff) throw new NotAnImage(`a JPEG with no marker at byte ${offset}`);
    const marker = segment[1]!;
    if (marker === 0xff) {
      // These are fill bytes, the last of which belongs to the marker.
      let last = 1;
      while (segment[last + 1] === 0xff) last++;
      offset += last;
      continue;
    }
    if (isFrameMarker(marker)) {
      if (segment.length < 10) throw new NotAnImage("a JPEG that ends within its headers", true);
      const height = segment.readUInt16BE(5);
      const width = segment.readUInt16BE(7);
      if (width === 0 || height === 0) throw new NotAnImage(`a JPEG of ${width} × ${height} pixels`);
      // SOF0 and SOF1 have Huffman codes and one pass. By T.81 B.2.2, precision, height, width and number of components follow.
      const baseline = marker <= 0xc1 && segment[4] === 8 && (segment[9] === 1 || segment[9] === 3);
      return { width, height, baseline, next: offset + 2 + segment.readUInt16BE(2) };
    }
    if (marker === SOS || marker === EOI) throw new NotAnImage("a JPEG without a frame header");
    offset += isStandalone(marker) ? 2 : 2 + segment.readUInt16BE(2);
  }
  throw new NotAnImage(`a JPEG without a frame header in its first ${formatCount(MOST_HEADER_BYTES)} bytes`);
}

/** Tells whether a marker is one of SOF0 … SOF15. DHT (C4), JPG (C8) and DAC (CC), which lie in the same range, are none. */
function isFrameMarker(marker: number): boolean {
  return marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc;
}

/** Tells whether a marker has no length and no content, as RST0 … RST7, SOI and TEM have none. */
function isStandalone(marker: number): boolean {
  return (marker >= 0xd0 && marker <= SOI) || marker === 0x01;
}

/** Tells whether an EOI follows, outside of other segments. In entropy-coded data, FF is followed by 00 or RST0 … RST7. */
async function hasEndMarker(window: Window, start: number): Promise<boolean> {
  let offset = start;
  for (;;) {
    // Whatever is at hand is walked at once; at its end, the walk goes on in the next window.
    const bytes = await window.from(offset, 4);
    if (bytes.length < 2) return false;
    const last = bytes.length < 4;
    let at = 0;
    while (at + (last ? 2 : 4) <= bytes.length) {
      at = bytes.indexOf(0xff, at);
      if (at < 0) at = bytes.length;
      if (at + (last ? 2 : 4) > bytes.length) break;
      const marker = bytes[at + 1]!;
      if (marker === EOI) return true;
      if (marker === 0xff) at += 1;
      else if (marker === 0 || isStandalone(marker)) at += 2;
      else if (last) return false;
      else at += 2 + bytes.readUInt16BE(at + 2);
    }
    if (last) return false;
    offset += at;
  }
}

async function readPng(window: Window, size: number, head: Buffer): Promise<ImageHeader> {
  if (head.length < 29) throw new NotAnImage("a PNG that ends within its headers", true);
  if (head.toString("latin1", 12, 16) !== "IHDR") {
    throw new NotAnImage("a PNG without its IHDR chunk");
  }
  const width = head.readUInt32BE(16);
  const height = head.readUInt32BE(20);
  if (width === 0 || height === 0) throw new NotAnImage(`a PNG of ${width} × ${height} pixels`);
  const tail = await window.from(size - PNG_END.length, PNG_END.length);
  const complete = tail.equals(PNG_END) || (await hasPngEnd(window, size));
  return { format: "png", width, height, complete, baseline: false };
}

/** Tells whether an IEND chunk is found in a PNG whose last bytes are not IEND, by a walk over its chunks. */
async function hasPngEnd(window: Window, size: number): Promise<boolean> {
  let offset = PNG_SIGNATURE.length;
  for (let chunks = 0; offset + 12 <= size; chunks++) {
    if (chunks === MOST_CHUNKS) throw new NotAnImage(`a PNG of more than ${formatCount(MOST_CHUNKS)} chunks`);
    const chunk = await window.from(offset, 8);
    if (chunk.length < 8) return false;
    if (chunk.toString("latin1", 4, 8) === "IEND") return true;
    offset += 12 + chunk.readUInt32BE(0);
  }
  return false;
}

/** Reads the first chunk of a WebP, which has the size: `VP8 ` of a lossy one, `VP8L` of a lossless one, `VP8X` of one with more to it. */
function readWebp(size: number, head: Buffer): ImageHeader {
  if (head.length < 30) throw new NotAnImage("a WebP that ends within its headers", true);
  const kind = head.toString("latin1", 12, 16);
  // The fields, each of 14 or 24 bits, are those of RFC 9649, sections 2.7 and 3.4, and of RFC 6386, section 9.1.
  const sides: Record<string, () => [width: number, height: number]> = {
    "VP8 ": () => [head.readUInt16LE(26) & 0x3fff, head.readUInt16LE(28) & 0x3fff],
    VP8L: () => [(head.readUInt32LE(21) & 0x3fff) + 1, ((head.readUInt32LE(21) >>> 14) & 0x3fff) + 1],
    VP8X: () => [head.readUIntLE(24, 3) + 1, head.readUIntLE(27, 3) + 1],
  };
  const [width, height] = sides[kind]?.() ?? [0, 0];
  if (width === 0 || height === 0) throw new NotAnImage(`a WebP of ${width} × ${height} pixels`);
  return { format: "webp", width, height, complete: size >= 8 + head.readUInt32LE(4), baseline: false };
}
