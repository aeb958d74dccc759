/** Entry of a worker thread: loads the tables it is given, one after the other, and sends each back as shared memory. */
import { parentPort, workerData } from "node:worker_threads";
import { isSystemError, type LoadMessage, type LoadTask, load } from "./data.js";

const send = (message: LoadMessage) => parentPort!.postMessage(message);

for (const task of workerData as LoadTask[]) {
  try {
    const result = load(task, (bytes) => send({ kind: "bytes", table: task.table, bytes }));
    send({ kind: "loaded", table: task.table, result });
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    send({ kind: "failed", table: task.table, message, system: isSystemError(error) });
  }
}
