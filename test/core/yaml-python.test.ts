/** What PyYAML 6.0 under OmegaConf 2.3.0 (`OmegaConf.load`) gave for these texts; nothing of it comes from our own reader. */
import { expect, test } from "vitest";
import { parseYaml } from "../../src/core/yaml.js";

/** Values as `type repr` of Python; `error` where loading failed. */
const SCALARS = `
  0500 int 320|0o17 str 0o17|0b101 int 5|0b_ error|0x1F int 31|0x_ error|0_ int 0|08 str 08|09 str 09|09.5 float 9.5
  1_000 int 1000|1__0 int 10|1_ int 1|_1 str _1|1:30 int 90|01:30 str 01:30|1:60 str 1:60|-1:30 int -90|1:30:15 int 5415
  190:20:30.15 float 685230.15|1:5.5 float 65.5|1e-4 float 0.0001|1e4 float 10000.0|1E+4 float 10000.0|256e3 float 256000.0
  1.e-5 float 0.00001|1.e4 float 10000.0|1. float 1.0|25.0 float 25.0|-0.0 float -0.0|.5 float 0.5|-.5 str -.5|+.5 str +.5
  .5e3 str .5e3|.5e-3 float 0.0005|._5 str ._5|1_0.5 float 10.5|1_.5e3 str 1_.5e3|1e5_ str 1e5_|5e str 5e|e5 str e5|. str .
  ~ null|null null|Null null|NULL null|nULL str nULL|None str None|yes bool true|Yes bool true|yEs str yEs|NO bool false
  on bool true|Off bool false|y str y|N str N|true bool true|TRUE bool true|tRUE str tRUE|.inf float Infinity
  -.INF float -Infinity|+.Inf float Infinity|.iNF str .iNF|.nan float NaN|-.nan str -.nan|inf str inf|2001-01-01 str 2001-01-01
  12:30:45 int 45045|10000000000000 int 10000000000000|1e400 float Infinity|1.2.3 str 1.2.3|1,000 str 1,000|- error|-- str --
  = error|<< error|0,1 str 0,1|0777 int 511|0o777 str 0o777|+0500 int 320|-0b11 int -3|0.5.5 str 0.5.5|1e2.5 str 1e2.5
`;

test("scalars without quotes are what PyYAML and OmegaConf make of them", async () => {
  const got: string[] = [];
  const expected = SCALARS.trim().split(/\s*[|\n]\s*/);
  for (const line of expected) {
    const [word = "", type = ""] = line.split(" ");
    const value = await parseYaml(`a: ${word}\n`, "", { python: true }).then(
      (tree) => (tree as { a: unknown }).a,
      () => "error",
    );
    // A whole float comes as the text that Python writes for it.
    const kinds = { number: Number.isInteger(value) ? "int" : "float", boolean: "bool", object: "" };
    const kind = kinds[typeof value as "number"] ?? (type === "float" ? "float" : "str");
    const text = value === "error" && type === "error" ? "error" : `${kind} ${String(value)}`.trim();
    got.push(`${word} ${text}`);
  }
  expect(got).toEqual(expected);
});

test.each([
  ["b: &b {x: 1, y: 2}\na:\n  <<: *b\n  x: 3\n", { b: { x: 1, y: 2 }, a: { x: 3, y: 2 } }],
  [
    "b: &b {x: 1}\nc: &c {x: 2, z: 1}\na:\n  <<: [*b, *c]\n",
    { b: { x: 1 }, c: { x: 2, z: 1 }, a: { x: 1, z: 1 } },
  ],
  ["a: 'b\tc' # \td\n", { a: "b\tc" }],
  ["a: |\n  x\ty\n", { a: "x\ty\n" }],
  ["a: 1\rb: 2\r", { a: 1, b: 2 }],
  ["---\na: 1\n...\n", { a: 1 }],
  ["%YAML 1.2\n---\na: 0o17\nb: 017\n", { a: "0o17", b: 15 }],
  ["a: [\n  1\n]\n", { a: [1] }],
  ["'yes': 1\nyes: 2\n", { yes: 1, true: 2 }],
])("%j is read as PyYAML reads it", async (text, value) => {
  expect(JSON.parse(JSON.stringify(await parseYaml(text, "", { python: true })))).toEqual(value);
});

test.each(
  [
    ...["a: 1\na: 2\n", "a: {b: 1, b: 2}\n", "~: 1\n", "? [a]\n: b\n", ": a\n", "a:\n  <<: 5\n"],
    ...["a:\t5\n", "a: 5\t# c\n", "a: b\tc\n", "\ta: 1\n", "a: |\n\tx\n", "a: Tru\re\n", "a: x\x07\n"],
    ...["a: 1\n---\nb: 2\n", "a: &x 1\nb: &x 2\n", "a: *x\n", "a: &a:b 1\nc: *a:b\n", "a: !foo 5\n"],
    ...["a: [:5]\n", "a: [x?]\n", "a: %x\n", "a: @x\n", "a: b: c\n"],
  ].map((text) => [text]),
)("%j, which PyYAML does not take, is refused", async (text) => {
  await expect(parseYaml(text, "c.yaml", { python: true })).rejects.toMatchObject({ code: "FORMAT" });
});

test.each([
  ["a: !!float 3\n", "the tag !!float is not read here"],
  ["a:\n  <<: {x: 1}\n  <<: {x: 2}\n", "several merge keys"],
])("%j, which PyYAML takes and this reader does not, is refused by name", async (text, words) => {
  await expect(parseYaml(text, "c.yaml", { python: true })).rejects.toThrow(words);
});
