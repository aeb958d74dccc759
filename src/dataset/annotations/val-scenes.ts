/** What is for validation: the frames of validation files, and the scenes of the official split. */
import { join } from "node:path";
import { isVistaError, rethrowExhausted } from "../../core/errors.js";
import { remember } from "../../core/maps.js";
import { readRecords } from "../json/rows.js";
import { nuScenesVersions } from "../nuscenes/read/versions.js";
import { officialScenes } from "../nuscenes/splits.js";
import { driveFrame } from "./clips.js";
import { Places } from "./places.js";

/** The frames of the clips of validation files; another name of a frame is no other frame. */
export class ValidationFrames {
  readonly #places: Places;
  readonly #names = new Set<string>();

  /** @param root  the folder that names of frames start from; undefined where there are no images to look at */
  constructor(root: string | undefined) {
    this.#places = new Places(root);
  }

  add(frame: string): void {
    this.#names.add(this.#places.nameOf(frame));
  }

  has(frame: string): boolean {
    return this.#names.size > 0 && this.#names.has(this.#places.nameOf(frame));
  }
}

/** The scenes of the validation split; the mini split's two are among them. */
const VALIDATION = officialScenes("val");

/** The tolerance in microseconds, because the camera and the lidar of one sample are some tens of milliseconds apart. */
const SLACK_US = 100_000;

/** The validation scenes of a set, by log: their names, and the times of the first and last sample in microseconds. */
export class ValidationScenes {
  readonly #byLog = new Map<string, { name: string; from: number; to: number }[]>();

  /** @param root  the root of a nuScenes set; without readable tables there, no image is known to be of a validation scene */
  constructor(root: string) {
    for (const version of nuScenesVersions(root)) this.#addVersion(join(root, version));
  }

  #addVersion(folder: string): void {
    const logs = new Map<unknown, unknown>();
    const times = new Map<unknown, unknown>();
    forRows(join(folder, "log.json"), (row) => logs.set(row.token, row.logfile));
    forRows(join(folder, "sample.json"), (row) => times.set(row.token, row.timestamp));
    forRows(join(folder, "scene.json"), (row) => {
      const { name } = row;
      const log = logs.get(row.log_token);
      const from = times.get(row.first_sample_token);
      const to = times.get(row.last_sample_token);
      if (typeof name !== "string" || !VALIDATION.has(name) || typeof log !== "string") return;
      if (typeof from !== "number" || typeof to !== "number") return;
      const scene = { name, from: from - SLACK_US, to: to + SLACK_US };
      remember(this.#byLog, log, () => []).push(scene);
    });
  }

  /** Returns the name of the validation scene that an image is of, or undefined. */
  sceneOf(file: string): string | undefined {
    const frame = driveFrame(file);
    if (frame?.channel !== "CAM_FRONT") return undefined;
    const { log, time } = frame;
    return this.#byLog.get(log)?.find(({ from, to }) => time >= from && time <= to)?.name;
  }
}

/** Reads the rows of a table. A table that cannot be read gives none, because the check of the tables reports it. */
function forRows(path: string, take: (row: Record<string, unknown>) => void): void {
  try {
    readRecords(path, take);
  } catch (error) {
    if (!isVistaError(error)) throw error;
    rethrowExhausted(error.cause);
  }
}
