/** Entry of a worker thread: checks the annotation files of its task and sends what it finds. */
import { parentPort, workerData } from "node:worker_threads";
import { type AnnotationTask, runAnnotations } from "./run.js";

await runAnnotations(workerData as AnnotationTask, (message) => parentPort!.postMessage(message));
