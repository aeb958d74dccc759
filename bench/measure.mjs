/**
 * Times whole processes, interleaved, and prints medians and ratios. Machines are shared and noisy: only ratios of runs that
 * took turns mean anything. Needs GNU time (Debian: `apt-get install time`) for peak memory.
 */
import { spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/**
 * Without NODE_EXTRA_CA_CERTS: where a proxy wants it, every start of Node 20 reads that file's certificates, 40 ms for the
 * usual bundle, which is more than all the rest of its start.
 */
const { NODE_EXTRA_CA_CERTS: _, ...env } = process.env;

/**
 * Runs one command. @returns {{ seconds: number, megabytes: number, cpu: number }} wall time, peak memory of the largest process, seconds
 * of all processors together
 */
export function runOnce(command) {
  const folder = mkdtempSync(join(tmpdir(), "bench-"));
  const report = join(folder, "time");
  const started = process.hrtime.bigint();
  const child = spawnSync("/usr/bin/time", ["-f", "%M %U %S", "-o", report, ...command], {
    stdio: ["ignore", "ignore", "pipe"],
    env,
  });
  const seconds = Number(process.hrtime.bigint() - started) / 1e9;
  if (child.error !== undefined) throw child.error;
  if (child.status !== 0)
    throw new Error(`${command.join(" ")} exited with ${child.status}: ${child.stderr}`);
  const [kilobytes, user, system] = readFileSync(report, "utf8")
    .trim()
    .split("\n")
    .at(-1)
    .split(" ")
    .map(Number);
  rmSync(folder, { recursive: true });
  return { seconds, megabytes: kilobytes / 1000, cpu: user + system };
}

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/**
 * Runs every contestant `rounds` times, in rounds of all in random order, after one round that is not counted. In an order that
 * is always the same, each would always find the memory that the same one before it left.
 *
 * @param contestants  name → { command, before?, rounds? }: `before` runs untimed ahead of each run; `rounds` lowers the number
 *   for slow ones
 * @param warm  files and folders to read ahead of each run, all of them for every contestant: some machines take the page
 *   cache back within seconds, and a run does better the less time has passed since the one before
 * @returns name → { median, min, max, megabytes, cpu, seconds (of each round) }
 */
export async function takeTurns(contestants, rounds, warm = []) {
  const settle = Number(option("settle", "0"));
  const times = Object.fromEntries(Object.keys(contestants).map((name) => [name, []]));
  const cpus = Object.fromEntries(Object.keys(contestants).map((name) => [name, []]));
  const memory = Object.fromEntries(Object.keys(contestants).map((name) => [name, 0]));
  for (let round = 0; round <= rounds; round++) {
    for (const [name, { command, before, rounds: own = rounds }] of shuffled(Object.entries(contestants))) {
      if (round > own) continue;
      // Some virtual machines give memory that has been free for a second or two back to their host, and it is slow to get
      // again. So a run gets what the last output had, the sooner the more of it; with --settle N all wait for N seconds,
      // and none does.
      for (const path of warm) readThrough(path);
      before?.();
      await sleep(settle * 1000);
      const { seconds, megabytes, cpu } = runOnce(command);
      memory[name] = Math.max(memory[name], megabytes);
      if (round === 0) continue;
      times[name].push(seconds);
      cpus[name].push(cpu);
    }
  }
  return Object.fromEntries(
    Object.entries(times).map(([name, values]) => [
      name,
      {
        median: median(values),
        min: Math.min(...values),
        max: Math.max(...values),
        megabytes: memory[name],
        cpu: median(cpus[name]),
        seconds: values,
      },
    ]),
  );
}

function shuffled(items) {
  return items
    .map((item) => ({ item, at: Math.random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ item }) => item);
}

function readThrough(path) {
  const command = statSync(path).isDirectory() ? 'cat "$0"/*/* "$0"/latest' : 'cat "$0"';
  spawnSync("sh", ["-c", `${command} > /dev/null`, path]);
}

/** Prints a table; the ratio to `base` is the median of those of the rounds, in each of which both had a turn. */
export function printTable(title, results, base) {
  console.log(`\n${title}`);
  const width = Math.max(...Object.keys(results).map((name) => name.length));
  console.log(`${"".padEnd(width)}   median      min      max      cpu   runs   peak MB   × ${base}`);
  for (const [name, { median: middle, min, max, megabytes, cpu, seconds }] of Object.entries(results)) {
    const cells = [middle, min, max, cpu].map((value) => `${value.toFixed(2)} s`.padStart(9)).join("");
    const ratio = median(seconds.map((value, round) => value / results[base].seconds[round]));
    console.log(
      `${name.padEnd(width)}${cells}${String(seconds.length).padStart(7)}${megabytes.toFixed(0).padStart(10)}${ratio.toFixed(2).padStart(8)}`,
    );
  }
}

export function remove(path) {
  if (existsSync(path)) rmSync(path, { recursive: true });
}

/**
 * Takes an output away for the next run without deleting its files, which are only emptied and moved to `<path>.old`. On ext4 without
 * a journal, new files look for an inode among those that were deleted within the last minutes and may not have one of them:
 * after the removal of some thousand files that search costs more than the run that is measured.
 */
export function retire(path) {
  if (!existsSync(path)) return;
  for (const entry of readdirSync(path, { recursive: true, withFileTypes: true }))
    if (entry.isFile()) truncateSync(join(entry.parentPath, entry.name));
  mkdirSync(`${path}.old`, { recursive: true });
  renameSync(path, join(`${path}.old`, `${Date.now()}-${Math.random().toString(36).slice(2)}`));
}

/** `--name value` from the command line. */
export function option(name, fallback) {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? fallback : process.argv[at + 1];
}
