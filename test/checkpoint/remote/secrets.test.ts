/** What a URL must not show: the query of a presigned one, the user and the password before its host. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { withoutSecrets } from "../../../src/core/errors.js";
import { runCli } from "../../helpers/cli.js";
import { copyFolder } from "../../helpers/copy.js";
import { type RangeServer, startServer } from "../../helpers/range-server.js";
import { FIXTURES, temporaryFolder } from "../../helpers/state.js";

const QUERY = "?X-Amz-Credential=AKIASECRET%2F20260101&X-Amz-Signature=5ec4e7&token=5ec4e7";
const root = temporaryFolder();
let server: RangeServer;

beforeAll(async () => {
  const runs = join(root, "runs");
  mkdirSync(join(runs, "sharded"), { recursive: true });
  copyFolder(join(FIXTURES, "torch"), join(runs, "torch"));
  writeFileSync(join(runs, "broken.safetensors"), Buffer.alloc(100, 255));
  writeFileSync(join(runs, "bad.pkl"), "cposix\nsystem\n(S'x'\ntR.");
  const zero = join(FIXTURES, "zero/vista-phase2");
  const sharded = ["to-st", zero, "--raw", "--max-shard-size", "100kB"];
  await runCli("vista-ckpt", [...sharded, "-o", join(runs, "sharded/m.safetensors")]);
  await runCli("vista-ckpt", ["merge", zero, "-o", join(runs, "merged.bin")]);
  // Where neither names nor their number count.
  const few = join(FIXTURES, "zero/stage2-fp32-3ranks-groups");
  await runCli("vista-ckpt", ["merge", few, "-o", join(runs, "few.bin")]);
  server = await startServer(root);
});
afterAll(() => server.close());

/** A URL with everything that is to be kept to oneself. */
const secret = (path: string) =>
  `${server.url.replace("//", "//geheim:5ec4e7@").replace("127.0.0.1", "localhost")}/runs/${path}${QUERY}`;

const output = () => join(temporaryFolder(), "out.safetensors");

describe.each([[], ["--json"], ["--debug"]])("%s", (...more) => {
  it.each<[string, () => string[]]>([
    ["inspect", () => ["inspect", secret("merged.bin")]],
    ["inspect of an index", () => ["inspect", secret("sharded/m.safetensors.index.json")]],
    ["inspect of two", () => ["inspect", secret("few.bin"), secret("none.bin")]],
    ["inspect of a tensor", () => ["inspect", secret("few.bin"), "--tensor", "none"]],
    ["verify", () => ["verify", secret("few.bin")]],
    ["verify of two", () => ["verify", secret("few.bin"), secret("broken.safetensors")]],
    ["diff", () => ["diff", secret("few.bin"), secret("sharded/m.safetensors.index.json")]],
    ["diff of what is the same", () => ["diff", secret("few.bin"), secret("few.bin")]],
    ["scan", () => ["scan", secret("bad.pkl"), "--sarif", join(temporaryFolder(), "report.sarif")]],
    ["to-st", () => ["to-st", secret("merged.bin"), "-o", output()]],
    ["to-st of an index", () => ["to-st", secret("sharded/m.safetensors.index.json"), "-o", output()]],
    ["to-st --dry-run", () => ["to-st", secret("merged.bin"), "--dry-run", "-o", output()]],
    ["merge of a file", () => ["merge", secret("merged.bin"), "-o", output()]],
    ["reshard of a file", () => ["reshard", secret("few.bin"), "--ranks", "2", "-o", output()]],
    ["what is not there", () => ["to-st", secret("none.bin"), "-o", output()]],
    ["what is broken", () => ["to-st", secret("broken.safetensors"), "-o", output()]],
    ["a folder", () => ["merge", secret("sharded/")]],
    ["a server that is not there", () => ["inspect", `http://geheim:5ec4e7@nowhere.invalid/a.bin${QUERY}`]],
    ["no URL", () => ["inspect", `https://geheim:5ec4e7@:bad/${QUERY}`]],
  ])("%s", async (_, args) => {
    const command = args();
    const { stdout, stderr } = await runCli("vista-ckpt", [...command, ...more]);
    expect(stdout + stderr).not.toBe("");
    const files = command
      .filter((_, i) => ["-o", "--sarif"].includes(command[i - 1]!))
      .flatMap((path) =>
        readdirSync(join(path, ".."), { withFileTypes: true })
          .filter((entry) => entry.isFile())
          .map(({ parentPath, name }) => readFileSync(join(parentPath, name), "latin1")),
      );
    for (const text of [stdout, stderr, ...files])
      expect(text).not.toMatch(/5ec4e7|geheim|AKIASECRET|X-Amz-Credential/);
  });
});

describe("withoutSecrets", () => {
  it.each([
    ["https://h/a.bin?sig=x: at byte 0: bad", "https://h/a.bin?…: at byte 0: bad"],
    ["of https://u:p@h/a, HTTP://h/b#c.", "of https://h/a, HTTP://h/b?…."],
    ['{"path":"https://h/a?x=\'y\'","b":1}', '{"path":"https://h/a?…","b":1}'],
    ["https://h/a?…: again", "https://h/a?…: again"],
    ["s3://bucket/a?b, hf://o/n@v/x#1", "s3://bucket/a?b, hf://o/n@v/x#1"],
    ["https://h:80/a/b@c.bin", "https://h:80/a/b@c.bin"],
    ["https://host/a%20b.bin, 3 files", "https://host/a%20b.bin, 3 files"],
  ])("%s", (text, shown) => {
    expect(withoutSecrets(text)).toBe(shown);
  });
});
