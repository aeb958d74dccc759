/**
 * A pickle machine that executes nothing. Every name a pickle mentions becomes an inert {@link PyGlobal}; every call,
 * instance and state it asks for becomes an inert {@link PyObject} that only remembers what was asked. Callers give
 * meaning to the few names they know through {@link PickleOptions.construct}.
 *
 * Source of the format: CPython's Lib/pickletools.py (protocols 0 to 5). Why this is not `pickleparser`:
 * docs/dependencies.md.
 */
import { PickleCursor, unescapeLiteral, unescapeRawUnicode } from "./cursor.js";
import { COST, PICKLE_LIMITS, PickleBudget } from "./limits.js";
import {
  constructBuiltin,
  type PyDict,
  PyFloat,
  PyGlobal,
  PyObject,
  PyPersistent,
  PyRawText,
  PyTuple,
  type PyValue,
} from "./objects.js";

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
  /**
   * Keep everything apart that Python keeps apart, so that `rewrite.ts` can write the same pickle again: every call stays a
   * {@link PyObject}, floats are {@link PyFloat}s, persistent ids {@link PyPersistent}s. What could not be written again with the
   * same meaning is an error. Default false.
   */
  exact?: boolean;
  /** Told of every distinct name the pickle mentions, in order of appearance. */
  onGlobal?: (name: PyGlobal) => void;
  /** Told of what ordinary pickles never do: changing a class, calling what another call gave. */
  onOdd?: (what: string, at: number) => void;
}

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
): { value: PyValue; end: number; protocol: number } {
  return new Machine(data, options, start).run();
}

class Machine {
  readonly #in: PickleCursor;
  readonly #exact: boolean;
  #protocol = 0;
  readonly #stack: PyValue[] = [];
  /** For each MARK that is open, how many values are below it. */
  readonly #marks: number[] = [];
  readonly #memo: PyValue[] = [];
  readonly #memoSparse = new Map<number, PyValue>();
  /** Objects in the memo, where the reading is exact. */
  readonly #memoized = new WeakSet<PyObject>();
  readonly #globals = new Map<string, PyGlobal>();
  readonly #budget: PickleBudget;
  #memoSize = 0;

  constructor(
    data: Uint8Array,
    private readonly options: PickleOptions,
    start: number,
  ) {
    this.#in = new PickleCursor(data, start, options.path, options.record);
    this.#budget = new PickleBudget(data.byteLength - start, (what) => this.#in.fail(what));
    this.#exact = options.exact ?? false;
  }

