/** The README and the pages: what they link to is there, and the commands, options and imports that they show exist. */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, it, test } from "vitest";
import * as checkpoints from "../src/checkpoint/index.js";
import * as data from "../src/dataset/index.js";
import * as train from "../src/train/index.js";
import { runCli } from "./helpers/cli.js";

const PROGRAMS = ["vista-ckpt", "vista-data", "vista-train"];
const DOORS: Record<string, object> = {
  "vista-ckpt": checkpoints,
  "vista-ckpt/data": data,
  "vista-ckpt/train": train,
};

/** The pages that people write; docs/api.md is made by a tool, and checked as a step of its own. */
const PAGES = [
  "README.md",
  ...readdirSync("docs")
    .filter((name) => name.endsWith(".md") && name !== "api.md")
    .map((name) => `docs/${name}`),
  ...readdirSync("docs/rules").map((name) => `docs/rules/${name}`),
];
const TEXTS = new Map(PAGES.map((page) => [page, readFileSync(page, "utf8")]));

/** The anchor that GitHub gives a heading. */
const anchorOf = (heading: string) =>
  heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\s_-]/gu, "")
    .replaceAll(" ", "-");

it("every file and every heading that a page links to is there", () => {
  let links = 0;
  for (const [page, text] of TEXTS)
    for (const [link, target] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^https?:/.test(target!)) continue;
      const [path, anchor] = target!.split("#");
      const file = path === "" ? page : join(dirname(page), path!);
      expect([page, link, existsSync(file)]).toEqual([page, link, true]);
      links += 1;
      if (anchor === undefined) continue;
      const headings = [...readFileSync(file, "utf8").matchAll(/^#+ (.*)$/gm)].map((match) =>
        anchorOf(match[1]!),
      );
      expect([page, link, headings.includes(anchor)]).toEqual([page, link, true]);
    }
  expect(links).toBeGreaterThan(150);
});

it("every picture of the README says in words what it shows, and has less than 150 kB", () => {
  const pictures = [...TEXTS.get("README.md")!.matchAll(/!\[([^\]]*)\]\(([^)]+)\)/g)];
  expect(pictures.length).toBe(3);
  for (const [, words, file] of pictures) {
    expect(words!.split(" ").length).toBeGreaterThan(5);
    expect(statSync(file!).size).toBeLessThan(150_000);
  }
});

/** The options of each command of a program, by its words (`/annos/youtube`), as its completion has them. */
async function optionsOf(program: string): Promise<Map<string, readonly string[]>> {
  const { stdout } = await runCli(program, ["completion", "bash"]);
  const options = new Map(
    [...stdout.matchAll(/^ {10}"([^"]*)"\) found="(-[^"]*)"/gm)].map(([, words, found]) => [
      words!,
      found!.split(" "),
    ]),
  );
  // The name of a recipe stands for `run`, and pages name recipes of one's own too.
  const run = options.get("/run");
  if (run !== undefined)
    for (const recipe of [
      "phase1",
      "phase2-stage1",
      "phase2-stage2",
      "example",
      "debug",
      "phase1-small",
      "<recipe>",
    ])
      options.set(`/${recipe}`, run);
  return options;
}

/** Lines of the blocks of a page that are a command of one of the programs, and such commands within its text. */
function* commandsIn(text: string): Generator<string> {
  for (const [, block] of text.matchAll(/^```\w*\n([\s\S]*?)^```/gm))
    for (const line of block!.replaceAll("\\\n", " ").split("\n"))
      for (const part of line.replace(/ #.*|["|>].*/g, "").split("&&"))
        yield part.trim().replace(/^(?:\$ |srun |npx )*/, "");
  for (const [, code] of text.replace(/^```\w*\n[\s\S]*?^```/gm, "").matchAll(/`([^`\n]+)`/g)) yield code!;
}

test("every command that a page shows exists, and so do its options", async () => {
  let commands = 0;
  for (const program of PROGRAMS) {
    const options = await optionsOf(program);
    expect(options.size).toBeGreaterThan(6);
    for (const [page, text] of TEXTS)
      for (const command of commandsIn(text)) {
        const words = command.split(/\s+/);
        if (words.shift() !== program) continue;
        let at = "";
        while (words[0] !== undefined && options.has(`${at}/${words[0]}`)) at += `/${words.shift()}`;
        // Global options may stand before a command, and behind `--` come those of another program.
        const own = words.slice(0, words.includes("--") ? words.indexOf("--") : words.length);
        for (const word of own.filter((word) => /^--?[a-zA-Z]/.test(word))) {
          const option = word.split("=")[0]!;
          const known = [...options.get(at)!, ...options.get("")!].includes(option);
          expect([page, command, option, known]).toEqual([page, command, option, true]);
        }
        if (at === "" && own.length > 0 && /^[a-z]/.test(own[0]!))
          expect([page, command]).toEqual([page, "of no command"]);
        commands += 1;
      }
  }
  expect(commands).toBeGreaterThan(100);
});

it("what a page imports, the door has", () => {
  let names = 0;
  for (const [page, text] of TEXTS)
    for (const [line, imported, door] of text.matchAll(/^import \{([^}]*)\} from "(vista-ckpt[^"]*)"/gm))
      for (const name of imported!.split(",").map((name) => name.trim())) {
        expect([page, line, name in DOORS[door!]!]).toEqual([page, line, true]);
        names += 1;
      }
  expect(names).toBeGreaterThan(5);
});
