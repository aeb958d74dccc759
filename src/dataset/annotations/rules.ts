import { defineRules } from "../define-rules.js";

export const ANNOTATION_RULES = defineRules("annos", {});
