/** The entry of a worker thread, which checks the annotation files of its task and sends what it finds. */
import { serveTasks } from "../../core/io/worker.js";
import { type AnnotationMessage, type AnnotationTask, runAnnotations } from "./run.js";

serveTasks<AnnotationTask, AnnotationMessage>((task, send) => runAnnotations(task, send));
