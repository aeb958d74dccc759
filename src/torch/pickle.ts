/**
 * A pickle machine that executes nothing. Every name a pickle mentions becomes an inert {@link PyGlobal}; every call,
 * instance and state it asks for becomes an inert {@link PyObject} that only remembers what was asked. Callers give
 * meaning to the few names they know through {@link PickleOptions.construct}.
 *
 * Source of the format: CPython's Lib/pickletools.py (protocols 0 to 5). Why this is not `pickleparser`:
 * docs/dependencies.md.
 */
import { VistaError } from "../errors.js";
import { constructBuiltin, type PyDict, PyGlobal, PyObject, PyTuple, type PyValue } from "./objects.js";

/**
 * Bounds on what one pickle may ask for. A real model-states file of 100,000 tensors runs about 3 million operations in
 * 15 MB, nested less than 20 deep; CPython itself stops pickling at a depth of about 1,000.
 */
export const PICKLE_LIMITS = {
  /** Bytes of one pickle. */
  size: 512 * 2 ** 20,
  /** Operations; each allocates at most one small object. */
  operations: 50_000_000,
  /** Open MARKs. */
  depth: 10_000,
  /** Values on the stack at once. */
  stack: 5_000_000,
  /** Bytes of one integer (LONG1 cannot exceed 255; LONG4 could ask for 2 GiB). */
  longBytes: 1024,
};

export interface PickleOptions {
  /** For messages. */
  path: string;
  record?: string;
  /**
   * Gives meaning to a call `callable(*args)`; return `undefined` to have it kept as an inert {@link PyObject}. Must have no
   * side effects.
   */
  construct?: (callable: PyGlobal, args: readonly PyValue[], at: number) => PyValue | undefined;
  /** Gives meaning to a persistent id (torch: a storage). Without it a persistent id is an error. */
  persistentId?: (id: PyValue, at: number) => PyValue;
  /** Told of every distinct name the pickle mentions, in order of appearance. */
  onGlobal?: (name: PyGlobal) => void;
}

/** Singleton pushed by MARK. */
const MARK = Symbol("mark");
type StackItem = PyValue | typeof MARK;

/**
 * Reads one pickle from `data`, starting at `start`.
 *
 * @returns the value and the offset just after its STOP
 * @throws VistaError `TRUNCATED` where it ends early, `PICKLE` where it is malformed or beyond {@link PICKLE_LIMITS}; with the byte offset of the operation
 */
export function readPickle(
  data: Uint8Array,
  options: PickleOptions,
  start = 0,
): { value: PyValue; end: number } {
  return new Machine(data, options, start).run();
}

class Machine {
  readonly #data: Buffer;
  readonly #options: PickleOptions;
  readonly #stack: StackItem[] = [];
  readonly #memo: PyValue[] = [];
  readonly #memoSparse = new Map<number, PyValue>();
  readonly #globals = new Map<string, PyGlobal>();
  #memoSize = 0;
  #marks = 0;
  #operations = 0;
  #at: number;
  #op: number;

  constructor(data: Uint8Array, options: PickleOptions, start: number) {
    this.#data = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
    this.#options = options;
    this.#at = start;
    this.#op = start;
    if (data.byteLength - start > PICKLE_LIMITS.size) {
      this.#fail(`the pickle has ${data.byteLength - start} bytes, the limit is ${PICKLE_LIMITS.size}`);
    }
  }

  run(): { value: PyValue; end: number } {
    for (;;) {
      this.#op = this.#at;
      this.#spend(1);
      const opcode = this.#u8();
      if (opcode === 0x2e) {
        // STOP
        const value = this.#pop();
        return { value, end: this.#at };
      }
      this.#step(opcode);
      if (this.#stack.length > PICKLE_LIMITS.stack) {
        this.#fail(`more than ${PICKLE_LIMITS.stack} values on the stack`);
      }
    }
  }

  #spend(operations: number): void {
    this.#operations += operations;
    if (this.#operations > PICKLE_LIMITS.operations) {
      this.#fail(`more than ${PICKLE_LIMITS.operations} operations`);
    }
  }

