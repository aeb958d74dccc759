/**
 * A check by hand, not part of the test run: does the real train.py of Vista accept every command that vista-train
 * prints? Needs a Vista checkout, and a Python with omegaconf, packaging and pytorch-lightning 2.0.1 (of which
 * `pip install --no-deps` is enough).
 *
 *   npm run build && VISTA_DIR=path/to/Vista PYTHON=python3 node test/peers/train/real-vista.mjs
 */
import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const vista = process.env.VISTA_DIR;
if (vista === undefined) throw new Error("VISTA_DIR must name a Vista checkout");
const bin = fileURLToPath(new URL("../../../bin/vista-train.js", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "real-vista-"));
const weights = join(folder, "pytorch_model.bin");
writeFileSync(weights, "");
const run = join(folder, "run");
mkdirSync(join(run, "checkpoints/last.ckpt/checkpoint"), { recursive: true });
mkdirSync(join(run, "configs"));
cpSync(join(vista, "configs/training/vista_phase1.yaml"), join(run, "configs/2025-01-01-project.yaml"));

/** Name, words of vista-train. */
const launches = [
  ["example", ["example", "--rdzv-endpoint", "node1"]],
  ["debug", ["debug"]],
  ["phase1", ["phase1", "--node-rank", "0", "--master-addr", "node1"]],
  ["phase1 smaller", ["phase1", "--nodes", "1", "--gpus", "4"]],
  ["phase2-stage1", ["phase2-stage1", "--finetune", weights]],
  ["phase2-stage2", ["phase2-stage2", "--finetune", weights]],
  ["named", ["phase1", "--nodes", "1", "--name", "mine", "--logdir", join(folder, "logs")]],
  ["resumed", ["phase1", "--nodes", "1", "--resume", run]],
  [
    "one checkpoint",
    ["phase1", "--nodes", "1", "--resume", join(run, "checkpoints/last.ckpt"), "--name", "again"],
  ],
  [
    "two configs",
    [
      "debug",
      "--base",
      "configs/example/nusc_train.yaml",
      "--base",
      join(run, "configs/2025-01-01-project.yaml"),
    ],
  ],
  ["extra", ["debug", "--", "--precision", "32", "--seed=7", "data.params.num_workers=4"]],
  [
    "by steps",
    [
      "debug",
      "--",
      "lightning.modelcheckpoint.params.every_n_epochs=null",
      "lightning.modelcheckpoint.params.every_n_train_steps=5000",
    ],
  ],
];

// Weights and checkpoints are empty here; train.py is stopped before it would look into them.
const commands = launches.map(([name, words]) => {
  const split = words.indexOf("--") === -1 ? words.length : words.indexOf("--");
  const own = [
    ...words.slice(0, split),
    "--vista",
    vista,
    "--dry-run",
    "--skip-checks",
    ...words.slice(split),
  ];
  const script = execFileSync(process.execPath, [bin, ...own], { encoding: "utf8" });
  // The shell takes the words apart, as when the output is pasted.
  const words2 = script.slice(script.indexOf("train.py") + "train.py".length);
  const args = execFileSync("bash", ["-c", `printf '%s\\0' ${words2}`], { encoding: "utf8" })
    .split("\0")
    .slice(0, -1);
  return { name, args };
});
writeFileSync(join(folder, "commands.json"), JSON.stringify(commands));
const script = fileURLToPath(new URL("real_vista.py", import.meta.url));
const done = spawnSync(process.env.PYTHON ?? "python3", [script, join(folder, "commands.json")], {
  stdio: "inherit",
});
rmSync(folder, { recursive: true });
process.exitCode = done.status ?? 1;
