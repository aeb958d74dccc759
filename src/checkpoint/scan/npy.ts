/**
 * Looks into files of NumPy: a header that is a literal of Python, then the elements of an array, or a pickle where these are objects.
 * NumPy takes more for a header than it writes (aliases of types, escapes, keys that are given twice), so that a scanner that looks
 * for the letter O in it can be passed by: what is not spelt as NumPy spells it is a finding.
 *
 * Source: numpy/lib/_format_impl.py (_read_array_header, descr_to_dtype, read_array).
 */
import { jsonOf } from "../../core/text.js";
import { inside } from "./findings.js";
import { scanPickles } from "./pickles.js";
import { beginning, Slice } from "./readers.js";
import type { Content, Scanner, Subject } from "./scanner.js";

export const NPY_MAGIC = Buffer.from("\x93NUMPY", "latin1");

/** The largest header in bytes that is read. Real ones have 118; a record of 1,000 fields has 30,000. */
const MAX_HEADER = 2 ** 20;

/** The greatest depth of types within types. Real ones go three deep. */
const MAX_DEPTH = 32;

/** The largest number of arrays that follow one another in a file. */
const MAX_ARRAYS = 100_000;

/** Looks into the arrays of a file, which `numpy.save` may have written one after the other. */
export async function scanNpy(scanner: Scanner, subject: Subject): Promise<Content> {
  const { reader, place } = subject;
  let at = 0;
  for (let arrays = 0; at < reader.size; arrays++) {
    scanner.throwIfAborted();
    if (arrays >= MAX_ARRAYS) {
      scanner.add("unparsed", `more than ${MAX_ARRAYS} arrays`, place, at);
      break;
    }
    const rest = new Slice(reader, at, reader.size - at);
    const head = await beginning(rest, 12);
    if (at > 0 && !head.subarray(0, 6).equals(NPY_MAGIC)) {
      scanner.add("contradiction", `its array ends at ${at}, there are ${reader.size} bytes`, place, at);
      break;
    }
    const array = await readHeader(rest, head);
    if (typeof array === "string") {
      scanner.add("unparsed", array, place, at);
      break;
    }
    if (array.length === undefined) {
      const storages = await scanPickles(
        scanner,
        { ...subject, place: inside(place, "objects") },
        at + array.start,
      );
      return { kind: "npy of objects", storages };
    }
    const end = at + array.start + array.length;
    if (end > reader.size) {
      scanner.add("contradiction", `its array ends at ${end}, there are ${reader.size} bytes`, place);
      break;
    }
    at = end;
  }
  return { kind: "npy" };
}

/**
 * Reads the header of an array.
 * @returns the place and the length of its elements (`undefined` for objects), or what is wrong with the header
 */
async function readHeader(
  reader: Slice,
  head: Buffer,
): Promise<{ start: number; length: number | undefined } | string> {
  const wide = head[6]! >= 2;
  const begin = wide ? 12 : 10;
  if (head.length < begin) return `an npy header of ${head.length} bytes`;
  const start = begin + (wide ? head.readUInt32LE(8) : head.readUInt16LE(8));
  const unreadable = "an npy header that cannot be read, or is not as NumPy writes it";
  if (head[6]! > 3 || start > MAX_HEADER || start > reader.size) return unreadable;
  const text = (await beginning(reader, start)).toString(head[6]! >= 3 ? "utf8" : "latin1", begin);
  const { descr, shape, fortran_order: order, ...more } = (literal(text) ?? {}) as Record<string, unknown>;
  const size = itemSize(descr);
  if (
    typeof order !== "boolean" ||
    Object.keys(more).length > 0 ||
    size === undefined ||
    !Array.isArray(shape) ||
    !shape.every((n) => typeof n === "number")
  )
    return unreadable;
  if (size === "objects") return { start, length: undefined };
  return { start, length: (shape as number[]).reduce((product, n) => product * n, size) };
}

/** The parts of a literal as NumPy writes it; a text with an escape, or anything else that `ast.literal_eval` takes, is none. */
const TOKEN = /\s+|'[^'\\\n]*'|"[^"\\\n]*"|\d{1,15}L?(?![\w.])|True|False|[()[\]{},:]/y;

const AS_JSON: Readonly<Record<string, string>> = {
  "(": "[",
  ")": "]",
  "[": '{"list":[',
  "]": "]}",
  True: "true",
  False: "false",
};

/**
 * Returns the value of a literal of Python that is made of dicts, lists, tuples, texts, numbers and booleans; `undefined` for any other
 * text. A tuple becomes an array, a list an object with an array, since NumPy tells the two apart.
 */
function literal(text: string): unknown {
  const tokens: string[] = [];
  const keys = new Set<string>();
  TOKEN.lastIndex = 0;
  for (let at = 0; at < text.length; at = TOKEN.lastIndex) {
    const [token] = TOKEN.exec(text) ?? [];
    if (token === undefined) return undefined;
    if (token.trim() === "") continue;
    const closes = ")]}".includes(token);
    if (closes && tokens.at(-1) === ",") tokens.pop();
    if (token === ":") {
      // Python and JSON take the last of two entries with one key; NumPy writes none twice.
      if (keys.has(tokens.at(-1)!)) return undefined;
      keys.add(tokens.at(-1)!);
    }
    if (/^['"]/.test(token)) tokens.push(JSON.stringify(token.slice(1, -1)));
    else if (/^\d/.test(token)) tokens.push(String(Number.parseInt(token, 10)));
    else tokens.push(AS_JSON[token] ?? token);
  }
  return jsonOf(tokens.join(""));
}

/**
 * Returns the bytes of one element: of a type such as `<f4`, or of a record, a list of `(name, type)` or `(name, type, shape)`.
 * @returns `undefined` for what is none
 */
function itemSize(descr: unknown, depth = 0): number | "objects" | undefined {
  if (typeof descr === "string") {
    const [, kind, digits] = /^[<>|=]?([biufcSaUVMmO])(\d{0,9})(?:\[[^[\]]*\])?$/.exec(descr) ?? [];
    if (kind === "O") return "objects";
    return kind === undefined || digits === "" ? undefined : Number(digits) * (kind === "U" ? 4 : 1);
  }
  const { list } = (descr ?? {}) as { readonly list?: unknown };
  if (!Array.isArray(list) || depth >= MAX_DEPTH) return undefined;
  let total = 0;
  let objects = false;
  for (const field of list as unknown[]) {
    const [, type, shape = []] = Array.isArray(field) ? (field as unknown[]) : [];
    const size = itemSize(type, depth + 1);
    if (size === undefined || !Array.isArray(shape) || !shape.every((n) => typeof n === "number"))
      return undefined;
    if (size === "objects") objects = true;
    else total += (shape as number[]).reduce((product, n) => product * n, size);
  }
  return objects ? "objects" : total;
}
