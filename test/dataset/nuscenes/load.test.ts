import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeNuScenes } from "../../../bench/make-nuscenes.mjs";
import {
  follow,
  loadAnnotations,
  loadEgoPose,
  loadSampleData,
  type SampleData,
} from "../../../src/dataset/nuscenes/read/load.js";
import { loadSmall, rowOf } from "../../../src/dataset/nuscenes/read/tables.js";

const folder = mkdtempSync(join(tmpdir(), "vista-load-"));
const file = join(folder, "table.json");
let text: string;
let targets: Parameters<typeof loadSampleData>[0]["targets"];
// biome-ignore lint/suspicious/noExplicitAny: rows of a test
let rows: Record<string, any>[];

beforeAll(() => {
  makeNuScenes(folder, { scenes: 2, samples: 2, boxes: 1 });
  const table = (name: string) => join(folder, "v1.0-mini", `${name}.json`);
  text = readFileSync(table("sample_data"), "utf8");
  rows = JSON.parse(text);
  targets = {
    sample: loadSmall("sample", table("sample")).table,
    calibrated_sensor: loadSmall("calibrated_sensor", table("calibrated_sensor")).table,
  };
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function load(content: string | Buffer): SampleData {
  writeFileSync(file, content);
  const data = loadSampleData({ path: file, targets }, () => {});
  follow({ words: data.prevWords, links: data.prev, table: data.table });
  follow({ words: data.nextWords, links: data.next, table: data.table });
  return data;
}

/** What must not depend on how the JSON is written. */
function meaning(data: SampleData) {
  const {
    rows,
    time,
    keyFrame,
    sample,
    sensor,
    prev,
    next,
    file,
    folder,
    folders,
    form,
    forms,
    error,
    complete,
  } = data;
  const plain = { rows, time, keyFrame, sample, sensor, prev, next, file, folder, folders, form, forms };
  return JSON.parse(
    JSON.stringify({
      ...plain,
      error,
      complete,
      problems: data.problems.first.length,
      dangling: data.dangling.length,
    }),
  );
}

describe("the layout does not matter", () => {
  const layouts: [string, () => string][] = [
    ["without white space", () => JSON.stringify(rows)],
    ["indented by four", () => JSON.stringify(rows, null, 4)],
    ["with tabs and CRLF", () => JSON.stringify(rows, null, "\t").replaceAll("\n", "\r\n")],
    [
      "keys in another order",
      () => JSON.stringify(rows.map((row) => Object.fromEntries(Object.entries(row).reverse()))),
    ],
    [
      "a different order in every other row",
      () =>
        JSON.stringify(
          rows.map((row, i) => (i % 2 ? row : Object.fromEntries(Object.entries(row).reverse()))),
        ),
    ],
    ["with escapes", () => text.replaceAll("samples/", "samples\\/").replaceAll('"f', '"\\u0066')],
    [
      "with fields of another's",
      () => JSON.stringify(rows.map((row) => ({ ...row, extra: { a: [1, "}", null] } }))),
    ],
    ["numbers with an exponent", () => text.replaceAll(": 1600", ": 16e2").replaceAll(": 900", ": 9.00E+2")],
  ];

  it.each(layouts)("%s", (_, write) => {
    const expected = meaning(load(text));
    expect(expected.rows).toBe(rows.length);
    expect(expected.error).toBeUndefined();
    expect(meaning(load(write()))).toEqual(expected);
  });

  it("a row is found by its token and links name rows", () => {
    const data = load(text);
    for (const [i, row] of rows.entries()) {
      expect(rowOf(data, row.token)).toBe(i);
      expect(data.next[i]).toBe(row.next === "" ? -1 : rows.findIndex((each) => each.token === row.next));
    }
  });
});

describe("what is no JSON is never taken for it", () => {
  const isJson = (content: string) => {
    try {
      return Array.isArray(JSON.parse(content));
    } catch {
      return false;
    }
  };

  it("one changed byte: JSON.parse is the judge", () => {
    const bytes = Buffer.from(text).subarray(0, text.indexOf("}", 3000) + 1);
    const whole = Buffer.concat([bytes, Buffer.from("\n]")]);
    expect(isJson(whole.toString())).toBe(true);
    const change = fc.tuple(
      fc.nat(whole.length - 1),
      fc.constantFrom(...Buffer.from('{}[]",:\\0-+.eE1ntfN \n\u0000a'), 0xff),
    );
    fc.assert(
      fc.property(change, ([at, byte]) => {
        const changed = Buffer.from(whole);
        changed[at] = byte;
        const { error } = load(changed);
        // Not UTF-8: Python stops there, JSON.parse would see a replacement character.
        expect(error === undefined).toBe(byte !== 0xff && isJson(changed.toString()));
        if (error !== undefined) expect(error.offset).toBeLessThanOrEqual(whole.length);
      }),
      { numRuns: 400 },
    );
  });

  it("every cut gives an error at the end of what is there", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: text.trimEnd().length - 1 }), (length) => {
        const { error, complete } = load(text.slice(0, length));
        expect(error?.offset).toBe(length);
        expect(complete).toBe(false);
      }),
      { numRuns: 60 },
    );
  });

  it.each([
    ["", 0, "the file is empty"],
    ["  \n", 3, "no JSON in it"],
    ["\ufeff[]", 0, "byte order mark"],
    ["{}", 0, "does not start with an array"],
    ["[] []", 3, "more text after the end"],
    ["[{},]", 4, "unexpected"],
    ["[{}", 3, "ends before its array is closed"],
    ["[{'a': 1}]", 2, "quoted key"],
    ["[{} {}]", 4, 'no ","'],
  ])("%j", (content, offset, reason) => {
    const { error } = load(content);
    expect(error?.offset).toBe(offset);
    expect(error?.reason).toContain(reason);
  });
});

