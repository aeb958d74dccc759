/**
 * Checkpoints at URLs on this machine's nginx (the objects of S3 too; its listings come from a small server here): bytes, requests,
 * time and memory of `to-st`, beside curl fetching just the same ranges over 8 connections, and `aws s3 cp` with a local `to-st`
 * after it. Then what `inspect` asks for.
 *
 *   node bench/remote.mjs [--gb 1] [--rounds 5] [--dir bench/tmp] [--aws aws] [--python .venv-peers/zero/bin/python] [--settle 0]
 *
 * Needs nginx, curl, GNU time, the AWS CLI (`pip install awscli` into some environment; `--aws no` leaves it out), the peers'
 * environment (test/peers/setup.sh zero), and disk for ten times the size.
 */
import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join, relative, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { option, printTable, remove, runOnce, takeTurns } from "./measure.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const dir = resolve(option("dir", join(root, "bench/tmp")));
const served = join(dir, "served");
const at = (name) => join(dir, name);
const [port, listPort] = [18_080, 18_081];

if (process.argv.includes("--listings")) serveListings();
else await main();

/** ListObjectsV2 of what nginx serves: the bucket is the first folder. Runs as a process of its own. */
function serveListings() {
  createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url, "http://x");
    const bucket = join(served, pathname.split("/")[1]);
    const [prefix, delimiter] = ["prefix", "delimiter"].map((name) => searchParams.get(name) ?? "");
    const items = new Set();
    for (const entry of readdirSync(bucket, { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name);
      const key = relative(bucket, path);
      if (!entry.isFile() || !key.startsWith(prefix)) continue;
      const end = delimiter === "" ? -1 : key.indexOf(delimiter, prefix.length);
      const { mtime, size } = statSync(path);
      // As nginx gives it: the AWS CLI asks with If-Match for what was listed.
      const tag = `&quot;${Math.floor(mtime / 1000).toString(16)}-${size.toString(16)}&quot;`;
      items.add(
        end < 0
          ? `<Contents><Key>${key}</Key><LastModified>${mtime.toISOString()}</LastModified><ETag>${tag}</ETag><Size>${size}</Size></Contents>`
          : `<CommonPrefixes><Prefix>${key.slice(0, end + 1)}</Prefix></CommonPrefixes>`,
      );
    }
    response.end(
      `<?xml version="1.0"?><ListBucketResult><IsTruncated>false</IsTruncated>${[...items].join("")}</ListBucketResult>`,
    );
  }).listen(listPort, "127.0.0.1");
}

async function main() {
  const python = option("python", join(root, ".venv-peers/zero/bin/python"));
  const aws = option("aws", "aws");
  const rounds = Number(option("rounds", "5"));
  const gb = option("gb", "1");
  const cli = ["node", join(root, "bin/vista-ckpt.js")];
  const log = at("access.log");
  const url = `http://127.0.0.1:${port}`;
  const env = [
    "env",
    `AWS_ENDPOINT_URL=${url}`,
    "AWS_ACCESS_KEY_ID=key",
    "AWS_SECRET_ACCESS_KEY=secret",
    "AWS_REGION=us-east-1",
    "NO_PROXY=*",
    "no_proxy=*",
  ];

  remove(dir);
  mkdirSync(join(served, "runs"), { recursive: true });
  run(
    python,
    join(root, "bench/make_zero_checkpoint.py"),
    "--gb",
    gb,
    "--ranks",
    "4",
    "--out",
    join(served, "runs/zero"),
  );
  run(...cli, "merge", join(served, "runs/zero"), "-o", join(served, "runs/in.bin"), "-q");
  run(
    ...cli,
    "to-st",
    join(served, "runs/in.bin"),
    "--raw",
    "-o",
    join(served, "runs/one.safetensors"),
    "-q",
  );
  makeMixtral(join(served, "runs/mixtral"));

  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((name) => `${name}_temp_path ${dir}/${name};`)
    .join(" ");
  writeFileSync(
    at("nginx.conf"),
    `daemon off; worker_processes 1; pid ${dir}/pid; error_log ${dir}/error.log; events {}
http { ${temporary} sendfile on; keepalive_requests 100000;
log_format own '$uri\\t$status\\t$body_bytes_sent\\t$http_range\\t$connection'; access_log ${log} own;
server { listen 127.0.0.1:${port}; root ${served};
location / {
if ($args ~ list-type=2) { proxy_pass http://127.0.0.1:${listPort}; break; }
if (-d $request_filename) { return 404; } } } }`,
  );
  const children = [
    spawn("nginx", ["-c", at("nginx.conf"), "-p", dir, "-e", at("error.log")], { stdio: "inherit" }),
    spawn(process.execPath, [fileURLToPath(import.meta.url), "--listings", "--dir", dir], {
      stdio: "inherit",
    }),
  ];
  try {
    await sleep(1000);
    const out = at("out.safetensors");
    const inputs = {
      "4 shards of ZeRO": ["s3://runs/zero", "zero"],
      "one .bin": [`${url}/runs/in.bin`, "in.bin"],
    };
    for (const [title, [place, name]] of Object.entries(inputs)) {
      const toSt = (input) => [...cli, "to-st", input, "--raw", "-o", out, "-q", "--no-fsync"];
      const before = () => [out, at("parts"), at("copy")].forEach(remove);
      const ours = { command: [...env, ...toSt(place)], before };
      const { rows, total } = asked(log, () => {
        before();
        runOnce(ours.command);
      });
      console.log(
        `\n${title}: to-st asks ${total}; the output has ${statSync(out).size} bytes, the input ${sizeOf(join(served, "runs", name))}`,
      );
      const local = at("local.safetensors");
      run(...cli, "to-st", join(served, "runs", name), "--raw", "-o", local, "-q");
      run("cmp", out, local);
      remove(local);
      writeFileSync(at("curl.conf"), curlConfig(rows, url));
      const contestants = {
        "curl, 8 connections, the same ranges": {
          command: ["curl", "-s", "--fail", "--parallel", "--parallel-max", "8", "-K", at("curl.conf")],
          before: () => {
            before();
            mkdirSync(at("parts"));
          },
        },
        "to-st": ours,
      };
      if (aws !== "no") {
        const copy =
          name === "zero" ? `--recursive s3://runs/zero ${at("copy")}` : `s3://runs/in.bin ${at("copy")}`;
        contestants["aws s3 cp, then to-st"] = {
          command: [...env, "sh", "-c", `${aws} s3 cp --quiet ${copy} && ${toSt(at("copy")).join(" ")}`],
          before,
          rounds: Math.min(rounds, 3),
        };
        console.log(
          `aws s3 cp asks ${
            asked(log, () => {
              before();
              runOnce(contestants["aws s3 cp, then to-st"].command);
            }).total
          }`,
        );
      }
      printTable(
        `${title}, ${gb} GB, warm`,
        await takeTurns(contestants, rounds, [join(served, "runs", name)]),
        Object.keys(contestants)[0],
      );
      before();
    }
    console.log("\ninspect");
    for (const place of [
      "s3://runs/zero",
      `${url}/runs/one.safetensors`,
      `${url}/runs/mixtral/model.safetensors.index.json`,
    ]) {
      let seconds = 0;
      const { total } = asked(log, () => {
        ({ seconds } = runOnce([...env, ...cli, "inspect", place]));
      });
      console.log(`  ${place}: ${total}, ${seconds.toFixed(2)} s`);
    }
    console.log("  (modelaudit's own figure for the 19 headers of Mixtral: 80 requests, 220,906 bytes)");
  } finally {
    for (const child of children) child.kill();
    remove(dir);
  }
}

