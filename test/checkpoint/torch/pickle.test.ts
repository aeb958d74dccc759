import { describe, expect, it } from "vitest";
import { PICKLE_LIMITS } from "../../../src/checkpoint/torch/limits.js";
import {
  asDict,
  asInteger,
  asItems,
  PyGlobal,
  PyLatin1,
  PyObject,
  PyTuple,
} from "../../../src/checkpoint/torch/objects.js";
import { readPickle } from "../../../src/checkpoint/torch/pickle.js";
import { rewritePickle } from "../../../src/checkpoint/torch/rewrite.js";
import { isVistaError } from "../../../src/core/errors.js";

const read = (bytes: Uint8Array | string) =>
  readPickle(typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes, { path: "x.pt" }).value;

function errorOf(bytes: Uint8Array | string): { code: string; message: string } {
  try {
    read(bytes);
  } catch (error) {
    if (isVistaError(error)) return { code: error.code, message: error.message };
    throw error;
  }
  throw new Error("read without an error");
}

it.each([
  ["half a surrogate pair", "\x80\x02X\x05\x00\x00\x00a\xed\xb3\xa9bq\x00."],
  ["two halves that are no pair", "\x80\x02X\x06\x00\x00\x00\xed\xb0\x80\xed\xa0\x80q\x00."],
  [
    "the character that stands for what is no UTF-8",
    "\x80\x02X\x06\x00\x00\x00\xef\xbf\xbd\xed\xa0\x80q\x00.",
  ],
])("a text with %s is written again as CPython 3.11 pickled it", (_, pickled) => {
  const exact = readPickle(Buffer.from(pickled, "latin1"), { path: "x.pt", exact: true });
  const written = rewritePickle(exact, () => "0");
  expect(Buffer.from(written).toString("latin1")).toBe(pickled);
});

