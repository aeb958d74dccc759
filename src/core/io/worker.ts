/** Runs modules in worker threads, one task after the other, and ends them when asked to stop. */
import { rmSync } from "node:fs";
import { parentPort, type ResourceLimits, Worker } from "node:worker_threads";
import { abortedError, isSystemError, isVistaError, throwIfAborted, VistaError } from "../errors.js";
import { livePartials } from "./live-partials.js";

/** The message that a thread sends when a task has ended. */
type Ending =
  | { kind: "finished"; result: unknown }
  /** An error of this package or of the file system, of which only the message would arrive. */
  | { kind: "failed"; isOurs: boolean; error: Omit<AnyError, "name"> };

type AnyError = VistaError & NodeJS.ErrnoException;

/** The message by which a thread tells what it began to write, with its token, or that this is written or removed. */
interface Writing {
  kind: "writing";
  path: string;
  token: string | undefined;
}

/** What is sent to a thread: a task, or the reason why the one that it runs is to stop. */
type Order<Task> = { task: Task } | { stop: unknown };

/** The number of bytes that a task has to read below which a thread costs more than it saves. */
export const TASK_WORKER_FROM = 32 << 20;

/**
 * Runs each task that is sent to the thread; a thread's module calls it. An error of this package or of the file system is
 * thrown again by {@link TaskThread.run}; any other error ends the thread.
 *
 * @param run  returns the task's result, or a promise of it; gets a signal, which is for threads that stop by themselves
 *   ({@link ThreadOptions.unwinds})
 */
export function serveTasks<Task, Message extends { kind: string }>(
  run: (task: Task, send: (message: Message) => void, signal: AbortSignal) => unknown,
): void {
  const port = parentPort!;
  tellWriting((writing) => port.postMessage(writing));
  const end = (ending: Ending) => port.postMessage(ending);
  const controller = new AbortController();
  port.on("message", async (order: Order<Task>) => {
    if ("stop" in order) return controller.abort(order.stop);
    try {
      const result = await run(order.task, (message) => port.postMessage(message), controller.signal);
      end({ kind: "finished", result });
    } catch (error) {
      if (!isVistaError(error) && !isSystemError(error)) throw error;
      const { code, what, message, where, hint, stack, syscall } = error as AnyError;
      end({
        kind: "failed",
        isOurs: isVistaError(error),
        error: { code, what, message, where, hint, stack, syscall },
      });
    }
  });
}

/**
 * The main thread is told of every partial output of this thread, since it removes them where a second Ctrl-C ends the process at
 * once.
 */
function tellWriting(tell: (writing: Writing) => void): void {
  const { set, delete: remove } = livePartials;
  livePartials.set = (path, token) => {
    tell({ kind: "writing", path, token });
    return set.call(livePartials, path, token);
  };
  livePartials.delete = (path) => {
    tell({ kind: "writing", path, token: undefined });
    return remove.call(livePartials, path);
  };
}

export interface ThreadOptions {
  /** The bounds of the thread's heap; by default those of the process. */
  resourceLimits?: ResourceLimits;
  /** Whether its tasks stop by themselves when asked to, and clear what they wrote; otherwise the thread is ended. */
  unwinds?: boolean;
}

/** A worker thread that runs tasks one after the other. Arrays over shared memory are passed without a copy. */
export class TaskThread<Task, Message extends { kind: string }, Result = void> {
  readonly #worker: Worker;
  readonly #signal: AbortSignal | undefined;
  readonly #onAbort: () => void;
  /** The function that gets the messages of the task that runs. */
  #onMessage: ((message: Message) => void) | undefined;
  #settle: ((outcome: Error | { result: unknown }) => void) | undefined;
  readonly #writing = new Set<string>();
  /** The reason why the thread ended, once it has. */
  #ended: Error | undefined;

  /** @param entry  a module that calls {@link serveTasks} */
  constructor(entry: URL, signal: AbortSignal | undefined, options: ThreadOptions = {}) {
    const { unwinds = false, resourceLimits } = options;
    this.#worker = new Worker(entry, { resourceLimits });
    this.#signal = signal;
    this.#onAbort = () => {
      if (unwinds) this.#send({ stop: signal?.reason });
      else void this.#worker.terminate();
    };
    signal?.addEventListener("abort", this.#onAbort);
    this.#worker.on("message", (message: Message | Ending | Writing) => {
      if (isWriting(message)) this.#note(message);
      else if (isEnding(message)) this.#finish(outcomeOf(message));
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

  /** Runs one task to its end. @returns its result @throws what the task threw, VistaError `ABORTED` */
  run(task: Task, onMessage: (message: Message) => void): Promise<Result> {
    throwIfAborted(this.#signal);
    return new Promise((resolve, reject) => {
      if (this.#ended !== undefined) return reject(this.#ended);
      this.#onMessage = onMessage;
      this.#settle = (outcome) =>
        outcome instanceof Error ? reject(outcome) : resolve(outcome.result as Result);
      this.#send({ task });
    });
  }

  #send(order: Order<Task>): void {
    this.#worker.postMessage(order);
  }

  async close(): Promise<void> {
    this.#signal?.removeEventListener("abort", this.#onAbort);
    await this.#worker.terminate();
  }

  #note({ path, token }: Writing): void {
    if (token === undefined) {
      this.#writing.delete(path);
      livePartials.delete(path);
    } else {
      this.#writing.add(path);
      livePartials.set(path, token);
    }
  }

  #end(error: Error): void {
    // A thread that ran out of its heap has cleared nothing.
    for (const path of this.#writing) {
      rmSync(path, { force: true, recursive: true });
      livePartials.delete(path);
    }
    this.#writing.clear();
    this.#ended ??= this.#signal?.aborted ? abortedError(this.#signal) : error;
    this.#finish(this.#ended);
  }

  #finish(outcome: Error | { result: unknown }): void {
    const settle = this.#settle;
    this.#settle = undefined;
    this.#onMessage = undefined;
    settle?.(outcome);
  }
}

/** Runs one task in a thread of its own, as {@link TaskThread.run} does. */
export async function runWorker<Task, Message extends { kind: string }, Result = void>(
  entry: URL,
  task: Task,
  signal: AbortSignal | undefined,
  onMessage: (message: Message) => void,
  options: ThreadOptions = {},
): Promise<Result> {
  throwIfAborted(signal);
  const thread = new TaskThread<Task, Message, Result>(entry, signal, options);
  try {
    return await thread.run(task, onMessage);
  } finally {
    await thread.close();
  }
}

function isWriting(message: { kind: string }): message is Writing {
  return message.kind === "writing";
}

function isEnding(message: { kind: string }): message is Ending {
  return message.kind === "finished" || message.kind === "failed";
}

function outcomeOf(ending: Ending): Error | { result: unknown } {
  if (ending.kind === "finished") return ending;
  const { isOurs, error } = ending;
  return Object.assign(isOurs ? new VistaError(error.code, error.what) : new Error(), error);
}