function run(...command) {
  const { status } = spawnSync(command[0], command.slice(1), { stdio: ["ignore", "ignore", "inherit"] });
  if (status !== 0) throw new Error(`${command.join(" ")} exited with ${status}`);
}

/** What nginx was asked for while something ran. */
function asked(log, work) {
  const start = statSync(log).size;
  work();
  // Lines are written when answers are done, the last of them maybe a moment after the program.
  spawnSync("sleep", ["0.5"]);
  const lines = readFileSync(log, "utf8").slice(start).split("\n").filter(Boolean);
  const rows = lines.map((line) => {
    const [path, status, bytes, range, connection] = line.split("\t");
    return { path, status, bytes: Number(bytes), range, connection };
  });
  const bytes = rows.reduce((sum, row) => sum + row.bytes, 0);
  const connections = new Set(rows.map((row) => row.connection)).size;
  return { rows, total: `for ${bytes} bytes in ${rows.length} requests over ${connections} connections` };
}

/** The same ranges, neighbours joined, in requests of at most 8 MiB. */
function curlConfig(rows, url) {
  const files = new Map();
  for (const { path, status, range, bytes } of rows) {
    if (status !== "206") continue;
    const from = Number(/=(\d+)-/.exec(range)[1]);
    files.set(path, [...(files.get(path) ?? []), [from, from + bytes]]);
  }
  const lines = [];
  for (const [path, ranges] of files) {
    const joined = [];
    for (const [from, to] of ranges.sort(([a], [b]) => a - b)) {
      const last = joined.at(-1);
      if (last !== undefined && from <= last[1]) last[1] = Math.max(last[1], to);
      else joined.push([from, to]);
    }
    for (const [from, to] of joined)
      for (let at = from; at < to; at += 2 ** 23)
        lines.push(
          `url = "${url}${path}"\nrange = ${at}-${Math.min(at + 2 ** 23, to) - 1}\noutput = "${dir}/parts/${lines.length}"`,
        );
  }
  return lines.join("\nnext\nsilent\nfail\n");
}

function sizeOf(path) {
  if (statSync(path).isFile()) return statSync(path).size;
  return readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0);
}

/** Headers such as Mixtral 8x7B has, 995 tensors in 19 files, over data of zeros that take no room. */
function makeMixtral(folder) {
  mkdirSync(folder);
  const names = ["model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"];
  for (let layer = 0; layer < 32; layer++) {
    const own = ["q", "k", "v", "o"].map((one) => `self_attn.${one}_proj.weight`);
    own.push("block_sparse_moe.gate.weight", "input_layernorm.weight", "post_attention_layernorm.weight");
    for (let expert = 0; expert < 8; expert++)
      for (const one of ["w1", "w2", "w3"]) own.push(`block_sparse_moe.experts.${expert}.${one}.weight`);
    names.push(...own.map((name) => `model.layers.${layer}.${name}`));
  }
  const map = {};
  let total = 0;
  for (let file = 0; file < 19; file++) {
    const name = `model-${String(file + 1).padStart(5, "0")}-of-00019.safetensors`;
    const header = {};
    let end = 0;
    for (const tensor of names.slice(
      Math.floor((names.length * file) / 19),
      Math.floor((names.length * (file + 1)) / 19),
    )) {
      header[tensor] = { dtype: "BF16", shape: [4096, 1024], data_offsets: [end, end + 2 ** 23] };
      end += 2 ** 23;
      map[tensor] = name;
    }
    const text = Buffer.from(JSON.stringify(header));
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(text.length));
    writeFileSync(join(folder, name), Buffer.concat([length, text]));
    truncateSync(join(folder, name), 8 + text.length + end);
    total += end;
  }
  const index = { metadata: { total_size: total }, weight_map: map };
  writeFileSync(join(folder, "model.safetensors.index.json"), JSON.stringify(index));
}
