/**
 * The table sample_data at 12 Hz: each key frame six times, from the second time on with the picture and the pose of the frames
 * after it.
 */
import { statSync } from "node:fs";
import type { VistaError } from "../../../core/errors.js";
import { LINK } from "../../nuscenes/read/table-state.js";
import { FRAMES, type InterpolationMessage, LAST, type SampleLinks, timeBetween } from "./interpolation.js";
import { refuseMadeTokens, TokenLengths, writtenTokens } from "./made-tokens.js";
import { damagedTable } from "./needed-rows.js";
import { pythonFloat } from "./python-json.js";
import { type RawRow, RawRowAt, suffixed, TableWriter } from "./raw-rows.js";

export interface DataTask {
  kind: "sampleData";
  from: string;
  to: string;
  samples: SampleLinks;
  /**
   * The offset of each row of sample_data, in bytes; this and the next three are indexed by row, as the reader of the table made
   * them.
   */
  offset: Float64Array;
  keyFrame: Uint8Array;
  sample: Int32Array;
  next: Int32Array;
  sync: boolean;
}

/** The fields that a frame takes from the row whose picture it shows. */
const SHOWN = ["ego_pose_token", "calibrated_sensor_token", "filename"] as const;
const FIELDS = ["token", "sample_token", "prev", "next", "timestamp", "is_key_frame", ...SHOWN] as const;
type Field = (typeof FIELDS)[number];
const REPORT_ROWS = 20_000;

/** Writes sample_data at 12 Hz. @throws VistaError `FORMAT` where a row that is needed is damaged or not there, `UNSUPPORTED` */
export function interpolateData(task: DataTask, send: (message: InterpolationMessage) => void): void {
  const { samples, keyFrame, sample, offset } = task;
  const { size } = statSync(task.from);
  const reader = new RawRowAt(task.from);
  const writer = new TableWriter(task.to);
  const lengths = new TokenLengths();
  let unattached = 0;
  try {
    for (let row = 0; row < keyFrame.length; row++) {
      if (row % REPORT_ROWS === 0) send({ kind: "bytes", bytes: Math.min(offset[row]!, size) });
      if (keyFrame[row] === 0) continue;
      const of = sample[row]!;
      if (of < 0) {
        if (of !== LINK.dangling) damaged(task, reader.at(offset[row]!), "sample_token");
        unattached++;
      } else if (samples.wanted[of] === 1) lengths.see(writeFrames(task, row, of, reader, writer));
    }
    if (lengths.differ) {
      refuseMadeTokens(
        task.from,
        writtenTokens(task.from, samples, (each) => Boolean(each.is_key_frame)),
      );
    }
    writer.finish(task.sync);
  } finally {
    writer.close();
    reader.close();
  }
  send({ kind: "made", rows: writer.rows, bytes: writer.bytes, unattached });
}

/** Writes the rows of a key frame. @returns its token */
function writeFrames(task: DataTask, row: number, of: number, reader: RawRowAt, writer: TableWriter): string {
  const { samples, offset } = task;
  const key = reader.at(offset[row]!);
  for (const field of FIELDS) check(task, key, field);
  const frame = key.template();
  const token = key.text("token");
  const sampleToken = key.text("sample_token");
  const next = key.text("next");
  const time = key.value("timestamp") as number;
  const nextSample = samples.next[of]!;
  if (nextSample < 0) {
    writer.add(frame.with({ prev: suffixed(key.text("prev"), LAST) }));
    return token;
  }
  writer.add(frame.with({ next: suffixed(token, 1) }));
  let shown = row;
  let picture: Record<string, string> = {};
  for (let k = 1; k < FRAMES; k++) {
    const after = frameAfter(task, shown, reader);
    if (after !== shown) {
      shown = after;
      const raw = reader.at(offset[shown]!);
      picture = Object.fromEntries(SHOWN.map((field) => [field, check(task, raw, field)]));
    }
    const own = suffixed(token, k);
    writer.add(
      frame.with({
        token: own,
        sample_token: suffixed(sampleToken, k),
        // The tables that people know have `prev` like this, although it leads nowhere: they make it from a token that has its
        // number already.
        prev: suffixed(own, k - 1),
        next: k === LAST ? next : suffixed(own, k + 1),
        timestamp: pythonFloat(timeBetween(time, samples.time[nextSample]!, k)),
        ...picture,
      }),
    );
  }
  return token;
}

/** Returns the row after this one, or this row itself where the next one is a key frame or there is none. */
function frameAfter(task: DataTask, row: number, reader: RawRowAt): number {
  const { next, keyFrame, offset } = task;
  const after = next[row]!;
  if (after === LINK.none) return row;
  if (after >= 0) return keyFrame[after] === 0 ? after : row;
  const raw = reader.at(offset[row]!);
  const what =
    typeof raw.value("next") === "string"
      ? `next names sample_data ${raw.text("next")}, which is not there`
      : 'field "next" is not a string';
  throw badRow(task, raw, what);
}

/** Returns the JSON text of a field, and throws where the field is missing or of another type. */
function check(task: DataTask, raw: RawRow, field: Field): string {
  if (!raw.has(field)) damaged(task, raw, field);
  const text = raw.text(field);
  const first = text[0]!;
  const isRight = field === "timestamp" ? /[-\d]/.test(first) : field === "is_key_frame" || first === '"';
  if (!isRight) damaged(task, raw, field);
  return text;
}

function damaged(task: DataTask, raw: RawRow, field: string): never {
  const what = raw.has(field) ? `is ${raw.text(field).slice(0, 40)}` : "is missing";
  throw badRow(task, raw, `field "${field}" ${what}`);
}

function badRow({ from }: DataTask, raw: RawRow, what: string): VistaError {
  return damagedTable(from, what, { record: `sample_data ${raw.value("token")}`, offset: raw.offset });
}
