/** The CAM_FRONT chains of nuScenes, from one pass over sample_data.json that keeps only the rows of CAM_FRONT. */

import { join } from "node:path";
import { VistaError } from "../../core/errors.js";
import { INCOMPLETE, parseValue, skipValue } from "../../core/json/scan.js";
import { compareText, textOf } from "../../core/text.js";
import { type RowSink, readRecords, readWholeRows } from "../json/rows.js";
import type { IndexedChain } from "./dataset-index.js";

const CHANNEL = "/CAM_FRONT/";
const BACKSLASH = 0x5c;

interface FrontRow {
  token: string;
  sample_token: string;
  prev: string;
  next: string;
  timestamp: number;
  is_key_frame: boolean;
  filename: string;
}

/**
 * Reads the CAM_FRONT chains of all scenes.
 *
 * @param folder  the folder of the tables, such as `…/v1.0-trainval`
 * @param onBytes  called with the bytes of sample_data.json read so far; may throw to stop
 * @throws VistaError `NOT_FOUND`, `FORMAT`
 */
export function readChains(folder: string, onBytes?: (bytes: number) => void): IndexedChain[] {
  const scenes = column(folder, "scene", "name");
  const sceneOf = column(folder, "sample", "scene_token");
  return follow(readFrontRows(folder, onBytes), sceneOf, scenes);
}

/**
 * Returns the CAM_FRONT images from the key frame of a sample on, along `next`: at most `count`, fewer at the end of a scene, and
 * none where there is no such sample.
 *
 * @throws VistaError `FORMAT`
 */
export function framesFromSample(folder: string, sampleToken: string, count: number): string[] {
  const rows = readFrontRows(folder);
  const files: string[] = [];
  let row = [...rows.values()].find((each) => each.sample_token === sampleToken && each.is_key_frame);
  for (; row !== undefined && files.length < count; row = rows.get(row.next)) files.push(row.filename);
  return files;
}

/** Returns the rows of CAM_FRONT by token. */
function readFrontRows(folder: string, onBytes?: (bytes: number) => void): Map<string, FrontRow> {
  const rows = new Map<string, FrontRow>();
  const path = join(folder, "sample_data.json");
  const take = (row: unknown, offset: number) => {
    const one = row as FrontRow;
    if (typeof one?.filename !== "string" || !one.filename.includes(CHANNEL)) return;
    if (typeof one.token !== "string" || one.token === "") {
      const hint = "`vista-data check` says more.";
      throw new VistaError("FORMAT", `the row of ${one.filename} has no token`, { path, offset, hint });
    }
    rows.set(one.token, one);
  };
  const sink: RowSink = {
    fast(bytes, at, end, offset) {
      const after = skipValue(bytes, at, end);
      if (after === INCOMPLETE) return -1;
      // An escape may hide the channel, so that only the value itself shows it.
      const row = Buffer.from(bytes.buffer, bytes.byteOffset + at, after - at);
      if (row.includes(CHANNEL) || row.includes(BACKSLASH)) take(parseValue(bytes, at, after), offset);
      return after;
    },
    value: take,
  };
  readWholeRows(path, "read the table", sink, onBytes);
  return rows;
}

/**
 * Follows the links that both rows agree on, so that each row is in one chain. A broken chain gives several pieces, none of which goes
 * across the break; a circle begins with its earliest row.
 */
function follow(
  rows: ReadonlyMap<string, FrontRow>,
  sceneOf: ReadonlyMap<string, string>,
  scenes: ReadonlyMap<string, string>,
): IndexedChain[] {
  const chains: (IndexedChain & { time: number })[] = [];
  const seen = new Set<FrontRow>();
  const after = (row: FrontRow) => {
    const next = rows.get(row.next);
    return next?.prev === row.token ? next : undefined;
  };
  const addFrom = (start: FrontRow) => {
    const sceneToken = sceneOf.get(start.sample_token) ?? "";
    const chain = {
      scene: scenes.get(sceneToken) ?? "",
      sceneToken,
      files: [] as string[],
      keyFrames: [] as boolean[],
      time: start.timestamp,
    };
    for (let row: FrontRow | undefined = start; row !== undefined && !seen.has(row); row = after(row)) {
      seen.add(row);
      chain.files.push(row.filename);
      chain.keyFrames.push(row.is_key_frame === true);
    }
    chains.push(chain);
  };
  for (const row of rows.values()) {
    const before = rows.get(row.prev);
    if (before === undefined || after(before) !== row) addFrom(row);
  }
  const circles = [...rows.values()]
    .filter((row) => !seen.has(row))
    .sort((a, b) => a.timestamp - b.timestamp);
  for (const row of circles) if (!seen.has(row)) addFrom(row);
  chains.sort((a, b) => compareText(a.scene, b.scene) || a.time - b.time);
  return chains.map(({ time: _, ...chain }) => chain);
}

/** Returns the values of one field of a small table, by the tokens of the rows. */
function column(folder: string, name: string, field: string): Map<string, string> {
  const values = new Map<string, string>();
  readRecords(join(folder, `${name}.json`), (row) => values.set(textOf(row.token), textOf(row[field])));
  return values;
}
