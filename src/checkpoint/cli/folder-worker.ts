/** The entry of the worker thread in which `reshard` and `to-universal` do their work. */
import { interruptRequests } from "../../core/io/interrupt.js";
import { serveTasks } from "../../core/io/worker.js";
import { type FolderMessage, type FolderTask, runFolderTask } from "./folder-task.js";

serveTasks<FolderTask, FolderMessage>((task, send, signal) => {
  // This thread has a signal of its own for what the command's readers ask of a network.
  interruptRequests(signal);
  return runFolderTask(task, send, signal);
});
