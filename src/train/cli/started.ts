/** The words that start the programs of this package. */
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { quote } from "../../core/text.js";

type Program = "vista-ckpt" | "vista-data" | "vista-train";

/** Returns the words for people that start a program as this process was started: a name on the path, npx, or Node and a file. */
export function asStarted(program: Program): string {
  const script = process.argv[1] ?? "";
  if (basename(script) !== "vista-train") return byFile(program);
  return /[/\\]node_modules[/\\]\.bin[/\\]/.test(script) ? `npx ${program}` : program;
}

/** Returns the words that start a program by Node and a file, for a job that may run where `PATH` is another. */
export function byFile(program: Program): string {
  const file = fileURLToPath(new URL(`../../../bin/${program}.js`, import.meta.url));
  return `${quote(process.execPath)} ${quote(file)}`;
}
