import { VistaError } from "../../core/errors.js";
import { RULES } from "../rules.js";

/**
 * Returns the error about a rule that does not exist, with the rules whose names are like it.
 *
 * @param what  the rule as the user wrote it, with the option
 */
export function unknownRule(what: string, code: string): VistaError {
  const name = code.slice(code.indexOf("/") + 1);
  const close = RULES.filter((rule) => rule.code.endsWith(name)).map((rule) => rule.code);
  return new VistaError("USAGE", `${what}: there is no such rule`, {
    hint: close.length > 0 ? `Did you mean ${close.join(", ")}?` : "docs/vista-data.md lists the rules.",
  });
}
