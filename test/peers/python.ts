import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** The interpreter of one peer environment, e.g. `python("zero")`; an error, never a skip, where it was not made. */
export function python(environment: string): string {
  const path = `${ROOT}.venv-peers/${environment}/bin/python`;
  if (!existsSync(path)) throw new Error(`${path} is missing: run test/peers/setup.sh ${environment}`);
  return path;
}

const run = promisify(execFile);

/** Runs Python code or a script in a peer environment and returns its stdout. */
export async function runPython(environment: string, args: readonly string[], cwd?: string): Promise<string> {
  const { stdout } = await run(python(environment), [...args], {
    maxBuffer: 1 << 28,
    ...(cwd ? { cwd } : {}),
  });
  return stdout;
}
