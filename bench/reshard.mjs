/**
 * `vista-ckpt reshard` and `to-universal` against `cp -r` of the same folder and the newest ds_to_universal.py, on checkpoints shaped
 * like DeepSpeed's; and how long planning takes.
 *
 *   node bench/reshard.mjs [--gb 1,4] [--rounds 5] [--from 4] [--to 8] [--universal-up-to 1] [--script-rounds 3]
 *     [--plan 128:8,8:1024] [--plan-gb 10] [--memory 3:64,64:merge] [--with-crc] [--dir bench/tmp] [--settle 0]
 *
 * `--gb` counts the fp32 weights: with Adam's moments a checkpoint has three times as much, and the module's 16 bits. Sizes above
 * `--universal-up-to` leave the universal forms out, `--plan-gb 0` the planning. `--memory` reshards or merges stage 3 with 2,616
 * small tensors, sparse and without CRCs unless there is `--with-crc`; read its peak column. Needs the peers' environment (test/peers/setup.sh zero), GNU time, and disk for twice the checkpoint.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { option, printTable, remove, retire, takeTurns } from "./measure.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const python = option("python", join(root, ".venv-peers/zero/bin/python"));
const dir = resolve(option("dir", join(root, "bench/tmp")));
const rounds = Number(option("rounds", "5"));
const from = option("from", "4");
const to = option("to", "8");
const universalUpTo = Number(option("universal-up-to", "1"));
const scriptRounds = Number(option("script-rounds", "3"));
const vista = ["node", join(root, "bin/vista-ckpt.js")];

function make(folder, gb, ranks, ...more) {
  remove(dir);
  mkdirSync(dir, { recursive: true });
  const maker = join(root, "bench/make_zero_checkpoint.py");
  const made = spawnSync(python, [maker, "--gb", gb, "--ranks", ranks, "--out", folder, ...more], {
    stdio: "inherit",
  });
  if (made.status !== 0) process.exit(1);
}

for (const gb of option("gb", "1,4")
  .split(",")
  .filter((size) => size !== "0")) {
  const checkpoint = join(dir, `zero-${gb}gb`);
  const out = join(dir, "out");
  make(checkpoint, gb, from);
  const before = () => retire(out);
  const quick = ["-o", out, "-q", "--no-fsync"];
  const script = ["-m", "deepspeed.checkpoint.ds_to_universal", "--inject_missing_state"];
  const folders = [
    "--input_folder",
    join(checkpoint, "checkpoint"),
    "--output_folder",
    join(out, "universal"),
  ];
  const contestants = {
    "cp -r": { command: ["cp", "-r", checkpoint, out], before },
    [`reshard ${from} → ${to}`]: {
      command: [...vista, "reshard", checkpoint, "--ranks", to, ...quick],
      before,
    },
    ...(Number(gb) <= universalUpTo && {
      "to-universal": { command: [...vista, "to-universal", checkpoint, ...quick], before },
      "ds_to_universal.py": { command: [python, ...script, ...folders], before, rounds: scriptRounds },
    }),
  };
  const title = `${gb} GB of weights and their moments, ${from} → ${to} ranks, warm`;
  printTable(title, await takeTurns(contestants, rounds, [checkpoint]), "cp -r");
}

const planGb = option("plan-gb", "10");
for (const pair of planGb === "0" ? [] : option("plan", "128:8,8:1024").split(",")) {
  const [ranks, target] = pair.split(":");
  const checkpoint = join(dir, `plan-${ranks}`);
  make(checkpoint, planGb, ranks, "--sparse");
  const command = [
    ...vista,
    "reshard",
    checkpoint,
    "--ranks",
    target,
    "-o",
    join(dir, "out"),
    "--dry-run",
    "-q",
  ];
  const times = await takeTurns({ [`plan ${ranks} → ${target}`]: { command } }, rounds);
  printTable(`planning, ${planGb} GB of weights (sparse)`, times, `plan ${ranks} → ${target}`);
}
for (const pair of option("memory", "").split(",").filter(Boolean)) {
  const [ranks, target] = pair.split(":");
  const checkpoint = join(dir, `memory-${ranks}`);
  const out = join(dir, target === "merge" ? "out.bin" : "out");
  const sparse = process.argv.includes("--with-crc") ? [] : ["--sparse"];
  make(checkpoint, "10", ranks, "--stage", "3", "--narrow", "32", ...sparse);
  const what = target === "merge" ? ["merge", checkpoint] : ["reshard", checkpoint, "--ranks", target];
  const command = [...vista, ...what, "-o", out, "-q", "--no-fsync"];
  const name = `stage 3, 2,616 tensors, ${ranks} → ${target}`;
  printTable("memory", await takeTurns({ [name]: { command, before: () => remove(out) } }, rounds), name);
}
remove(dir);