describe("values, as CPython 3.11 pickles them", () => {
  // Each made by pickle.dumps(value, protocol) and pasted as text.
  it.each<[string, string, unknown]>([
    ["None", "\x80\x02N.", null],
    ["True", "\x80\x02\x88.", true],
    ["-1 as BININT", "\x80\x02J\xff\xff\xff\xff.", -1],
    ["255", "\x80\x02K\xff.", 255],
    ["65535", "\x80\x02M\xff\xff.", 65535],
    ["2**31", "\x80\x02\x8a\x05\x00\x00\x00\x80\x00.", 2 ** 31],
    ["-2**31-1", "\x80\x02\x8a\x05\xff\xff\xff\x7f\xff.", -(2 ** 31) - 1],
    ["2**53 becomes a bigint", "\x80\x02\x8a\x07\x00\x00\x00\x00\x00\x00\x20.", 2n ** 53n],
    ["2**127", `\x80\x02\x8a\x11${"\x00".repeat(15)}\x80\x00.`, 2n ** 127n],
    ["-2**127", `\x80\x02\x8a\x10${"\x00".repeat(15)}\x80.`, -(2n ** 127n)],
    ["1.5", "\x80\x02G\x3f\xf8\x00\x00\x00\x00\x00\x00.", 1.5],
    ["a string, protocol 2", "\x80\x02X\x02\x00\x00\x00\xc3\xa9q\x00.", "é"],
    ["a string, protocol 4", "\x80\x04\x95\x06\x00\x00\x00\x00\x00\x00\x00\x8c\x02\xc3\xa9\x94.", "é"],
    ["protocol 0: int", "I-7\n.", -7],
    ["protocol 0: True", "I01\n.", true],
    ["protocol 0: long", "L123456789012345678901L\n.", 123456789012345678901n],
    ["protocol 0: float", "F1.5\n.", 1.5],
    ["protocol 0: unicode", "V\\u00e9\np0\n.", "é"],
    ["protocol 0: unicode beyond ASCII", "V\xe4\\u6f22\\u005cu00e9\\U0001f697\r\np0\n.", "ä漢\\u00e9🚗\r"],
    ["protocol 0: backslashes before an escape", "V\\\\u00e9 \\\\\\u00e9\n.", "\\\\u00e9 \\\\é"],
    ["protocol 0: str", "S'a\\n'\np0\n.", "a\n"],
    // CPython 3.11 with encoding="utf-8", as torch.load has it; test/peers/zero/pickle-text.test.ts compares thousands.
    ["protocol 0: str with escapes of UTF-8", "S'\\xc3\\xa9\xc3\xa9'\n.", "éé"],
    ["protocol 0: str with octal escapes and unknown ones", "S'\\101\\7\\q\\8'\n.", "A\x07\\q\\8"],
    ["protocol 0: infinity", "F-inf\n.", Number.NEGATIVE_INFINITY],
    ["protocol 0: a carriage return stays in a text", "V\r\n.", "\r"],
    ["a str of Python 2 in UTF-8", "\x80\x02U\x02\xc3\xa9.", "é"],
    [
      "a str of Python 2 that is none, as NumPy's numbers were: bytes",
      "\x80\x02U\x01\xe9.",
      new PyLatin1("\xe9"),
    ],
    ["half a surrogate pair", "\x80\x02X\x03\x00\x00\x00\xed\xa0\xbd.", "\ud83d"],
    ["[1, 2] with a memo", "\x80\x02]q\x00(K\x01K\x02e.", [1, 2]],
    ["{'a': 1}", "\x80\x02}q\x00X\x01\x00\x00\x00aq\x01K\x01s.", new Map([["a", 1]])],
    ["protocol 0: {'a': 1}", "(dp0\nVa\np1\nI1\ns.", new Map([["a", 1]])],
    ["{1, 2}, protocol 4", "\x80\x04\x8f\x94(K\x01K\x02\x90.", new Set([1, 2])],
    ["frozenset({1}), protocol 4", "\x80\x04(K\x01\x91\x94.", new Set([1])],
    ["{1}, protocol 2", "\x80\x02c__builtin__\nset\nq\x00]q\x01K\x01a\x85q\x02Rq\x03.", new Set([1])],
    [
      "OrderedDict",
      "\x80\x02ccollections\nOrderedDict\nq\x00)Rq\x01X\x01\x00\x00\x00aq\x02K\x01s.",
      new Map([["a", 1]]),
    ],
    ["bytes, protocol 4", "\x80\x04C\x02\x01\xff\x94.", Buffer.from([1, 255])],
  ])("%s", (_, text, expected) => {
    expect(read(text)).toEqual(expected);
  });

  it("bytes of protocol 2 come through _codecs.encode", () => {
    const value = read(
      "\x80\x02c_codecs\nencode\nq\x00X\x03\x00\x00\x00\x01\xc3\xbfq\x01X\x06\x00\x00\x00latin1q\x02\x86q\x03Rq\x04.",
    );
    expect(value).toBeInstanceOf(PyLatin1);
    expect([...(value as PyLatin1).bytes]).toEqual([1, 255]);
  });

  it("a memo that is written twice counts once, also where numbers are left out", () => {
    // By CPython 3.11, (3, 2) and (4, 3).
    const numbers = (pickle: string) => (read(pickle) as PyTuple).items;
    expect(numbers("\x80\x04K\x01q\x00q\x000K\x02\x940K\x03\x940h\x02h\x01\x86.")).toEqual([3, 2]);
    expect(numbers("\x80\x04K\x01q\x050K\x02q\x000K\x03q\x05\x940h\x02h\x05\x86.")).toEqual([3, 3]);
  });

  it("a tuple keeps its identity through the memo", () => {
    const value = read("\x80\x02K\x01\x85q\x00h\x00\x86."); // ((1,), (1,)), one object
    const [a, b] = (value as PyTuple).items;
    expect(a).toBeInstanceOf(PyTuple);
    expect(b).toBe(a);
  });

  it("keys keep their type: 1 and '1' are two", () => {
    const dict = asDict(read("\x80\x02}(K\x01K\x0aX\x01\x00\x00\x001K\x0bu."));
    expect([dict?.get(1), dict?.get("1"), dict?.size]).toEqual([10, 11, 2]);
  });

  it("__proto__ is a key like any other", () => {
    const dict = asDict(read("\x80\x02}X\x09\x00\x00\x00__proto__K\x01s."));
    expect(dict?.get("__proto__")).toBe(1);
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  });
});

