/** The public API of vista-ckpt, all of it. */
export { ERROR_CODES, type ErrorCode, isVistaError, VistaError, type Where } from "./errors.js";
export type { Progress, RunOptions } from "./progress.js";
