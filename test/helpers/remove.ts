import { execFileSync } from "node:child_process";

/** Removes folders of many files: by a program in a fifth of the time that Node takes, which looks at each file first. */
export function removeAll(folders: readonly string[]): void {
  execFileSync("rm", ["-rf", "--", ...folders]);
}