  run(): { value: PyValue; end: number; protocol: number } {
    const input = this.#in;
    for (;;) {
      input.operation = input.at;
      this.#budget.spend(1);
      const opcode = input.u8();
      if (opcode === 0x2e) {
        // STOP
        const value = this.#pop();
        return { value, end: this.#in.at, protocol: this.#protocol };
      }
      this.#step(opcode);
      if (this.#stack.length > PICKLE_LIMITS.stack) {
        this.#in.fail(`more than ${PICKLE_LIMITS.stack} values on the stack`);
      }
    }
  }

  #step(opcode: number): void {
    switch (opcode) {
      case 0x80: {
        // PROTO
        const protocol = this.#in.u8();
        if (protocol > 5) this.#in.fail(`pickle protocol ${protocol}, the highest known is 5`);
        this.#protocol = protocol;
        return;
      }
      case 0x95: // FRAME
        this.#in.take(8);
        return;
      case 0x28: // MARK
        this.#marks.push(this.#stack.length);
        if (this.#marks.length > PICKLE_LIMITS.depth)
          this.#in.fail(`nested more than ${PICKLE_LIMITS.depth} deep`);
        return;
      case 0x30: // POP
        if (this.#marks.at(-1) === this.#stack.length) this.#marks.pop();
        else this.#drop([this.#pop()]);
        return;
      case 0x31: // POP_MARK
        this.#drop(this.#popMark());
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
        this.#push(this.#in.int32());
        return;
      case 0x4b: // BININT1
        this.#push(this.#in.u8());
        return;
      case 0x4d: // BININT2
        this.#push(this.#in.uint16());
        return;
      case 0x8a: // LONG1
        this.#push(this.#in.long(this.#in.u8()));
        return;
      case 0x8b: // LONG4
        this.#push(this.#in.long(this.#in.uint32()));
        return;
      case 0x49: {
        // INT: `01` and `00` are booleans
        const line = this.#in.line();
        this.#push(line === "01" ? true : line === "00" ? false : this.#in.integerText(line));
        return;
      }
      case 0x4c: // LONG
        this.#push(this.#in.integerText(this.#in.line().replace(/L$/, "")));
        return;
      case 0x47: // BINFLOAT: big-endian
        this.#push(this.#float(this.#in.float64()));
        return;
      case 0x46: // FLOAT
        this.#push(this.#float(this.#in.floatText(this.#in.line())));
        return;

      case 0x58: // BINUNICODE
        this.#pushText(this.#text(this.#in.uint32(), "utf8"));
        return;
      case 0x8c: // SHORT_BINUNICODE
        this.#pushText(this.#text(this.#in.u8(), "utf8"));
        return;
      case 0x8d: // BINUNICODE8
        this.#pushText(this.#text(this.#in.length8(), "utf8"));
        return;
      case 0x55: // SHORT_BINSTRING: a Python 2 str, which torch loads as text
        this.#pushText(this.#text(this.#in.u8(), "latin1"));
        return;
      case 0x54: // BINSTRING
        this.#pushText(this.#text(this.#in.uint32(), "latin1"));
        return;
      case 0x56: // UNICODE: raw-unicode-escape
        this.#pushText(unescapeRawUnicode(this.#in.line()));
        return;
      case 0x53: {
        // STRING: a quoted Python literal
        const line = this.#in.line();
        const quoted = line.length >= 2 && (line[0] === "'" || line[0] === '"') && line.at(-1) === line[0];
        if (!quoted) this.#in.fail("a STRING without quotes");
        const literal = unescapeLiteral(line.slice(1, -1));
        if (this.#exact) this.#onlyAscii(literal);
        this.#pushText(literal);
        return;
      }
      case 0x42: // BINBYTES
        this.#pushNew(this.#in.bytes(this.#in.uint32()), COST.bytes);
        return;
      case 0x43: // SHORT_BINBYTES
        this.#pushNew(this.#in.bytes(this.#in.u8()), COST.bytes);
        return;
      case 0x8e: // BINBYTES8
        this.#pushNew(this.#in.bytes(this.#in.length8()), COST.bytes);
        return;
      case 0x96: {
        // BYTEARRAY8
        const bytes = this.#in.bytes(this.#in.length8());
        this.#pushNew(this.#exact ? this.#builtin("bytearray", bytes) : bytes, COST.bytes);
        return;
      }

      case 0x29: // EMPTY_TUPLE
        this.#pushTuple([]);
        return;
      case 0x85: // TUPLE1
      case 0x86: // TUPLE2
      case 0x87: // TUPLE3
        this.#pushTuple(this.#popMany(opcode - 0x84));
        return;
      case 0x74: // TUPLE
        this.#pushTuple(this.#popMark());
        return;
      case 0x5d: // EMPTY_LIST
        this.#pushNew([], COST.list);
        return;
      case 0x6c: {
        // LIST
        const items = this.#popMark();
        this.#pushNew(items, COST.list + COST.slot * items.length);
        return;
      }
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
        this.#pushNew(new Map(), COST.dict);
        return;
      case 0x64: {
        // DICT
        const items = this.#popMark();
        this.#pushNew(new Map(), COST.dict);
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
        this.#pushNew(new Set(), COST.dict);
        return;
      case 0x90: // ADDITEMS
        this.#addItems(this.#popMark());
        return;
      case 0x91: {
        // FROZENSET
        const items = this.#popMark();
        this.#pushNew(
          this.#exact ? this.#builtin("frozenset", items) : new Set(items),
          COST.dict + COST.entry * items.length,
        );
        return;
      }

      case 0x71: // BINPUT
        this.#memoize(this.#in.u8());
        return;
      case 0x72: // LONG_BINPUT
        this.#memoize(this.#in.uint32());
        return;
      case 0x70: // PUT
        this.#memoize(this.#in.memoIndex());
        return;
      case 0x94: // MEMOIZE
        this.#memoize(this.#memoSize);
        return;
      case 0x68: // BINGET
        this.#recall(this.#in.u8());
        return;
      case 0x6a: // LONG_BINGET
        this.#recall(this.#in.uint32());
        return;
      case 0x67: // GET
        this.#recall(this.#in.memoIndex());
        return;

      case 0x63: // GLOBAL
        this.#push(this.#global(this.#in.line(), this.#in.line()));
        return;
      case 0x93: {
        // STACK_GLOBAL
        const [module, name] = this.#popMany(2);
        if (typeof module !== "string" || typeof name !== "string")
          this.#in.fail("STACK_GLOBAL without two strings");
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
        const made = this.#call(cls!, args!);
        if (made instanceof PyObject) made.isNew = true;
        this.#push(made);
        return;
      }
      case 0x92: {
        // NEWOBJ_EX
        const [cls, args, kwargs] = this.#popMany(3);
        const made = new PyObject(cls!, args!, kwargs);
        made.isNew = true;
        this.#pushNew(made, COST.object);
        return;
      }
      case 0x62: {
        // BUILD
        const state = this.#pop();
        const target = this.#top();
        // A state set on anything else (an OrderedDict's __dict__, a tensor's) says nothing about the data.
        if (this.#exact && (!(target instanceof PyObject) || target.state !== undefined))
          this.#inexact("a state that is set on something else than a new object");
        if (target instanceof PyGlobal)
          this.options.onOdd?.(`sets attributes of ${target.id} itself`, this.#in.operation);
        if (target instanceof PyObject) target.state = state;
        return;
      }
      case 0x69: {
        // INST
        const callable = this.#global(this.#in.line(), this.#in.line());
        this.#push(this.#call(callable, new PyTuple(this.#popMark())));
        return;
      }
      case 0x6f: {
        // OBJ
        const items = this.#popMark();
        if (items.length === 0) this.#in.fail("OBJ without a class");
        this.#push(this.#call(items[0]!, new PyTuple(items.slice(1))));
        return;
      }
      case 0x51: // BINPERSID
        this.#push(this.#persistent(this.#pop()));
        return;
      case 0x50: // PERSID
        this.#push(this.#persistent(this.#in.line()));
        return;
      case 0x98: // READONLY_BUFFER
        return;
      default:
        this.#in.fail(unsupported(opcode));
    }
  }

  // --- values ---------------------------------------------------------------------------------------------------

  #global(module: string, name: string): PyGlobal {
    const length = Math.max(module.length, name.length);
    if (length > PICKLE_LIMITS.globalName) {
      this.#in.fail(`a name of ${length} characters, the limit is ${PICKLE_LIMITS.globalName}`);
    }
    // The two are joined and looked up, however few bytes of the pickle name them.
    this.#budget.spend((module.length + name.length) >> 4);
    const key = `${module}\n${name}`;
    let found = this.#globals.get(key);
    if (found === undefined) {
      found = new PyGlobal(module, name);
      this.#globals.set(key, found);
      if (this.#globals.size > PICKLE_LIMITS.globals) {
        this.#in.fail(`more than ${PICKLE_LIMITS.globals} names of classes and functions`);
      }
      this.options.onGlobal?.(found);
    }
    return found;
  }

  #call(callable: PyValue, args: PyValue): PyValue {
    if (!this.#exact && callable instanceof PyGlobal && args instanceof PyTuple) {
      // set(list), dict(pairs) … copy: a few bytes of pickle must not copy a long list over and over.
      if (Array.isArray(args.items[0])) {
        this.#budget.spend(args.items[0].length);
        this.#budget.grow(COST.entry * args.items[0].length);
      }
      this.#budget.grow(COST.tensor);
      const known =
        constructBuiltin(callable, args.items) ??
        this.options.construct?.(callable, args.items, this.#in.operation);
      if (known !== undefined) return known;
    }
    if (!(callable instanceof PyGlobal))
      this.options.onOdd?.("calls something that is no named class or function", this.#in.operation);
    this.#budget.grow(COST.object);
    return new PyObject(callable, args);
  }

  #persistent(id: PyValue): PyValue {
    if (this.#exact) return new PyPersistent(id);
    if (this.options.persistentId === undefined)
      return this.#in.fail("a persistent id where none is expected");
    return this.options.persistentId(id, this.#in.operation);
  }

  #append(items: PyValue[]): void {
    const target = this.#top();
    this.#beforeState(target);
    if (target instanceof PyObject) target.listItems ??= [];
    const list = target instanceof PyObject ? target.listItems : target;
    if (!Array.isArray(list)) this.#in.fail("items appended to something that is not a list");
    // Not push(...items): a long list would overflow the call stack.
    this.#budget.grow(COST.slot * items.length);
    for (const item of items) (list as PyValue[]).push(item);
  }

  #setItems(items: PyValue[]): void {
    if (items.length % 2 !== 0) this.#in.fail("a dict item without a value");
    const target = this.#top();
    this.#beforeState(target);
    if (target instanceof PyObject && target.dictItems === undefined) {
      this.#budget.grow(COST.dict);
      target.dictItems = new Map();
    }
    const dict = target instanceof PyObject ? target.dictItems : target;
    if (!(dict instanceof Map)) this.#in.fail("items set on something that is not a dict");
    this.#budget.grow((COST.entry * items.length) / 2);
    for (let i = 0; i < items.length; i += 2) (dict as PyDict).set(items[i]!, items[i + 1]!);
  }

  #addItems(items: PyValue[]): void {
    const target = this.#top();
    if (target instanceof PyObject) {
      if (this.#exact) this.#inexact("items added to a subclass of set");
      this.#append(items);
    } else if (target instanceof Set) {
      this.#budget.grow(COST.entry * items.length);
      for (const item of items) target.add(item);
    } else this.#in.fail("items added to something that is not a set");
  }

  #memoize(index: number): void {
    const value = this.#top();
    this.#budget.grow(index <= this.#memo.length ? COST.slot : COST.entry);
    if (this.#exact && value instanceof PyObject) this.#memoized.add(value);
    // An index far beyond what was stored so far would make a sparse array; hostile or not, a Map holds it.
    if (index <= this.#memo.length) this.#memo[index] = value;
    else this.#memoSparse.set(index, value);
    this.#memoSize++;
  }

  #recall(index: number): void {
    const value = index < this.#memo.length ? this.#memo[index] : this.#memoSparse.get(index);
    if (value === undefined) this.#in.fail(`memo ${index} is read before it is written`);
    this.#push(value as PyValue);
  }

  // --- exact reading --------------------------------------------------------------------------------------------

  #float(value: number): PyValue {
    return this.#exact ? new PyFloat(value) : value;
  }

  #text(length: number, encoding: "utf8" | "latin1"): string | PyRawText {
    const start = this.#in.at;
    const text = this.#in.text(length, encoding);
    if (!this.#exact) return text;
    if (encoding === "latin1") this.#onlyAscii(text);
    else if (text.includes("\ufffd")) {
      const bytes = this.#in.between(start, this.#in.at);
      if (!Buffer.from(text, "utf8").equals(bytes)) return new PyRawText(bytes);
    }
    return text;
  }

  /** How a text of Python 2 beyond ASCII is read depends on who reads it. */
  #onlyAscii(text: string): void {
    if (Buffer.byteLength(text) !== text.length) this.#inexact("a text of Python 2 beyond ASCII");
  }

  #builtin(name: string, argument: PyValue): PyObject {
    return new PyObject(this.#global("builtins", name), new PyTuple([argument]));
  }

  /** Values that leave the stack and are in no memo: a call among them was made for what it does, not for what it gives. */
  #drop(values: readonly PyValue[]): void {
    if (this.#exact && values.some((value) => value instanceof PyObject && !this.#memoized.has(value)))
      this.#inexact("a call whose result is not used");
  }

  #beforeState(target: PyValue): void {
    if (this.#exact && target instanceof PyObject && target.state !== undefined)
      this.#inexact("items that are set after the state of their object");
  }

  #inexact(what: string): never {
    return this.#in.fail(`${what}, which cannot be written again as it is`);
  }

  // --- stack ----------------------------------------------------------------------------------------------------

  #push(value: PyValue): void {
    this.#stack.push(value);
  }

