/** Runs seeds of one target; where it is stands in shared memory, for the main thread to see whether it is stuck. */
import { parentPort, workerData } from "node:worker_threads";
import { cpuTime, runOne } from "./target.js";
import { allTargets } from "./targets.js";

export interface FuzzTask {
  readonly fixtures: string;
  readonly target: string;
  readonly from: number;
  readonly to: number;
  readonly scratch: string;
  /** [seed under way, how many are done, 1 when it is to end]. */
  readonly progress: Int32Array;
}

export type FuzzMessage =
  | {
      readonly kind: "ends";
      readonly ends: Record<string, number>;
      readonly slowest: [seed: number, ms: number];
    }
  | { readonly kind: "fault"; readonly seed: number; readonly fault: string };

const { fixtures, target: name, from, to, scratch, progress } = workerData as FuzzTask;
const target = allTargets(fixtures).find((each) => each.name === name)!;
let ends: Record<string, number> = {};
let slowest: [number, number] = [from, 0];

function tell(): void {
  parentPort!.postMessage({ kind: "ends", ends, slowest } satisfies FuzzMessage);
  ends = {};
}

for (let seed = from; seed < to && Atomics.load(progress, 2) === 0; seed++) {
  Atomics.store(progress, 0, seed);
  Atomics.add(progress, 1, 1);
  const started = cpuTime();
  const { end, fault } = await runOne(target, seed, scratch);
  const took = cpuTime() - started;
  if (took > slowest[1]) slowest = [seed, took];
  ends[end] = (ends[end] ?? 0) + 1;
  if (fault !== undefined) parentPort!.postMessage({ kind: "fault", seed, fault } satisfies FuzzMessage);
  if (seed % 100 === 99) tell();
}
tell();
