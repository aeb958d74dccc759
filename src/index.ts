/** The public API of vista-ckpt, all of it. */
export { castState } from "./checkpoint/cast.js";
export type { WriteOptions } from "./checkpoint/copy/sink.js";
export { type DiffReport, diffStates, type TensorDifference } from "./checkpoint/diff.js";
export {
  type InspectedTensor,
  type Inspection,
  type InspectOptions,
  inspectCheckpoint,
  type TensorTag,
} from "./checkpoint/inspect.js";
export { type Checkpoint, type CheckpointKind, type OpenOptions, openCheckpoint } from "./checkpoint/open.js";
export { openSafetensors, type SafetensorsFile } from "./checkpoint/safetensors/read.js";
export { type WriteSafetensorsOptions, writeSafetensors } from "./checkpoint/safetensors/write.js";
export {
  type CheckpointFormat,
  type Saved,
  type SavedFile,
  type SaveOptions,
  saveCheckpoint,
} from "./checkpoint/save.js";
export type { ShardIndex } from "./checkpoint/shard-index.js";
export type { CastTarget } from "./checkpoint/tensor/cast.js";
export type { DType } from "./checkpoint/tensor/dtype.js";
export { type Compute, StateDict, type Tensor, type TensorSource } from "./checkpoint/tensor/tensor.js";
export { type OpenTorchOptions, openTorchFile } from "./checkpoint/torch/open.js";
export { type WriteTorchOptions, writeTorchFile } from "./checkpoint/torch/write.js";
export {
  type NonFiniteCount,
  type VerifiedFile,
  type VerifyOptions,
  type VerifyReport,
  verifyCheckpoint,
} from "./checkpoint/verify.js";
export type { FoldedShadow } from "./checkpoint/vista/ema.js";
export type { MergedAdapter } from "./checkpoint/vista/lora.js";
export {
  applyVistaSteps,
  type VistaOptions,
  type VistaReport,
  type VistaResult,
} from "./checkpoint/vista/steps.js";
export { type OpenZeroOptions, openZeroCheckpoint, type ZeroCheckpoint } from "./checkpoint/zero/open.js";
export type { ZeroInfo } from "./checkpoint/zero/plan.js";
export { ERROR_CODES, type ErrorCode, isVistaError, VistaError, type Where } from "./core/errors.js";
export type { OutputOptions } from "./core/io/output.js";
export type { Piece, Region, SourceFile } from "./core/io/source.js";
export type { Progress, RunOptions } from "./core/progress.js";
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
  type BuildIndexOptions,
  type BuiltIndex,
  buildIndex,
  readIndex,
} from "./dataset/frame-index/build.js";
export {
  type DatasetIndex,
  encodeIndex,
  type IndexedChain,
  type IndexedFolder,
  type Stamp,
} from "./dataset/frame-index/format.js";
export {
  type ClipSource,
  writeYouTube,
  type YouTubeOptions,
  type YouTubeResult,
} from "./dataset/frame-index/youtube.js";
export {
  type CheckImagesOptions,
  checkImage,
  checkImages,
  type ImageFault,
  type ImageLevel,
  type ImageReport,
} from "./dataset/images/check.js";
export { type CheckNuScenesOptions, checkNuScenes } from "./dataset/nuscenes/check/check.js";
export { checkOpenDv, type OpenDvCheckOptions } from "./dataset/opendv/check.js";
export { RULES } from "./dataset/rules.js";
export { collectStats, type DataStats, type StatsOptions } from "./dataset/stats/stats.js";