  /** @param cost  what the value takes in memory, see `COST` */
  #pushNew(value: PyValue, cost: number): void {
    this.#budget.grow(cost);
    this.#stack.push(value);
  }

  #pushText(text: string | PyRawText): void {
    const length = typeof text === "string" ? text.length : text.bytes.byteLength;
    this.#pushNew(text, COST.text + 2 * length);
  }

  #pushTuple(items: PyValue[]): void {
    this.#pushNew(new PyTuple(items), COST.tuple + COST.slot * items.length);
  }

  /** Where the values above the innermost MARK begin: what is below is out of reach. */
  #floor(): number {
    return this.#marks.length === 0 ? 0 : this.#marks[this.#marks.length - 1]!;
  }

  #top(): PyValue {
    if (this.#stack.length <= this.#floor()) this.#in.fail("the stack is empty");
    return this.#stack[this.#stack.length - 1]!;
  }

  #pop(): PyValue {
    const value = this.#top();
    this.#stack.pop();
    return value;
  }

  #popMany(count: number): PyValue[] {
    const start = this.#stack.length - count;
    if (start < this.#floor()) this.#in.fail("the stack is empty");
    return this.#popFrom(start);
  }

  #popMark(): PyValue[] {
    const start = this.#marks.pop();
    if (start === undefined) this.#in.fail("no MARK on the stack");
    return this.#popFrom(start as number);
  }

  #popFrom(start: number): PyValue[] {
    const items = this.#stack.slice(start);
    this.#stack.length = start;
    return items;
  }
}

function unsupported(opcode: number): string {
  const hex = `0x${opcode.toString(16).padStart(2, "0")}`;
  if (opcode >= 0x82 && opcode <= 0x84) return `operation ${hex} (EXT) refers to a registry outside the file`;
  if (opcode === 0x97) return `operation ${hex} (NEXT_BUFFER) refers to a buffer outside the file`;
  return `unknown operation ${hex}`;
}
