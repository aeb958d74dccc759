/** What is no regular file is refused at once, by every way of opening: a pipe blocks whoever waits for it. */
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { expect, test } from "vitest";
import { openCheckpoint } from "../../../src/checkpoint/open.js";
import { verifyCheckpoint } from "../../../src/checkpoint/verify.js";
import { fromSystem, type VistaError } from "../../../src/core/errors.js";
import { openSource } from "../../../src/core/io/open-source.js";
import { openRegularSync, readRegular, readRegularSync } from "../../../src/core/io/regular.js";
import { readVistaConfig } from "../../../src/dataset/vista-config.js";
import { loadRecipes } from "../../../src/train/launch/recipes.js";
import { runCli } from "../../helpers/cli.js";
import { temporaryFolder } from "../../helpers/state.js";

const folder = temporaryFolder();
const pipe = join(folder, "pipe");
execFileSync("mkfifo", [pipe]);
// A checkpoint folder whose `latest` is a pipe, one whose shard is, and an index that names a pipe.
mkdirSync(join(folder, "latest-is-a-pipe"));
execFileSync("mkfifo", [join(folder, "latest-is-a-pipe", "latest")]);
mkdirSync(join(folder, "zero", "tag"), { recursive: true });
writeFileSync(join(folder, "zero", "latest"), "tag");
execFileSync("mkfifo", [join(folder, "zero", "tag", "mp_rank_00_model_states.pt")]);
writeFileSync(join(folder, "a.index.json"), JSON.stringify({ weight_map: { w: "pipe" } }));

const NOT_REGULAR = /not a regular file|is not there/;

async function refusal(work: () => unknown): Promise<string> {
  try {
    await work();
  } catch (error) {
    return (fromSystem(error, pipe, "read the file") as VistaError).message;
  }
  return "nothing was refused";
}

test.each<[string, () => unknown]>([
  ["SourceFile", () => openSource(pipe)],
  ["readRegular", () => readRegular(pipe)],
  ["readRegularSync", () => readRegularSync(pipe)],
  ["openRegularSync", () => openRegularSync(pipe)],
  ["a checkpoint", () => openCheckpoint(pipe)],
  ["verify", () => verifyCheckpoint(pipe)],
  ["latest", () => openCheckpoint(join(folder, "latest-is-a-pipe"))],
  ["a shard of ZeRO", () => openCheckpoint(join(folder, "zero"))],
  ["an index", () => openCheckpoint(join(folder, "a.index.json"))],
  ["a config", () => readVistaConfig(pipe)],
  ["recipes", () => loadRecipes(pipe)],
])("a pipe in place of %s is refused, not waited for", async (_, work) => {
  expect(await refusal(work)).toMatch(NOT_REGULAR);
});

test.each<[string, readonly string[], number]>([
  ["inspect", ["inspect", "IT"], 1],
  ["verify", ["verify", "IT"], 1],
  ["scan", ["scan", "IT"], 1],
  ["diff", ["diff", "IT", "IT"], 2],
  ["to-st", ["to-st", "IT", "-o", "out.safetensors"], 1],
  ["merge", ["merge", "IT", "-o", "out.bin"], 1],
  ["reshard", ["reshard", "IT", "--ranks", "2", "-o", "out"], 1],
  ["to-universal", ["to-universal", "IT", "-o", "out"], 1],
])(
  "a socket or a device in place of a file: %s says so in one line and leaves nothing",
  async (_, args, expected) => {
    const socket = join(folder, "model.safetensors");
    const server = createServer().listen(socket);
    await once(server, "listening");
    try {
      for (const path of [socket, "/dev/zero"]) {
        const cwd = temporaryFolder();
        const { code, stdout, stderr } = await runCli(
          "vista-ckpt",
          args.map((arg) => (arg === "IT" ? path : arg)),
          { cwd },
        );
        expect([code, stdout]).toEqual([expected, ""]);
        expect(stderr).toMatch(/^vista-ckpt: .*(?:a pipe, a socket or a device|is a file).*\n$/);
        expect(stderr).not.toContain("internal error");
        expect(readdirSync(cwd)).toEqual([]);
      }
    } finally {
      server.close();
      await once(server, "close");
    }
  },
);

test("a folder and a device are refused by what they are", async () => {
  expect(await refusal(() => readRegular(folder))).toMatch(/is a folder where a file is needed/);
  expect(await refusal(() => readRegular("/dev/null"))).toMatch(/not a regular file/);
});

test("a file beyond the limit of its kind is refused before it is read", async () => {
  const path = join(folder, "file");
  writeFileSync(path, "12345");
  expect(readRegularSync(path, 5).toString()).toBe("12345");
  expect(await refusal(() => readRegular(path, 4))).toMatch(
    /has 5 bytes, the limit for one of its kind is 4/,
  );
});
