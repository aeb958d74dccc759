/** Checks of what lies beside the sensors' files: map images, lidar labels, CAN bus messages. */

import { join, resolve } from "node:path";
import { orElse, throwIfAborted } from "../../../core/errors.js";
import { readRegular, sizeOf } from "../../../core/io/regular.js";
import { JsonSyntaxError, parseWhole } from "../../../core/json/scan.js";
import { remember } from "../../../core/maps.js";
import type { RunOptions } from "../../../core/progress.js";
import { compareText } from "../../../core/text.js";
import type { Coverage, Finding } from "../../finding.js";
import { checkImage } from "../../images/check.js";
import type { Tables } from "../read/load-tables.js";
import { LABEL_TABLES, SCENES_WITHOUT_CAN_BUS } from "../read/schema.js";
import { type Row, rowOf, type SmallTable } from "../read/tables.js";
import { listing } from "./listing.js";
import type { Names } from "./names.js";
import { finding } from "./rules.js";
import { sceneNumber } from "./scene-findings.js";

export async function* mapFindings(root: string, tables: Tables): AsyncGenerator<Finding> {
  const seen = new Set<string>();
  for (const { filename } of tables.small.map?.values ?? []) {
    if (typeof filename !== "string" || filename === "" || seen.has(filename)) continue;
    seen.add(filename);
    const report = await checkImage(resolve(root, filename), "headers");
    if (report.fault === "missing") {
      yield finding("missing-map", filename, "the map image is not there: the devkit cannot load the set");
    } else if (report.fault !== undefined) {
      yield finding("bad-map", filename, report.detail ?? report.fault);
    }
  }
}

/** Checks the label files of lidarseg and panoptic: those that rows name must be there, and no others, as the devkit demands. */
export async function* labelFindings(root: string, version: string, tables: Tables): AsyncGenerator<Finding> {
  for (const name of LABEL_TABLES) {
    const table = tables.small[name];
    if (table === undefined) continue;
    const folders = new Map<string, Set<string>>();
    for (const { filename } of table.values) {
      if (typeof filename !== "string" || filename === "") continue;
      const slash = filename.lastIndexOf("/");
      const folder = filename.slice(0, Math.max(slash, 0));
      remember(folders, folder, () => new Set()).add(filename.slice(slash + 1));
    }
    for (const [folder, wanted] of [...folders].sort(([a], [b]) => compareText(a, b))) {
      const base = resolve(root, folder);
      const names = (await listing(base)) ?? [];
      if (typeof names === "string") {
        yield finding("unreadable-file", folder || ".", names, { count: wanted.size });
        continue;
      }
      const there = new Set(names);
      const sizes = new Map(
        [...wanted].sort().map((file) => [file, there.has(file) ? sizeOf(`${base}/${file}`) : -1]),
      );
      const missing = [...wanted].filter((file) => sizes.get(file) === -1).sort();
      if (missing.length === wanted.size && missing.length > 1) {
        const text = `none of the ${missing.length} files of ${name}.json is there`;
        yield finding("missing-file", folder, text, { count: missing.length });
      } else {
        for (const file of missing) {
          yield finding("missing-file", `${folder}/${file}`, `the file is not there; ${name}.json names it`);
        }
      }
      for (const [file, size] of sizes)
        if (size === 0) yield finding("empty-file", `${folder}/${file}`, "is empty (0 bytes)");
      // The devkit counts the label files of these two kinds in the version's own folder.
      if (folder !== `${name}/${version}` || !table.complete) continue;
      for (const file of [...there].sort()) {
        if (wanted.has(file) || !/\.(bin|npz)$/.test(file)) continue;
        yield finding("labels-unlisted", `${folder}/${file}`, `no row of ${name}.json names this file`);
      }
    }
  }
}

