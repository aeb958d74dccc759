/**
 * `npm run fuzz`: seeded inputs of every format, each read in a worker under a limit of time and memory.
 *
 *   npm run fuzz -- --inputs 100000 --target legacy     so many of one format
 *   npm run fuzz -- --seconds 60                         all formats in turn, together in so much time; with --inputs, at most so many of each
 *   npm run fuzz -- --target legacy --seed 4711 --one    one input again, its files kept
 */
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Worker } from "node:worker_threads";
import { Random } from "./random.js";
import { cpuTime, runOne, type Target, writeFiles } from "./target.js";
import { allTargets } from "./targets.js";
import type { FuzzMessage, FuzzTask } from "./worker.js";

/** What one input may take: 10 s of the processor, and 300 MB over what the reader itself has. */
const CPU_LIMIT_MS = 10_000;
const HEAP_LIMIT_MB = 400;
const RESIDENT_LIMIT_MB = 500;
/** Nothing waits so long, on a machine that others load too, but what waits for ever. */
const STUCK_MS = 300_000;

interface Tally {
  inputs: number;
  readonly ends: Map<string, number>;
  readonly faults: { seed: number; fault: string }[];
  slowest: [seed: number, ms: number];
}

const { values } = parseArgs({
  options: {
    target: { type: "string", multiple: true },
    inputs: { type: "string" },
    seconds: { type: "string" },
    seed: { type: "string", default: "1" },
    one: { type: "boolean", default: false },
  },
});
const [fixtures, workerFile, scratch] = [
  process.env.FUZZ_FIXTURES!,
  process.env.FUZZ_WORKER!,
  process.env.FUZZ_SCRATCH!,
];
const targets = allTargets(fixtures).filter(({ name }) => values.target?.includes(name) ?? true);
const say = (text: string) => process.stdout.write(`${text}\n`);
if (targets.length === 0) {
  say(
    `fuzz: no such target; there are ${allTargets(fixtures)
      .map(({ name }) => name)
      .join(", ")}`,
  );
  process.exit(2);
}

if (values.one) {
  for (const target of targets) await again(target, Number(values.seed));
} else {
  const seconds = values.seconds === undefined ? undefined : Number(values.seconds) / targets.length;
  let faults = 0;
  for (const target of targets) {
    const inputs = Number(values.inputs ?? (seconds === undefined ? 1000 : 2 ** 30));
    const tally = await fuzz(target, Number(values.seed), inputs, seconds);
    const ends = [...tally.ends].sort(([, a], [, b]) => b - a).map(([end, count]) => `${end} ${count}`);
    const [slowSeed, ms] = tally.slowest;
    say(
      `${target.name}: ${tally.inputs} inputs from seed ${values.seed} on, ${tally.faults.length} faults; ` +
        `${ends.join(", ")}; slowest ${(ms / 1000).toFixed(2)} s of the processor (seed ${slowSeed})`,
    );
    faults += tally.faults.length;
  }
  process.exit(faults === 0 ? 0 : 1);
}

/** One input, its files kept. */
async function again(target: Target, seed: number): Promise<void> {
  const folder = mkdtempSync(join(scratch, `${target.name}-${seed}-`));
  writeFiles(folder, target.make(new Random(seed)));
  say(`${target.name} ${seed}: files in ${folder}`);
  const started = cpuTime();
  const { end, fault } = await runOne(target, seed, scratch);
  say(
    `${end} in ${((cpuTime() - started) / 1000).toFixed(2)} s of the processor${fault === undefined ? "" : `\n${fault}`}`,
  );
}

async function fuzz(
  target: Target,
  first: number,
  inputs: number,
  seconds: number | undefined,
): Promise<Tally> {
  const tally: Tally = { inputs: 0, ends: new Map(), faults: [], slowest: [first, 0] };
  const last = first + inputs;
  const until = seconds === undefined ? Number.POSITIVE_INFINITY : Date.now() + seconds * 1000;
  let next = first;
  while (next < last && Date.now() < until) next = await stretch(target, next, last, until, tally);
  return tally;
}

/** Runs a worker until it ends, is stuck, or the time is up. @returns the seed to go on with */
function stretch(target: Target, from: number, to: number, until: number, tally: Tally): Promise<number> {
  const progress = new Int32Array(new SharedArrayBuffer(12));
  const folder = mkdtempSync(join(scratch, "run-"));
  const task: FuzzTask = { fixtures, target: target.name, from, to, scratch: folder, progress };
  const worker = new Worker(workerFile, {
    workerData: task,
    resourceLimits: { maxOldGenerationSizeMb: HEAP_LIMIT_MB },
  });
  const note = (seed: number, fault: string) => {
    tally.faults.push({ seed, fault });
    say(`FAULT ${target.name} seed ${seed}: ${fault}`);
  };
  return new Promise((resolve) => {
    let seen = -1;
    let [since, cpu, large] = [Date.now(), cpuTime(), false];
    let over = false;
    const end = (seed: number) => {
      if (over) return;
      over = true;
      clearInterval(timer);
      tally.inputs += Atomics.load(progress, 1);
      void worker.terminate().then(() => {
        rmSync(folder, { recursive: true, force: true });
        resolve(seed);
      });
    };
    const timer = setInterval(() => {
      // It ends by itself: native code of a decoder that is under way would end the whole process.
      if (Date.now() > until) Atomics.store(progress, 2, 1);
      const seed = Atomics.load(progress, 0);
      if (seed !== seen) {
        seen = seed;
        [since, cpu, large] = [Date.now(), cpuTime(), false];
        return;
      }
      const resident = process.memoryUsage.rss() / 2 ** 20;
      if (resident > RESIDENT_LIMIT_MB && !large) {
        large = true;
        note(seed, `${resident.toFixed(0)} MB of memory`);
      }
      const late =
        cpuTime() - cpu > CPU_LIMIT_MS
          ? `beyond ${CPU_LIMIT_MS / 1000} s of the processor`
          : Date.now() - since > STUCK_MS
            ? `stuck for ${STUCK_MS / 1000} s`
            : undefined;
      if (late !== undefined) {
        note(seed, late);
        end(seed + 1);
      }
    }, 100);
    worker.on("message", (message: FuzzMessage) => {
      if (message.kind === "fault") note(message.seed, message.fault);
      else {
        for (const [end, count] of Object.entries(message.ends)) {
          tally.ends.set(end, (tally.ends.get(end) ?? 0) + count);
        }
        if (message.slowest[1] > tally.slowest[1]) tally.slowest = message.slowest;
      }
    });
    worker.on("error", (error) => {
      if (over) return;
      const seed = Atomics.load(progress, 0);
      note(seed, error.stack ?? error.message);
      end(seed + 1);
    });
    worker.on("exit", () => end(to));
  });
}
