/** Entry of a worker thread: a lane that takes jobs as messages. */
import { parentPort } from "node:worker_threads";
import { Lane, type LaneJob } from "./lane.js";
import type { LaneAnswer } from "./second-thread.js";

const lane = new Lane();
parentPort!.on("message", (job: LaneJob) => {
  const memory = job.block?.buffer;
  const answer: LaneAnswer = { result: lane.run(job), memory };
  parentPort!.postMessage(answer, memory === undefined ? [] : [memory]);
});
parentPort!.postMessage("ready");
