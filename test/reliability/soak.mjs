/**
 * Large inputs, each in a process of its own: how long it takes and what memory it needs. Inputs are sparse files; outputs of
 * 40 GB go to /dev/null, those of 5 GB to the disk.
 *
 *   npm run soak -- [--gb 40] [--dir FOLDER] [--only sparse-bin,…]
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
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

/** The pickler of the tests, which is TypeScript. */
async function fakeTorch() {
  const { build } = await import("esbuild");
  const { outputFiles } = await build({
    entryPoints: [join(root, "test/helpers/torch-file.ts")],
    bundle: true,
    write: false,
    format: "esm",
    platform: "node",
  });
  return import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString("base64")}`);
}

/** A tensor of zeros that takes no memory, as far as the pickler looks at it. */
const zeros = (torch, elements) =>
  Object.assign(new torch.FakeTensor([0], [elements]), { bytes: { byteLength: elements * 4 } });

/** The CRC-32 of so many zeros. */
async function crcOfZeros(bytes) {
  const { crc32, combineCrc32 } = await dist("core/io/crc32.js");
  let [sum, length] = [0, 0];
  let [part, size] = [crc32(Buffer.alloc(1)), 1];
  for (let left = bytes; left > 0; left = Math.floor(left / 2)) {
    if (left % 2 === 1) [sum, length] = [combineCrc32(sum, part, size), length + size];
    [part, size] = [combineCrc32(part, part, size), size * 2];
  }
  return sum;
}

/** A file of torch.save whose storages are holes: a zip with 64-bit sizes, every record with the CRC-32 that it has. */
async function sparseTorch(path, value, torch) {
  const { crc32 } = await dist("core/io/crc32.js");
  const storages = [];
  const data = torch.pickle(value, storages);
  const records = [
    { name: "archive/data.pkl", data },
    { name: "archive/byteorder", data: Buffer.from("little") },
    ...storages.map((storage, key) => ({ name: `archive/data/${key}`, length: storage.byteLength })),
    { name: "archive/version", data: Buffer.from("3\n") },
  ];
  const handle = await open(path, "w");
  const directory = [];
  let at = 0;
  for (const { name, data: bytes, length = bytes.length } of records) {
    const crc = bytes === undefined ? await crcOfZeros(length) : crc32(bytes);
    const header = Buffer.alloc(30 + name.length + 20);
    header.writeUInt32LE(0x04034b50, 0);
    header.writeUInt16LE(45, 4);
    header.writeUInt32LE(crc, 14);
    header.fill(0xff, 18, 26);
    header.writeUInt16LE(name.length, 26);
    header.writeUInt16LE(20, 28);
    header.write(name, 30);
    header.writeUInt16LE(1, 30 + name.length);
    header.writeUInt16LE(16, 32 + name.length);
    for (const place of [34, 42]) header.writeBigUInt64LE(BigInt(length), place + name.length);
    const central = Buffer.alloc(46 + name.length + 28);
    central.writeUInt32LE(0x02014b50, 0);
    central.writeUInt16LE(45, 4);
    central.writeUInt16LE(45, 6);
    central.writeUInt32LE(crc, 16);
    central.fill(0xff, 20, 28);
    central.writeUInt16LE(name.length, 28);
    central.writeUInt16LE(28, 30);
    central.fill(0xff, 42, 46);
    central.write(name, 46);
    central.writeUInt16LE(1, 46 + name.length);
    central.writeUInt16LE(24, 48 + name.length);
    for (const place of [50, 58]) central.writeBigUInt64LE(BigInt(length), place + name.length);
    central.writeBigUInt64LE(BigInt(at), 66 + name.length);
    directory.push(central);
    await handle.write(header, 0, header.length, at);
    at += header.length;
    if (bytes !== undefined) await handle.write(bytes, 0, bytes.length, at);
    at += length;
  }
  const central = Buffer.concat(directory);
  const end = Buffer.alloc(56 + 20 + 22);
  end.writeUInt32LE(0x06064b50, 0);
  end.writeBigUInt64LE(44n, 4);
  end.writeUInt16LE(45, 12);
  end.writeUInt16LE(45, 14);
  for (const place of [24, 32]) end.writeBigUInt64LE(BigInt(records.length), place);
  end.writeBigUInt64LE(BigInt(central.length), 40);
  end.writeBigUInt64LE(BigInt(at), 48);
  end.writeUInt32LE(0x07064b50, 56);
  end.writeBigUInt64LE(BigInt(at + central.length), 64);
  end.writeUInt32LE(1, 72);
  end.writeUInt32LE(0x06054b50, 76);
  end.fill(0xff, 84, 96);
  await handle.write(Buffer.concat([central, end]), 0, undefined, at);
  await handle.close();
}

/** A checkpoint of ZeRO stage 2 in which each rank holds `elements` zeros, `parameters` of them equal parts of all. */
async function sparseZero(folder, ranks, elements, parameters, torch) {
  const tag = join(folder, "global_step1");
  mkdirSync(tag, { recursive: true });
  writeFileSync(join(folder, "latest"), "global_step1");
  const map = (of) => new Map(Object.entries(of));
  const each = (ranks * elements) / parameters;
  for (let rank = 0; rank < ranks; rank++) {
    const state = map({
      zero_stage: 2,
      partition_count: [ranks],
      single_partition_of_fp32_groups: [zeros(torch, elements)],
    });
    const shard = map({ optimizer_state_dict: state, ds_version: "0.16.0" });
    await sparseTorch(join(tag, `zero_pp_rank_${rank}_mp_rank_00_optim_states.pt`), shard, torch);
  }
  const names = Array.from({ length: parameters }, (_, i) => [`layer.${i}.weight`, [each]]);
  const model = map({
    module: new Map(),
    buffer_names: [],
    param_shapes: [torch.shapes(Object.fromEntries(names))],
    shared_params: new Map(),
    ds_version: "0.16.0",
    dp_world_size: ranks,
  });
  await sparseTorch(join(tag, "mp_rank_00_model_states.pt"), model, torch);
  return folder;
}

/** One tensor of zeros as torch.save wrote it before 1.6: its bytes are the last of the file. */
function sparseLegacy(path, elements, torch) {
  const whole = torch.legacyTorch(new Map([["weight", new torch.FakeTensor([0], [elements])]]));
  const count = Buffer.alloc(8);
  count.writeBigInt64LE(BigInt(elements));
  // The count of the storage and its one element are the last twelve bytes; the pickle says one element too.
  const numel = Buffer.from([0x4a, 1, 0, 0, 0, 0x74, 0x51]);
  const at = whole.indexOf(numel);
  whole.writeInt32LE(elements, at + 1);
  count.copy(whole, whole.length - 12);
  writeFileSync(path, whole);
  truncateSync(path, whole.length - 4 + elements * 4);
  return path;
}

/** A folder of torch.distributed.checkpoint with one tensor of zeros: the metadata are what torch wrote of one element, with another size. */
async function sparseDcp(folder, elements, torch) {
  const { readPickle } = await dist("checkpoint/torch/pickle.js");
  const { rewritePickle } = await dist("checkpoint/torch/rewrite.js");
  const from = join(root, "fixtures/dcp/uneven-3ranks/.metadata");
  const pickle = readPickle(readFileSync(from), { path: from, exact: true });
  mkdirSync(folder);
  const file = "__0_0.distcp";
  await sparseTorch(join(folder, file), zeros(torch, elements), torch);
  const fields = pickle.value.state;
  const [tensors, storage] = [fields.get("state_dict_metadata"), fields.get("storage_data")];
  for (const name of tensors.keys()) if (name !== "one") tensors.delete(name);
  for (const key of storage.keys()) if (key.state.get("fqn") !== "one") storage.delete(key);
  const one = tensors.get("one").state;
  for (const size of [one.get("size"), one.get("chunks")[0].state.get("sizes")])
    size.args.items[0].items[0] = elements;
  const [place] = storage.values();
  place.state
    .set("relative_path", file)
    .set("offset", 0)
    .set("length", statSync(join(folder, file)).size);
  writeFileSync(
    join(folder, ".metadata"),
    rewritePickle(pickle, () => {
      throw new Error("metadata have no storages");
    }),
  );
  return folder;
}

/** In a process of its own: copies a checkpoint to nowhere. */
async function copyToNowhere(input, format, dtype) {
  const { openCheckpoint } = await dist("checkpoint/open.js");
  const { castState } = await dist("checkpoint/cast.js");
  const { planSafetensors } = await dist("checkpoint/safetensors/write.js");
  const { planTorchFile } = await dist("checkpoint/torch/write.js");
  const { writeFiles } = await dist("checkpoint/copy/sink.js");
  const { contentOf } = await dist("checkpoint/copy/parts.js");
  const opened = await openCheckpoint(input);
  const state = dtype === "keep" ? opened.state : castState(opened.state, dtype);
  const parts = format === "bin" ? planTorchFile(state, "out.bin") : planSafetensors(state);
  const handle = await open("/dev/null", "w");
  const file = { path: "/dev/null", content: contentOf(parts), begin: async () => handle };
  await writeFiles([file]);
  const bytes = file.content.length;
  await handle.close();
  await opened.state.close();
  process.stdout.write(`${bytes} bytes`);
}

function measure(name, command, args) {
  const begun = performance.now();
  const { status, stdout, stderr } = spawnSync("/usr/bin/time", ["-f", "%M %U %S", command, ...args], {
    encoding: "utf8",
  });
  const seconds = (performance.now() - begun) / 1000;
  const [kilobytes, user, system] = stderr.trim().split("\n").at(-1).split(" ").map(Number);
  const peak = kilobytes / 1000;
  const said = stdout.trim().split("\n").at(-1) ?? "";
  process.stdout.write(
    `${name}: exit ${status}, ${seconds.toFixed(1)} s, ${(user + system).toFixed(1)} s of the processor, ${peak.toFixed(0)} MB; ${said.slice(0, 100)}\n`,
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
      const { openCheckpoint, saveCheckpoint } = await dist("checkpoint/index.js");
      const opened = await openCheckpoint(many);
      const bin = at("many.bin");
      await saveCheckpoint(opened.state, bin, { fsync: false });
      await opened.close();
      const toSt = ckpt("to-st", bin, "-o", at("b.safetensors"), "--raw");
      measure("torch file of 100,000 tensors to-st", process.execPath, toSt);
      measure("torch file of 100,000 tensors to .bin", process.execPath, [
        self,
        "--copy",
        bin,
        "bin",
        "keep",
      ]);
      for (const command of ["inspect", "verify", "scan"])
        measure(`torch file of 100,000 tensors ${command}`, process.execPath, ckpt(command, bin));
      measure("100,000 tensors diff", process.execPath, ckpt("diff", bin, many));
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
    const torch = await fakeTorch();
    if (wanted("zero")) {
      const zero = await sparseZero(at("zero"), 8, (gb * 1e9) / 32, 16, torch);
      measure(`${gb} GB ZeRO stage 2, 8 ranks, to .bin`, process.execPath, [
        self,
        "--copy",
        zero,
        "bin",
        "keep",
      ]);
    }
    if (wanted("zero-one")) {
      const zero = await sparseZero(at("zero-one"), 2, 0.625e9, 1, torch);
      measure("5 GB tensor of ZeRO to .bin", process.execPath, [self, "--copy", zero, "bin", "keep"]);
      measure("5 GB tensor of ZeRO verify", process.execPath, ckpt("verify", zero));
    }
    if (wanted("legacy")) {
      const legacy = sparseLegacy(at("legacy.pt"), 1.25e9, torch);
      measure("5 GB legacy tensor to .bin", process.execPath, [self, "--copy", legacy, "bin", "keep"]);
      measure("5 GB legacy tensor verify", process.execPath, ckpt("verify", legacy));
    }
    if (wanted("dcp")) {
      const dcp = await sparseDcp(at("dcp"), 1.25e9, torch);
      measure("5 GB tensor of DCP to .bin", process.execPath, [self, "--copy", dcp, "bin", "keep"]);
      measure(
        "5 GB tensor of DCP to-st",
        process.execPath,
        ckpt("to-st", dcp, "-o", at("d.safetensors"), "--raw"),
      );
      measure("5 GB tensor of DCP verify", process.execPath, ckpt("verify", dcp));
    }
    if (wanted("ranks")) {
      const many = await sparseZero(at("ranks"), 1024, 11_040, 1104, torch);
      measure("1,024 ranks, the plan", process.execPath, ckpt("merge", many, "--dry-run"));
      measure("1,024 ranks merge", process.execPath, ckpt("merge", many, "-o", at("ranks.bin")));
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
