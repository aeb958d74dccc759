/**
 * Writes the pickle of a state dict as torch.save does: protocol 2, only the operations that `torch.load(weights_only=True)`
 * accepts, an OrderedDict of tensors that are rebuilt from persistent ids.
 *
 * Source: torch/_weights_only_unpickler.py (operations), torch/_utils.py (_rebuild_tensor_v2, v3).
 */
import { LONE_SURROGATE } from "../../core/text.js";
import { dtypeInfo } from "../tensor/dtype.js";
import { contiguousStrides, type StateDict, type Tensor } from "../tensor/tensor.js";

/** The names, here and below, are spelled as GLOBAL spells them. */
const ORDERED_DICT = "collections\nOrderedDict\n";
const REBUILD_V2 = "torch._utils\n_rebuild_tensor_v2\n";
const REBUILD_V3 = "torch._utils\n_rebuild_tensor_v3\n";
const UNTYPED_STORAGE = "torch.storage\nUntypedStorage\n";

/** The number of items that CPython's pickler puts between a MARK and a SETITEMS or APPENDS. */
const BATCH = 1000;

/** Returns the pickle of a state dict. @param keys  the storage key of each distinct tensor, whose record is `data/<key>` */
export function pickleStateDict(state: StateDict, keys: ReadonlyMap<Tensor, string>): Uint8Array {
  const out = new PickleWriter();
  out.op(0x80, 2); // PROTO 2
  out.global(ORDERED_DICT);
  out.op(0x29, 0x52); // EMPTY_TUPLE REDUCE
  // The batches end with SETITEMS.
  out.batches(state.tensors, 0x75, ([name, tensor]) => {
    out.text(name);
    if (out.recall(tensor)) return;
    writeTensor(out, tensor, keys.get(tensor)!);
    out.remember(tensor);
  });
  out.op(0x2e); // STOP
  return out.finish();
}

/**
 * Writes a call `_rebuild_tensor_v2(storage, offset, size, stride, requires_grad, backward_hooks)`, or one of v3, which also has
 * a dtype, for newer types.
 */
function writeTensor(out: PickleWriter, tensor: Tensor, key: string): void {
  const { torch, storage } = dtypeInfo(tensor.dtype);
  out.global(storage === undefined ? REBUILD_V3 : REBUILD_V2);
  out.op(0x28); // MARK of the argument tuple

  out.op(0x28); // MARK of ('storage', class, key, location, numel)
  out.memoizedText("storage");
  out.global(storage === undefined ? UNTYPED_STORAGE : `torch\n${storage}\n`);
  out.text(key);
  out.memoizedText("cpu");
  // An UntypedStorage counts bytes.
  out.integer(storage === undefined ? tensor.byteLength : tensor.numel);
  out.op(0x74, 0x51); // TUPLE BINPERSID

  out.integer(0);
  out.tuple(tensor.shape);
  out.tuple(contiguousStrides(tensor.shape));
  out.op(0x89); // NEWFALSE
  out.global(ORDERED_DICT);
  out.op(0x29, 0x52); // EMPTY_TUPLE REDUCE
  if (storage === undefined) out.global(`torch\n${torch!}\n`);
  out.op(0x74, 0x52); // TUPLE REDUCE
}

/** Returns the bytes of a text, in which half of a surrogate pair has three like any other character of its size. */
function withHalfPairs(text: string): Buffer {
  const parts = text.split(new RegExp(`(${LONE_SURROGATE.source})`, "u")).map((part, i) => {
    const code = part.charCodeAt(0);
    return i % 2 === 0
      ? Buffer.from(part)
      : Buffer.of(0xed, 0x80 | ((code >> 6) & 0x3f), 0x80 | (code & 0x3f));
  });
  return Buffer.concat(parts);
}

/** Writes operations of a pickle one after the other, and keeps count of its memo. */
export class PickleWriter {
  // The buffer begins small, because a universal checkpoint has thousands of pickles of a few hundred bytes.
  #bytes = Buffer.allocUnsafe(1024);
  #length = 0;
  /** The memo's indexes of names, as GLOBAL spells them. */
  readonly #names = new Map<string, number>();
  /** The memo's indexes of everything else, of texts by value and of the rest by identity. */
  readonly #memo = new Map<unknown, number>();
  #memoSize = 0;

