/**
 * Loaded before a program (`node --import`): the process sends itself the signal KILL_BY (SIGKILL) before the call number KILL_AT
 * of those that give, take or exchange names of files, or with KILL_BEFORE=create of those that create one. Threads of the program
 * have copies of their own, and give no names.
 */
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { isMainThread } from "node:worker_threads";

const { KILL_AT, KILL_BEFORE, KILL_BY = "SIGKILL" } = process.env;
let left = Number(KILL_AT);

function count(module, names, counts = () => true) {
  for (const name of names) {
    const call = module[name];
    module[name] = (...args) => {
      if (counts(...args) && --left === 0) process.kill(process.pid, KILL_BY);
      return call(...args);
    };
  }
}

if (isMainThread) {
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
