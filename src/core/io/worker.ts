/** Runs modules in worker threads, one task after the other, and ends them when asked to stop. */
import { parentPort, Worker } from "node:worker_threads";
import {
  abortedError,
  type ErrorCode,
  isSystemError,
  isVistaError,
  throwIfAborted,
  VistaError,
} from "../errors.js";

/** What a thread sends beside the messages of its task. */
type Ending =
  | { kind: "finished" }
  /** An error of this package, which would lose its class on the way. */
  | { kind: "failed"; code: ErrorCode; message: string; hint: string | undefined }
  /** An error of the file system, which would lose its fields. */
  | { kind: "refused"; code: string | undefined; syscall: string; message: string };

/**
 * In the module of a thread: runs each task that it is sent. An error of this package or of the file
 * system is thrown again by {@link TaskThread.run}; the thread dies of any other.
 */
export function serveTasks<Task, Message extends { kind: string }>(
  run: (task: Task, send: (message: Message) => void) => void | Promise<void>,
): void {
  const port = parentPort!;
  const end = (ending: Ending) => port.postMessage(ending);
  port.on("message", async (task: Task) => {
    try {
      await run(task, (message) => port.postMessage(message));
      end({ kind: "finished" });
    } catch (error) {
      if (isVistaError(error)) {
        end({ kind: "failed", code: error.code, message: error.message, hint: error.hint });
      } else if (isSystemError(error)) {
        end({ kind: "refused", code: error.code, syscall: error.syscall!, message: error.message });
      } else throw error;
    }
  });
}

/** A worker thread that runs tasks one after the other. Arrays over shared memory are passed without a copy. */
export class TaskThread<Task, Message extends { kind: string }> {
  readonly #worker: Worker;
  readonly #signal: AbortSignal | undefined;
  readonly #onAbort = () => void this.#worker.terminate();
  /** The task that runs. */
  #onMessage: ((message: Message) => void) | undefined;
  #settle: ((error?: Error) => void) | undefined;
  /** Why the thread ended, once it has. */
  #ended: Error | undefined;

  /** @param entry  a module that calls {@link serveTasks} */
  constructor(entry: URL, signal: AbortSignal | undefined) {
    this.#worker = new Worker(entry);
    this.#signal = signal;
    signal?.addEventListener("abort", this.#onAbort);
    this.#worker.on("message", (message: Message | Ending) => {
      if (isEnding(message)) this.#finish(errorOf(message));
      else this.#onMessage?.(message);
    });
    // An error that nothing caught ends the thread, and so does one that cannot be sent.
    this.#worker.on("error", (error: Error) => this.#end(error));
    this.#worker.on("messageerror", (error: Error) => this.#end(error));
    // A thread can end without an error: terminated, or by process.exit() in what it runs.
    this.#worker.on("exit", (code) =>
      this.#end(new Error(`a worker thread ended with code ${code} before its task was done`)),
    );
  }

  /**
   * @param onMessage  called for every message of the task
   * @throws what the task threw, VistaError `ABORTED`
   */
  run(task: Task, onMessage: (message: Message) => void): Promise<void> {
    throwIfAborted(this.#signal);
    return new Promise((resolve, reject) => {
      if (this.#ended !== undefined) return reject(this.#ended);
      this.#onMessage = onMessage;
      this.#settle = (error) => (error === undefined ? resolve() : reject(error));
      this.#worker.postMessage(task);
    });
  }

  async close(): Promise<void> {
    this.#signal?.removeEventListener("abort", this.#onAbort);
    await this.#worker.terminate();
  }

  #end(error: Error): void {
    this.#ended ??= this.#signal?.aborted ? abortedError(this.#signal) : error;
    this.#finish(this.#ended);
  }

  #finish(error: Error | undefined): void {
    const settle = this.#settle;
    this.#settle = undefined;
    this.#onMessage = undefined;
    settle?.(error);
  }
}

/** Runs one task in a thread of its own. As {@link TaskThread.run}. */
export async function runWorker<Task, Message extends { kind: string }>(
  entry: URL,
  task: Task,
  signal: AbortSignal | undefined,
  onMessage: (message: Message) => void,
): Promise<void> {
  throwIfAborted(signal);
  const thread = new TaskThread<Task, Message>(entry, signal);
  try {
    await thread.run(task, onMessage);
  } finally {
    await thread.close();
  }
}

function isEnding(message: { kind: string }): message is Ending {
  return message.kind === "finished" || message.kind === "failed" || message.kind === "refused";
}

function errorOf(ending: Ending): Error | undefined {
  if (ending.kind === "finished") return undefined;
  const { message } = ending;
  if (ending.kind === "refused") {
    return Object.assign(new Error(message), { code: ending.code, syscall: ending.syscall });
  }
  const { code, hint } = ending;
  return new VistaError(code, message, { hint });
}
