/**
 * Large inputs, each in a process of its own: how long it takes and what memory it needs. Inputs are sparse files; outputs of
 * 40 GB go to /dev/null, those of 5 GB to the disk.
 *
 *   npm run soak -- [--gb 40] [--dir FOLDER] [--only sparse-bin,…]
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));
const dist = (path) => import(join(root, "dist", path));

function option(name, fallback) {
  const at = process.argv.indexOf(`--${name}`);
  return at === -1 ? fallback : process.argv[at + 1];
}

/** A safetensors file of zeros, without blocks on the disk. */
function sparse(path, tensors, elements) {
  const bytes = elements * 4;
  const entries = Array.from({ length: tensors }, (_, i) => [
    `layer.${i}.weight`,
    { dtype: "F32", shape: [elements], data_offsets: [i * bytes, (i + 1) * bytes] },
  ]);
  const json = JSON.stringify(Object.fromEntries(entries));
  const header = Buffer.alloc(8 + Math.ceil(json.length / 8) * 8, " ");
  header.writeBigUInt64LE(BigInt(header.length - 8));
  header.write(json, 8);
  writeFileSync(path, header);
  truncateSync(path, header.length + tensors * bytes);
  return path;
}

/** In a process of its own: copies a checkpoint to nowhere. */
async function copyToNowhere(input, format, dtype) {
  const { openCheckpoint } = await dist("checkpoint/open.js");
  const { castState } = await dist("checkpoint/cast.js");
  const { planSafetensors } = await dist("checkpoint/safetensors/write.js");
  const { planTorchFile } = await dist("checkpoint/torch/write.js");
  const { writeParts } = await dist("checkpoint/copy/sink.js");
  const opened = await openCheckpoint(input);
  const state = dtype === "keep" ? opened.state : castState(opened.state, dtype);
  const { parts } = format === "bin" ? planTorchFile(state, "out.bin") : planSafetensors(state);
  const handle = await open("/dev/null", "w");
  const bytes = await writeParts(handle, "/dev/null", parts);
  await handle.close();
  await opened.state.close();
  process.stdout.write(`${bytes} bytes`);
}

function measure(name, command, args) {
  const begun = performance.now();
  const { status, stdout, stderr } = spawnSync("/usr/bin/time", ["-f", "%M", command, ...args], {
    encoding: "utf8",
  });
  const seconds = (performance.now() - begun) / 1000;
  const peak = Number(stderr.trim().split("\n").at(-1)) / 1000;
  const said = stdout.trim().split("\n").at(-1) ?? "";
  process.stdout.write(
    `${name}: exit ${status}, ${seconds.toFixed(1)} s, ${peak.toFixed(0)} MB; ${said.slice(0, 100)}\n`,
  );
  if (status !== 0) process.stdout.write(`  ${stderr}\n`);
}

if (process.argv[2] === "--copy") await copyToNowhere(...process.argv.slice(3));
else {
  const gb = Number(option("gb", "40"));
  const folder = mkdtempSync(join(option("dir", tmpdir()), "vista-soak-"));
  const only = option("only", undefined)?.split(",");
  const wanted = (name) => only === undefined || only.includes(name);
  const self = fileURLToPath(import.meta.url);
  const ckpt = (...args) => [join(root, "bin/vista-ckpt.js"), ...args];
  const at = (name) => join(folder, name);
  mkdirSync(folder, { recursive: true });
  try {
    const large = sparse(at("large.safetensors"), 16, (gb * 1e9) / 64);
    for (const [format, dtype] of [
      ["bin", "keep"],
      ["safetensors", "keep"],
      ["safetensors", "BF16"],
    ]) {
      const name = `sparse-${format}-${dtype}`;
      if (wanted(name)) measure(`${gb} GB ${name}`, process.execPath, [self, "--copy", large, format, dtype]);
    }
    if (wanted("many")) {
      const many = sparse(at("many.safetensors"), 100_000, 64);
      measure(
        "100,000 tensors to-st",
        process.execPath,
        ckpt("to-st", many, "-o", at("m.safetensors"), "--raw"),
      );
      measure("100,000 tensors merge to .bin", process.execPath, [self, "--copy", many, "bin", "keep"]);
      measure("100,000 tensors inspect", process.execPath, ckpt("inspect", many));
      measure("100,000 tensors verify", process.execPath, ckpt("verify", many));
    }
    if (wanted("one")) {
      const one = sparse(at("one.safetensors"), 1, 1.25e9);
      measure("5 GB tensor to .bin", process.execPath, [self, "--copy", one, "bin", "keep"]);
      measure(
        "5 GB tensor to safetensors",
        process.execPath,
        ckpt("to-st", one, "-o", at("o.safetensors"), "--raw"),
      );
      measure("5 GB tensor verify", process.execPath, ckpt("verify", at("o.safetensors")));
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
