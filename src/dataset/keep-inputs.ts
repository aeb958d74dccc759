/** What `--force` must not replace. */
import { realpathSync } from "node:fs";
import { VistaError } from "../core/errors.js";
import { wayWithin } from "../core/io/within.js";

/**
 * Refuses an output that would take the place of something that it is made from.
 *
 * @param inputs  the files that are read, and folders all of whose files are
 * @throws VistaError `USAGE`
 */
export function keepInputs(output: string, inputs: readonly (string | undefined)[]): void {
  const place = realPlace(output);
  for (const input of inputs) {
    const own = input === undefined ? undefined : realPlace(input);
    if (place === undefined || own === undefined || wayWithin(own, place) === undefined) continue;
    throw new VistaError("USAGE", "the output would take the place of a file that it is made from", {
      path: output,
      hint: "Choose another output.",
    });
  }
}

/** Returns the path with its links followed, or undefined where nothing is there. */
function realPlace(path: string): string | undefined {
  try {
    return realpathSync.native(path);
  } catch {
    return undefined; // Nothing is lost there; whoever opens the path is told what is wrong with it.
  }
}
