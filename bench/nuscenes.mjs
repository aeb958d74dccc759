/**
 * `vista-data check` on a set of trainval's size, against the devkit's loading of the same tables and against `find`; `vista-data annos` on the
 * same tables.
 *
 *   node bench/nuscenes.mjs [--dir bench/tmp] [--scenes 850] [--rounds 3] [--files yes|no] [--devkit yes|no]
 *
 * Needs 2.5 GB of disk for the tables, 2.6 million inodes for --files yes (files of a byte), 8 GB of memory for the devkit
 * (test/peers/setup.sh data) and GNU time. A set that is in --dir already is used as it is.
 */
import { existsSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { makeNuScenes } from "./make-nuscenes.mjs";
import { option, printTable, takeTurns } from "./measure.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const dir = resolve(option("dir", join(root, "bench/tmp/nuscenes")));
const scenes = Number(option("scenes", "850"));
const rounds = Number(option("rounds", "3"));
const withFiles = option("files", "yes") === "yes";
const version = "v1.0-trainval";
const check = ["node", join(root, "bin/vista-data.js"), "check", dir, "--quiet"];

if (!existsSync(join(dir, version))) {
  const counts = makeNuScenes(dir, { scenes, boxes: 34, version, files: withFiles ? "sparse" : "none" });
  console.log(`made ${dir}: ${JSON.stringify(counts)}`);
}

const tables = { "vista-data check --tables-only": { command: [...check, "--tables-only"] } };
if (option("devkit", "yes") === "yes") {
  const script = `from nuscenes.nuscenes import NuScenes; NuScenes("${version}", ${JSON.stringify(dir)}, verbose=False)`;
  tables["NuScenes() of the devkit"] = {
    command: [option("python", join(root, ".venv-peers/data/bin/python")), "-c", script],
    rounds: Math.min(rounds, 1),
  };
}
printTable(
  "every rule of the tables, whole process",
  await takeTurns(tables, rounds),
  "vista-data check --tables-only",
);

const vista = ["node", join(root, "bin/vista-data.js")];
const records = { "vista-data check --tables-only": tables["vista-data check --tables-only"] };
const out = join(dir, "nuScenes.json");
records["vista-data annos nuscenes --split train"] = {
  command: [...vista, "annos", "nuscenes", dir, "--split", "train", "-o", out, "--force", "--quiet"],
};
const folder = join(dir, "interp_12Hz_trainval");
records["vista-data annos nuscenes-12hz (5.3 GB)"] = {
  command: [...vista, "annos", "nuscenes-12hz", dir, "--out", folder, "--force", "--quiet"],
  rounds: Math.min(rounds, 1),
};
printTable("annotation files", await takeTurns(records, rounds), "vista-data check --tables-only");
rmSync(out, { force: true });
rmSync(folder, { recursive: true, force: true });

if (withFiles) {
  const names = [...check.slice(1), "--images", "names"];
  const files = {
    "vista-data check --images names": { command: ["node", ...names] },
    "the same, without looking at sizes": {
      command: ["node", "--import", join(root, "bench/without-sizes.mjs"), ...names],
    },
    "vista-data check --tables-only": tables["vista-data check --tables-only"],
    find: { command: ["sh", "-c", `find ${dir}/samples ${dir}/sweeps -type f | wc -l`] },
    "find -size 0": { command: ["sh", "-c", `find ${dir}/samples ${dir}/sweeps -type f -size 0 | wc -l`] },
  };
  printTable(
    "existence and size of every file (the tables' time included: subtract it)",
    await takeTurns(files, rounds),
    "vista-data check --tables-only",
  );
}
