/** What the machine does to a program: limits, outputs that go away, readers that do, another writer. */
import { spawn, spawnSync } from "node:child_process";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, expect, it } from "vitest";
import { makeOpenDv } from "../../bench/make-opendv.mjs";
import { openCheckpoint } from "../../src/checkpoint/open.js";
import { saveCheckpoint } from "../../src/checkpoint/save.js";
import { makeTensor, StateDict } from "../../src/checkpoint/tensor/tensor.js";
import { verifyCheckpoint } from "../../src/checkpoint/verify.js";
import { runCli } from "../helpers/cli.js";
import { signalAt } from "../helpers/signal-at.js";
import { FIXTURES, temporaryFolder } from "../helpers/state.js";

const root = fileURLToPath(new URL("../..", import.meta.url));
const small = join(root, "fixtures", "zero", "stage2-fp32-3ranks-groups");
let input: string;
let videos: string;

const constant = (value: number, count = 40_000) =>
  makeTensor("F32", [count], {
    kind: "computed",
    inputs: [],
    compute: (_, result) => new Float32Array(result.buffer, result.byteOffset, count).fill(value),
  });
const state = (value: number) =>
  new StateDict(new Map(Array.from({ length: 12 }, (_, i) => [`t${i}`, constant(value + i)])));

beforeAll(async () => {
  const folder = temporaryFolder();
  input = join(folder, "model.safetensors");
  await saveCheckpoint(state(1), input, { fsync: false });
  videos = join(folder, "videos");
  await makeOpenDv(videos, { youtubers: 1, videos: 2, frames: 150, width: 64, height: 36 });
});

/** Runs a line of shell with `$ckpt` and `$data` for the programs, and pipes that fail if one of their parts does. */
function shell(line: string, cwd: string): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const bin = (name: string) => `${process.execPath} ${join(root, "bin", `${name}.js`)}`;
  const env = {
    ...process.env,
    NO_COLOR: "1",
    ckpt: bin("vista-ckpt"),
    data: bin("vista-data"),
    input,
    videos,
    mini: join(FIXTURES, "nuscenes/mini"),
    small,
  };
  return new Promise((resolve) => {
    const child = spawn("bash", ["--norc", "-c", `set -o pipefail; ${line}`], { cwd, env });
    let [stdout, stderr] = ["", ""];
    child.stdout.on("data", (chunk) => (stdout += chunk));
    child.stderr.on("data", (chunk) => (stderr += chunk));
    child.on("close", (code) => resolve({ code, stdout, stderr }));
  });
}

it.each([
  ["to-st", "$ckpt to-st $input -o out.safetensors --raw -q"],
  ["shards", "$ckpt to-st $input -o out.safetensors --raw -q --max-shard-size 400KB"],
  ["annotations", "$data annos youtube $videos -o out.json --quiet"],
  ["reports", "$data check $videos --quiet --sarif out.sarif --report out.html"],
  ["reshard", "$ckpt reshard $small --ranks 2 -o out.ckpt -q"],
  ["to-universal", "$ckpt to-universal $small -o out.ckpt -q"],
])(
  "%s: a limit on the size of files is one line with path and way out, and nothing is left",
  async (_, command) => {
    const folder = temporaryFolder();
    const { code, stderr } = await shell(`ulimit -f 4; ${command} | cat`, folder);
    expect([code, stderr]).toEqual([
      1,
      expect.stringMatching(/^vista-\w+: \S*out\S*: cannot write the output: the file is too large .*\n$/),
    ]);
    expect(readdirSync(folder)).toEqual([]);
  },
);

