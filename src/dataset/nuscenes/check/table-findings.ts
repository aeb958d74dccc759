/** Findings about tables by themselves and about their keys. */
import { join } from "node:path";
import { isSystemError, rethrowExhausted } from "../../../core/errors.js";
import { isAbsent } from "../../../core/io/regular.js";
import { skipValue } from "../../../core/json/scan.js";
import type { Finding } from "../../finding.js";
import { readRows } from "../../json/rows.js";
import type { Tables } from "../read/load-tables.js";
import { ALL_TABLES, MAY_BE_EMPTY, SCHEMA, type TableName } from "../read/schema.js";
import {
  addDangling,
  type Dangling,
  KEEP,
  type KeptFaults,
  LINK,
  type TableState,
} from "../read/table-state.js";
import { danglingKeys, type Links, linksIn, rowOf } from "../read/tables.js";
import type { Names } from "./names.js";
import { finding, type NuScenesRule } from "./rules.js";

/** Yields the findings about missing and damaged tables, fields of the wrong type, and tokens that occur twice. */
export function* tableFindings(names: Names): Generator<Finding> {
  const { tables } = names;
  for (const name of tables.missing) {
    yield finding("missing-table", names.path(name), `${name}.json is not there`);
  }
  for (const name of ALL_TABLES) {
    const reason = tables.unreadable.get(name);
    if (reason !== undefined) yield finding("unreadable-table", names.path(name), reason);
  }
  for (const name of ALL_TABLES) {
    const state = names.state(name);
    if (state === undefined) continue;
    const path = names.path(name);
    if (state.error !== undefined) {
      const read = `${state.rows} ${state.rows === 1 ? "row was" : "rows were"} read before it`;
      yield finding("bad-json", path, `${state.error.reason}; ${read}`, {
        offset: state.error.offset,
      });
    }
    if (isEmpty(name, state, names)) yield finding("empty-table", path, "there is not one row in it");
    const { problems, duplicates } = state;
    yield* keptFindings("wrong-type", path, problems, "more fields of the wrong type", (problem) => {
      const { message, offset, index, token } = problem;
      return [message, { record: token || `row ${index}`, offset }];
    });
    const more = "more rows with a token that occurs before";
    yield* keptFindings("duplicate-token", path, duplicates, more, ([row, first]) => [
      `row ${row} has the token of row ${first}`,
      names.place(name, row),
    ]);
  }
  yield* exportedFindings(names);
  yield* camerasWithoutMatrix(names);
}

/**
 * Looks at the table of boxes in pictures, which the devkit's export_2d_annotations_as_json.py makes. No set needs it, and nobody here
 * uses its rows; but where it is there the devkit loads it with the others, and ends where it is no JSON.
 */
function* exportedFindings(names: Names): Generator<Finding> {
  const path = names.path("image_annotations");
  const file = join(names.tables.folder, "image_annotations.json");
  try {
    const { error } = readRows(file, { fast: (bytes, at, end) => skipValue(bytes, at, end), value() {} });
    if (error === undefined) return;
    const text = `${error.reason}; the devkit loads it: remove it, or make it again by export_2d_annotations_as_json.py`;
    yield finding("bad-json", path, text, { offset: error.offset });
  } catch (error) {
    if (!isSystemError(error)) throw error;
    rethrowExhausted(error);
    if (!isAbsent(error)) yield finding("unreadable-table", path, error.message);
  }
}

/** Yields the cameras without an intrinsic matrix: an empty one is right for the other sensors only. */
function* camerasWithoutMatrix(names: Names): Generator<Finding> {
  const { sensor: sensors, calibrated_sensor: calibrated } = names.tables.small;
  if (sensors === undefined || calibrated === undefined) return;
  for (const [i, { camera_intrinsic: matrix, sensor_token: key }] of calibrated.values.entries()) {
    if (!Array.isArray(matrix) || matrix.length > 0) continue;
    const sensor = sensors.values[rowOf(sensors, key)];
    if (sensor?.modality !== "camera") continue;
    const what = `field "camera_intrinsic" is empty, but ${sensor.channel} is a camera`;
    const place = names.place("calibrated_sensor", i);
    yield finding("wrong-type", names.path("calibrated_sensor"), what, place);
  }
}

