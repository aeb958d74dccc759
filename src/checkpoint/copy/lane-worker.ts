/** The entry of the worker thread: a lane that takes jobs as messages. */
import { parentPort } from "node:worker_threads";
import { Lane, type LaneJob } from "./lane.js";

const lane = new Lane();
parentPort!.on("message", (job: LaneJob) => parentPort!.postMessage(lane.run(job)));
parentPort!.postMessage("ready");
