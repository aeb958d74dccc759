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

/** The message that a thread sends when a task has ended. */
type Ending =
  | { kind: "finished" }
  /** An error of this package, which would lose its class on the way. */
  | { kind: "failed"; code: ErrorCode; message: string; hint: string | undefined }
  /** An error of the file system, which would lose its fields. */
  | { kind: "refused"; code: string | undefined; syscall: string; message: string };

/**
 * Runs each task that is sent to the thread; a thread's module calls it. An error of this package or of the file system is
 * thrown again by {@link TaskThread.run}; any other error ends the thread.
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
  /** The function that gets the messages of the task that runs. */
  #onMessage: ((message: Message) => void) | undefined;
  #settle: ((error?: Error) => void) | undefined;
  /** The reason why the thread ended, once it has. */
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
    // A thread can end without an error: it was terminated, or what it ran called process.exit().
    this.#worker.on("exit", (code) =>
      this.#end(new Error(`a worker thread ended with code ${code} before its task was done`)),
    );
  }

  /**
   * Runs one task to its end.
   *
   * @param onMessage  the function to call for every message of the task
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

/** Runs one task in a thread of its own, as {@link TaskThread.run} does. */
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
