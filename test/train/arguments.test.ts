import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { knownFlags, parseArguments } from "../../src/train/launch/arguments.js";
import { applyDotted, getPath, mergeConfigs } from "../../src/train/launch/config.js";
import { temporaryFolder } from "./checkout.js";

const folder = await temporaryFolder();

test("flags are read as argparse reads them", async () => {
  const flags = await knownFlags(folder);
  const kinds = (words: string[]) =>
    parseArguments(words, flags).map((one) => [one.kind, one.name, one.values]);
  expect(kinds(["--max_epochs", "5", "--seed=7", "-s", "3", "-s4"])).toEqual([
    ["flag", "--max_epochs", ["5"]],
    ["flag", "--seed", ["7"]],
    ["flag", "-s", ["3"]],
    ["flag", "-s", ["4"]],
  ]);
  // A prefix that only one flag has, one that two have, and none.
  expect(kinds(["--max_e", "5"])).toEqual([["flag", "--max_epochs", ["5"]]]);
  expect(kinds(["--max_"])[0]?.slice(0, 2)).toEqual(["ambiguous-flag", "--max_"]);
  expect(kinds(["--max_epoch_s", "5", "a.b=1"])).toEqual([
    ["unknown-flag", "--max_epoch_s", []],
    ["dotted", "a.b", []],
  ]);
  expect(kinds(["--base", "a.yaml", "b.yaml", "--debug", "stray"])).toEqual([
    ["flag", "--base", ["a.yaml", "b.yaml"]],
    ["flag", "--debug", ["stray"]],
  ]);
  expect(kinds(["stray", "a.b[0].c=1", "--limit_train_batches", "-1"])).toEqual([
    ["stray", "stray", []],
    ["dotted", "a.b[0].c", []],
    ["flag", "--limit_train_batches", ["-1"]],
  ]);
  // To argparse -1e3 is no number, and so an option.
  expect(kinds(["--precision", "-1e3", "-.5"])).toEqual([
    ["flag", "--precision", []],
    ["unknown-flag", "-1e3", []],
    ["stray", "-.5", []],
  ]);
});

test("flags that a fork's train.py adds are known", async () => {
  const vista = join(folder, "fork");
  await mkdir(vista);
  await writeFile(
    join(vista, "train.py"),
    `parser.add_argument(
        "-w",
        "--wandb_project",
        type=str,
        help="where to log (see https://docs.example.com)"
    )
    parser.add_argument("--extra", action="store_true")
    parser.add_argument("--share", type=int, default=1)
    parser.add_argument("--really", type=str2bool, nargs="?", const=True)
`,
  );
  const flags = await knownFlags(vista);
  expect([flags.get("--wandb_project"), flags.get("-w"), flags.get("--extra")]).toEqual([
    "one",
    "one",
    "nothing",
  ]);
  expect([flags.get("--share"), flags.get("--really")]).toEqual(["integer", "boolean"]);
  expect(parseArguments(["--extra", "a.b=1"], flags).map(({ kind }) => kind)).toEqual(["flag", "dotted"]);
  expect(flags.has("--finetune")).toBe(true);
});

test("configs are merged and overridden as OmegaConf does", async () => {
  const merged = mergeConfigs({ a: { b: 1, c: [1, 2] }, d: 1 }, { a: { c: [3] }, d: { e: 1 } }, "c.yaml");
  expect(merged).toEqual({ a: { b: 1, c: [3] }, d: { e: 1 } });
  const dotted = await applyDotted(merged, ["a.b=1.5", "a.new=[1, 2]", "d.e=null", "x.y=text"]);
  expect(dotted).toEqual({ a: { b: 1.5, c: [3], new: [1, 2] }, d: { e: null }, x: { y: "text" } });
  expect(merged).toEqual({ a: { b: 1, c: [3] }, d: { e: 1 } });
  expect(getPath(dotted, "a.new[1]")).toBe(2);
  expect(getPath(dotted, "a.none.x")).toBeUndefined();
});
