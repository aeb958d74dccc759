/**
 * The arguments of pickle operations that are text (protocol 0, and the strings of Python 2), beside CPython's pickle on the same
 * bytes: what is read here is what Python reads, or it is refused.
 */
import { describe, expect, it } from "vitest";
import { PyGlobal, PyLatin1, type PyValue } from "../../../src/checkpoint/torch/objects.js";
import { readPickle } from "../../../src/checkpoint/torch/pickle.js";
import { isVistaError } from "../../../src/core/errors.js";
import { runPython } from "../python.js";

const SEED = Number(process.env.VISTA_CKPT_SEED ?? Math.floor(Math.random() * 2 ** 31));
const COUNT = Number(process.env.VISTA_CKPT_PICKLES ?? 5000);

/** Reads pickles from stdin as hexadecimal text and prints what CPython makes of each, `null` where it refuses it. */
const REFERENCE = `
import io, json, pickle, struct, sys, warnings
warnings.simplefilter("ignore")
sys.set_int_max_str_digits(0)
class Reader(pickle.Unpickler):
    def find_class(self, module, name):
        return (module, name)
def told(value):
    if isinstance(value, bool): return ["bool", str(value)]
    if isinstance(value, int): return ["int", str(value)]
    if isinstance(value, float): return ["float", "nan" if value != value else struct.pack(">d", value).hex()]
    if isinstance(value, str): return ["str", *map(ord, value)]
    if isinstance(value, tuple): return ["name", *(told(part) for part in value)]
    return ["other", repr(value)]
def read(data, encoding):
    try: return told(Reader(io.BytesIO(data), encoding=encoding).load())
    except Exception: return None
def answer(data):
    found = read(data, "utf-8")
    if found is not None: return found
    found = read(data, "latin1")
    return found and ["bytes", *found[1:]]
json.dump([answer(bytes.fromhex(data)) for data in json.load(sys.stdin)], sys.stdout)
`;

type Told = readonly unknown[] | null;

const codes = (text: string) => [...text].map((char) => char.codePointAt(0)!);

function told(value: PyValue, isFloat: boolean): Told {
  if (typeof value === "boolean") return ["bool", value ? "True" : "False"];
  if (typeof value === "string") return ["str", ...codes(value)];
  if (value instanceof PyLatin1) return ["bytes", ...codes(value.text)];
  if (value instanceof PyGlobal)
    return ["name", ["str", ...codes(value.module)], ["str", ...codes(value.qualname)]];
  if (!isFloat) return ["int", String(value)];
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleBE(value as number);
  return ["float", Number.isNaN(value) ? "nan" : bytes.toString("hex")];
}

function readHere(data: Buffer): Told {
  try {
    return told(readPickle(data, { path: "x.pt" }).value, data[0] === 0x46);
  } catch (error) {
    if (isVistaError(error)) return null;
    throw error;
  }
}

function random(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/** What an argument is made of: mostly what pickle writes, and what Python's own readers take beside that. */
const PARTS = {
  number: [
    "0",
    "1",
    "12",
    "-",
    "+",
    "_",
    ".",
    "e",
    "E5",
    "x",
    "0x1f",
    "0b1",
    " ",
    "\t",
    "\r",
    "L",
    "inf",
    "nan",
    "Infinity",
    "9007199254740993",
    "1e999",
    "٣",
  ],
  string: [
    "'",
    '"',
    "a",
    "\\",
    "\\n",
    "\\x41",
    "\\xc3\\xa9",
    "\\xe9",
    "\\x4",
    "\\101",
    "\\777",
    "\\8",
    "\\q",
    "\\u0041",
    "é",
    "\xe9",
    "\r",
    " ",
    "\0",
  ],
  unicode: [
    "a",
    "\\",
    "\\\\",
    "\\u00e9",
    "\\u4",
    "\\U0001f697",
    "\\U00110000",
    "\\ud83d",
    "\\ude97",
    "\\U0000de97",
    "\xe9",
    "\r",
    "'",
  ],
  raw: [
    "a",
    "\xc3\xa9",
    "\xe9",
    "\xed\xa0\xbd",
    "\xed\xba\x97",
    "\xed\xa0",
    "\xf0\x9f\x9a\x97",
    "\xef\xbf\xbd",
    "\0",
    "\xc0\x80",
    "\xf4\x90\x80\x80",
  ],
};

const KINDS: Record<string, (text: string) => Buffer> = {
  "INT number": (text) => Buffer.from(`I${text}\n.`, "latin1"),
  "LONG number": (text) => Buffer.from(`L${text}L\n.`, "latin1"),
  "FLOAT number": (text) => Buffer.from(`F${text}\n.`, "latin1"),
  "STRING string": (text) => Buffer.from(`S'${text}'\n.`, "latin1"),
  "STRING in any quotes string": (text) => Buffer.from(`S${text}\n.`, "latin1"),
  "UNICODE unicode": (text) => Buffer.from(`V${text}\n.`, "latin1"),
  "SHORT_BINSTRING raw": (text) => Buffer.from(`U${String.fromCharCode(text.length)}${text}.`, "latin1"),
  "SHORT_BINUNICODE raw": (text) => Buffer.from(`\x8c${String.fromCharCode(text.length)}${text}.`, "latin1"),
  "GLOBAL raw": (text) => Buffer.from(`c${text}\n${text}x\n.`, "latin1"),
  "PUT and GET number": (text) => Buffer.from(`I7\np${text}\n0g${text}\n.`, "latin1"),
};

describe(`seed ${SEED}`, () => {
  it.each(Object.keys(KINDS))("%s", async (kind) => {
    const below = random(SEED);
    const parts = PARTS[kind.split(" ").at(-1) as keyof typeof PARTS];
    const all = Array.from({ length: COUNT }, () => {
      const text = Array.from({ length: below(5) }, () => parts[below(parts.length)]!).join("");
      return KINDS[kind]!(text);
    });
    const expected: Told[] = JSON.parse(
      await runPython(
        "zero",
        ["-c", REFERENCE],
        all.map((data) => data.toString("hex")),
      ),
    );
    let read = 0;
    for (const [i, data] of all.entries()) {
      const here = readHere(data);
      if (here === null) continue;
      read++;
      expect([data.toString("latin1"), here]).toEqual([data.toString("latin1"), expected[i]]);
    }
    // What is refused cannot be all: else nothing was compared.
    expect(read).toBeGreaterThan(0);
  });
});
