/** What the checks look for: whether it is there, is something else, or cannot be looked at, which is not the same. */
import type { Stats } from "node:fs";
import { isVistaError, VistaError } from "../../../core/errors.js";
import { statsOf } from "../../../core/io/regular.js";
import { finding, type RuleName, type TrainFinding } from "../rules.js";

/** Returns what `read` gives, or yields a finding that says why it cannot be read. */
export async function* readable<Result>(
  rule: RuleName,
  read: () => Promise<Result>,
  fix?: string,
): AsyncGenerator<TrainFinding, Result | undefined> {
  try {
    return await read();
  } catch (error) {
    if (!isVistaError(error)) throw error;
    yield finding(rule, error.message, { fix: fix ?? error.hint });
    return undefined;
  }
}

/**
 * Returns what is at a path, or yields a finding: `absent` where nothing is or something of another kind, otherwise why it cannot
 * be looked at.
 */
export function there(
  rule: RuleName,
  path: string,
  absent: string,
  kind?: "file" | "folder",
): AsyncGenerator<TrainFinding, Stats | undefined> {
  return readable(rule, async () => {
    const own = await statsOf(path);
    if (own === undefined) throw new VistaError("NOT_FOUND", absent);
    if (kind === undefined || (kind === "file" ? own.isFile() : own.isDirectory())) return own;
    throw new VistaError("WRONG_KIND", `${absent}: what is there is no ${kind}`);
  });
}
