import { defineRules } from "../define-rules.js";

export const NUSCENES_RULES = defineRules("nuscenes", {});
