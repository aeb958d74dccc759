/** The rules of the house, from the imports of src/: what may know what, and who prints. */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { expect, it } from "vitest";

const files = readdirSync("src", { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".ts"))
  .map((name) => join("src", name));
const texts = new Map(files.map((file) => [file, readFileSync(file, "utf8")]));

/** Every import of another file of ours, types and dynamic ones too. */
const imports = files.flatMap((file) =>
  [...texts.get(file)!.matchAll(/(?:from|import\()\s*"(\.[^"]+)\.js"/g)].map((match) => ({
    from: file,
    to: `${normalize(join(dirname(file), match[1]!))}.ts`,
  })),
);
const shown = ({ from, to }: { from: string; to: string }) => `${from} → ${to}`;

const FORMATS = ["torch", "safetensors", "zero", "vista", "dcp"];

/** The floor of a file: imports go to the same or a lower one. */
function floorOf(file: string): number {
  const [, program, folder] = file.split("/");
  if (folder === "cli") return 6;
  if (program === "core") return 0;
  if (program !== "checkpoint") return 5;
  if (folder === "tensor") return 1;
  if (folder === "copy") return 2;
  return FORMATS.includes(folder!) ? 3 : 4;
}

it("there are imports to look at", () => {
  expect(imports.length).toBeGreaterThan(500);
  for (const { to } of imports) expect(files).toContain(to);
});

it("imports point downwards: cli, jobs, formats, copy, tensor, core", () => {
  const upwards = imports.filter(({ from, to }) => floorOf(to) > floorOf(from));
  expect(upwards.map(shown)).toEqual([]);
});

it("core knows no program, checkpoints and data sets know no other, training knows both", () => {
  const program = (file: string) => file.split("/")[1]!;
  const allowed: Record<string, string[]> = { core: [], checkpoint: ["core"], dataset: ["core"] };
  const strange = imports.filter(({ from, to }) => {
    const [own, other] = [program(from), program(to)];
    return own !== other && own in allowed && !allowed[own]!.includes(other);
  });
  expect(strange.map(shown)).toEqual([]);
});

it("only cli/ prints", () => {
  const printing = files.filter((file) => /process\.std(out|err)\b|\bconsole\./.test(code(file)));
  expect(printing.filter((file) => !file.includes("/cli/"))).toEqual([]);
});

/** A file without its comments. */
function code(file: string): string {
  return texts.get(file)!.replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, "");
}

it("formats know no other, but that the folders of DeepSpeed and torch.distributed are made of files of the two others", () => {
  const format = (file: string) => {
    const [, program, folder] = file.split("/");
    return program === "checkpoint" && FORMATS.includes(folder!) ? folder : undefined;
  };
  const strange = imports.filter(({ from, to }) => {
    const [own, other] = [format(from), format(to)];
    return own !== undefined && other !== undefined && own !== other;
  });
  expect([...new Set(strange.map(({ from, to }) => `${format(from)} → ${format(to)}`))].sort()).toEqual([
    "dcp → safetensors",
    "dcp → torch",
    "zero → torch",
  ]);
});
