/**
 * The pool of two lanes, this thread and one worker, which share the jobs as each has time for them. One pool serves all files
 * that are written or looked at together.
 */
import { abortedError } from "../../core/errors.js";
import { Lane, type LaneJob, type LaneResult } from "./lane.js";
import { type SecondThread, takeSecondThread } from "./second-thread.js";
import { WORKER_FROM } from "./worker-from.js";

/** The number of jobs that the worker has at once, so that it need not wait for the next one when this thread is busy. */
const WORKER_QUEUE = 2;
/**
 * The number of jobs that must wait before this thread does one whose bytes came over a network: in the meantime it would receive
 * nothing, and receiving is most of the work.
 */
const LEFT_TO_WORKER = 8;

interface Entry {
  readonly job: LaneJob;
  readonly signal: AbortSignal | undefined;
  readonly resolve: (result: LaneResult) => void;
  readonly reject: (error: unknown) => void;
}

export class Lanes {
  readonly #own = new Lane();
  readonly #waiting: Entry[] = [];
  #ownTurn = false;
  readonly #second: SecondThread | undefined;
  /** The jobs that the worker has, the oldest first. */
  readonly #sent: Entry[] = [];
  /** The descriptor of the file that each of the two lanes wrote last. */
  readonly #file: { own: number | undefined; worker: number | undefined } = {
    own: undefined,
    worker: undefined,
  };

  /** @param totalBytes  the bytes of all jobs, roughly, which tell whether a second thread is worth its start */
  constructor(totalBytes: number) {
    // Deno's threads do not share descriptors.
    if (totalBytes < WORKER_FROM || process.versions.deno !== undefined) return;
    try {
      this.#second = takeSecondThread();
    } catch {
      return; // The system has no thread for us: one lane does it all.
    }
    this.#second.onResult = (answer) => {
      if (answer !== undefined) {
        this.#sent.shift()!.resolve(answer);
      }
      this.#next();
    };
    // Jobs write where they are told and can be done again, so this thread does those that one which died has not answered.
    this.#second.onEnd = () => {
      this.#waiting.unshift(...this.#sent.splice(0));
      this.#next();
    };
  }

  /**
   * Does a job in one of the lanes; the caller keeps its files open until then.
   * @throws VistaError `ABORTED` where the signal comes before the job's turn
   */
  run(job: LaneJob, signal: AbortSignal | undefined): Promise<LaneResult> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ job, signal, resolve, reject });
      this.#next();
    });
  }

  /** Ends the worker; nobody has to wait for that. No job may be running. */
  close(): void {
    this.#second?.end();
  }

  #next(): void {
    this.#dropAborted();
    while (this.#second?.ready && this.#sent.length < WORKER_QUEUE && this.#waiting.length > 0) {
      const entry = this.#take("worker")!;
      this.#sent.push(entry);
      this.#second.run(entry.job);
    }
    if (this.#ownTurn || this.#waiting.length === 0) return;
    if (this.#waiting[0]!.job.received && this.#second?.ready && this.#waiting.length < LEFT_TO_WORKER)
      return;
    this.#ownTurn = true;
    // Everything else gets its turn between two jobs of this thread: answers of the worker, Ctrl-C, the progress bar.
    setImmediate(() => {
      this.#ownTurn = false;
      this.#dropAborted();
      const entry = this.#take("own");
      if (entry === undefined) return;
      try {
        entry.resolve(this.#own.run(entry.job));
      } catch (error) {
        entry.reject(error);
      }
      this.#next();
    });
  }

  /**
   * Takes the oldest job for the file that only this lane is at, else the oldest for a file that the other lane is not at, else
   * the oldest of all: a file system lets only one thread at a time write into a file.
   */
  #take(lane: "own" | "worker"): Entry | undefined {
    const mine = this.#file[lane];
    const other = this.#file[lane === "own" ? "worker" : "own"];
    let at = mine === other ? -1 : this.#waiting.findIndex(({ job }) => fileOf(job) === mine);
    if (at < 0) at = this.#waiting.findIndex(({ job }) => fileOf(job) !== other);
    const [entry] = this.#waiting.splice(Math.max(0, at), 1);
    if (entry !== undefined) this.#file[lane] = fileOf(entry.job);
    return entry;
  }

  #dropAborted(): void {
    while (this.#waiting[0]?.signal?.aborted) {
      const { signal, reject } = this.#waiting.shift()!;
      reject(abortedError(signal));
    }
  }
}

/** Returns the descriptor of a job's output, if it has one. */
function fileOf(job: LaneJob): number | undefined {
  return job.kind === "copy" ? job.fd : undefined;
}