describe("nothing is executed", () => {
  it("os.system is an inert object that remembers what was asked", () => {
    const value = read("cos\nsystem\n(S'touch /tmp/owned'\ntR.") as PyObject;
    expect(value).toBeInstanceOf(PyObject);
    expect(value.id).toBe("os.system");
    expect(asItems(value.args)).toEqual(["touch /tmp/owned"]);
  });

  it("names are reported once each, in order", () => {
    const names: string[] = [];
    const bytes = Buffer.from("\x80\x02ca\nb\nca\nb\ncc\nd\n\x87.", "latin1");
    readPickle(bytes, { path: "x", onGlobal: (name) => names.push(name.id) });
    expect(names).toEqual(["a.b", "c.d"]);
  });

  it("dict subclasses keep their items, list subclasses theirs, BUILD its state", () => {
    const dict = read(
      "\x80\x02clightning\nAttributeDict\n)\x81q\x00X\x01\x00\x00\x00aK\x01s}X\x01\x00\x00\x00sK\x02sb.",
    ) as PyObject;
    expect(asDict(dict)).toEqual(new Map([["a", 1]]));
    expect(asDict(dict.state)).toEqual(new Map([["s", 2]]));
    const list = read("\x80\x02cx\nMyList\n)\x81(K\x01K\x02e.") as PyObject;
    expect(asItems(list)).toEqual([1, 2]);
  });

  it("an enum member is its value", () => {
    expect(asInteger(read("\x80\x02cds\nZeroStageEnum\nK\x02\x85R."))).toBe(2);
  });

  it("a bare class or function is a name", () => {
    expect(read("\x80\x02cmath\nsqrt\n.")).toBeInstanceOf(PyGlobal);
  });
});

