/** Options with several values, in every program: repeated or with commas, never variadic. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { collectList, wholeNumber } from "../../../src/core/cli/options.js";
import { runCli } from "../../helpers/cli.js";

test("values repeat, or have commas between them", () => {
  expect(collectList("c", collectList("a,b", undefined))).toEqual(["a", "b", "c"]);
});

test("what is said of a whole number holds for the one that was given", () => {
  const count = wholeNumber(1);
  expect(count("9007199254740991")).toBe(9007199254740991);
  expect(count("00000000000000000007")).toBe(7);
  expect(() => count("0")).toThrow("It is a whole number, 1 or more.");
  expect(() => count("9007199254740992")).toThrow("It is a whole number, 1 to 9007199254740991.");
  expect(() => wholeNumber(1, 65_535)("70000")).toThrow("It is a whole number, 1 to 65535.");
});

test("no option of any command swallows the argument behind it", () => {
  const swallowing: string[] = [];
  for (const program of ["checkpoint", "dataset", "train"]) {
    const folder = join(import.meta.dirname, "../../../src", program, "cli");
    const files = readdirSync(folder).filter((name) => name.endsWith(".ts"));
    expect(files.length).toBeGreaterThan(3);
    for (const file of files) {
      const text = readFileSync(join(folder, file), "utf8");
      for (const [flags] of text.matchAll(/--[\w-]+ [<[][\w-]+\.\.\.[>\]]/g))
        swallowing.push(`${file}: ${flags}`);
    }
  }
  expect(swallowing).toEqual([]);
});

test.each([
  ["--tile", "9000", "It is a whole number, 16 to 8192."],
  ["--size", "9000x64", "It must be like 1024x576, each side from 16 to 8192."],
  ["--size", "64x15", "It must be like 1024x576, each side from 16 to 8192."],
])("preview %s %s says the bounds that hold", async (option, value, message) => {
  const { code, stderr } = await runCli("vista-data", ["preview", "x", "-o", "y.png", option, value]);
  expect([code, stderr]).toEqual([2, expect.stringContaining(message)]);
});
