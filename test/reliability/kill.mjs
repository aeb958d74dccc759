/**
 * Ends the programs at random moments while they replace an output, and looks at what is there: the old output or the new
 * one, whole; for a set of files also none that a reader takes for whole. Then the same command runs again, has to end
 * well, and nothing but its output may be left.
 *
 *   npm run kill -- [--runs 1000] [--seed 1] [--only shards,index] [--dir FOLDER]
 *   npm run kill -- --steps                      not at random: before each rename, link and removal, all in turn
 *
 * One in five runs gets SIGTERM or SIGHUP in place of SIGKILL: it has to end with 143 or 129, or have ended well before.
 */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { makeOpenDv } from "../../bench/make-opendv.mjs";

const root = fileURLToPath(new URL("../..", import.meta.url));
const bin = (name) => join(root, "bin", `${name}.js`);

/** Numbers from 0 to 1 that are the same for the same seed. */
export function randomOf(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Starts a program. @returns the child, and a promise of how it ended */
export function start(program, args, options = {}) {
  const child = spawn(process.execPath, [bin(program), ...args], {
    stdio: ["ignore", "pipe", "pipe"],
    ...options,
  });
  let text = "";
  for (const stream of [child.stdout, child.stderr])
    stream?.on("data", (chunk) => {
      text += chunk;
    });
  const ended = new Promise((resolve) =>
    child.on("close", (code, signal) => resolve({ code, signal, text })),
  );
  return { child, ended };
}

const zeroInputs = ["stage2-fp32-3ranks-odd", "stage1-fp32-2ranks"].map((name) =>
  join(root, "fixtures/zero", name),
);

/** Two inputs for the same output, and what makes an output of either. */
const SCENARIOS = {
  merge: {
    inputs: () => ["vista-phase1", "vista-phase2"].map((name) => join(root, "fixtures/zero", name)),
    program: "vista-ckpt",
    args: (input, out) => ["merge", input, "-o", join(out, "model.bin"), "-q"],
    seal: "model.bin",
  },
  "to-st": {
    inputs: makeModels,
    program: "vista-ckpt",
    args: (input, out) => ["to-st", input, "-o", join(out, "model.safetensors"), "--raw", "-q"],
    seal: "model.safetensors",
  },
  shards: {
    inputs: makeModels,
    program: "vista-ckpt",
    args: (input, out) => [
      ...["to-st", input, "-o", join(out, "model.safetensors"), "--raw", "-q", "--max-shard-size", "4MB"],
    ],
    seal: "model.safetensors.index.json",
  },
  index: {
    inputs: makeOldVideos,
    program: "vista-data",
    args: (input, out) => ["index", input, "-o", join(out, "frames.index"), "--quiet"],
    seal: "frames.index",
    alwaysReplaces: true,
  },
  annotations: {
    inputs: makeVideos,
    program: "vista-data",
    args: (input, out) => ["annos", "youtube", input, "-o", join(out, "YouTube.json"), "--quiet"],
    seal: "YouTube.json",
  },
  reports: {
    inputs: makeOldVideos,
    program: "vista-data",
    args: (input, out) => [
      // All of them looked at, however slow the machine is: what was seen is part of a report.
      ...["check", input, "--quiet", "--budget", "1h", "--ndjson", join(out, "all.ndjson")],
      ...["--sarif", join(out, "report.sarif"), "--report", join(out, "report.html")],
    ],
    seal: "report.html",
    // The sets have findings on purpose.
    good: [0, 1],
    // One that is asked to stop writes a report of what it has seen.
    onlyKill: true,
  },
  reshard: {
    inputs: () => zeroInputs,
    program: "vista-ckpt",
    args: (input, out) => ["reshard", input, "--ranks", "4", "-o", join(out, "four.ckpt"), "-q"],
    seal: "four.ckpt/latest",
    isFolder: true,
  },
  universal: {
    inputs: () => zeroInputs,
    program: "vista-ckpt",
    args: (input, out) => ["to-universal", input, "-o", join(out, "universal.ckpt"), "-q"],
    seal: "universal.ckpt/latest_universal",
    isFolder: true,
  },
};
export const SCENARIO_NAMES = Object.keys(SCENARIOS);

function makeModels(folder) {
  return [1, 2].map((seed) => {
    const path = join(folder, `model-${seed}.safetensors`);
    const [count, floats] = [24, 250_000];
    const entries = Array.from({ length: count }, (_, i) => [
      `layer.${String(i).padStart(2, "0")}.weight`,
      { dtype: "F32", shape: [floats / 250, 250], data_offsets: [i * floats * 4, (i + 1) * floats * 4] },
    ]);
    const json = JSON.stringify(Object.fromEntries(entries));
    const header = Buffer.from(json.padEnd(Math.ceil(json.length / 8) * 8));
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(header.length));
    const data = new Float32Array(count * floats);
    for (let i = 0; i < 1000; i++) data[i] = ((i * seed) % 1000) + seed;
    for (let at = 1000; at < data.length; at *= 2) data.copyWithin(at, 0, at);
    writeFileSync(path, Buffer.concat([length, header, Buffer.from(data.buffer)]));
    return path;
  });
}