describe("bad pickles", () => {
  it.each<[string, Uint8Array | string, string, RegExp]>([
    ["nothing", "", "TRUNCATED", /ends early: 1 byte wanted at 0, 0 left/],
    ["no STOP", "\x80\x02K\x01", "TRUNCATED", /1 byte wanted at 4, 0 left/],
    ["a string longer than the file", "\x80\x02X\xff\xff\xff\x7fab.", "TRUNCATED", /2147483647 bytes wanted/],
    [
      "an 8-byte length beyond everything",
      "\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7f.",
      "TRUNCATED",
      /9223372036854775807/,
    ],
    ["a line without an end", "cos", "TRUNCATED", /line without an end/],
    ["protocol 6", "\x80\x06.", "PICKLE", /protocol 6/],
    ["an unknown operation", "\x80\x02\xff.", "PICKLE", /at byte 2: .*unknown operation 0xff/],
    ["the extension registry", "\x80\x02\x82\x01.", "PICKLE", /EXT/],
    ["an out-of-band buffer", "\x80\x05\x97.", "PICKLE", /NEXT_BUFFER/],
    ["an empty stack", "\x80\x02a.", "PICKLE", /stack is empty/],
    ["a TUPLE without MARK", "\x80\x02t.", "PICKLE", /no MARK/],
    ["a MARK taken as a value", "\x80\x02(K\x01\x87.", "PICKLE", /stack is empty/],
    ["a memo never written", "\x80\x02h\x07.", "PICKLE", /memo 7/],
    // From a file, CPython 3.11 takes the module of this name for "s".
    [
      "a name beyond its frame",
      `\x80\x04\x95\x02${"\x00".repeat(7)}cos\ngetcwd\n.`,
      "PICKLE",
      /end of its frame/,
    ],
    [
      "a frame in a frame",
      `\x80\x04\x95\x0b${"\x00".repeat(7)}N0\x95\x01${"\x00".repeat(7)}N.`,
      "PICKLE",
      /within another/,
    ],
    [
      "a frame beyond the end",
      `\x80\x04\x95\x03${"\x00".repeat(7)}N.`,
      "TRUNCATED",
      /frame of 3 bytes, 2 left/,
    ],
    ["items set on a list", "\x80\x02]K\x01K\x02s.", "PICKLE", /not a dict/],
    ["items appended to a dict", "\x80\x02}K\x01a.", "PICKLE", /not a list/],
    ["an odd number of dict items", "\x80\x02}(K\x01u.", "PICKLE", /without a value/],
    ["a persistent id nobody asked for", "\x80\x02K\x01Q.", "PICKLE", /persistent id/],
    ["an integer of 2 GB", "\x80\x02\x8b\xff\xff\xff\x7f.", "PICKLE", /2147483647 bytes, the limit/],
    ["deep marks", "(".repeat(PICKLE_LIMITS.depth + 1), "PICKLE", /nested more than 10000 deep/],
    ["STACK_GLOBAL of numbers", "\x80\x04K\x01K\x02\x93.", "PICKLE", /two strings/],
    ["an unquoted string", "Sabc\n.", "PICKLE", /without quotes/],
    // CPython reads 8, 16, 10, 7 and 7; pickle writes none of them.
    ["an octal INT", "I010\n.", "PICKLE", /integer that is not one/],
    ["a hexadecimal LONG", "L0x10L\n.", "PICKLE", /integer that is not one/],
    ["an INT with an underscore", "I1_0\n.", "PICKLE", /integer that is not one/],
    ["an INT with a sign", "I+7\n.", "PICKLE", /integer that is not one/],
    ["an INT with a space", "I 7\n.", "PICKLE", /integer that is not one/],
    // CPython reads True and False.
    ["a boolean with a sign", "I+1\n.", "PICKLE", /integer that is not one/],
    ["zero with a sign", "I-0\n.", "PICKLE", /integer that is not one/],
    // CPython refuses these too.
    ["a hexadecimal FLOAT", "F0x10\n.", "PICKLE", /float that is not one/],
    ["a FLOAT beyond the largest", "F1e999\n.", "PICKLE", /float that is not one/],
    ["a FLOAT of two signs", "F+-inf\n.", "PICKLE", /float that is not one/],
    ["a FLOAT with a space", "F 1.5\n.", "PICKLE", /float that is not one/],
    ["a FLOAT with a carriage return", "F1.5\r\n.", "PICKLE", /float that is not one/],
    ["an empty line", "L\n.", "PICKLE", /line without anything/],
    ["half an escape of STRING", "S'\\x4'\n.", "PICKLE", /escape of STRING/],
    ["a backslash at the end of STRING", "S'\\'\n.", "PICKLE", /escape of STRING/],
    ["half an escape of UNICODE", "V\\u12\n.", "PICKLE", /escape of UNICODE/],
    ["an escape of UNICODE beyond the last", "V\\U00110000\n.", "PICKLE", /escape of UNICODE/],
    ["a name that is no UTF-8", "c\xff\nx\n.", "PICKLE", /no UTF-8/],
    // CPython keeps two characters, which would become one here.
    ["a surrogate pair of two escapes", "V\\ud83d\\ude97\n.", "PICKLE", /halves of a surrogate pair/],
    [
      "a surrogate pair of two halves",
      "\x80\x02X\x06\x00\x00\x00\xed\xa0\xbd\xed\xba\x97.",
      "PICKLE",
      /halves of a surrogate pair/,
    ],
  ])("%s", (_, bytes, code, message) => {
    const error = errorOf(bytes);
    expect(error.code).toBe(code);
    expect(error.message).toMatch(message);
  });

  it("a billion laughs cost nothing: references are not copies", () => {
    // a = []; then 40 times: a = [a, a, a, …] by memo: 10^40 elements if anyone unfolded it
    let text = "\x80\x02]q\x00";
    for (let i = 0; i < 40; i++)
      text += `](${`h${String.fromCharCode(i)}`.repeat(10)}eq${String.fromCharCode(i + 1)}`;
    expect(asItems(read(`${text}.`))).toHaveLength(10);
  });

  it("copying one list over and over is stopped", () => {
    // l = [None] * 100000, then set(l), set(l), … : each four bytes ask for a copy of 100,000 items
    const list = `]q\x00(${"N".repeat(100_000)}e0`;
    const copies = "c__builtin__\nset\nq\x010".concat("h\x01h\x00\x85R0".repeat(2000));
    const error = errorOf(`\x80\x02${list}${copies}N.`);
    expect(error.message).toMatch(/more than \d+ (?:operations|bytes of memory)/);
  });
});
