/**
 * Opens checkpoints of every kind, reads and writes their tensors, merges ZeRO shards, makes `vista.safetensors`, compares and
 * verifies.
 *
 * ```ts
 * import { openCheckpoint, saveCheckpoint } from "vista-ckpt";
 *
 * await using checkpoint = await openCheckpoint("logs/run/checkpoints/last.ckpt");
 * for (const [name, tensor] of checkpoint.tensors) console.log(name, tensor.dtype, tensor.shape);
 * await saveCheckpoint(checkpoint.state, "pytorch_model.bin");
 * ```
 *
 * @module vista-ckpt
 */

export { ERROR_CODES, type ErrorCode, isVistaError, VistaError, type Where } from "../core/errors.js";
export type { OutputOptions } from "../core/io/output.js";
export type { Progress, RunOptions } from "../core/progress.js";
export { castState } from "./cast.js";
export type { Checkpoint, CheckpointKind } from "./checkpoint.js";
export type { FolderOptions } from "./checkpoint-folder.js";
export type { WriteOptions } from "./copy/sink.js";
export type { DcpInfo } from "./dcp/open.js";
export { type DiffOptions, type DiffReport, diffStates, type TensorDifference } from "./diff.js";
export {
  type InspectedTensor,
  type Inspection,
  type InspectOptions,
  inspectCheckpoint,
  type TensorTag,
} from "./inspect.js";
export { type OpenOptions, openCheckpoint } from "./open.js";
export {
  diffValues,
  type OptimizerState,
  type OptimizerValue,
  openOptimizerState,
  type ValueDifference,
  type ValuesReport,
} from "./optimizer-state.js";
export {
  defaultReshardOutput,
  type ReshardBatch,
  type Resharded,
  type ReshardedGroup,
  type ReshardOptions,
  reshardCheckpoint,
} from "./reshard.js";
export type { Metadata } from "./safetensors/write.js";
export {
  type CheckpointFormat,
  type Saved,
  type SavedFile,
  type SaveOptions,
  saveCheckpoint,
} from "./save.js";
export {
  SCAN_RULES,
  type ScanFinding,
  type ScannedFile,
  type ScanReport,
  type ScanRule,
} from "./scan/findings.js";
export { scanPaths } from "./scan/scan.js";
export type { CastTarget } from "./tensor/cast.js";
export type { DType } from "./tensor/dtype.js";
export { StateDict, type Tensor } from "./tensor/tensor.js";
export { type TensorValues, tensorFrom } from "./tensor/typed-array.js";
export { type HistogramBin, type TensorStatistics, tensorStatistics } from "./tensor-statistics.js";
export {
  defaultUniversalOutput,
  type WrittenUniversal,
  writeUniversal,
} from "./to-universal.js";
export type { OtherTensors } from "./torch/beside.js";
export type { UnreadableTensor } from "./torch/named-tensors.js";
export { type ReadOptions, readValues } from "./values.js";
export {
  type NonFiniteCount,
  type VerifiedFile,
  type VerifyOptions,
  type VerifyReport,
  verifyCheckpoint,
} from "./verify.js";
export type { CosmosReport } from "./vista/cosmos.js";
export type { FoldedShadow } from "./vista/ema.js";
export type { MergedAdapter } from "./vista/lora.js";
export { applyProfile, type ProfileResult } from "./vista/profile.js";
export type { Profile } from "./vista/profile-names.js";
export {
  applyVista,
  type VistaOptions,
  type VistaReport,
  type VistaResult,
} from "./vista/steps.js";
export type { OptimizerGroupSummary, OptimizerSummary } from "./zero/optimizer-summary.js";
export type { ZeroInfo } from "./zero/plan.js";
export type { GroupSizes } from "./zero/trained.js";
