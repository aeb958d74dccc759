/** Options with several values, in every program: repeated or with commas, never variadic. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { collectList } from "../../../src/core/cli/options.js";

test("values repeat, or have commas between them", () => {
  expect(collectList("c", collectList("a,b", undefined))).toEqual(["a", "b", "c"]);
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
