/** Two lanes side by side: this thread and one worker, which share the jobs as each has time for them. */
import { Worker } from "node:worker_threads";
import { abortedError } from "../errors.js";
import { Lane, type LaneJob, type LaneResult } from "./lane.js";

/** Bytes in all below which a second thread takes longer to start than it saves. */
export const WORKER_FROM = 64 * 1024 * 1024;
/** Jobs that the worker is given at once, so that it has the next one when this thread is busy. */
const WORKER_QUEUE = 2;

interface Entry {
  readonly job: LaneJob;
  readonly signal: AbortSignal | undefined;
  readonly resolve: (result: LaneResult) => void;
  readonly reject: (error: unknown) => void;
}

/** A worker, from its start on. */
class SecondThread {
  readonly worker: Worker;
  ready = false;
  /** Called with every result, and without one when it is ready. */
  onResult: (result?: LaneResult) => void = () => {};
  onError: (error: unknown) => void = () => {};

  constructor() {
    // No more of a heap than short-lived messages need.
    const resourceLimits = { maxYoungGenerationSizeMb: 1, maxOldGenerationSizeMb: 64 };
    this.worker = new Worker(new URL("./lane-worker.js", import.meta.url), { resourceLimits });
    this.worker.on("message", (message: "ready" | LaneResult) => {
      if (message !== "ready") return this.onResult(message);
      this.ready = true;
      this.onResult();
    });
    this.worker.on("error", (error) => {
      this.ready = false;
      this.onError(error);
    });
  }
}

/** Started ahead of time, not in use yet. */
let spare: SecondThread | undefined;

/**
 * Starts the second thread of the next {@link Lanes}, so that it is there when copying begins: it takes some 50 ms to
 * start. It does not keep the process alive.
 *
 * @param onReady  called when it has started
 */
export function startSecondThread(onReady: () => void): void {
  spare ??= new SecondThread();
  spare.worker.once("message", onReady);
  spare.worker.unref();
}

export class Lanes {
  readonly #own = new Lane();
  readonly #waiting: Entry[] = [];
  #ownTurn = false;
  readonly #second: SecondThread | undefined;
  /** What the worker has been given, oldest first. */
  readonly #sent: Entry[] = [];

  /** @param totalBytes  of all jobs, about: whether a second thread is worth its start */
  constructor(totalBytes: number) {
    if (totalBytes < WORKER_FROM) return;
    this.#second = spare ?? new SecondThread();
    spare = undefined;
    this.#second.worker.ref();
    this.#second.onResult = (result) => {
      if (result !== undefined) this.#sent.shift()!.resolve(result);
      this.#next();
    };
    this.#second.onError = (error) => {
      for (const { reject } of this.#sent.splice(0)) reject(error);
    };
  }

  /**
   * Does a job in one of the lanes; the caller keeps its files open until then.
   * @throws VistaError `ABORTED` where the signal comes before its turn
   */
  run(job: LaneJob, signal: AbortSignal | undefined): Promise<LaneResult> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ job, signal, resolve, reject });
      this.#next();
    });
  }

  /** Ends the worker, which nobody has to wait for: no job may be running. */
  close(): void {
    void this.#second?.worker.terminate();
  }

  #next(): void {
    this.#dropAborted();
    while (this.#second?.ready && this.#sent.length < WORKER_QUEUE && this.#waiting.length > 0) {
      const entry = this.#waiting.shift()!;
      this.#sent.push(entry);
      this.#second.worker.postMessage(entry.job);
    }
    if (this.#ownTurn || this.#waiting.length === 0) return;
    this.#ownTurn = true;
    // Between two jobs of this thread everything else gets its turn: answers of the worker, Ctrl-C, the progress bar.
    setImmediate(() => {
      this.#ownTurn = false;
      this.#dropAborted();
      const entry = this.#waiting.shift();
      if (entry === undefined) return;
      try {
        entry.resolve(this.#own.run(entry.job));
      } catch (error) {
        entry.reject(error);
      }
      this.#next();
    });
  }

  #dropAborted(): void {
    while (this.#waiting[0]?.signal?.aborted) {
      const { signal, reject } = this.#waiting.shift()!;
      reject(abortedError(signal));
    }
  }
}
