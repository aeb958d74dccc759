/** What is fuzzed, and how one input is judged. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { isVistaError, UNFORESEEN } from "../../src/core/errors.js";
import { Random } from "./random.js";

export interface Target {
  readonly name: string;
  /** The files of one input, by their path in a folder of its own. */
  make(random: Random): ReadonlyMap<string, Uint8Array>;
  /**
   * Everything that reads such an input. Throws what the readers throw; throws a {@link Wrong} for a success that is not
   * right. What it returns names the kind of success, where there are several.
   */
  run(folder: string, random: Random): Promise<string | undefined>;
}

/** A success that is not right. */
export class Wrong extends Error {
  override readonly name = "Wrong";
}

export interface Outcome {
  /** `ok`, or the code of the VistaError. */
  readonly end: string;
  /** What is wrong with the end, with a stack; `undefined` for the two ends that are allowed. */
  readonly fault?: string;
}

/** Milliseconds that the processors have spent on this process. */
export function cpuTime(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** Makes the input of a seed, reads it and judges how that ended. */
export async function runOne(target: Target, seed: number, scratch: string): Promise<Outcome> {
  const random = new Random(seed);
  const files = target.make(random);
  const folder = mkdtempSync(join(scratch, "fuzz-"));
  try {
    writeFiles(folder, files);
    return { end: (await target.run(folder, random)) ?? "ok" };
  } catch (error) {
    return judge(error);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

export function writeFiles(folder: string, files: ReadonlyMap<string, Uint8Array>): void {
  for (const [name, bytes] of files) {
    const path = join(folder, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, bytes);
  }
}

/** The longest message: a path, a record, what is wrong, each with its bound; control characters take six characters each. */
const MAX_MESSAGE = 6 * (4096 + 300 + 2000) + 500;

function judge(error: unknown): Outcome {
  if (!isVistaError(error)) {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    return { end: "fault", fault: text.slice(0, 3000) };
  }
  const { message, code } = error;
  if (message.includes(UNFORESEEN)) {
    const cause = error.cause instanceof Error ? error.cause.stack : String(error.cause);
    return { end: "fault", fault: `${message.slice(0, 500)}\n${cause?.slice(0, 3000)}` };
  }
  if (message.length > MAX_MESSAGE)
    return { end: "fault", fault: `a message of ${message.length} characters` };
  if (/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(message)) {
    return { end: "fault", fault: `unprintable: ${JSON.stringify(message.slice(0, 500))}` };
  }
  return { end: code };
}