  finish(): Uint8Array {
    // The bytes are copied: a view of a small pickle would keep the whole buffer, and thousands of files would keep thousands of
    // buffers.
    return new Uint8Array(this.#bytes.subarray(0, this.#length));
  }

  op(opcode: number, argument?: number): void {
    this.#reserve(2);
    this.#bytes[this.#length++] = opcode;
    if (argument !== undefined) this.#bytes[this.#length++] = argument;
  }

  /** Writes items, each batch of them between a MARK and the operation `end`. */
  batches<Item>(items: Iterable<Item>, end: number, write: (item: Item) => void): void {
    let inBatch = 0;
    for (const item of items) {
      if (inBatch === 0) this.op(0x28); // MARK
      write(item);
      inBatch = (inBatch + 1) % BATCH;
      if (inBatch === 0) this.op(end);
    }
    if (inBatch > 0) this.op(end);
  }

  /** Writes a name, given as `module\nname\n`; from the second time on by its memo. */
  global(name: string): void {
    const known = this.#names.get(name);
    if (known !== undefined) {
      this.#get(known);
      return;
    }
    this.op(0x63); // GLOBAL
    this.#reserve(3 * name.length);
    this.#length += this.#bytes.write(name, this.#length, "utf8");
    this.#names.set(name, this.#put());
  }

  /** Writes a text; from the second time on by its memo. */
  memoizedText(text: string): void {
    if (this.recall(text)) return;
    this.text(text);
    this.remember(text);
  }

  text(text: string): void {
    if (LONE_SURROGATE.test(text)) {
      // What UTF-8 cannot say is written in its form all the same, as Python does it (names of files in another encoding).
      this.sized(0x58, withHalfPairs(text));
      return;
    }
    this.#reserve(5 + 3 * text.length);
    const length = this.#bytes.write(text, this.#length + 5, "utf8");
    this.#bytes[this.#length] = 0x58; // BINUNICODE
    this.#bytes.writeUInt32LE(length, this.#length + 1);
    this.#length += 5 + length;
  }

  /** Writes an operation, the number of bytes in 32 bits, and the bytes. */
  sized(opcode: number, bytes: Uint8Array): void {
    const head = Buffer.alloc(5);
    head[0] = opcode;
    head.writeUInt32LE(bytes.byteLength, 1);
    this.raw(head);
    this.raw(bytes);
  }

  /** Writes bytes as they are. */
  raw(bytes: Uint8Array): void {
    this.#reserve(bytes.byteLength);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.byteLength;
  }

  float(value: number): void {
    this.#reserve(9);
    this.#bytes[this.#length] = 0x47; // BINFLOAT: big-endian
    this.#bytes.writeDoubleBE(value, this.#length + 1);
    this.#length += 9;
  }

  integer(value: number | bigint): void {
    this.#reserve(11);
    const at = this.#length;
    if (value >= 0 && value < 256) {
      this.op(0x4b, Number(value)); // BININT1
    } else if (value >= 0 && value < 65536) {
      this.#bytes[at] = 0x4d; // BININT2
      this.#bytes.writeUInt16LE(Number(value), at + 1);
      this.#length += 3;
    } else if (value >= -(2 ** 31) && value < 2 ** 31) {
      this.#bytes[at] = 0x4a; // BININT
      this.#bytes.writeInt32LE(Number(value), at + 1);
      this.#length += 5;
    } else this.#long(BigInt(value));
  }

  /** Writes an integer in little-endian two's complement, with its length in bytes before it. */
  #long(value: bigint): void {
    let length = 8;
    while (BigInt.asIntN(8 * length, value) !== value) length *= 2;
    const bytes = Buffer.alloc(length);
    let rest = BigInt.asUintN(8 * length, value);
    for (let i = 0; i < length; i++, rest >>= 8n) bytes[i] = Number(rest & 0xffn);
    if (length >= 256)
      this.sized(0x8b, bytes); // LONG4
    else {
      this.op(0x8a, length); // LONG1
      this.raw(bytes);
    }
  }

  tuple(values: readonly number[]): void {
    if (values.length > 3) this.op(0x28); // MARK
    for (const value of values) this.integer(value);
    // EMPTY_TUPLE, TUPLE1 to TUPLE3, TUPLE
    this.op(values.length === 0 ? 0x29 : values.length <= 3 ? 0x84 + values.length : 0x74);
  }

  /** Memoizes the value on top of the stack. */
  remember(value: unknown): void {
    this.#memo.set(value, this.#put());
  }

  remembers(value: unknown): boolean {
    return this.#memo.has(value);
  }

  /** Writes a value by its memo, where it has one. @returns whether it has */
  recall(value: unknown): boolean {
    const index = this.#memo.get(value);
    if (index !== undefined) this.#get(index);
    return index !== undefined;
  }

  /** Memoizes the value on top of the stack and returns its index. */
  #put(): number {
    this.#opOf(this.#memoSize, 0x71, 0x72); // BINPUT, LONG_BINPUT
    return this.#memoSize++;
  }

  #get(index: number): void {
    this.#opOf(index, 0x68, 0x6a); // BINGET, LONG_BINGET
  }

  /** Writes an operation on an index of the memo, in its form for indexes below 256 or in that for others. */
  #opOf(index: number, short: number, long: number): void {
    if (index < 256) this.op(short, index);
    else {
      this.#reserve(5);
      this.#bytes[this.#length] = long;
      this.#bytes.writeUInt32LE(index, this.#length + 1);
      this.#length += 5;
    }
  }

  #reserve(count: number): void {
    if (this.#length + count <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafe(Math.max(this.#bytes.length * 2, this.#length + count));
    this.#bytes.copy(larger, 0, 0, this.#length);
    this.#bytes = larger;
  }
}
