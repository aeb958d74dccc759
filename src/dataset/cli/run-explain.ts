/** The work of `vista-data explain`, once its options are read. */
import { fileURLToPath } from "node:url";
import type { PrintOptions } from "../../core/cli/options.js";
import { printJson } from "../../core/cli/print.js";
import { VistaError } from "../../core/errors.js";
import { readRegular } from "../../core/io/regular.js";
import { suggest } from "../../core/suggest.js";
import type { Rule } from "../finding.js";
import { RULES } from "../rules.js";

export async function runExplain(code: string, options: PrintOptions): Promise<void> {
  const rule = ruleNamed(code, code);
  // The folder `docs/` is part of the package, and the path to it is the same from src/ and from dist/.
  const page = new URL(`../../../docs/rules/${code.replace("/", "-")}.md`, import.meta.url);
  const text = (await readRegular(fileURLToPath(page))).toString();
  if (options.json) printJson({ command: "explain", ...rule, page: text });
  else if (!options.quiet) process.stdout.write(text);
}

/**
 * Returns the rule with this code.
 *
 * @param what  the rule as the user wrote it, with the option
 * @throws VistaError `USAGE` where there is none, with the rules whose names are like it
 */
export function ruleNamed(code: string, what: string): Rule {
  const rule = RULES.find((each) => each.code === code);
  if (rule !== undefined) return rule;
  const name = code.slice(code.indexOf("/") + 1);
  const codes = RULES.map((each) => each.code);
  // The files of the pages have a dash where the code has a slash.
  const close = codes.filter((each) => each.endsWith(`/${name}`) || each.replace("/", "-") === code);
  const meant = close.length > 0 ? close.join(", ") : suggest(code, codes);
  const page = code.startsWith("train/") ? "docs/rules-train.md has the rules of vista-train." : undefined;
  throw new VistaError("USAGE", `${what}: there is no such rule`, {
    hint: page ?? (meant === undefined ? "docs/vista-data.md lists the rules." : `Did you mean ${meant}?`),
  });
}
