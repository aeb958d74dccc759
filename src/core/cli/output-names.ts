/** The one rule for the names of outputs that have one format: they end as files of that format do. */
import { statSync } from "node:fs";
import { extname } from "node:path";
import { VistaError } from "../errors.js";

/** Of SARIF files, in every program that writes them. */
export const SARIF_ENDINGS = [".sarif", ".json"];

/**
 * @param endings  such as `.json`
 * @param what  the output and what it is: `the report is HTML`
 * @throws VistaError `USAGE` where the name says something else
 */
export function requireEnding(output: string, endings: readonly string[], what: string): void {
  if (endings.includes(extname(output).toLowerCase())) return;
  // A folder or a device is refused for what it is, by whoever writes.
  if (statSync(output, { throwIfNoEntry: false })?.isFile() === false) return;
  throw new VistaError("USAGE", `${what}, and this output has another name`, {
    path: output,
    hint: `Name an output that ends in ${endings.join(" or ")}.`,
  });
}
