/**
 * Writes an exactly read pickle (`exact` in {@link PickleOptions}) again, with some of its nodes replaced: it makes the same
 * calls of the same names, and what was shared stays shared. As in reading, nothing is looked up and nothing is called.
 *
 * Source: CPython's Lib/pickle.py (_Pickler.save_*), Lib/pickletools.py.
 */
import { VistaError } from "../../core/errors.js";
import { PyFloat, PyGlobal, PyObject, PyPersistent, PyTuple, type PyValue } from "./objects.js";
import { PickleWriter } from "./pickle-writer.js";

export interface ExactPickle {
  /** The value of the pickle; the containers in it may be changed before it is written again. */
  readonly value: PyValue;
  /** The protocol of the file that it was read from, in which its names have their meaning. */
  readonly protocol: number;
}

/** The greatest depth to which values may be nested. CPython itself stops at about 1,000 when it pickles. */
const MAX_DEPTH = 2000;

/**
 * Returns the bytes of a pickle.
 * @param storageKey  returns the key under which a storage is saved now; it is asked in the order in which storages are written
 * @throws VistaError `UNSUPPORTED` for what no file of today's torch.save has
 */
export function rewritePickle(
  { value, protocol }: ExactPickle,
  storageKey: (storage: PyPersistent) => string,
): Uint8Array {
  const rewriter = new Rewriter(storageKey);
  rewriter.out.op(0x80, Math.max(2, protocol)); // PROTO
  rewriter.write(value);
  rewriter.out.op(0x2e); // STOP
  return rewriter.out.finish();
}

class Rewriter {
  readonly out = new PickleWriter();
  #depth = 0;

  constructor(private readonly storageKey: (storage: PyPersistent) => string) {}

  write(value: PyValue): void {
    if (++this.#depth > MAX_DEPTH) throw unsupported(`values nested more than ${MAX_DEPTH} deep`);
    this.#write(value);
    this.#depth--;
  }

  #write(value: PyValue): void {
    const { out } = this;
    if (value === null)
      out.op(0x4e); // NONE
    else if (typeof value === "boolean")
      out.op(value ? 0x88 : 0x89); // NEWTRUE, NEWFALSE
    else if (typeof value === "number" || typeof value === "bigint") out.integer(value);
    else if (value instanceof PyFloat) out.float(value.value);
    else if (value instanceof PyGlobal) out.global(`${value.module}\n${value.qualname}\n`);
    else if (value instanceof PyPersistent) this.#storage(value);
    else if (typeof value === "string") out.memoizedText(value);
    else if (!out.recall(value)) this.#writeNew(value);
  }

  /** Writes a value that is not in the memo, and puts it there. */
  #writeNew(value: PyValue): void {
    const { out } = this;
    if (value instanceof Uint8Array) {
      out.sized(0x42, value); // BINBYTES
      out.remember(value);
    } else if (value instanceof PyTuple) this.#tuple(value);
    else if (Array.isArray(value)) {
      out.op(0x5d); // EMPTY_LIST
      out.remember(value);
      this.#items(value);
    } else if (value instanceof Map) {
      out.op(0x7d); // EMPTY_DICT
      out.remember(value);
      this.#pairs(value);
    } else if (value instanceof Set) {
      out.op(0x8f); // EMPTY_SET
      out.remember(value);
      out.op(0x28); // MARK
      for (const item of value) this.write(item as PyValue);
      out.op(0x90); // ADDITEMS
    } else if (value instanceof PyObject) this.#object(value);
    else throw unsupported("a value that an exact reading does not give");
  }

  #tuple(tuple: PyTuple): void {
    const { items } = tuple;
    if (items.length === 0) {
      this.out.op(0x29); // EMPTY_TUPLE
      return;
    }
    const short = items.length <= 3;
    if (!short) this.out.op(0x28); // MARK
    for (const item of items) this.write(item);
    if (!this.out.remembers(tuple)) {
      this.out.op(short ? 0x84 + items.length : 0x74); // TUPLE1 to TUPLE3, TUPLE
      this.out.remember(tuple);
      return;
    }
    // The tuple is among its own descendants, and was written there.
    if (short)
      for (const _ of items) this.out.op(0x30); // POP
    else this.out.op(0x31); // POP_MARK
    this.out.recall(tuple);
  }

  #items(items: readonly PyValue[]): void {
    this.out.batches(items, 0x65, (item) => this.write(item)); // APPENDS
  }

  #pairs(dict: ReadonlyMap<PyValue, PyValue>): void {
    // The batches end with SETITEMS.
    this.out.batches(dict, 0x75, ([key, value]) => {
      this.write(key);
      this.write(value);
    });
  }

  /** Writes a storage as `('storage', class, key, location, numel)` with its new key. */
  #storage(storage: PyPersistent): void {
    // In the form before torch 1.6 a sixth part follows, which tells whether it is a view of another storage: the zip form has
    // none.
    const { cls, location, size } = storageParts(storage);
    this.out.op(0x28); // MARK
    this.write("storage");
    this.write(cls);
    this.write(this.storageKey(storage));
    this.write(location);
    this.write(size);
    this.out.op(0x74, 0x51); // TUPLE BINPERSID
    // It is not memoized: torch's pickler does not do that either, and the same key gives the same storage.
  }

  #object(object: PyObject): void {
    this.write(object.callable);
    this.write(object.args);
    if (object.kwargs !== undefined) {
      this.write(object.kwargs);
      this.out.op(0x92); // NEWOBJ_EX
    } else this.out.op(object.isNew ? 0x81 : 0x52); // NEWOBJ, REDUCE
    this.out.remember(object);
    if (object.listItems !== undefined) this.#items(object.listItems);
    if (object.dictItems !== undefined) this.#pairs(object.dictItems);
    if (object.state !== undefined) {
      this.write(object.state);
      this.out.op(0x62); // BUILD
    }
  }
}

/** Returns the parts of a storage's persistent id. @throws VistaError `UNSUPPORTED` for one that is no storage */
export function storageParts(storage: PyPersistent): {
  cls: PyValue;
  key: string;
  location: PyValue;
  size: PyValue;
} {
  const items = storage.id instanceof PyTuple ? storage.id.items : [];
  const key = items[2];
  if (items[0] !== "storage" || typeof key !== "string" || items.length < 5)
    throw unsupported("a persistent id that is no storage (torch before 1.6 kept source code there)");
  return { cls: items[1]!, key, location: items[3]!, size: items[4]! };
}

function unsupported(what: string): VistaError {
  return new VistaError("UNSUPPORTED", `a pickle that cannot be written again: ${what}`, {
    hint: "Load it and save it again with torch.",
  });
}
