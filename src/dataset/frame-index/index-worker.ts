/** The entry of a worker thread, which reads language files or nuScenes tables. This takes seconds to minutes. */
import { serveTasks } from "../../core/io/worker.js";
import { type IndexMessage, type IndexTask, runIndexTask } from "./index-task.js";

serveTasks<IndexTask, IndexMessage>(runIndexTask);
