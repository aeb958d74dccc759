/** Checks of what lies beside the sensors' files: map images, lidar labels, CAN bus messages. */

import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { orElse, rethrowExhausted, throwIfAborted } from "../../../core/errors.js";
import { isAbsent, namesIn, readRegular } from "../../../core/io/regular.js";
import { JsonSyntaxError, parseWhole } from "../../../core/json/scan.js";
import { remember } from "../../../core/maps.js";
import type { RunOptions } from "../../../core/progress.js";
import { compareText } from "../../../core/text.js";
import type { Coverage, Finding } from "../../finding.js";
import { checkImage } from "../../images/check.js";
import type { Tables } from "../read/load-tables.js";
import { LABEL_TABLES, SCENES_WITHOUT_CAN_BUS } from "../read/schema.js";
import type { Names } from "./names.js";
import { finding } from "./rules.js";
import { sceneNumber } from "./scene-findings.js";

export async function* mapFindings(root: string, tables: Tables): AsyncGenerator<Finding> {
  const seen = new Set<string>();
  for (const { filename } of tables.small.map?.values ?? []) {
    if (typeof filename !== "string" || filename === "" || seen.has(filename)) continue;
    seen.add(filename);
    const report = await checkImage(join(root, filename), "headers");
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
      const there = new Set(await namesIn(join(root, folder)));
      const missing = [...wanted].filter((file) => !there.has(file)).sort();
      if (missing.length === wanted.size && missing.length > 1) {
        const text = `none of the ${missing.length} files of ${name}.json is there`;
        yield finding("missing-file", folder, text, { count: missing.length });
      } else {
        for (const file of missing) {
          yield finding("missing-file", `${folder}/${file}`, `the file is not there; ${name}.json names it`);
        }
      }
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
  const scenes = (tables.small.scene?.values ?? []).filter((row) => sceneNumber(row.name) !== undefined);
  coverage.total += scenes.length;
  let there: Set<string>;
  try {
    there = new Set(await readdir(join(root, "can_bus")));
  } catch (error) {
    rethrowExhausted(error);
    const what = isAbsent(error)
      ? "is not there"
      : `cannot be listed (${(error as NodeJS.ErrnoException).code})`;
    yield finding("can-bus-absent", "can_bus", `the folder ${what}: no speed and no angle for training`);
    return;
  }
  const without: string[] = [];
  for (const { name } of scenes) {
    throwIfAborted(options.signal);
    const file = `${String(name)}_vehicle_monitor.json`;
    coverage.checked++;
    const bytes = there.has(file)
      ? await readRegular(join(root, "can_bus", file)).catch(orElse(undefined))
      : "absent";
    const fault = bytes === "absent" ? { reason: "the file is not there", none: true } : canBusFault(bytes);
    if (fault === undefined) continue;
    const record = { record: String(name) };
    if (fault.none && SCENES_WITHOUT_CAN_BUS.has(sceneNumber(name)!)) without.push(String(name));
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

/**
 * Returns why a file is not what Vista's annotations are made of: an array of messages with a time, a speed and a steering angle.
 */
function canBusFault(bytes: Buffer | undefined): CanBusFault | undefined {
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
  return bad === -1
    ? undefined
    : { reason: `message ${bad} lacks a number for utime, vehicle_speed or steering` };
}
