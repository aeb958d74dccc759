/** The one rule for the names of outputs: they end as files of their format do. */
import { existsSync } from "node:fs";
import { extname } from "node:path";
import { VistaError } from "../errors.js";
import { sizeOf } from "./regular.js";

/** The endings of SARIF files, in every program that writes them. */
export const SARIF_ENDINGS = [".sarif", ".json"];

/**
 * Requires the name of an output to have one of the endings of its format.
 *
 * @param what  a clause that says what the output is: `the report is HTML`
 * @throws VistaError `USAGE` where the name has another ending
 */
export function requireEnding(output: string, endings: readonly string[], what: string): void {
  if (endings.includes(extname(output).toLowerCase())) return;
  // Whoever writes refuses a folder or a device for what it is.
  if (existsSync(output) && sizeOf(output) === -1) return;
  throw new VistaError("USAGE", `${what}, and this output has another name`, {
    path: output,
    hint: `Name an output that ends in ${endings.join(" or ")}.`,
  });
}
