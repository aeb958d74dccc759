/** The words that start the programs of this package. */
import { basename, delimiter, dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { quote } from "../../core/text.js";

type Program = "vista-ckpt" | "vista-data" | "vista-train";

/**
 * Returns the words for people that start a program as this process was started: a name on the path, npx, or Node and a file.
 *
 * @param started  the script and the environment of the process
 */
export function asStarted(
  program: Program,
  { script, env }: { script: string; env: NodeJS.ProcessEnv } = {
    script: process.argv[1] ?? "",
    env: process.env,
  },
): string {
  if (basename(script) !== "vista-train") return byFile(program);
  const isOnPath = (env.PATH ?? "").split(delimiter).includes(dirname(script));
  // npm puts the folder of a project's programs on the path of what it starts, and it says so.
  const isByNpm = env.npm_command !== undefined;
  const isOfProject = /[/\\]node_modules[/\\]\.bin$/.test(dirname(script));
  return isOfProject && (isByNpm || !isOnPath) ? `npx ${program}` : program;
}

/** Returns the words that start a program by Node and a file, for a job that may run where `PATH` is another. */
export function byFile(program: Program): string {
  const file = fileURLToPath(new URL(`../../../bin/${program}.js`, import.meta.url));
  return `${quote(process.execPath)} ${quote(file)}`;
}
