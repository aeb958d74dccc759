/** The public API of vista-ckpt, all of it. */
export { ERROR_CODES, type ErrorCode, isVistaError, VistaError, type Where } from "./errors.js";
export type { OutputOptions } from "./io/output.js";
export type { Piece, Region, SourceFile } from "./io/source.js";
export type { Progress, RunOptions } from "./progress.js";
export type { DType } from "./tensor/dtype.js";
export type { WriteOptions } from "./tensor/sink.js";
export { StateDict, type Tensor, type TensorSource } from "./tensor/tensor.js";
export { type OpenTorchOptions, openTorchFile } from "./torch/open.js";
export { type WriteTorchOptions, writeTorchFile } from "./torch/write.js";
export { type OpenZeroOptions, openZeroCheckpoint, type ZeroCheckpoint } from "./zero/open.js";
export type { ZeroInfo } from "./zero/plan.js";