  #step(opcode: number): void {
    switch (opcode) {
      case 0x80: {
        // PROTO
        const protocol = this.#u8();
        if (protocol > 5) this.#fail(`pickle protocol ${protocol}, the highest known is 5`);
        return;
      }
      case 0x95: // FRAME
        this.#take(8);
        return;
      case 0x28: // MARK
        if (++this.#marks > PICKLE_LIMITS.depth) this.#fail(`nested more than ${PICKLE_LIMITS.depth} deep`);
        this.#stack.push(MARK);
        return;
      case 0x30: // POP
        if (this.#stack.length > 0 && this.#stack.at(-1) === MARK) {
          this.#stack.pop();
          this.#marks--;
        } else this.#pop();
        return;
      case 0x31: // POP_MARK
        this.#popMark();
        return;
      case 0x32: // DUP
        this.#push(this.#top());
        return;

      case 0x4e: // NONE
        this.#push(null);
        return;
      case 0x88: // NEWTRUE
        this.#push(true);
        return;
      case 0x89: // NEWFALSE
        this.#push(false);
        return;
      case 0x4a: // BININT: signed
        this.#push(this.#data.readInt32LE(this.#take(4)));
        return;
      case 0x4b: // BININT1
        this.#push(this.#u8());
        return;
      case 0x4d: // BININT2
        this.#push(this.#data.readUInt16LE(this.#take(2)));
        return;
      case 0x8a: // LONG1
        this.#push(this.#long(this.#u8()));
        return;
      case 0x8b: // LONG4
        this.#push(this.#long(this.#length4()));
        return;
      case 0x49: {
        // INT: `01` and `00` are booleans
        const line = this.#line();
        this.#push(line === "01" ? true : line === "00" ? false : this.#integerText(line));
        return;
      }
      case 0x4c: // LONG
        this.#push(this.#integerText(this.#line().replace(/L$/, "")));
        return;
      case 0x47: // BINFLOAT: big-endian
        this.#push(this.#data.readDoubleBE(this.#take(8)));
        return;
      case 0x46: // FLOAT
        this.#push(this.#floatText(this.#line()));
        return;

      case 0x58: // BINUNICODE
        this.#push(this.#text(this.#length4(), "utf8"));
        return;
      case 0x8c: // SHORT_BINUNICODE
        this.#push(this.#text(this.#u8(), "utf8"));
        return;
      case 0x8d: // BINUNICODE8
        this.#push(this.#text(this.#length8(), "utf8"));
        return;
      case 0x55: // SHORT_BINSTRING: a Python 2 str, which torch loads as text
        this.#push(this.#text(this.#u8(), "latin1"));
        return;
      case 0x54: // BINSTRING
        this.#push(this.#text(this.#length4(), "latin1"));
        return;
      case 0x56: // UNICODE: raw-unicode-escape
        this.#push(unescapeRawUnicode(this.#line()));
        return;
      case 0x53: {
        // STRING: a quoted Python literal
        const line = this.#line();
        const quoted = line.length >= 2 && (line[0] === "'" || line[0] === '"') && line.at(-1) === line[0];
        if (!quoted) this.#fail("a STRING without quotes");
        this.#push(unescapeLiteral(line.slice(1, -1)));
        return;
      }
      case 0x42: // BINBYTES
        this.#push(this.#bytes(this.#length4()));
        return;
      case 0x43: // SHORT_BINBYTES
        this.#push(this.#bytes(this.#u8()));
        return;
      case 0x8e: // BINBYTES8
      case 0x96: // BYTEARRAY8
        this.#push(this.#bytes(this.#length8()));
        return;

      case 0x29: // EMPTY_TUPLE
        this.#push(new PyTuple([]));
        return;
      case 0x85: // TUPLE1
      case 0x86: // TUPLE2
      case 0x87: // TUPLE3
        this.#push(new PyTuple(this.#popMany(opcode - 0x84)));
        return;
      case 0x74: // TUPLE
        this.#push(new PyTuple(this.#popMark()));
        return;
      case 0x5d: // EMPTY_LIST
        this.#push([]);
        return;
      case 0x6c: // LIST
        this.#push(this.#popMark());
        return;
      case 0x61: {
        // APPEND
        const item = this.#pop();
        this.#append([item]);
        return;
      }
      case 0x65: // APPENDS
        this.#append(this.#popMark());
        return;
      case 0x7d: // EMPTY_DICT
        this.#push(new Map());
        return;
      case 0x64: {
        // DICT
        const items = this.#popMark();
        this.#push(new Map());
        this.#setItems(items);
        return;
      }
      case 0x73: // SETITEM
        this.#setItems(this.#popMany(2));
        return;
      case 0x75: // SETITEMS
        this.#setItems(this.#popMark());
        return;
      case 0x8f: // EMPTY_SET
        this.#push(new Set());
        return;
      case 0x90: // ADDITEMS
        this.#addItems(this.#popMark());
        return;
      case 0x91: // FROZENSET
        this.#push(new Set(this.#popMark()));
        return;

      case 0x71: // BINPUT
        this.#memoize(this.#u8());
        return;
      case 0x72: // LONG_BINPUT
        this.#memoize(this.#data.readUInt32LE(this.#take(4)));
        return;
      case 0x70: // PUT
        this.#memoize(this.#memoIndex());
        return;
      case 0x94: // MEMOIZE
        this.#memoize(this.#memoSize);
        return;
      case 0x68: // BINGET
        this.#recall(this.#u8());
        return;
      case 0x6a: // LONG_BINGET
        this.#recall(this.#data.readUInt32LE(this.#take(4)));
        return;
      case 0x67: // GET
        this.#recall(this.#memoIndex());
        return;

      case 0x63: // GLOBAL
        this.#push(this.#global(this.#line(), this.#line()));
        return;
      case 0x93: {
        // STACK_GLOBAL
        const [module, name] = this.#popMany(2);
        if (typeof module !== "string" || typeof name !== "string")
          this.#fail("STACK_GLOBAL without two strings");
        this.#push(this.#global(module as string, name as string));
        return;
      }
      case 0x52: {
        // REDUCE
        const [callable, args] = this.#popMany(2);
        this.#push(this.#call(callable!, args!));
        return;
      }
      case 0x81: {
        // NEWOBJ
        const [cls, args] = this.#popMany(2);
        this.#push(this.#call(cls!, args!));
        return;
      }
      case 0x92: {
        // NEWOBJ_EX
        const [cls, args, kwargs] = this.#popMany(3);
        this.#push(new PyObject(cls!, args!, kwargs));
        return;
      }
      case 0x62: {
        // BUILD
        const state = this.#pop();
        const target = this.#top();
        // A state set on anything else (an OrderedDict's __dict__, a tensor's) says nothing about the data.
        if (target instanceof PyObject) target.state = state;
        return;
      }
      case 0x69: {
        // INST
        const callable = this.#global(this.#line(), this.#line());
        this.#push(this.#call(callable, new PyTuple(this.#popMark())));
        return;
      }
      case 0x6f: {
        // OBJ
        const items = this.#popMark();
        if (items.length === 0) this.#fail("OBJ without a class");
        this.#push(this.#call(items[0]!, new PyTuple(items.slice(1))));
        return;
      }
      case 0x51: // BINPERSID
        this.#push(this.#persistent(this.#pop()));
        return;
      case 0x50: // PERSID
        this.#push(this.#persistent(this.#line()));
        return;
      case 0x98: // READONLY_BUFFER
        return;
      default:
        this.#fail(unsupported(opcode));
    }
  }

