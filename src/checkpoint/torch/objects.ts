/**
 * Defines what a pickle becomes: plain containers for Python's own, inert objects for everything else. Nothing here calls
 * anything that a pickle names.
 */

/** A name that the pickle refers to, such as `collections.OrderedDict`; it is never looked up. */
export class PyGlobal {
  /** The name as `module.qualname`, with `builtins` for Python 2's `__builtin__`, which protocol 2 writes. */
  readonly id: string;
  constructor(
    readonly module: string,
    readonly qualname: string,
  ) {
    this.id = `${module === "__builtin__" ? "builtins" : module}.${qualname}`;
  }
}

export class PyTuple {
  constructor(readonly items: readonly PyValue[]) {}
}

/** A `bytes` object that protocol 2 spells as `_codecs.encode(str, 'latin1')`; it is decoded only when asked for. */
export class PyLatin1 {
  constructor(readonly text: string) {}
  get bytes(): Uint8Array {
    return Buffer.from(this.text, "latin1");
  }
}

/** A float in an exact reading, which keeps it apart from the integer of the same value. */
export class PyFloat {
  constructor(readonly value: number) {}
}

/** A persistent id (in torch a storage) in an exact reading. */
export class PyPersistent {
  constructor(readonly id: PyValue) {}
}

/** An object as REDUCE, NEWOBJ, BUILD, APPENDS and SETITEMS asked for it: the requests are remembered and not carried out. */
export class PyObject {
  /** Whether NEWOBJ made it: `callable.__new__(callable, *args)`, not `callable(*args)`. */
  isNew = false;
  /** The state that BUILD would have set. */
  state: PyValue | undefined = undefined;
  listItems: PyValue[] | undefined = undefined;
  /** The items of a dict subclass (Lightning's AttributeDict, OmegaConf's nodes). */
  dictItems: PyDict | undefined = undefined;
  constructor(
    readonly callable: PyValue,
    readonly args: PyValue,
    readonly kwargs?: PyValue,
  ) {}
  /** The name of the class or function; `?` where the callable is none. */
  get id(): string {
    return this.callable instanceof PyGlobal ? this.callable.id : "?";
  }
}

/** A dict whose keys keep their type: 1 and "1" differ, as they do in Python. */
export type PyDict = Map<PyValue, PyValue>;

/**
 * A value of a pickle. Lists are arrays, sets are Sets, integers beyond 2^53 are bigints; what `construct` returns may be
 * anything.
 */
export type PyValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | PyValue[]
  | PyTuple
  | PyDict
  | Set<PyValue>
  | PyGlobal
  | PyLatin1
  | PyFloat
  | PyPersistent
  | PyObject
  | object;

/** Makes the containers that Python itself rebuilds by calls; as data they are what they hold. */
export function constructBuiltin(callable: PyGlobal, args: readonly PyValue[]): PyValue | undefined {
  const first = args[0];
  switch (callable.id) {
    case "collections.OrderedDict":
    case "builtins.dict":
      if (args.length === 0) return new Map();
      return Array.isArray(first) ? dictOfPairs(first) : undefined;
    case "collections.defaultdict":
      return new Map();
    case "builtins.list":
      return args.length === 0 ? [] : Array.isArray(first) ? [...first] : undefined;
    case "builtins.tuple":
    case "torch.Size":
      if (args.length === 0) return new PyTuple([]);
      if (first instanceof PyTuple) return first;
      return Array.isArray(first) ? new PyTuple(first) : undefined;
    case "builtins.set":
    case "builtins.frozenset":
      return args.length === 0 ? new Set() : Array.isArray(first) ? new Set(first) : undefined;
    case "_codecs.encode":
      return typeof first === "string" && args[1] === "latin1" ? new PyLatin1(first) : undefined;
    default:
      return undefined;
  }
}

function dictOfPairs(pairs: readonly PyValue[]): PyDict | undefined {
  const dict: PyDict = new Map();
  for (const pair of pairs) {
    const items = pair instanceof PyTuple ? pair.items : Array.isArray(pair) ? pair : [];
    if (items.length !== 2) return undefined;
    dict.set(items[0]!, items[1]!);
  }
  return dict;
}

/** Returns the items of a dict or a dict subclass; `undefined` for anything else. */
export function asDict(value: PyValue | undefined): PyDict | undefined {
  if (value instanceof Map) return value;
  return value instanceof PyObject ? value.dictItems : undefined;
}

/** Returns the items of a list, tuple, set or list subclass; `undefined` for anything else. */
export function asItems(value: PyValue | undefined): readonly PyValue[] | undefined {
  if (Array.isArray(value)) return value;
  if (value instanceof PyTuple) return value.items;
  if (value instanceof Set) return [...value];
  return value instanceof PyObject ? value.listItems : undefined;
}

/** Returns an integer, also where it hides in an enum member: a pickled enum is a call of its class with the value. */
export function asInteger(value: PyValue | undefined): number | undefined {
  if (typeof value === "number" && Number.isSafeInteger(value)) return value;
  if (value instanceof PyObject && value.args instanceof PyTuple && value.args.items.length === 1) {
    const inner = value.args.items[0];
    if (typeof inner === "number" && Number.isSafeInteger(inner)) return inner;
  }
  return undefined;
}

/**
 * Returns a key or name as text, for messages and paths. It does not use `String`, which joins what lists hold, also lists within
 * lists: a few bytes of pickle could ask for more text than there is memory, or nest deeper than the call stack.
 */
export function keyText(key: PyValue): string {
  if (typeof key === "string") return key;
  if (typeof key !== "object" || key === null) return String(key);
  if (key instanceof PyGlobal) return key.id;
  if (key instanceof PyTuple) {
    const simple = key.items.every((item) => typeof item !== "object" || item === null);
    if (simple && key.items.length <= 8) return `(${key.items.map(String).join(", ")})`;
    return `<tuple of ${key.items.length}>`;
  }
  return key instanceof PyObject ? `<${key.id}>` : `<${key.constructor?.name ?? "object"}>`;
}

export function asString(value: PyValue | undefined): string | undefined {
  return typeof value === "string" ? value : undefined;
}
