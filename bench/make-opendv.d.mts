/** A row of OpenDV's list of videos, under the names of DriveAGI's JSON. */
export interface OpenDvRow {
  id: number;
  videoid: string;
  title: string;
  youtuber: string;
  link: string;
  duration: string;
  split: string;
  subset: string;
  area: string;
  state: string;
  start_discard: number;
  end_discard: number;
  length: number;
}

export interface OpenDvOptions {
  youtubers?: number;
  /** Videos of each youtuber. */
  videos?: number;
  /** How many of all videos are validation videos: the last ones. */
  val?: number;
  frames?: number;
  width?: number;
  height?: number;
  pattern?: string;
  base?: number;
  meta?: boolean;
  videoFiles?: boolean;
  seed?: number;
}

export function makeJpeg(width: number, height: number, seed?: number): Promise<Buffer>;
export function formatFrame(pattern: string, number: number): string;
export function makeRows(options?: OpenDvOptions): OpenDvRow[];
export function folderOf(row: OpenDvRow): string;
export function writeMeta(root: string, rows: readonly OpenDvRow[], names?: readonly string[]): void;
export function makeOpenDv(root: string, options?: OpenDvOptions): Promise<OpenDvRow[]>;
export function languageRows(
  rows: readonly OpenDvRow[],
  frames: number,
): Generator<{ cmd: number; blip: string; folder: string; first_frame: string; last_frame: string }>;
export function toPythonJson(value: unknown): string;