async function makeVideos(folder) {
  const roots = [];
  for (const seed of [1, 2]) {
    const path = join(folder, `videos-${seed}`);
    await makeOpenDv(path, { youtubers: 2, videos: 2, frames: 300 + seed, width: 64, height: 36, seed });
    // A gap, so that there is something to report.
    rmSync(join(path, framesOf(path)[100 * seed]));
    roots.push(path);
  }
  return roots;
}

/** The index does not trust the times of folders that were changed a moment ago: its bytes would depend on the moment. */
async function makeOldVideos(folder) {
  const roots = await makeVideos(folder);
  await sleep(3000);
  return roots;
}

function framesOf(path) {
  return readdirSync(path, { recursive: true })
    .filter((name) => name.endsWith(".jpg"))
    .sort();
}

/** What of a file is the same at each run: the head of the HTML report says when and by which command it was made. */
function contentOf(path) {
  const bytes = readFileSync(path);
  return path.endsWith(".html") ? bytes.toString("utf8").replace(/<dl>.*?<\/dl>/s, "") : bytes;
}

/** Digests of all files of a folder, by their path in it. */
function digests(folder) {
  return Object.fromEntries(
    readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => !entry.isDirectory())
      .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
      .sort()
      .map((name) => [
        name,
        createHash("sha256")
          .update(contentOf(join(folder, name)))
          .digest("hex"),
      ]),
  );
}

const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);
const visible = (found) =>
  Object.fromEntries(Object.entries(found).filter(([name]) => !name.startsWith(".")));

/**
 * The outputs of both inputs, and what one run that is killed is judged by.
 * @param folder  empty
 */
async function prepare(name, folder) {
  const scenario = SCENARIOS[name];
  const { program, args, seal, good = [0], isFolder = false } = scenario;
  const inputs = await scenario.inputs(folder);
  const force = scenario.alwaysReplaces ? [] : ["--force"];
  const out = join(folder, "out");
  const wholes = [];
  let took = 0;
  for (const input of inputs) {
    rmSync(out, { recursive: true, force: true });
    mkdirSync(out);
    const begun = performance.now();
    const { code, text } = await start(program, args(input, out)).ended;
    took = Math.max(took, performance.now() - begun);
    if (!good.includes(code)) throw new Error(`${name}: the first run ended with ${code}: ${text}`);
    wholes.push(digests(out));
    if (wholes.length === 1) cpSync(out, join(folder, "old"), { recursive: true });
  }
  if (same(wholes[0], wholes[1])) throw new Error(`${name}: both inputs give the same output`);
  const isSet = !isFolder && Object.keys(wholes[0]).length > 1;
  const result = { runs: 0, old: 0, new: 0, absent: 0, withoutSeal: 0, left: 0, problems: [] };

  /** Starts the program over the old output or over none, has `kill` end it, and judges. @returns how it ended */
  async function killed(before, signal, environment, kill, problem) {
    rmSync(out, { recursive: true, force: true });
    mkdirSync(out);
    if (before) cpSync(join(folder, "old"), out, { recursive: true });
    const env = { ...process.env, ...environment };
    const { child, ended } = start(program, [...args(inputs[1], out), ...(before ? force : [])], { env });
    await kill(child, out);
    const { code, signal: by, text } = await ended;
    const expected = signal === "SIGTERM" ? 143 : signal === "SIGHUP" ? 129 : undefined;
    // Before its handlers are there, a signal ends the process as it ends any.
    if (by === null && !good.includes(code) && code !== expected)
      problem(`${signal}: ended with ${code}: ${text}`);
    const found = digests(out);
    const seen = visible(found);
    if (Object.keys(found).length > Object.keys(seen).length) result.left++;
    if (code !== null && !good.includes(code) && !same(found, seen))
      problem(`${signal} left ${Object.keys(found)}`);
    if (same(seen, wholes[1])) result.new++;
    else if (before && same(seen, wholes[0])) result.old++;
    else if (!before && same(seen, {})) result.absent++;
    // A folder is there or not: between two renames the old one stands aside, and the next run would put it back.
    else if (isFolder ? before && same(seen, {}) : isSet && !(seal in seen)) result.withoutSeal++;
    else problem(`after ${signal} there is ${JSON.stringify(seen)}`);
    // Where nothing was there before and nothing whole is there now, nothing may be in the way.
    const again = seal in seen || before ? force : [];
    const last = await start(program, [...args(inputs[1], out), ...again]).ended;
    if (!good.includes(last.code)) problem(`the next run ended with ${last.code}: ${last.text}`);
    else if (!same(digests(out), wholes[1]))
      problem(`the next run left ${Object.keys(digests(out))}: ${last.text}`);
    result.runs++;
    return by;
  }
  return { killed, result, took, isSet };
}

