/**
 * Reads pickles with a machine that executes nothing. Every name that a pickle mentions becomes an inert {@link PyGlobal}; every
 * call, instance and state that it asks for becomes an inert {@link PyObject}, which only remembers what was asked. Callers give
 * meaning to the few names that they know through {@link PickleOptions.construct}.
 *
 * The source of the format is CPython's Lib/pickletools.py (protocols 0 to 5). docs/dependencies.md says why this is not
 * `pickleparser`.
 */
import { PickleCursor } from "./cursor.js";
import { ExactReading } from "./exact-reading.js";
import { COST, PICKLE_LIMITS, PickleBudget } from "./limits.js";
import {
  constructBuiltin,
  type PyDict,
  PyFloat,
  PyGlobal,
  PyObject,
  PyPersistent,
  PyTuple,
  type PyValue,
} from "./objects.js";
import { PickleStack } from "./pickle-stack.js";

export interface PickleOptions {
  /** The path of the file, for error messages. */
  path: string;
  record?: string;
  /**
   * Gives meaning to a call `callable(*args)`, or returns `undefined` to have it kept as an inert {@link PyObject}. It must have
   * no side effects.
   */
  construct?: (callable: PyGlobal, args: readonly PyValue[], at: number) => PyValue | undefined;
  /** Gives meaning to a persistent id (in torch a storage). Without it a persistent id is an error. */
  persistentId?: (id: PyValue, at: number) => PyValue;
  /**
   * Whether everything is kept apart that Python keeps apart, so that `rewrite.ts` can write the same pickle again; false by
   * default. Every call stays a {@link PyObject}, floats are {@link PyFloat}s, persistent ids {@link PyPersistent}s. What could
   * not be written again with the same meaning is an error.
   */
  exact?: boolean;
  /** Receives every distinct name that the pickle mentions, in order of appearance. */
  onGlobal?: (name: PyGlobal) => void;
  /** Receives what ordinary pickles never do: changing a class, calling what another call returned. */
  onOdd?: (what: string, at: number) => void;
}

/**
 * Reads one pickle from `data`, starting at `start`.
 *
 * @returns the value and the offset just after its STOP
 * @throws VistaError `TRUNCATED` where it ends early, `PICKLE` where it is malformed or beyond {@link PICKLE_LIMITS}; with the
 *   byte offset of the operation
 */
export function readPickle(
  data: Uint8Array,
  options: PickleOptions,
  start = 0,
): { value: PyValue; end: number; protocol: number } {
  const machine = new Machine(data, options, start);
  try {
    return machine.run();
  } catch (error) {
    // An error whose stack nobody has read keeps all that its frames belong to, which may be 200 MB of values.
    machine.forget();
    throw error;
  }
}

/** Python has a single one, too: a tensor has one of its own among its arguments, and a file thousands of tensors. */
const EMPTY_TUPLE = new PyTuple([]);

/** The number of operations between looks at limits that are a thousand times as large: most of a start is reading pickles. */
const CHECK_EVERY = 1024;

class Machine {
  private readonly input: PickleCursor;
  private readonly exact: ExactReading;
  private protocol = 0;
  private readonly stack: PickleStack;
  private readonly globals = new Map<string, PyGlobal>();
  private readonly budget: PickleBudget;

  constructor(
    data: Uint8Array,
    private readonly options: PickleOptions,
    start: number,
  ) {
    this.input = new PickleCursor(data, start, options.path, options.record);
    this.budget = new PickleBudget(data.byteLength - start, (what) => this.input.fail(what));
    this.stack = new PickleStack(this.input, this.budget);
    this.exact = new ExactReading(this.input, options.exact ?? false);
  }

  forget(): void {
    this.stack.clear();
  }

  run(): { value: PyValue; end: number; protocol: number } {
    const { input, stack } = this;
    for (;;) {
      for (let left = CHECK_EVERY; left > 0; left--) {
        const opcode = input.opcode();
        // STOP
        if (opcode === 0x2e) return { value: stack.pop(), end: input.at, protocol: this.protocol };
        this.step(opcode);
      }
      this.budget.spend(CHECK_EVERY);
      stack.checkSize();
    }
  }

