/** The rules of the house, from the imports of src/: what may know what, and who prints. */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { expect, it } from "vitest";

const files = readdirSync("src", { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".ts"))
  .map((name) => join("src", name))
  .sort();
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
  const known = new Set(files);
  expect(imports.filter(({ to }) => !known.has(to))).toEqual([]);
});

it("no file imports itself by way of others, be it for a type or when something runs", () => {
  expect(cyclesOf(imports)).toEqual([]);
  // The search can find some.
  const ring = ["a", "b", "c"].map((from, i, all) => ({ from, to: all[(i + 1) % 3]! }));
  expect(cyclesOf([...ring, { from: "c", to: "d" }])).toEqual([["a", "b", "c"]]);
});

/** Groups of files in which each leads to all others. */
function cyclesOf(arrows: readonly { from: string; to: string }[]): string[][] {
  const next = new Map<string, string[]>();
  for (const { from, to } of arrows) next.set(from, [...(next.get(from) ?? []), to]);
  const reached = new Map<string, Set<string>>();
  for (const start of next.keys()) {
    const seen = new Set<string>();
    const waiting = [...next.get(start)!];
    for (let at = waiting.pop(); at !== undefined; at = waiting.pop()) {
      if (!seen.has(at)) waiting.push(...(next.get(at) ?? []));
      seen.add(at);
    }
    reached.set(start, seen);
  }
  const circular = [...reached.keys()].filter((file) => reached.get(file)!.has(file));
  const groups = circular.map((file) =>
    circular.filter((other) => reached.get(file)!.has(other) && reached.get(other)!.has(file)),
  );
  return [...new Map(groups.map((group) => [group[0]!, group])).values()];
}

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

/** What opens files or reads them by name; to look at a name, list a folder or read a descriptor is another matter. */
const OPENING =
  /\b(?:open|openSync|openAsBlob|(?:read|write|append|copy)File(?:Sync)?|create(?:Read|Write)Stream|cp|cpSync|truncate|truncateSync)\b/;

/** What changes folders. */
const CHANGING = /\b(?:mkdir|mkdtemp|rename|rm|rmdir|unlink|link|symlink|chmod|utimes)(?:Sync)?\b/;

/** Files that change folders by themselves, and why. */
const MAY_CHANGE: Record<string, string> = {
  "src/checkpoint/cli/run-to-st.ts": "makes ckpts/, as bin_to_st.py does",
  "src/train/checkpoint-tools.ts": "makes the folder for resharded checkpoints of a run",
  "src/train/cli/run-launch.ts": "makes the folder of a Slurm job's output, which sbatch does not",
  "src/train/preflight/checks/run-folder.ts": "tries whether the folder of the runs can be written",
  "src/train/run/prune.ts": "removes checkpoints",
};

/** Names that a file takes from Node's file system. */
function fileSystemNames(file: string): string {
  return [...texts.get(file)!.matchAll(/import \{([^}]*)\} from "node:fs(?:\/promises)?"/g)]
    .map((match) => match[1])
    .join();
}

it("only core/io opens files, and only it and the files named above change folders", () => {
  const others = files.filter((file) => !file.startsWith("src/core/io/"));
  expect(others.filter((file) => OPENING.test(fileSystemNames(file)))).toEqual([]);
  expect(others.filter((file) => CHANGING.test(fileSystemNames(file)))).toEqual(Object.keys(MAY_CHANGE));
  // Not by another way to the same functions.
  expect(
    files.filter((file) =>
      /from "(?:node:)?fs|import \w+ from "node:fs|import\("(?:node:)?fs/.test(
        texts.get(file)!.replace(/import (?:type )?\{[^}]*\} from "node:fs(?:\/promises)?"/g, ""),
      ),
    ),
  ).toEqual([]);
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

it("whoever is told of wrong usage is told what to do", () => {
  // An error ends where its own line would begin again, or with the statement.
  const calls = files.flatMap((file) =>
    [...texts.get(file)!.matchAll(/VistaError\(\s*"USAGE"[\s\S]*?\);?\n/g)].map((match) => ({
      file,
      text: match[0],
    })),
  );
  expect(calls.length).toBeGreaterThan(50);
  expect(calls.filter(({ text }) => !/\bhint\b/.test(text))).toEqual([]);
});
