/** The entry of a worker thread, which loads tables and follows links. */
import { serveTasks } from "../../../core/io/worker.js";
import { runTask, type Task, type TaskMessage } from "./load-tables.js";

serveTasks<Task, TaskMessage>(runTask);