  private step(opcode: number) {
    const { input, stack } = this;
    switch (opcode) {
      case 0x80: {
        // PROTO
        const protocol = input.u8();
        if (protocol > 5) input.fail(`pickle protocol ${protocol}, the highest known is 5`);
        this.protocol = protocol;
        return;
      }
      case 0x95: // FRAME
        return input.frame();
      case 0x28: // MARK
        return stack.mark();
      case 0x30: // POP
        if (!stack.dropMark()) this.exact.drop([stack.pop()], stack);
        return;
      case 0x31: // POP_MARK
        return this.exact.drop(stack.popMark(), stack);
      case 0x32: // DUP
        return stack.push(stack.top());

      case 0x4e: // NONE
        return stack.push(null);
      case 0x88: // NEWTRUE
        return stack.push(true);
      case 0x89: // NEWFALSE
        return stack.push(false);
      case 0x4a: // BININT: signed
        return stack.push(input.int32());
      case 0x4b: // BININT1
        return stack.push(input.u8());
      case 0x4d: // BININT2
        return stack.push(input.uint16());
      case 0x8a: // LONG1
        return stack.push(input.long(input.u8()));
      case 0x8b: // LONG4
        return stack.push(input.long(input.uint32()));
      case 0x49: // INT
        return stack.push(input.booleanOrInteger());
      case 0x4c: // LONG
        return stack.push(input.integerText(input.line().replace(/L$/, "")));
      case 0x47: // BINFLOAT: big-endian
        return stack.push(this.exact.float(input.float64()));
      case 0x46: // FLOAT
        return stack.push(this.exact.float(input.floatText(input.line())));

      case 0x58: // BINUNICODE
        return stack.pushText(input.text(input.uint32()));
      case 0x8c: // SHORT_BINUNICODE
        return stack.pushText(input.text(input.u8()));
      case 0x8d: // BINUNICODE8
        return stack.pushText(input.text(input.length8()));
      case 0x55: // SHORT_BINSTRING: a str of Python 2
        return stack.pushText(this.exact.python2(input.python2Text(input.u8())));
      case 0x54: // BINSTRING
        return stack.pushText(this.exact.python2(input.python2Text(input.uint32())));
      case 0x56: // UNICODE
        return stack.pushText(input.rawUnicode());
      case 0x53: // STRING
        return stack.pushText(this.exact.python2(input.literal()));
      case 0x42: // BINBYTES
        return stack.pushNew(input.bytes(input.uint32()), COST.bytes);
      case 0x43: // SHORT_BINBYTES
        return stack.pushNew(input.bytes(input.u8()), COST.bytes);
      case 0x8e: // BINBYTES8
        return stack.pushNew(input.bytes(input.length8()), COST.bytes);
      case 0x96: {
        // BYTEARRAY8
        const bytes = input.bytes(input.length8());
        return stack.pushNew(this.exact.on ? this.builtin("bytearray", bytes) : bytes, COST.bytes);
      }

      case 0x29: // EMPTY_TUPLE
        return stack.push(EMPTY_TUPLE);
      case 0x85: // TUPLE1
      case 0x86: // TUPLE2
      case 0x87: // TUPLE3
        return stack.pushTuple(stack.popMany(opcode - 0x84));
      case 0x74: // TUPLE
        return stack.pushTuple(stack.popMark());
      case 0x5d: // EMPTY_LIST
        return stack.pushList([]);
      case 0x6c: // LIST
        return stack.pushList(stack.popMark());
      case 0x61: // APPEND
        return this.append([stack.pop()]);
      case 0x65: // APPENDS
        return this.append(stack.popMark());
      case 0x7d: // EMPTY_DICT
        return stack.pushNew(new Map(), COST.dict);
      case 0x64: {
        // DICT
        const items = stack.popMark();
        stack.pushNew(new Map(), COST.dict);
        return this.setItems(items);
      }
      case 0x73: // SETITEM
        return this.setItems(stack.popMany(2));
      case 0x75: // SETITEMS
        return this.setItems(stack.popMark());
      case 0x8f: // EMPTY_SET
        return stack.pushNew(new Set(), COST.dict);
      case 0x90: // ADDITEMS
        return this.addItems(stack.popMark());
      case 0x91: {
        // FROZENSET
        const items = stack.popMark();
        stack.pushNew(
          this.exact.on ? this.builtin("frozenset", items) : new Set(items),
          COST.dict + COST.entry * items.length,
        );
        return;
      }

      case 0x71: // BINPUT
        return stack.memoize(input.u8());
      case 0x72: // LONG_BINPUT
        return stack.memoize(input.uint32());
      case 0x70: // PUT
        return stack.memoize(input.memoIndex());
      case 0x94: // MEMOIZE
        return stack.memoize();
      case 0x68: // BINGET
        return stack.recall(input.u8());
      case 0x6a: // LONG_BINGET
        return stack.recall(input.uint32());
      case 0x67: // GET
        return stack.recall(input.memoIndex());

      case 0x63: // GLOBAL
        return stack.push(this.global(input.line(), input.line()));
      case 0x93: {
        // STACK_GLOBAL
        const [module, name] = stack.popMany(2);
        if (typeof module !== "string" || typeof name !== "string")
          input.fail("STACK_GLOBAL without two strings");
        return stack.push(this.global(module as string, name as string));
      }
      case 0x52: {
        // REDUCE
        const args = stack.pop();
        return stack.push(this.call(stack.pop(), args));
      }
      case 0x81: {
        // NEWOBJ
        const args = stack.pop();
        const made = this.call(stack.pop(), args);
        if (made instanceof PyObject) made.isNew = true;
        return stack.push(made);
      }
      case 0x92: {
        // NEWOBJ_EX
        const [cls, args, kwargs] = stack.popMany(3);
        const made = new PyObject(cls!, args!, kwargs);
        made.isNew = true;
        return stack.pushNew(made, COST.object);
      }
      case 0x62: {
        // BUILD
        const state = stack.pop();
        const target = stack.top();
        // A state set on anything else (an OrderedDict's __dict__, a tensor's) says nothing about the data.
        if (this.exact.on && (!(target instanceof PyObject) || target.state !== undefined))
          this.exact.refuse("a state that is set on something else than a new object");
        if (target instanceof PyGlobal)
          this.options.onOdd?.(`sets attributes of ${target.id} itself`, input.operation);
        if (target instanceof PyObject) target.state = state;
        return;
      }
      case 0x69: {
        // INST
        const callable = this.global(input.line(), input.line());
        return stack.push(this.call(callable, new PyTuple(stack.popMark())));
      }
      case 0x6f: {
        // OBJ
        const items = stack.popMark();
        if (items.length === 0) input.fail("OBJ without a class");
        return stack.push(this.call(items[0]!, new PyTuple(items.slice(1))));
      }
      case 0x51: // BINPERSID
        return stack.push(this.persistent(stack.pop()));
      case 0x50: // PERSID
        return stack.push(this.persistent(input.line()));
      case 0x98: // READONLY_BUFFER
        return;
      default:
        input.fail(unsupported(opcode));
    }
  }

