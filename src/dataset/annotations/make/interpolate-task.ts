/** The work of a thread that makes one of the two large 12 Hz tables. */
import { type AnnotationsTask, interpolateAnnotations } from "./interpolate-annotations.js";
import { type DataTask, interpolateData } from "./interpolate-data.js";
import type { InterpolationMessage } from "./interpolation.js";

export type InterpolationTask = AnnotationsTask | DataTask;

export function runInterpolation(
  task: InterpolationTask,
  send: (message: InterpolationMessage) => void,
): void {
  if (task.kind === "annotations") interpolateAnnotations(task, send);
  else interpolateData(task, send);
}