/** Tells whether a table lacks its rows: either every set needs some, or rows of another table must name one. */
function isEmpty(name: TableName, state: TableState, names: Names): boolean {
  if (state.rows > 0 || !state.complete) return false;
  if (!MAY_BE_EMPTY.includes(name)) return true;
  return ALL_TABLES.some((other) => {
    const { keys, fields } = SCHEMA[other];
    const isNamed = Object.entries(keys).some(
      ([field, target]) => target === name && fields[field] === "token",
    );
    return isNamed && (names.state(other)?.rows ?? 0) > 0;
  });
}

/**
 * Yields the foreign keys without a target. Keys into a table that is itself damaged are not reported, because they may be right.
 */
export function* keyFindings(names: Names): Generator<Finding> {
  for (const name of ALL_TABLES) {
    const state = names.state(name);
    if (state === undefined) continue;
    for (const [field, target] of Object.entries(SCHEMA[name].keys)) {
      const targetState = names.state(target);
      if (targetState === undefined || !targetState.complete || isEmpty(target, targetState, names)) continue;
      const missing = danglingIn(names, name, field, targetState);
      yield* danglingFindings(names, name, missing, target, `rows whose ${field} names no ${target}`);
    }
    if (!state.complete || !("prev" in SCHEMA[name].fields)) continue;
    // Where a row is gone, both its neighbours still name it.
    const missing = danglingLinks(names, name, linksOf(names.tables, name));
    yield* danglingFindings(names, name, missing, name, "prev or next without a row");
  }
}

/** Keys without a target: some of them, and how many more there are. */
interface Missing {
  dangling: readonly Dangling[];
  more: number;
}

function* danglingFindings(
  names: Names,
  name: TableName,
  { dangling, more }: Missing,
  target: TableName,
  others: string,
): Generator<Finding> {
  for (const { field, missing, count, offset } of dangling) {
    const rows = count === 1 ? "" : ` (${count} rows, this is the first)`;
    yield finding(
      "dangling-token",
      names.path(name),
      `${field} names ${target} "${missing}", which is not there${rows}`,
      { record: names.fieldAt(name, offset, "token"), offset, count: count > 1 ? count : undefined },
    );
  }
  yield* remainder("dangling-token", names.path(name), more, `more ${others}`);
}

function danglingIn(names: Names, name: TableName, field: string, target: TableState): Missing {
  const { small, sampleData } = names.tables;
  const table = small[name];
  if (table !== undefined) return { dangling: danglingKeys(table, field, target), more: 0 };
  if (field === "ego_pose_token") return danglingLinks(names, name, { [field]: sampleData!.egoPose });
  const { dangling, moreDangling } = names.state(name)!;
  return { dangling: dangling.filter((entry) => entry.field === field), more: moreDangling[field] ?? 0 };
}

/** Returns the links of a table of chains. */
function linksOf({ sampleData, annotations, small }: Tables, name: TableName): Links {
  if (name === "sample") return linksIn(small.sample!);
  const { prev, next } = name === "sample_data" ? sampleData! : annotations!;
  return { prev, next };
}

/** Finds the links that name no row, field by field; some are kept, and the others are counted. */
function danglingLinks(names: Names, name: TableName, links: Readonly<Record<string, Int32Array>>): Missing {
  const { offset } = names.state(name)!;
  const found = new Map<string, Dangling>();
  let count = 0;
  for (const [field, rows] of Object.entries(links)) {
    for (let row = 0; row < rows.length; row++) {
      if (rows[row] !== LINK.dangling || ++count > KEEP) continue;
      addDangling(found, field, names.field(name, row, field), offset[row]!);
    }
  }
  return { dangling: [...found.values()], more: count - KEEP };
}

/** Yields the findings about some faults: those that were kept one by one, and the others as a number. */
export function* keptFindings<Fault>(
  rule: NuScenesRule,
  path: string,
  { first, more }: KeptFaults<Fault>,
  others: string,
  describe: (fault: Fault) => [text: string, place: { record: string; offset?: number }],
): Generator<Finding> {
  for (const fault of first) yield finding(rule, path, ...describe(fault));
  yield* remainder(rule, path, more, others);
}

/** Yields one finding for places that were only counted. */
export function* remainder(
  rule: NuScenesRule,
  path: string,
  count: number,
  what: string,
): Generator<Finding> {
  if (count > 0) yield finding(rule, path, `${count} ${what}`, { count });
}