/** Checks the `vehicle_monitor` messages of each scene, from which Vista's annotations have speed and steering angle. */
export async function* canBusFindings(
  root: string,
  tables: Tables,
  names: Names,
  coverage: Coverage,
  options: RunOptions,
): AsyncGenerator<Finding> {
  const files = await listing(join(root, "can_bus"));
  const there = new Set(Array.isArray(files) ? files : []);
  const fileOf = (row: Row) => `${String(row.name)}_vehicle_monitor.json`;
  // Scenes of one's own need not have messages, but those that they have are taken.
  const scenes = (tables.small.scene?.values ?? []).filter(
    (row) => sceneNumber(row.name) !== undefined || there.has(fileOf(row)),
  );
  coverage.total += scenes.length;
  if (files === undefined) {
    const what = "the folder is not there: no speed and no angle for training";
    yield finding("can-bus-absent", "can_bus", what);
    return;
  }
  if (typeof files === "string") {
    yield finding("unreadable-file", "can_bus", files);
    return;
  }
  const without: string[] = [];
  for (const scene of scenes) {
    const { name } = scene;
    throwIfAborted(options.signal);
    const file = fileOf(scene);
    coverage.checked++;
    const bytes = there.has(file)
      ? await readRegular(join(root, "can_bus", file)).catch(orElse(undefined))
      : "absent";
    const fault =
      bytes === "absent"
        ? { reason: "the file is not there", none: true }
        : canBusFault(bytes, timesOf(scene, tables.small.sample));
    if (fault === undefined) continue;
    const record = { record: String(name) };
    if (fault.none && SCENES_WITHOUT_CAN_BUS.has(sceneNumber(name) ?? -1)) without.push(String(name));
    else if (fault.none) yield finding("can-bus-missing", `can_bus/${file}`, fault.reason, record);
    else {
      const place = fault.offset === undefined ? record : { ...record, offset: fault.offset };
      yield finding("can-bus-damaged", `can_bus/${file}`, fault.reason, place);
    }
  }
  if (without.length > 0) {
    const text = `${without.join(", ")}: known to have no CAN bus messages`;
    yield finding("can-bus-none", names.path("scene"), text, { count: without.length });
  }
}

interface CanBusFault {
  reason: string;
  offset?: number;
  /** Whether nothing is damaged and there is just no message. */
  none?: boolean;
}

/** The distance in microseconds up to which messages may lie beside their scene, or out of order: they come at 2 Hz. */
const SLACK_US = 1_000_000;

/** Returns the times of the first and last sample of a scene; NaN where they are not known. */
function timesOf(scene: Row, sample: SmallTable | undefined): [from: number, to: number] {
  const time = (token: unknown) => Number(sample?.values[rowOf(sample, token)]?.timestamp ?? Number.NaN);
  return [time(scene.first_sample_token), time(scene.last_sample_token)];
}

/**
 * Returns why a file is not what Vista's annotations are made of: an array of messages with a time, a speed and a steering angle,
 * in the order of time and from the time of the scene. Of other messages, whichever is looked at would be taken.
 */
function canBusFault(
  bytes: Buffer | undefined,
  [from, to]: readonly [from: number, to: number],
): CanBusFault | undefined {
  if (bytes === undefined) return { reason: "cannot be read" };
  let messages: unknown;
  try {
    messages = parseWhole(bytes);
  } catch (error) {
    if (error instanceof JsonSyntaxError) return { reason: `not JSON: ${error.message}`, offset: error.at };
    throw error;
  }
  if (!Array.isArray(messages)) return { reason: "not an array of messages" };
  if (messages.length === 0) return { reason: "no messages in it", none: true };
  const bad = messages.findIndex((message) =>
    ["utime", "vehicle_speed", "steering"].some((key) => !Number.isFinite(message?.[key])),
  );
  if (bad !== -1) return { reason: `message ${bad} lacks a number for utime, vehicle_speed or steering` };
  const times: number[] = messages.map(({ utime }) => utime);
  const early = times.findIndex((time, i) => i > 0 && time < times[i - 1]! - SLACK_US);
  if (early !== -1) return { reason: `message ${early} is older than message ${early - 1}` };
  if (times.some((time) => !(time < from - SLACK_US || time > to + SLACK_US))) return undefined;
  return { reason: `none of its ${times.length} messages is from the time of the scene, ${from} to ${to}` };
}
