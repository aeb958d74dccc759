/** The work of the commands, one file in the bundle, which is loaded when one of them runs. */
export { parseSteps } from "../run/finish.js";
export { check } from "./run-check.js";
export { finish, start } from "./run-launch.js";
export { next } from "./run-next.js";
export { prune } from "./run-prune.js";
export { listRecipes } from "./run-recipes.js";
export { status } from "./run-status.js";
