import { defineRules } from "../define-rules.js";

export const OPENDV_RULES = defineRules("opendv", {});
