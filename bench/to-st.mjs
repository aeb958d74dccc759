/**
 * `vista-ckpt to-st` and `verify` against `cp`, `cat` and the Python way.
 *
 *   node bench/to-st.mjs [--gb 1] [--rounds 5] [--dir bench/tmp] [--reference yes|no] [--settle 0]
 *
 * Needs the peers' environment (test/peers/setup.sh zero), GNU time, and disk for eight times the size.
 */
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { crc32 } from "node:zlib";
import { crc32 as fast } from "../dist/core/io/crc32.js";
import { median, option, printTable, remove, takeTurns } from "./measure.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const python = option("python", join(root, ".venv-peers/zero/bin/python"));
const dir = resolve(option("dir", join(root, "bench/tmp")));
const rounds = Number(option("rounds", "5"));
const gb = option("gb", "1");
const withReference = option("reference", "yes") === "yes";
const vista = ["node", join(root, "bin/vista-ckpt.js")];
const at = (name) => join(dir, name);

function make(script, ...args) {
  const made = spawnSync(python, [join(root, "bench", script), "--gb", gb, ...args], { stdio: "inherit" });
  if (made.status !== 0) process.exit(1);
}

/** A contestant that writes `output`, which is removed first. */
function writes(output, ...command) {
  return { command, before: () => remove(output) };
}

// All write the same path in turn, so that each finds the memory of the one before it: fresh memory can be slow to get.
const fresh = at("new.safetensors");
const toSt = (input, ...args) =>
  writes(fresh, ...vista, "to-st", input, ...args, "-o", fresh, "-q", "--no-fsync");
const cp = (from) => writes(fresh, "cp", from, fresh);

remove(dir);
mkdirSync(dir, { recursive: true });
make("make_zero_checkpoint.py", "--ranks", "4", "--out", at("zero"));
await takeTurns(
  { once: { command: [...vista, "merge", at("zero"), "-o", at("in.bin"), "-q", "--no-fsync"] } },
  0,
);
remove(at("in.bin"));
spawnSync("node", [join(root, "bin/vista-ckpt.js"), "merge", at("zero"), "-o", at("in.bin"), "-q"]);
spawnSync("node", [
  join(root, "bin/vista-ckpt.js"),
  "to-st",
  at("in.bin"),
  "--raw",
  "-o",
  at("out.safetensors"),
  "-q",
]);

const contestants = {
  "cp of the result": cp(at("out.safetensors")),
  "to-st from .bin": toSt(at("in.bin"), "--raw"),
  "to-st from shards": toSt(at("zero"), "--raw"),
};
if (withReference) {
  const script =
    "import sys, torch; from safetensors.torch import save_file; save_file(torch.load(sys.argv[1], map_location='cpu'), sys.argv[2])";
  contestants["torch.load + save_file"] = {
    ...writes(fresh, python, "-c", script, at("in.bin"), fresh),
    rounds: Math.min(rounds, 3),
  };
}
const inputs = [at("zero"), at("in.bin"), at("out.safetensors")];
printTable(
  `${gb} GB (${statSync(at("out.safetensors")).size} bytes), warm, no fsync`,
  await takeTurns(contestants, rounds, inputs),
  "cp of the result",
);
// By itself: its output is half as large, so that who comes next would find half the memory free.
printTable(
  "Half the bytes",
  await takeTurns(
    {
      "cp of the input": cp(at("in.bin")),
      "to-st --dtype bf16": toSt(at("in.bin"), "--raw", "--dtype", "bf16"),
    },
    rounds,
    inputs,
  ),
  "cp of the input",
);

/** Seconds for the CRC-32 of `bytes` bytes that are in the processor's cache. */
function checksumAlone(take, bytes) {
  const block = randomBytes(256 * 1024);
  const times = Array.from({ length: 7 }, () => {
    const started = process.hrtime.bigint();
    for (let at = 0, crc = 0; at < bytes; at += block.length) crc = take(block, crc);
    return Number(process.hrtime.bigint() - started) / 1e9;
  });
  return median(times).toFixed(2);
}
const size = statSync(at("in.bin")).size;
console.log(
  `\nThe CRC-32 of ${size} bytes alone: node:zlib ${checksumAlone(crc32, size)} s, here ${checksumAlone(fast, size)} s`,
);

const crc =
  "import { createReadStream } from 'node:fs'; import { crc32 } from 'node:zlib'; let c = 0; for await (const b of createReadStream(process.argv[1], { highWaterMark: 4194304 })) c = crc32(b, c);";
printTable(
  "verify",
  await takeTurns(
    {
      "cat > /dev/null": { command: ["sh", "-c", `cat ${at("in.bin")} > /dev/null`] },
      "read + CRC in Node": {
        command: ["node", "--input-type=module", "-e", crc, at("in.bin")],
      },
      "verify .bin": { command: [...vista, "verify", at("in.bin"), "-q"] },
      "verify .safetensors": {
        command: [...vista, "verify", at("out.safetensors"), "-q"],
      },
    },
    rounds,
    [at("in.bin"), at("out.safetensors")],
  ),
  "cat > /dev/null",
);

remove(at("zero"));
remove(at("in.bin"));
make("make_vista_bin.py", "--out", at("vista.bin"));
spawnSync("node", [
  join(root, "bin/vista-ckpt.js"),
  "to-st",
  at("vista.bin"),
  "-o",
  at("vista.safetensors"),
  "-q",
]);
printTable(
  `Vista's steps: ${statSync(at("vista.bin")).size} bytes → ${statSync(at("vista.safetensors")).size}`,
  await takeTurns(
    { "cp of the result": cp(at("vista.safetensors")), "to-st with LoRA and EMA": toSt(at("vista.bin")) },
    rounds,
    [at("vista.bin"), at("vista.safetensors")],
  ),
  "cp of the result",
);
remove(dir);
