/** The entry of a worker thread that makes one of the large 12 Hz tables. */
import { serveTasks } from "../../../core/io/worker.js";
import { type InterpolationTask, runInterpolation } from "./interpolate-task.js";
import type { InterpolationMessage } from "./interpolation.js";

serveTasks<InterpolationTask, InterpolationMessage>(runInterpolation);