/**
 * Ends a program at random moments.
 *
 * @param options.folder  empty
 * @returns counts by what was there after the kill, and `problems`: what must not be
 */
export async function killRuns(name, { runs, seed, folder, onProblem = () => {} }) {
  const { killed, result, took, isSet } = await prepare(name, folder);
  const { onlyKill = false } = SCENARIOS[name];
  const random = randomOf(seed);
  for (let run = 0; run < runs; run++) {
    const before = random() >= 0.3;
    const signal = onlyKill || random() < 0.8 ? "SIGKILL" : random() < 0.5 ? "SIGTERM" : "SIGHUP";
    const [anyTime, part, names] = [random() < 0.5, random(), isSet && random() < 0.5];
    // Half of the kills at any time, half of them while something is being written, or is given its names.
    const kill = async (child, out) => {
      if (anyTime) await sleep(part * took * 1.1);
      else await untilHidden(out, child, names ? /\.commit$/ : /^\./, names ? part * 2 : part * took * 0.2);
      child.kill(signal);
    };
    await killed(before, signal, {}, kill, reporter(result, `${name} seed ${seed} run ${run}`, onProblem));
  }
  return result;
}

/**
 * Ends a program before each of its calls that give, take or exchange names, one after the other: no moment among them
 * is left out.
 *
 * @param options.folder  empty
 * @returns as {@link killRuns} does
 */
export async function killAtEachStep(name, { folder, onProblem = () => {} }) {
  const { killed, result } = await prepare(name, folder);
  for (const before of [true, false]) {
    for (let step = 1; ; step++) {
      const environment = { NODE_OPTIONS: `--import ${KILL_AT}`, KILL_AT: String(step) };
      const problem = reporter(
        result,
        `${name} ${before ? "over an older one" : "new"}, step ${step}`,
        onProblem,
      );
      if ((await killed(before, "SIGKILL", environment, () => {}, problem)) === null) break;
    }
  }
  return result;
}

const KILL_AT = new URL("kill-at.mjs", import.meta.url).href;

function reporter(result, where, onProblem) {
  return (what) => {
    result.problems.push(`${where}: ${what}`);
    onProblem(result.problems.at(-1));
  };
}

const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Waits until a hidden file of that name is in the folder, or the child has ended, and then some milliseconds. */
async function untilHidden(folder, child, pattern, milliseconds) {
  while (child.exitCode === null && child.signalCode === null) {
    if (readdirSync(folder).some((name) => name.startsWith(".") && pattern.test(name))) break;
    await sleep(1);
  }
  await sleep(milliseconds);
}

function option(name, fallback) {
  const at = process.argv.indexOf(`--${name}`);
  return at === -1 ? fallback : process.argv[at + 1];
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const seed = Number(option("seed", "1"));
  const names = option("only", SCENARIO_NAMES.join(",")).split(",");
  const runs = Math.ceil(Number(option("runs", "1000")) / names.length);
  let failed = false;
  for (const name of names) {
    const folder = mkdtempSync(join(option("dir", tmpdir()), "vista-kill-"));
    try {
      const onProblem = (problem) => process.stdout.write(`  ${problem}\n`);
      const { problems, ...counts } = process.argv.includes("--steps")
        ? await killAtEachStep(name, { folder, onProblem })
        : await killRuns(name, { runs, seed, folder, onProblem });
      process.stdout.write(`${name}: ${JSON.stringify(counts)}\n`);
      failed ||= problems.length > 0;
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }
  process.exitCode = failed ? 1 : 0;
}
