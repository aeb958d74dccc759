/**
 * Loaded before a program (`node --import`): ends the process by SIGKILL before the call number KILL_AT of those that give,
 * take or exchange names of files. Threads of the program have copies of their own, and give no names.
 */
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { isMainThread } from "node:worker_threads";

let left = Number(process.env.KILL_AT);

function count(module, names) {
  for (const name of names) {
    const call = module[name];
    module[name] = (...args) => {
      if (--left === 0) process.kill(process.pid, "SIGKILL");
      return call(...args);
    };
  }
}

if (isMainThread) {
  count(fs, ["renameSync", "linkSync", "unlinkSync", "rmSync"]);
  count(fs.promises, ["rename", "link", "unlink", "rm"]);
  syncBuiltinESMExports();
}
