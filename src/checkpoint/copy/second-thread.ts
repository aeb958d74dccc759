/** The second thread of the copy loop, apart from what it does: it can start before that is loaded. */
import { Worker } from "node:worker_threads";
import type { LaneJob, LaneResult } from "./lane.js";

/** Bytes in all below which it takes longer to start than it saves. */
export const WORKER_FROM = 64 * 1024 * 1024;

/** A worker, from its start on. */
export class SecondThread {
  readonly #worker: Worker;
  ready = false;
  /** Called with every result, and without one when it is ready. */
  onResult: (result?: LaneResult) => void = () => {};
  /** Called when it is gone, whatever the reason: what it was given and has not answered is not being done any more. */
  onEnd: () => void = () => {};
  #ended = false;

  constructor() {
    // No more of a heap than short-lived messages need.
    const resourceLimits = { maxYoungGenerationSizeMb: 1, maxOldGenerationSizeMb: 64 };
    this.#worker = new Worker(new URL("./lane-worker.js", import.meta.url), { resourceLimits });
    this.#worker.on("message", (message: "ready" | LaneResult) => {
      if (message !== "ready") return this.onResult(message);
      this.ready = true;
      this.onResult();
    });
    // An error ends the thread, but a thread also ends without one: only its end counts. Whoever gets its jobs meets the error.
    this.#worker.on("error", () => {});
    this.#worker.on("exit", () => {
      this.ready = false;
      this.#ended = true;
      this.onEnd();
    });
  }

  get ended(): boolean {
    return this.#ended;
  }

  run(job: LaneJob): void {
    this.#worker.postMessage(job);
  }

  /** Ends it, which nobody has to wait for. */
  end(): void {
    void this.#worker.terminate();
  }

  /** Whether it keeps the process alive. */
  hold(process: boolean): void {
    if (process) this.#worker.ref();
    else this.#worker.unref();
  }
}

/** Started ahead of time, not in use yet. */
let spare: SecondThread | undefined;

/**
 * Starts the second thread that {@link takeSecondThread} gives next, so that it is there when copying begins: it takes
 * some 50 ms to start. It does not keep the process alive.
 */
export function startSecondThread(): void {
  if (spare !== undefined) return;
  spare = new SecondThread();
  spare.hold(false);
}

export function takeSecondThread(): SecondThread {
  const taken = spare === undefined || spare.ended ? new SecondThread() : spare;
  spare = undefined;
  taken.hold(true);
  return taken;
}