  // --- values ---------------------------------------------------------------------------------------------------

  #global(module: string, name: string): PyGlobal {
    const key = `${module}\n${name}`;
    let found = this.#globals.get(key);
    if (found === undefined) {
      found = new PyGlobal(module, name);
      this.#globals.set(key, found);
      this.#options.onGlobal?.(found);
    }
    return found;
  }

  #call(callable: PyValue, args: PyValue): PyValue {
    if (callable instanceof PyGlobal && args instanceof PyTuple) {
      // set(list), dict(pairs) … copy: a few bytes of pickle must not copy a long list over and over.
      if (Array.isArray(args.items[0])) this.#spend(args.items[0].length);
      const known =
        constructBuiltin(callable, args.items) ?? this.#options.construct?.(callable, args.items, this.#op);
      if (known !== undefined) return known;
    }
    return new PyObject(callable, args);
  }

  #persistent(id: PyValue): PyValue {
    if (this.#options.persistentId === undefined) return this.#fail("a persistent id where none is expected");
    return this.#options.persistentId(id, this.#op);
  }

  #append(items: PyValue[]): void {
    const target = this.#top();
    if (target instanceof PyObject) target.listItems ??= [];
    const list = target instanceof PyObject ? target.listItems : target;
    if (!Array.isArray(list)) this.#fail("items appended to something that is not a list");
    // Not push(...items): a long list would overflow the call stack.
    for (const item of items) (list as PyValue[]).push(item);
  }

  #setItems(items: PyValue[]): void {
    if (items.length % 2 !== 0) this.#fail("a dict item without a value");
    const target = this.#top();
    if (target instanceof PyObject) target.dictItems ??= new Map();
    const dict = target instanceof PyObject ? target.dictItems : target;
    if (!(dict instanceof Map)) this.#fail("items set on something that is not a dict");
    for (let i = 0; i < items.length; i += 2) (dict as PyDict).set(items[i]!, items[i + 1]!);
  }

  #addItems(items: PyValue[]): void {
    const target = this.#top();
    if (target instanceof PyObject) this.#append(items);
    else if (target instanceof Set) for (const item of items) target.add(item);
    else this.#fail("items added to something that is not a set");
  }

  #memoize(index: number): void {
    const value = this.#top();
    // An index far beyond what was stored so far would make a sparse array; hostile or not, a Map holds it.
    if (index <= this.#memo.length) this.#memo[index] = value;
    else this.#memoSparse.set(index, value);
    this.#memoSize++;
  }

  #recall(index: number): void {
    const value = index < this.#memo.length ? this.#memo[index] : this.#memoSparse.get(index);
    if (value === undefined) this.#fail(`memo ${index} is read before it is written`);
    this.#push(value as PyValue);
  }

  // --- stack ----------------------------------------------------------------------------------------------------

  #push(value: PyValue): void {
    this.#stack.push(value);
  }

  #top(): PyValue {
    const value = this.#stack.at(-1);
    if (value === undefined || value === MARK) return this.#fail("the stack is empty");
    return value as PyValue;
  }

  #pop(): PyValue {
    const value = this.#top();
    this.#stack.pop();
    return value;
  }

  #popMany(count: number): PyValue[] {
    const items = this.#stack.splice(Math.max(0, this.#stack.length - count));
    if (items.length !== count || items.includes(MARK)) this.#fail("the stack is empty");
    return items as PyValue[];
  }

  #popMark(): PyValue[] {
    const mark = this.#stack.lastIndexOf(MARK);
    if (mark < 0) this.#fail("no MARK on the stack");
    this.#marks--;
    const items = this.#stack.splice(mark) as PyValue[];
    items.shift();
    return items;
  }

  // --- bytes ----------------------------------------------------------------------------------------------------

  /** Moves past `count` bytes and returns where they start. */
  #take(count: number): number {
    const at = this.#at;
    if (count > this.#data.length - at) {
      this.#short(`${count} bytes wanted at ${at}, ${this.#data.length - at} left`);
    }
    this.#at = at + count;
    return at;
  }

  #u8(): number {
    return this.#data[this.#take(1)]!;
  }

  #length4(): number {
    return this.#data.readUInt32LE(this.#take(4));
  }

  #length8(): number {
    const length = this.#data.readBigUInt64LE(this.#take(8));
    if (length > BigInt(this.#data.length)) {
      this.#short(`a length of ${length} bytes in a pickle of ${this.#data.length}`);
    }
    return Number(length);
  }

  #text(length: number, encoding: "utf8" | "latin1"): string {
    const at = this.#take(length);
    return this.#data.toString(encoding, at, at + length);
  }

  #bytes(length: number): Uint8Array {
    const at = this.#take(length);
    return this.#data.subarray(at, at + length);
  }

  #line(): string {
    const end = this.#data.indexOf(0x0a, this.#at);
    if (end < 0) this.#short("a line without an end");
    const text = this.#data.toString("utf8", this.#at, end);
    this.#at = end + 1;
    return text.endsWith("\r") ? text.slice(0, -1) : text;
  }

  /** Little-endian two's complement of any length. */
  #long(length: number): number | bigint {
    if (length > PICKLE_LIMITS.longBytes) {
      this.#fail(`an integer of ${length} bytes, the limit is ${PICKLE_LIMITS.longBytes}`);
    }
    const at = this.#take(length);
    if (length === 0) return 0;
    let hex = "";
    for (let i = at + length - 1; i >= at; i--) hex += this.#data[i]!.toString(16).padStart(2, "0");
    return safeNumber(BigInt.asIntN(8 * length, BigInt(`0x${hex}`)));
  }

  #integerText(text: string): number | bigint {
    if (!/^[+-]?\d{1,4096}$/.test(text)) this.#fail("an integer that is not one");
    return safeNumber(BigInt(text.replace(/^\+/, "")));
  }

  #floatText(text: string): number {
    const special: Record<string, number> = { nan: Number.NaN, inf: Infinity, "-inf": -Infinity };
    const value = special[text] ?? Number(text);
    if (text === "" || (Number.isNaN(value) && text !== "nan")) this.#fail("a float that is not one");
    return value;
  }

  #memoIndex(): number {
    const line = this.#line();
    if (!/^\d{1,10}$/.test(line)) this.#fail("a memo index that is not a number");
    return Number(line);
  }

  /** Apart from the others, so that a caller who gave only the beginning can come back with more. */
  #short(what: string): never {
    const { path, record } = this.#options;
    throw new VistaError("TRUNCATED", `the pickle ends early: ${what}`, {
      path,
      ...(record === undefined ? {} : { record }),
      offset: this.#op,
      hint: "The file is incomplete: copy it again.",
    });
  }

  #fail(what: string): never {
    const { path, record } = this.#options;
    throw new VistaError("PICKLE", `not a pickle that can be read: ${what}`, {
      path,
      ...(record === undefined ? {} : { record }),
      offset: this.#op,
      hint: "The file is damaged, or was not written by torch.save.",
    });
  }
}

