/**
 * `vista-ckpt merge` against `cp` of its result and the newest zero_to_fp32.py, on checkpoints shaped like DeepSpeed's.
 *
 *   node bench/merge.mjs [--gb 1,4] [--rounds 5] [--dir bench/tmp] [--reference yes|no] [--moments yes|no] [--settle 0]
 *
 * Needs the peers' environment (test/peers/setup.sh zero), GNU time, and disk for three times the checkpoint.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { option, printTable, remove, takeTurns } from "./measure.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const python = option("python", join(root, ".venv-peers/zero/bin/python"));
const dir = resolve(option("dir", join(root, "bench/tmp")));
const rounds = Number(option("rounds", "5"));
const withReference = option("reference", "yes") === "yes";
const vista = ["node", join(root, "bin/vista-ckpt.js")];

const start = await takeTurns(
  { "node -e ''": { command: ["node", "-e", ""] }, "vista-ckpt --help": { command: [...vista, "--help"] } },
  9,
);
printTable("start-up", start, "node -e ''");

for (const gb of option("gb", "1,4").split(",")) {
  const checkpoint = join(dir, `zero-${gb}gb`);
  // All write the same path in turn, so that each finds the memory of the one before it: fresh memory can be slow to get.
  const [ours, out] = ["ours.bin", "out.bin"].map((name) => join(dir, name));
  remove(dir);
  mkdirSync(dir, { recursive: true });
  const made = spawnSync(
    python,
    [
      join(root, "bench/make_zero_checkpoint.py"),
      "--gb",
      gb,
      "--ranks",
      "4",
      "--out",
      checkpoint,
      // Never read by merge: without them a large checkpoint fits the page cache.
      ...(option("moments", Number(gb) < 4 ? "yes" : "no") === "no" ? ["--no-moments"] : []),
    ],
    {
      stdio: "inherit",
    },
  );
  if (made.status !== 0) process.exit(1);
  const mergeTo = (path) => [...vista, "merge", checkpoint, "-o", path, "-q"];
  await takeTurns({ once: { command: [...mergeTo(ours), "--no-fsync"] } }, 0);

  const contestants = {
    cp: { command: ["cp", ours, out], before: () => remove(out) },
    "merge --no-fsync": {
      command: [...mergeTo(out), "--no-fsync"],
      before: () => remove(out),
    },
    "bare loop in Node": {
      command: ["node", join(root, "bench/bare-loop.mjs"), ours, out],
      before: () => remove(out),
    },
  };
  if (withReference) {
    const script =
      "import sys; from deepspeed.utils.zero_to_fp32 import convert_zero_checkpoint_to_fp32_state_dict as f; f(sys.argv[1], sys.argv[2], max_shard_size=None)";
    contestants["zero_to_fp32.py"] = {
      command: [python, "-c", script, checkpoint, out],
      before: () => remove(out),
      rounds: Math.min(rounds, 2),
    };
  }
  printTable(
    `${gb} GB (${statSync(ours).size} bytes), warm, no fsync`,
    await takeTurns(contestants, rounds, [checkpoint, ours]),
    "cp",
  );

  const synced = await takeTurns(
    {
      "cp && sync": {
        command: ["sh", "-c", `cp ${ours} ${out} && sync ${out}`],
        before: () => remove(out),
      },
      merge: { command: mergeTo(out), before: () => remove(out) },
    },
    Math.min(rounds, 3),
    [checkpoint, ours],
  );
  printTable(`${gb} GB, with fsync`, synced, "cp && sync");
  remove(dir);
}
