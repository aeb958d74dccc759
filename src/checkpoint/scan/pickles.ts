/** Scans pickles: every name that they mention, every operation that ordinary ones never use, and the pickles inside them. */
import { isVistaError, messageWithin, shorten, type VistaError } from "../../core/errors.js";
import { torchForm } from "../torch/form.js";
import { isKnownGlobal } from "../torch/known-globals.js";
import { PICKLE_LIMITS } from "../torch/limits.js";
import { PyGlobal, PyLatin1, PyObject, PyTuple, type PyValue } from "../torch/objects.js";
import { readPickle } from "../torch/pickle.js";
import { walk } from "../torch/storages.js";
import { isCount } from "../torch/values.js";
import { inside, type Place } from "./findings.js";
import { beginning, InMemory } from "./readers.js";
import type { NamedStorage, Scanner, Subject } from "./scanner.js";

/**
 * The largest number of pickles of one file. Real ones have up to 3,000, one for each parameter of a universal checkpoint's
 * archive.
 */
const MAX_PICKLES = 200_000;

export interface ReadPickle {
  /** The offset just after STOP; `undefined` where the pickle could not be read to its end. */
  readonly end: number | undefined;
  readonly value: PyValue;
  readonly storages: readonly NamedStorage[];
  /** The classes and functions that were mentioned before it ended. */
  readonly names: readonly PyGlobal[];
  /** The operations that ordinary pickles never use, each with its offset. */
  readonly odd: readonly [what: string, at: number][];
  /** The reason why it could not be read to its end. */
  readonly problem: VistaError | undefined;
}

/**
 * Reads one pickle and returns what is found in it, also where it is no pickle or a damaged one. It executes nothing and reports
 * nothing.
 */
export function tryPickle(data: Uint8Array, start: number, place: Place): ReadPickle {
  const names: PyGlobal[] = [];
  const odd: [string, number][] = [];
  const storages: NamedStorage[] = [];
  const found = { storages, names, odd };
  const context = {
    ...place,
    onGlobal: (name: PyGlobal) => names.push(name),
    onOdd: (what: string, at: number) => {
      if (odd.length < 100) odd.push([what, at]);
    },
    persistentId: (id: PyValue) => {
      const storage = storageOf(id);
      if (storage !== undefined) storages.push(storage);
      return new PyObject(new PyGlobal("persistent", "id"), id);
    },
  };
  try {
    const { end, value } = readPickle(data, context, start);
    return { end, value, ...found, problem: undefined };
  } catch (error) {
    if (!isVistaError(error)) throw error;
    return { end: undefined, value: null, ...found, problem: error };
  }
}

/** The place of a pickle, and how many others it is inside of. */
type Where = Pick<Subject, "place" | "depth">;

/** Reports what {@link tryPickle} found, and looks into the pickles that it holds as bytes. */
export async function notePickle(scanner: Scanner, pickle: ReadPickle, where: Where): Promise<void> {
  const { place } = where;
  const { names, odd, problem, value, end } = pickle;
  scanner.pickles++;
  for (const name of names) {
    scanner.globals.add(name.id);
    if (!isKnownGlobal(name)) scanner.add("unknown-global", `names ${shorten(name.id, 200)}`, place);
  }
  for (const [what, at] of odd) scanner.add("odd-operation", what, place, at);
  if (problem !== undefined) scanner.add("unparsed", messageWithin(problem, place), place);
  if (end !== undefined) await scanBytesIn(scanner, value, where);
}

/**
 * Looks into bytes and texts that a pickle holds and that begin as a pickle or a zip does: whoever loads the outer one may load
 * them too.
 */
async function scanBytesIn(scanner: Scanner, value: PyValue, { place, depth }: Where): Promise<void> {
  const nested: [Uint8Array, string][] = [];
  const note = (current: object, at: () => string) => {
    if (current instanceof Uint8Array && looksNested(current)) nested.push([current, at()]);
    else if (current instanceof PyLatin1 && looksNested(Buffer.from(current.text.slice(0, 4), "latin1")))
      nested.push([current.bytes, at()]);
  };
  walk(value, note, place.path);
  for (const [bytes, path] of nested) {
    const within = { place: inside(place, path === "" ? "bytes" : path), depth: depth + 1 };
    if (bytes[0] === 0x50) await scanner.content({ reader: new InMemory(place.path, bytes), ...within });
    else {
      const pickle = tryPickle(bytes, 0, within.place);
      // Numbers may begin as a pickle does: what names nothing and has no end is taken for numbers.
      if (pickle.end !== undefined || pickle.names.length > 0) await notePickle(scanner, pickle, within);
    }
  }
}

/**
 * Looks into the pickles from `start` to the end, which a program reads that calls pickle.load again.
 * @returns the storages that they name
 */
export async function scanPickles(
  scanner: Scanner,
  subject: Subject,
  start: number,
): Promise<NamedStorage[]> {
  const { reader, place } = subject;
  const data = await beginning(reader, PICKLE_LIMITS.size);
  if (data.length < reader.size)
    scanner.add("unparsed", `only the first ${data.length} bytes were looked at`, place);
  const storages: NamedStorage[] = [];
  let at: number | undefined = start;
  while (at !== undefined && at < data.length) {
    scanner.throwIfAborted();
    if (scanner.pickles >= MAX_PICKLES) {
      scanner.add("unparsed", `more than ${MAX_PICKLES} pickles`, place, at);
      break;
    }
    const pickle = tryPickle(data, at, place);
    await notePickle(scanner, pickle, subject);
    storages.push(...pickle.storages);
    at = pickle.end;
  }
  return storages;
}

function looksNested(bytes: Uint8Array): boolean {
  return bytes.length >= 4 && torchForm(bytes) !== undefined;
}

/** Reads a persistent id, `('storage', class, key, location, numel)`; returns `undefined` for one of another form. */
function storageOf(id: PyValue): NamedStorage | undefined {
  const [tag, cls, key, , numel] = id instanceof PyTuple ? id.items : [];
  if (tag !== "storage" || typeof key !== "string") return undefined;
  return {
    key,
    cls: cls instanceof PyGlobal ? cls.qualname : "",
    numel: isCount(numel) ? numel : undefined,
  };
}
