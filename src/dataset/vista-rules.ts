import { defineRules } from "./define-rules.js";

/** Rules about what Vista itself would do with the data, with `--config`. */
export const VISTA_RULES = defineRules("vista", {});