it.each([
  ["reshard", ["reshard", "../input", "--ranks", "2", "-o", "out.ckpt"]],
  ["to-universal", ["to-universal", "../input", "-o", "out.ckpt"]],
])("%s: a folder that may not be written is one line, and nothing is left", async (_, args) => {
  const folder = temporaryFolder();
  mkdirSync(join(folder, "locked"), { mode: 0o555 });
  // Root may write anywhere: then somebody else tries, who must get there, and may not be let into this clone.
  for (const [from, to] of [
    [join(root, "bin"), "bin"],
    [join(root, "dist"), "dist"],
    [join(root, "package.json"), "package.json"],
    [small, "input"],
  ] as const)
    cpSync(from, join(folder, to), { recursive: true });
  chmodSync(dirname(folder), 0o755);
  spawnSync("chmod", ["-R", "a+rX", folder]);
  const nobody = process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : {};
  const bin = join(folder, "bin", "vista-ckpt.js");
  const { status, stdout, stderr } = spawnSync(process.execPath, [bin, ...args, "-q"], {
    cwd: join(folder, "locked"),
    encoding: "utf8",
    ...nobody,
  });
  expect([status, stdout]).toEqual([1, ""]);
  expect(stderr).toMatch(/^vista-ckpt: \S*out\.ckpt\S*: .*(permission|not allowed)[^\n]*\n$/);
  expect(readdirSync(join(folder, "locked"))).toEqual([]);
});

it.each([
  ["reshard", ["reshard", small, "--ranks", "4", "-o", "out.ckpt"]],
  ["to-universal", ["to-universal", small, "-o", "out.ckpt"]],
])("%s: Ctrl-C while it writes ends it with 130, and nothing is left", async (_, args) => {
  const folder = temporaryFolder();
  // Of five files and of forty-six.
  const env = signalAt(3, "create", "SIGINT");
  const { code, stderr } = await runCli("vista-ckpt", args, { cwd: folder, process: true, env });
  expect(code, stderr).toBe(130);
  expect(stderr).toMatch(/^vista-ckpt: interrupted; nothing was written.*\n$/);
  expect(readdirSync(folder)).toEqual([]);
});

it("with 32 descriptors a set of shards is written, verified and joined again", async () => {
  const folder = temporaryFolder();
  // Node 22 and later keep 4 more for themselves than Node 20, which leaves the program 8.
  const limit = process.version.startsWith("v20.") ? 32 : 36;
  const { code, stderr } = await shell(
    `ulimit -n ${limit}; $ckpt to-st $input -o set.safetensors --raw -q --max-shard-size 170KB && ` +
      "$ckpt verify set.safetensors.index.json -q && $ckpt to-st set.safetensors.index.json -o one.safetensors --raw -q",
    folder,
  );
  expect([code, stderr]).toEqual([0, ""]);
  expect(readdirSync(folder).length).toBe(14);
  expect(readFileSync(join(folder, "one.safetensors")).equals(readFileSync(input))).toBe(true);
});

it.each([22, 26, 30])(
  "with %i descriptors a check says so in one line: no file is damaged for that",
  async (limit) => {
    for (const set of ["$videos", "$mini"]) {
      const line = `ulimit -n ${limit}; $data check ${set} --quiet > /dev/null`;
      const { code, stderr } = await shell(line, temporaryFolder());
      // Both sets are clean.
      if (code !== 0) expect(stderr).toMatch(/^vista-data: .*ulimit -n.*\n$/);
    }
  },
);

it("a reader of stdout that goes away is no error", async () => {
  const { code, stderr } = await shell(
    "$ckpt inspect $input --json | head -c 1 > /dev/null; echo $PIPESTATUS >&2",
    ".",
  );
  expect([code, stderr]).toEqual([0, "0\n"]);
});

it.each([
  ["diff of two that differ", "$ckpt diff $input other.safetensors", 1],
  ["check of a set with errors", "$data check $videos --quiet", 1],
  ["verify of several, one of which is not there", "$ckpt verify $input nowhere", 1],
])("a reader of stdout that goes away takes no verdict with it: %s", async (_, command, expected) => {
  const folder = temporaryFolder();
  await saveCheckpoint(state(2), join(folder, "other.safetensors"), { fsync: false });
  const frame = join(videos, "full_images");
  const hole = readdirSync(frame, { recursive: true, encoding: "utf8" }).find((name) =>
    name.endsWith("000000100.jpg"),
  );
  if (hole !== undefined) rmSync(join(frame, hole));
  // `true` has ended before the program writes.
  const { code, stderr } = await shell(`${command} | true; echo $PIPESTATUS >&2`, folder);
  expect([code, stderr.trimEnd().split("\n").at(-1)]).toEqual([0, String(expected)]);
});

