import { type ChildProcess, execFile, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { createInterface } from "node:readline";
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

/** Runs Python code or a script in a peer environment and returns its stdout. @param input  for its stdin, as JSON */
export async function runPython(
  environment: string,
  args: readonly string[],
  input?: unknown,
): Promise<string> {
  const running = run(python(environment), [...args], { maxBuffer: 1 << 28 });
  // A process that ended before it read its input says why by its own error.
  running.child.stdin!.on("error", () => {});
  running.child.stdin!.end(input === undefined ? "" : JSON.stringify(input));
  return (await running).stdout;
}

/**
 * A Python script that stays: for each line of its stdin, a JSON list, it prints a line of JSON. Loading torch takes longer than
 * what most tests ask of it.
 */
export class PythonPeer {
  readonly #process: ChildProcess;
  readonly #answers: AsyncIterator<string>;
  #said = "";

  constructor(environment: string, script: string) {
    this.#process = spawn(python(environment), [script], { stdio: "pipe" });
    this.#answers = createInterface({ input: this.#process.stdout! })[Symbol.asyncIterator]();
    this.#process.stderr!.on("data", (chunk) => {
      this.#said += chunk;
    });
    // That it has ended is said below, with what it said itself.
    this.#process.stdin!.on("error", () => {});
  }

  /** One question at a time. */
  async ask<T>(...question: readonly unknown[]): Promise<T> {
    this.#process.stdin!.write(`${JSON.stringify(question)}\n`);
    const { done, value } = await this.#answers.next();
    if (done) throw new Error(`${JSON.stringify(question)}: Python ended:\n${this.#said.slice(-4000)}`);
    return JSON.parse(value);
  }

  end(): void {
    this.#process.stdin!.end();
  }
}
