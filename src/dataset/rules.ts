/**
 * The list of all rules of the checker. Each area keeps its own table beside its code (`nuscenes/check/rules.ts`,
 * `opendv/rules.ts`, `annotations/rules.ts`), made with {@link defineRules}; here they come together for reports and for
 * `--ignore`.
 */
import { ANNOTATION_RULES } from "./annotations/rules.js";
import type { Rule } from "./finding.js";
import { NUSCENES_RULES } from "./nuscenes/check/rules.js";
import { OPENDV_RULES } from "./opendv/rules.js";
import { VISTA_RULES } from "./vista-rules.js";

/** All rules, in the order in which reports show them: within a table, the most general come first. */
export const RULES: readonly Rule[] = [VISTA_RULES, NUSCENES_RULES, OPENDV_RULES, ANNOTATION_RULES].flatMap(
  (table) => Object.values<Rule>(table),
);