it.each([
  ["inspect", "$ckpt inspect $input --json", 1],
  ["diff, whose 1 would say that inputs differ", "$ckpt diff $input $input", 2],
  ["-V", "$ckpt -V", 1],
])("stdout on a full disk is one line and the exit code of an error: %s", async (_, command, expected) => {
  const { code, stderr } = await shell(`${command} > /dev/full`, ".");
  expect(code).toBe(expected);
  expect(stderr).toMatch(/^vista-ckpt: stdout: .*no space left[^\n]*\n$/);
});

it.each([
  ["SIGHUP", 129],
  ["SIGTERM", 143],
] as const)("%s ends a run with its own code and without a partial file", async (signal, expected) => {
  const folder = temporaryFolder();
  const args = ["annos", "youtube", videos, "-o", "out.json", "--quiet"];
  const env = signalAt(1, "create", signal);
  const { code } = await runCli("vista-data", args, { cwd: folder, process: true, env });
  expect(code).toBe(expected);
  expect(readdirSync(folder)).toEqual([]);
});

it("the folder of the output removed in the middle is an error with its path", async () => {
  const folder = join(temporaryFolder(), "gone");
  mkdirSync(folder);
  const path = join(folder, "out.safetensors");
  const saving = saveCheckpoint(state(1), path, {
    fsync: false,
    onProgress: () => rmSync(folder, { recursive: true, force: true }),
  });
  await expect(saving).rejects.toMatchObject({ code: "NOT_FOUND", where: { path } });
  expect(existsSync(folder)).toBe(false);
});

it("an input that becomes shorter while it is read is an error that names it", async () => {
  const path = join(temporaryFolder(), "short.safetensors");
  writeFileSync(path, readFileSync(input));
  const { state } = await openCheckpoint(path);
  truncateSync(path, 1_000_000);
  const output = join(temporaryFolder(), "out.safetensors");
  await expect(saveCheckpoint(state, output, { fsync: false })).rejects.toMatchObject({
    code: "TRUNCATED",
    where: { path },
  });
  expect(existsSync(output)).toBe(false);
  await state.close();
});

it.each([true, false])("two writers to one set (force: %s): one whole set, sound", async (force) => {
  const path = join(temporaryFolder(), "set.safetensors");
  const outcomes = await Promise.allSettled(
    [1, 100, 200].map((value) =>
      saveCheckpoint(state(value), path, { maxShardSize: 170_000, force, fsync: false }),
    ),
  );
  const failed = outcomes.flatMap((outcome) => (outcome.status === "rejected" ? [outcome.reason.code] : []));
  expect(failed).toEqual(force ? [] : ["EXISTS", "EXISTS"]);
  expect((await verifyCheckpoint(`${path}.index.json`)).problems).toEqual([]);
  expect(readdirSync(join(path, "..")).length).toBe(13);
});

it("a state that is closed while it is written is written whole before its files are closed", async () => {
  const opened = await openCheckpoint(input);
  const output = join(temporaryFolder(), "out.safetensors");
  let closing: Promise<void> | undefined;
  const saving = saveCheckpoint(opened.state, output, {
    fsync: false,
    onProgress: () => {
      closing ??= opened.state.close();
    },
  });
  // Either the whole file, or an error of the closed input: never another file's bytes.
  await saving.then(
    () => expect(readFileSync(output).equals(readFileSync(input))).toBe(true),
    (error) => expect(error).toMatchObject({ code: "USAGE", where: { path: input } }),
  );
  await closing;
});
