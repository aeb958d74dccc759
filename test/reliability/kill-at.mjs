/**
 * Loaded before a program (`node --import`): the process sends itself the signal KILL_BY (SIGKILL) before the call number KILL_AT
 * of those that give, take or exchange names of files, or with KILL_BEFORE=create of those that create one. Threads of the program
 * load it too: with KILL_IN_THREAD their calls count in place of the main thread's, and it is sent so many times.
 */
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { isMainThread } from "node:worker_threads";

const { KILL_AT, KILL_BEFORE, KILL_BY = "SIGKILL", KILL_IN_THREAD = "0" } = process.env;
const times = Number(KILL_IN_THREAD);
let left = Number(KILL_AT);

function send() {
  if (isMainThread) process.kill(process.pid, KILL_BY);
  for (let time = 0; time < times; time++) {
    process.kill(process.pid, KILL_BY);
    // The main thread hears of it before this one goes on.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 300);
  }
}

function count(module, names, counts = () => true) {
  for (const name of names) {
    const call = module[name];
    module[name] = (...args) => {
      if (counts(...args) && --left === 0) send();
      return call(...args);
    };
  }
}

if (isMainThread === (times === 0)) {
  if (KILL_BEFORE === "create") {
    const creates = (_path, flags) => flags === "wx" || flags === "wx+";
    count(fs, ["openSync"], creates);
    count(fs.promises, ["open"], creates);
  } else {
    count(fs, ["renameSync", "linkSync", "unlinkSync", "rmSync"]);
    count(fs.promises, ["rename", "link", "unlink", "rm"]);
  }
  syncBuiltinESMExports();
}
