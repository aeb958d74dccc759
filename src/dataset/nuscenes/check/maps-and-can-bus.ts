/** Checks of what lies beside the sensors' files: map images and CAN bus messages. */

import { join, resolve } from "node:path";
import { orElse, throwIfAborted } from "../../../core/errors.js";
import { readRegular } from "../../../core/io/regular.js";
import { JsonSyntaxError, parseWhole } from "../../../core/json/scan.js";
import type { RunOptions } from "../../../core/progress.js";
import type { Coverage, Finding } from "../../finding.js";
import { checkImage } from "../../images/check.js";
import type { Tables } from "../read/load-tables.js";
import { SCENES_WITHOUT_CAN_BUS } from "../read/schema.js";
import { type Row, rowOf, type SmallTable } from "../read/tables.js";
import { listing } from "./listing.js";
import type { Names } from "./names.js";
import { finding } from "./rules.js";
import { sceneNumber } from "./scene-findings.js";

export async function* mapFindings(root: string, names: Names): AsyncGenerator<Finding> {
  const seen = new Set<string>();
  for (const [row, { filename }] of (names.tables.small.map?.values ?? []).entries()) {
    if (typeof filename !== "string" || seen.has(filename)) continue;
    seen.add(filename);
    if (filename === "") {
      yield finding("missing-map", names.path("map"), "filename is empty", names.place("map", row));
      continue;
    }
    const report = await checkImage(resolve(root, filename), "headers");
    if (report.fault === "missing") {
      yield finding("missing-map", filename, "the map image is not there: the devkit cannot load the set");
    } else if (report.fault !== undefined) {
      yield finding("bad-map", filename, report.detail ?? report.fault);
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
