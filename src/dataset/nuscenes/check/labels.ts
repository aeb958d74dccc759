/** Checks of lidarseg and panoptic, the labels of lidar points: their tables, their files and the categories, as the devkit wants them. */

import { resolve } from "node:path";
import { sizeOf } from "../../../core/io/regular.js";
import { remember } from "../../../core/maps.js";
import { compareText, words } from "../../../core/text.js";
import type { Finding } from "../../finding.js";
import { joinPath } from "../../paths.js";
import { shortestPath } from "../read/file-names.js";
import { LABEL_TABLES, type TableName } from "../read/schema.js";
import { rowOf } from "../read/tables.js";
import { listing } from "./listing.js";
import type { Names } from "./names.js";
import { LIDAR_POINT_BYTES } from "./point-clouds.js";
import { finding } from "./rules.js";

/** The categories that the devkit has a colour for (`nuscenes/utils/color_map.py` of 1.2.0); a peer test compares them with it. */
export const COLOURED_CATEGORIES: ReadonlySet<string> = new Set(
  words(`
    noise animal human.pedestrian.adult human.pedestrian.child human.pedestrian.construction_worker
    human.pedestrian.personal_mobility human.pedestrian.police_officer human.pedestrian.stroller
    human.pedestrian.wheelchair movable_object.barrier movable_object.debris
    movable_object.pushable_pullable movable_object.trafficcone static_object.bicycle_rack vehicle.bicycle
    vehicle.bus.bendy vehicle.bus.rigid vehicle.car vehicle.construction vehicle.emergency.ambulance
    vehicle.emergency.police vehicle.motorcycle vehicle.trailer vehicle.truck flat.driveable_surface
    flat.other flat.sidewalk flat.terrain static.manmade static.other static.vegetation vehicle.ego
  `),
);

/** Yields the categories that the devkit cannot use beside a table of labels: each must have an index there, and a colour. */
export function* categoryFindings(names: Names): Generator<Finding> {
  const { category, lidarseg, panoptic } = names.tables.small;
  if (category === undefined || (lidarseg ?? panoptic) === undefined) return;
  for (const [row, { name, index }] of category.values.entries()) {
    const isIndexed = Number.isSafeInteger(index);
    if (isIndexed && (typeof name !== "string" || COLOURED_CATEGORIES.has(name))) continue;
    const text = isIndexed
      ? `the devkit has no colour for ${String(name)}, and loads no table of lidar labels with it`
      : `${String(name)} has no index, but there is a table of lidar labels`;
    yield finding("category-index", names.path("category"), text, names.place("category", row));
  }
}

/** Checks the files of labels: those that rows name must be there, each for one row, and no others. */
export async function* labelFindings(root: string, version: string, names: Names): AsyncGenerator<Finding> {
  for (const name of LABEL_TABLES) {
    const table = names.tables.small[name];
    if (table === undefined) continue;
    // The devkit wants as many files in this folder as there are rows.
    const own = `${name}/${version}`;
    const folders = new Map<string, Map<string, number>>(table.complete ? [[own, new Map()]] : []);
    for (const [row, { filename }] of table.values.entries()) {
      if (typeof filename !== "string") continue;
      const slash = filename.lastIndexOf("/");
      const file = filename.slice(slash + 1);
      if (file === "") {
        const text = `filename is "${filename}", which names no file`;
        yield finding("missing-file", names.path(name), text, names.place(name, row));
        continue;
      }
      const rowsOf = remember(folders, shortestPath(filename.slice(0, Math.max(slash, 0))), () => new Map());
      const first = remember(rowsOf, file, () => row);
      if (first === row) continue;
      const text = `${filename} is also that of ${names.token(name, first)}`;
      yield finding("duplicate-file", names.path(name), text, names.place(name, row));
    }
    for (const [folder, rowsOf] of [...folders].sort(([a], [b]) => compareText(a, b))) {
      const wanted = [...rowsOf.keys()].sort();
      const there = await listing(resolve(root, folder));
      if (typeof there === "string") {
        yield finding("unreadable-file", folder || ".", there, { count: wanted.length || undefined });
        continue;
      }
      if (there === undefined && table.rows === 0) {
        yield finding(
          "missing-file",
          folder,
          `the folder is not there, and ${name}.json is: the devkit wants both`,
        );
      }
      const count = yield* fileFindings(root, folder, wanted, new Set(there), name);
      if (!table.complete) continue;
      if (folder !== own) {
        const text = `${count} rows of ${name}.json name files in ${folder || "the root"}: the devkit counts those here`;
        if (count > 0) yield finding("missing-file", own, text, { count });
        continue;
      }
      for (const file of [...(there ?? [])].sort()) {
        if (rowsOf.has(file) || !/\.(bin|npz)$/.test(file)) continue;
        yield finding("labels-unlisted", `${folder}/${file}`, `no row of ${name}.json names this file`);
      }
    }
  }
  yield* sizeFindings(root, names);
}

/** Yields the files of lidarseg that have not one byte for each point of their cloud; those of panoptic are compressed. */
function* sizeFindings(root: string, names: Names): Generator<Finding> {
  const { small, sampleData } = names.tables;
  for (const { filename, sample_data_token } of small.lidarseg?.values ?? []) {
    const row = sampleData === undefined ? -1 : rowOf(sampleData, sample_data_token);
    if (row === -1 || typeof filename !== "string") continue;
    const labels = sizeOf(resolve(root, filename));
    const cloud = names.field("sample_data", row, "filename");
    const points = sizeOf(resolve(root, cloud)) / LIDAR_POINT_BYTES;
    // What is missing, empty or no whole number of points is reported as that.
    if (labels <= 0 || points <= 0 || !Number.isInteger(points) || labels === points) continue;
    yield finding("bad-point-cloud", filename, `has ${labels} labels, and ${cloud} has ${points} points`);
  }
}

/** Yields which of the wanted files of a folder are not there, and which are empty. @returns how many are there */
function* fileFindings(
  root: string,
  folder: string,
  wanted: readonly string[],
  there: ReadonlySet<string>,
  name: TableName,
): Generator<Finding, number> {
  const sizes = new Map(
    wanted.map((file) => [file, there.has(file) ? sizeOf(resolve(root, joinPath(folder, file))) : -1]),
  );
  const missing = wanted.filter((file) => sizes.get(file) === -1);
  if (missing.length === wanted.length && missing.length > 1) {
    const text = `none of the ${missing.length} files of ${name}.json is there`;
    yield finding("missing-file", folder, text, { count: missing.length });
  } else {
    for (const file of missing) {
      yield finding("missing-file", joinPath(folder, file), `the file is not there; ${name}.json names it`);
    }
  }
  for (const [file, size] of sizes)
    if (size === 0) yield finding("empty-file", joinPath(folder, file), "is empty (0 bytes)");
  return wanted.length - missing.length;
}
