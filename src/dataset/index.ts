/**
 * The data side of the package: it checks nuScenes, OpenDV-YouTube and Vista's annotation files, makes an index, makes annotation
 * files, and counts.
 *
 * ```ts
 * import { checkNuScenes } from "vista-ckpt/data";
 *
 * for await (const finding of checkNuScenes("data/nuscenes")) console.log(finding.rule, finding.message);
 * ```
 *
 * @module vista-ckpt/data
 */
export { ERROR_CODES, type ErrorCode, isVistaError, VistaError, type Where } from "../core/errors.js";
export type { OutputOptions } from "../core/io/output.js";
export type { Progress, RunOptions } from "../core/progress.js";
export { type AnnotationCheckOptions, checkAnnotations } from "./annotations/check.js";
export { type UnusableRecords, unusableRecords, writeClean } from "./annotations/clean.js";
export {
  type InterpolatedTables,
  type InterpolateOptions,
  writeInterpolatedTables,
} from "./annotations/make/interpolate.js";
export {
  type NuScenesAnnotationOptions,
  type NuScenesAnnotationResult,
  writeNuScenesAnnotations,
} from "./annotations/make/nuscenes.js";
export type { Skipped } from "./annotations/make/records.js";
export type { SceneChoice } from "./annotations/make/source.js";
export {
  type ClipSource,
  writeYouTube,
  type YouTubeOptions,
  type YouTubeResult,
} from "./annotations/make/youtube.js";
export {
  type FindClipsOptions,
  findYouTubeClips,
  type SplitChoice,
} from "./annotations/make/youtube-sources.js";
export type { DrivingCommand, NuScenesRecord } from "./annotations/nuscenes-rows.js";
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
} from "./finding.js";
export {
  type BuildIndexOptions,
  type BuiltIndex,
  buildIndex,
  readIndex,
} from "./frame-index/build.js";
export type { DatasetIndex, IndexedChain, IndexedFolder, Stamp } from "./frame-index/dataset-index.js";
export { encodeIndex } from "./frame-index/format.js";
export {
  type CheckImagesOptions,
  checkImage,
  checkImages,
  type ImageFault,
  type ImageLevel,
  type ImageReport,
} from "./images/check.js";
export { type CheckNuScenesOptions, checkNuScenes } from "./nuscenes/check/check.js";
export type { SplitName } from "./nuscenes/splits.js";
export { checkOpenDv, type OpenDvCheckOptions } from "./opendv/check.js";
export type { FolderScan, OddFrames } from "./opendv/folder-listing.js";
export type { Split } from "./opendv/meta.js";
export type { FrameLayout } from "./opendv/names.js";
export type { Runs } from "./opendv/runs.js";
export { type ClipOptions, findClip, type PreviewClip } from "./preview/clip.js";
export { drawSheet, type SheetOptions } from "./preview/sheet.js";
export { mergeReports, type NamedReport } from "./report/merge.js";
export type { FolderCount, Report, ReportOptions, RuleCount } from "./report/report.js";
export { RULES } from "./rules.js";
export {
  type AnnotationStats,
  collectStats,
  type DataStats,
  type Distribution,
  type NuScenesStats,
  type OpenDvStats,
  type StatsOptions,
  type YouTubeStats,
} from "./stats/stats.js";
