/** Which scene a CAM_FRONT image is of, from the small tables, and whether that scene is for validation. */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { isSystemError } from "../../core/errors.js";
import { readRows } from "../json/rows.js";
import { officialScenes } from "../nuscenes/splits.js";

/** The validation split; the mini split's two are among them. */
const VALIDATION = officialScenes("val");

/** Camera and lidar of one sample are some tens of milliseconds apart. */
const SLACK_US = 100_000;
const FILE_NAME = /([^/]+)__CAM_FRONT__([0-9]{16})\.jpg$/;

export function isValidationScene(name: string): boolean {
  return VALIDATION.has(name);
}

/** Validation scenes of a set by log: name, and time of the first and last sample in microseconds. */
export class ValidationScenes {
  readonly #byLog = new Map<string, { name: string; from: number; to: number }[]>();

  /** @param root  of a nuScenes set; without readable tables there, no image is known to be of a validation scene */
  constructor(root: string) {
    const version = existsSync(root)
      ? readdirSync(root).find((name) => /^v1\.0-(trainval|mini)$/.test(name))
      : undefined;
    if (version === undefined) return;
    const folder = join(root, version);
    const logs = new Map<unknown, string>();
    const times = new Map<unknown, number>();
    forRows(join(folder, "log.json"), (row) => logs.set(row.token, String(row.logfile)));
    forRows(join(folder, "sample.json"), (row) => times.set(row.token, Number(row.timestamp)));
    forRows(join(folder, "scene.json"), (row) => {
      const name = String(row.name);
      const log = logs.get(row.log_token);
      const from = times.get(row.first_sample_token);
      const to = times.get(row.last_sample_token);
      if (!isValidationScene(name) || log === undefined || from === undefined || to === undefined) return;
      const scenes = this.#byLog.get(log) ?? [];
      scenes.push({ name, from: from - SLACK_US, to: to + SLACK_US });
      this.#byLog.set(log, scenes);
    });
  }

  /** The validation scene that an image is of, or undefined. */
  sceneOf(file: string): string | undefined {
    // The pattern may begin anywhere: on a name of a megabyte it would take minutes. No path is longer than 4096.
    if (file.length > 4096) return undefined;
    const match = FILE_NAME.exec(file);
    if (match === null) return undefined;
    const time = Number(match[2]);
    return this.#byLog.get(match[1]!)?.find(({ from, to }) => time >= from && time <= to)?.name;
  }
}

/** A table that cannot be read gives no rows: the check of the tables says so. */
function forRows(path: string, take: (row: Record<string, unknown>) => void): void {
  try {
    readRows(path, {
      value(value) {
        if (typeof value === "object" && value !== null) take(value as Record<string, unknown>);
      },
    });
  } catch (error) {
    if (!isSystemError(error)) throw error;
  }
}