function safeNumber(value: bigint): number | bigint {
  return value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER)
    ? Number(value)
    : value;
}

function unsupported(opcode: number): string {
  const hex = `0x${opcode.toString(16).padStart(2, "0")}`;
  if (opcode >= 0x82 && opcode <= 0x84) return `operation ${hex} (EXT) refers to a registry outside the file`;
  if (opcode === 0x97) return `operation ${hex} (NEXT_BUFFER) refers to a buffer outside the file`;
  return `unknown operation ${hex}`;
}

function unescapeRawUnicode(text: string): string {
  return text.replace(/\\U([0-9a-fA-F]{8})|\\u([0-9a-fA-F]{4})/g, (whole, long: string, short: string) => {
    const code = Number.parseInt(long ?? short, 16);
    return code <= 0x10ffff ? String.fromCodePoint(code) : whole;
  });
}

const ESCAPES: Record<string, string> = {
  n: "\n",
  r: "\r",
  t: "\t",
  "\\": "\\",
  "'": "'",
  '"': '"',
  a: "\x07",
  b: "\b",
  f: "\f",
  v: "\v",
};

function unescapeLiteral(text: string): string {
  return text.replace(
    /\\(?:x([0-9a-fA-F]{2})|([\\'"nrtabfv]))/g,
    (_, hex: string | undefined, char: string) =>
      hex === undefined ? ESCAPES[char]! : String.fromCharCode(Number.parseInt(hex, 16)),
  );
}