it("rows longer than a read and many reads give the same rows", () => {
  // 3 MB: several reads of 512 kB, with rows across every border; one row of 700 kB.
  const many: typeof rows = Array.from({ length: 6000 }, (_, i) => ({
    ...rows[i % rows.length]!,
    token: i.toString(16).padStart(32, "0"),
    prev: "",
    next: "",
  }));
  many[3000]!.filename = `samples/CAM_FRONT/${"x".repeat(700_000)}.jpg`;
  const data = load(JSON.stringify(many, null, 1));
  expect(data.error).toBeUndefined();
  expect(data.rows).toBe(6000);
  expect(data.duplicates.first).toEqual([]);
  expect(rowOf(data, (5999).toString(16).padStart(32, "0"))).toBe(5999);
});

it("tokens need not be hexadecimal", () => {
  const renamed = (value: unknown) =>
    typeof value === "string" && /^[0-9a-f]{32}$/.test(value) ? `frame-${value}-é` : value;
  const named = rows.map((row) => ({
    ...row,
    token: renamed(row.token),
    prev: renamed(row.prev),
    next: renamed(row.next),
  }));
  const data = load(JSON.stringify(named));
  const expected = load(text);
  expect([...data.prev]).toEqual([...expected.prev]);
  expect(data.duplicates.first).toEqual([]);
});

it.each([
  ["NaN", 'field "rotation" is an array of mixed types, not 4 numbers'],
  ["1e400", 'field "rotation" is an array with Infinity, not 4 numbers'],
])("%s, which Python reads, is a wrong value in one place and no damage", (written, message) => {
  const pose = join(folder, "v1.0-mini", "ego_pose.json");
  const content = readFileSync(pose, "utf8").replace(/-0\.0015811634307974854/, written);
  writeFileSync(file, content);
  const data = loadEgoPose({ path: file }, () => {});
  expect(data.error).toBeUndefined();
  expect(data.problems.first.map((problem) => problem.message)).toEqual([message]);
});

it("boxes with an attribute that is not there", () => {
  const table = (name: string) => join(folder, "v1.0-mini", `${name}.json`);
  const boxes = JSON.parse(readFileSync(table("sample_annotation"), "utf8"));
  boxes[0].attribute_tokens = ["f".repeat(32)];
  boxes[1].attribute_tokens = ["f".repeat(32)];
  writeFileSync(file, JSON.stringify(boxes));
  const small = (name: "sample" | "instance" | "attribute" | "visibility") =>
    loadSmall(name, table(name)).table;
  const all = {
    sample: small("sample"),
    instance: small("instance"),
    attribute: small("attribute"),
    visibility: small("visibility"),
  };
  const { dangling } = loadAnnotations({ path: file, targets: all }, () => {});
  expect(dangling).toEqual([{ field: "attribute_tokens", missing: "f".repeat(32), count: 2, offset: 1 }]);
});
