/** Scans pickles: every name that they mention, every operation that ordinary ones never use, and the pickles inside them. */
import { isVistaError, shorten } from "../../core/errors.js";
import { torchForm } from "../torch/form.js";
import { isKnownGlobal } from "../torch/known-globals.js";
import { PyGlobal, PyLatin1, PyObject, PyTuple, type PyValue } from "../torch/objects.js";
import { readPickle } from "../torch/pickle.js";
import { walk } from "../torch/storages.js";
import { inside, type Place, withoutPlace } from "./findings.js";
import { InMemory } from "./readers.js";
import type { NamedStorage, Scanner } from "./scanner.js";

export interface ScannedPickle {
  /** The offset just after STOP; `undefined` where the pickle could not be read to its end. */
  readonly end: number | undefined;
  readonly value: PyValue;
  readonly storages: readonly NamedStorage[];
  /** The number of names of classes and functions that were mentioned before it ended. */
  readonly globals: number;
}

/**
 * Reads one pickle and returns what is found in it, also where it is no pickle or a damaged one. It executes nothing and reports
 * nothing.
 */
export function tryPickle(
  data: Uint8Array,
  start: number,
  place: Place,
): ScannedPickle & { names: PyGlobal[]; odd: [string, number][]; problem: string | undefined } {
  const names: PyGlobal[] = [];
  const odd: [string, number][] = [];
  const storages: NamedStorage[] = [];
  let problem: string | undefined;
  let end: number | undefined;
  let value: PyValue = null;
  try {
    const read = readPickle(
      data,
      {
        path: place.path,
        record: place.record,
        onGlobal: (name) => names.push(name),
        onOdd: (what, at) => {
          if (odd.length < 100) odd.push([what, at]);
        },
        persistentId: (id) => {
          const storage = storageOf(id);
          if (storage !== undefined) storages.push(storage);
          return new PyObject(new PyGlobal("persistent", "id"), id);
        },
      },
      start,
    );
    end = read.end;
    value = read.value;
  } catch (error) {
    if (!isVistaError(error)) throw error;
    problem = error.message;
  }
  return { end, value, storages, globals: names.length, names, odd, problem };
}

/** Reads one pickle, reports everything that is found in it, and looks into the pickles that it holds as bytes. */
export async function scanPickle(
  scanner: Scanner,
  data: Uint8Array,
  start: number,
  place: Place,
  depth: number,
): Promise<ScannedPickle> {
  const pickle = tryPickle(data, start, place);
  await notePickle(scanner, pickle, place, depth);
  return pickle;
}

/** Reports what {@link tryPickle} found. */
export async function notePickle(
  scanner: Scanner,
  pickle: ReturnType<typeof tryPickle>,
  place: Place,
  depth: number,
): Promise<void> {
  const { names, odd, problem, value, end } = pickle;
  scanner.pickles++;
  for (const name of names) {
    scanner.globals.add(name.id);
    if (!isKnownGlobal(name)) scanner.add("unknown-global", `names ${shorten(name.id, 200)}`, place);
  }
  for (const [what, at] of odd) scanner.add("odd-operation", what, place, at);
  if (problem !== undefined) scanner.add("unparsed", withoutPlace(problem, place), place);
  if (end !== undefined) await scanBytesIn(scanner, value, place, depth);
}

/**
 * Looks into bytes and texts that a pickle holds and that begin as a pickle or a zip does: whoever loads the outer one may load
 * them too.
 */
async function scanBytesIn(scanner: Scanner, value: PyValue, place: Place, depth: number): Promise<void> {
  const nested: [Uint8Array, string][] = [];
  walk(
    value,
    (current, path) => {
      if (current instanceof Uint8Array && looksNested(current)) nested.push([current, path]);
      else if (current instanceof PyLatin1 && looksNested(Buffer.from(current.text.slice(0, 4), "latin1"))) {
        nested.push([current.bytes, path]);
      }
    },
    place.path,
  );
  for (const [bytes, path] of nested) {
    const within = inside(place, path === "" ? "bytes" : path);
    if (bytes[0] === 0x50) await scanner.content(new InMemory(place.path, bytes), within, depth + 1);
    else {
      const pickle = tryPickle(bytes, 0, within);
      // Numbers may begin as a pickle does: what names nothing and has no end is taken for numbers.
      if (pickle.end !== undefined || pickle.globals > 0)
        await notePickle(scanner, pickle, within, depth + 1);
    }
  }
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
    numel: typeof numel === "number" && Number.isSafeInteger(numel) && numel >= 0 ? numel : undefined,
  };
}
