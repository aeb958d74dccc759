/** The public API of vista-ckpt, all of it. */
export { castState } from "./checkpoint/cast.js";
export { type DiffReport, diffStates, type TensorDifference } from "./checkpoint/diff.js";
export type { ShardIndex } from "./checkpoint/index-file.js";
export {
  type InspectedTensor,
  type Inspection,
  type InspectOptions,
  inspectCheckpoint,
  type TensorTag,
} from "./checkpoint/inspect.js";
export { type Checkpoint, type CheckpointKind, type OpenOptions, openCheckpoint } from "./checkpoint/open.js";
export {
  type CheckpointFormat,
  type Saved,
  type SavedFile,
  type SaveOptions,
  saveCheckpoint,
} from "./checkpoint/save.js";
export {
  type NonFiniteCount,
  type VerifiedFile,
  type VerifyOptions,
  type VerifyReport,
  verifyCheckpoint,
} from "./checkpoint/verify.js";
export { type AnnotationCheckOptions, checkAnnotations } from "./dataset/annotations/check.js";
export type {
  AnnotationTally,
  Chart,
  Check,
  CheckOptions,
  CheckSummary,
  Coverage,
  Finding,
  QuickTally,
  Rule,
  Severity,
  Shard,
} from "./dataset/finding.js";
export {
  type CheckImagesOptions,
  checkImage,
  checkImages,
  type ImageFault,
  type ImageLevel,
  type ImageReport,
} from "./dataset/images/check.js";
export {
  type BuildIndexOptions,
  type BuiltIndex,
  buildIndex,
  readIndex,
} from "./dataset/index-file/build.js";
export {
  type DatasetIndex,
  encodeIndex,
  type IndexedChain,
  type IndexedFolder,
  type Stamp,
} from "./dataset/index-file/format.js";
export {
  type ClipSource,
  writeYouTube,
  type YouTubeOptions,
  type YouTubeResult,
} from "./dataset/index-file/youtube.js";
export { type CheckNuScenesOptions, checkNuScenes } from "./dataset/nuscenes/check.js";
export { checkOpenDv, type OpenDvCheckOptions } from "./dataset/opendv/check.js";
export { RULES } from "./dataset/rules.js";
export { collectStats, type DataStats, type StatsOptions } from "./dataset/stats/stats.js";
export { ERROR_CODES, type ErrorCode, isVistaError, VistaError, type Where } from "./errors.js";
export type { OutputOptions } from "./io/output.js";
export type { Piece, Region, SourceFile } from "./io/source.js";
export type { Progress, RunOptions } from "./progress.js";
export { openSafetensors, type SafetensorsFile } from "./safetensors/read.js";
export { type WriteSafetensorsOptions, writeSafetensors } from "./safetensors/write.js";
export type { CastTarget } from "./tensor/cast.js";
export type { DType } from "./tensor/dtype.js";
export type { WriteOptions } from "./tensor/sink.js";
export { type Compute, StateDict, type Tensor, type TensorSource } from "./tensor/tensor.js";
export { type OpenTorchOptions, openTorchFile } from "./torch/open.js";
export { type WriteTorchOptions, writeTorchFile } from "./torch/write.js";
export type { FoldedShadow } from "./vista/ema.js";
export type { MergedAdapter } from "./vista/lora.js";
export { applyVistaSteps, type VistaOptions, type VistaReport, type VistaResult } from "./vista/steps.js";
export { type OpenZeroOptions, openZeroCheckpoint, type ZeroCheckpoint } from "./zero/open.js";
export type { ZeroInfo } from "./zero/plan.js";