  // --- values ---------------------------------------------------------------------------------------------------

  private global(module: string, name: string): PyGlobal {
    const length = Math.max(module.length, name.length);
    if (length > PICKLE_LIMITS.globalName) {
      this.input.fail(`a name of ${length} characters, the limit is ${PICKLE_LIMITS.globalName}`);
    }
    // The two names are joined and looked up, however few bytes of the pickle name them, and that work counts.
    this.budget.spend((module.length + name.length) >> 4);
    const key = `${module}\n${name}`;
    let found = this.globals.get(key);
    if (found === undefined) {
      found = new PyGlobal(module, name);
      this.globals.set(key, found);
      if (this.globals.size > PICKLE_LIMITS.globals) {
        this.input.fail(`more than ${PICKLE_LIMITS.globals} names of classes and functions`);
      }
      this.options.onGlobal?.(found);
    }
    return found;
  }

  private call(callable: PyValue, args: PyValue): PyValue {
    if (!this.exact.on && callable instanceof PyGlobal && args instanceof PyTuple) {
      // Calls such as set(list) and dict(pairs) copy, and a few bytes of pickle must not copy a long list over and over.
      if (Array.isArray(args.items[0])) {
        this.budget.spend(args.items[0].length);
        this.budget.grow(COST.entry * args.items[0].length);
      }
      this.budget.grow(COST.tensor);
      const known =
        constructBuiltin(callable, args.items) ??
        this.options.construct?.(callable, args.items, this.input.operation);
      if (known !== undefined) return known;
    }
    if (!(callable instanceof PyGlobal))
      this.options.onOdd?.("calls something that is no named class or function", this.input.operation);
    this.budget.grow(COST.object);
    return new PyObject(callable, args);
  }

  private builtin(name: string, argument: PyValue): PyObject {
    return new PyObject(this.global("builtins", name), new PyTuple([argument]));
  }

  private persistent(id: PyValue): PyValue {
    if (this.exact.on) return new PyPersistent(id);
    if (this.options.persistentId === undefined)
      return this.input.fail("a persistent id where none is expected");
    return this.options.persistentId(id, this.input.operation);
  }

  private append(items: PyValue[]): void {
    const target = this.stack.top();
    this.exact.beforeState(target);
    if (target instanceof PyObject) target.listItems ??= [];
    const list = target instanceof PyObject ? target.listItems : target;
    if (!Array.isArray(list)) this.input.fail("items appended to something that is not a list");
    // The items are pushed one by one, because push(...items) of a long list would overflow the call stack.
    this.budget.grow(COST.slot * items.length);
    for (const item of items) (list as PyValue[]).push(item);
  }

  private setItems(items: PyValue[]): void {
    if (items.length % 2 !== 0) this.input.fail("a dict item without a value");
    const target = this.stack.top();
    this.exact.beforeState(target);
    if (target instanceof PyObject && target.dictItems === undefined) {
      this.budget.grow(COST.dict);
      target.dictItems = new Map();
    }
    const dict = target instanceof PyObject ? target.dictItems : target;
    if (!(dict instanceof Map)) this.input.fail("items set on something that is not a dict");
    this.budget.grow((COST.entry * items.length) / 2);
    for (let i = 0; i < items.length; i += 2) (dict as PyDict).set(items[i]!, items[i + 1]!);
  }

  private addItems(items: PyValue[]): void {
    const target = this.stack.top();
    if (target instanceof PyObject) {
      if (this.exact.on) this.exact.refuse("items added to a subclass of set");
      this.append(items);
    } else if (target instanceof Set) {
      this.budget.grow(COST.entry * items.length);
      for (const item of items) target.add(item);
    } else this.input.fail("items added to something that is not a set");
  }
}

function unsupported(opcode: number): string {
  const hex = `0x${opcode.toString(16).padStart(2, "0")}`;
  if (opcode >= 0x82 && opcode <= 0x84) return `operation ${hex} (EXT) refers to a registry outside the file`;
  if (opcode === 0x97) return `operation ${hex} (NEXT_BUFFER) refers to a buffer outside the file`;
  return `unknown operation ${hex}`;
}
