/** Entry of a worker thread: runs the tasks it is sent, one after the other. */
import { parentPort } from "node:worker_threads";
import { isSystemError, runTask, type Task, type TaskMessage } from "./data.js";

const send = (message: TaskMessage) => parentPort!.postMessage(message);

parentPort!.on("message", (task: Task) => {
  try {
    send({ kind: "done", result: runTask(task, (bytes) => send({ kind: "bytes", bytes })) });
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    send({ kind: "failed", message, system: isSystemError(error) });
  }
});
