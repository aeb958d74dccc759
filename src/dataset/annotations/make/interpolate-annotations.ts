/**
 * The table sample_annotation at 12 Hz: the boxes of each sample and, for each instance that the next sample has too, five boxes
 * between the two. The table at 2 Hz is read twice: once for the poses, and once to copy the rows.
 */
import { statSync } from "node:fs";
import type { VistaError } from "../../../core/errors.js";
import { readRows } from "../../json/rows.js";
import { Columns } from "../../nuscenes/read/columns.js";
import { describeProblem } from "../../nuscenes/read/field-types.js";
import { SCHEMA } from "../../nuscenes/read/schema.js";
import { insertRow, lookUp, newTokenTable, type TokenTable } from "../../nuscenes/read/tokens.js";
import { type InterpolationMessage, LAST, type SampleLinks, timeBetween } from "./interpolation.js";
import { refuseMadeTokens, TokenLengths, writtenTokens } from "./made-tokens.js";
import { damagedTable } from "./needed-rows.js";
import { slerp } from "./pose.js";
import { pythonFloat } from "./python-json.js";
import { RawRow, suffixed, TableWriter } from "./raw-rows.js";

export interface AnnotationsTask {
  kind: "annotations";
  from: string;
  to: string;
  samples: SampleLinks;
  sync: boolean;
}

/** The number of bytes of a usual row, which serves to guess how many rows there are. */
const ROW_BYTES = 480;
const NEEDED = ["token", "prev", "next"] as const;

const COLUMNS = {
  /** The token of the instance, mixed with the row of the sample: a box's neighbours in time are found by this key. */
  keys: [Uint32Array, 4],
  /** The row of the sample; -1 where the row of sample_annotation is not wanted. */
  sample: [Int32Array, 1],
  /** The translation (three numbers) and the rotation (four). */
  pose: [Float64Array, 7],
} as const;

/** Writes sample_annotation at 12 Hz. @throws VistaError `FORMAT` where a row that is needed is damaged, `UNSUPPORTED` */
export function interpolateAnnotations(
  { from, to, samples, sync }: AnnotationsTask,
  send: (message: InterpolationMessage) => void,
): void {
  const boxes = new Boxes(from, samples, (bytes) => send({ kind: "bytes", bytes }));
  const { size } = statSync(from);
  const writer = new TableWriter(to);
  try {
    readTable(
      from,
      (row, index) => boxes.write(row, index, writer),
      (bytes) => send({ kind: "bytes", bytes: size + bytes }),
    );
    boxes.refuseMadeTokens();
    writer.finish(sync);
  } finally {
    writer.close();
  }
  send({ kind: "made", rows: writer.rows, bytes: writer.bytes, unattached: boxes.unattached });
}

interface BoxPose {
  translation: readonly number[];
  rotation: readonly number[];
}

class Boxes {
  unattached = 0;
  readonly #sample: Int32Array;
  readonly #pose: Float64Array;
  readonly #table: TokenTable;
  readonly #words = new Uint32Array(4);
  readonly #lengths = new TokenLengths();

  /** Reads the poses of all boxes. */
  constructor(
    private readonly path: string,
    private readonly samples: SampleLinks,
    onBytes: (bytes: number) => void,
  ) {
    const columns = new Columns(COLUMNS, (statSync(path).size / ROW_BYTES) * 1.1);
    const offsets: number[] = [];
    const rows = readTable(
      path,
      (row, index) => {
        columns.ensure(index);
        const { keys, sample, pose } = columns.arrays;
        offsets[index] = row.offset;
        sample[index] = -1;
        if (!row.token("sample_token", this.#words)) throw this.#error(row, "sample_token");
        const at = lookUp(samples.table, this.#words);
        if (at < 0) this.unattached++;
        if (at < 0 || samples.wanted[at] === 0) return;
        sample[index] = at;
        if (!row.token("instance_token", this.#words)) throw this.#error(row, "instance_token");
        mix(this.#words, at);
        keys.set(this.#words, index * 4);
        pose.set(this.#vector(row, "translation"), index * 7);
        pose.set(this.#vector(row, "rotation"), index * 7 + 3);
      },
      onBytes,
    );
    const { keys, sample, pose } = columns.finish(rows);
    this.#sample = sample;
    this.#pose = pose;
    this.#table = newTokenTable(keys, rows);
    for (let row = 0; row < rows; row++) {
      if (sample[row]! < 0 || insertRow(this.#table, row) === -1) continue;
      throw damagedTable(path, "a sample has two boxes of this instance", { offset: offsets[row]! });
    }
  }

  /** Writes a row, and the rows between it and the row of the next sample. */
  write(row: RawRow, index: number, writer: TableWriter): void {
    const sample = this.#sample[index]!;
    if (sample < 0) return;
    for (const key of NEEDED) {
      if (typeof row.value(key) !== "string") throw this.#error(row, key);
    }
    const box = row.template();
    const token = row.text("token");
    this.#lengths.see(token);
    const partner = this.#neighbour(row, this.samples.next[sample]!);
    const own: Record<string, string> = {};
    if (this.#neighbour(row, this.samples.prev[sample]!) >= 0) own.prev = suffixed(row.text("prev"), LAST);
    if (partner >= 0) own.next = suffixed(token, 1);
    writer.add(box.with(own));
    if (partner < 0) return;
    const sampleToken = row.text("sample_token");
    const next = row.text("next");
    const [from, to] = [this.#poseOf(index), this.#poseOf(partner)];
    for (let k = 1; k <= LAST; k++) {
      const { translation, rotation } = this.#between(sample, from, to, k);
      writer.add(
        box.with({
          token: suffixed(token, k),
          sample_token: suffixed(sampleToken, k),
          translation: vectorText(translation),
          rotation: vectorText(rotation),
          prev: k === 1 ? token : suffixed(token, k - 1),
          next: k === LAST ? next : suffixed(token, k + 1),
        }),
      );
    }
  }

  /** Refuses tokens of boxes that were written twice. @throws VistaError `UNSUPPORTED` */
  refuseMadeTokens(): void {
    if (!this.#lengths.differ) return;
    refuseMadeTokens(
      this.path,
      writtenTokens(this.path, this.samples, () => true),
    );
  }

  /** Returns the row of the box that the same instance has in another sample, or -1. */
  #neighbour(row: RawRow, sample: number): number {
    if (sample < 0) return -1;
    row.token("instance_token", this.#words);
    mix(this.#words, sample);
    return lookUp(this.#table, this.#words);
  }

  /** Returns the pose of frame `k`, by its time, as `numpy.interp` and pyquaternion would. */
  #between(sample: number, from: BoxPose, to: BoxPose, k: number): BoxPose {
    const { time, next } = this.samples;
    const [t0, t1] = [time[sample]!, time[next[sample]!]!];
    const passed = Math.min(t1, timeBetween(t0, t1, k)) - t0;
    const translation = from.translation.map((a, i) => {
      const b = to.translation[i]!;
      return passed >= t1 - t0 ? b : ((b - a) / (t1 - t0)) * passed + a;
    });
    return { translation, rotation: slerp(from.rotation, to.rotation, passed / (t1 - t0)) };
  }

  #poseOf(row: number): BoxPose {
    const pose = this.#pose;
    const at = row * 7;
    return {
      translation: [pose[at]!, pose[at + 1]!, pose[at + 2]!],
      rotation: [pose[at + 3]!, pose[at + 4]!, pose[at + 5]!, pose[at + 6]!],
    };
  }

  #vector(row: RawRow, key: "translation" | "rotation"): number[] {
    const value = row.value(key);
    if (describeProblem(key, SCHEMA.sample_annotation.fields[key]!, value) !== undefined) {
      throw this.#error(row, key);
    }
    return value as number[];
  }

  #error(row: RawRow, key: string): VistaError {
    const value = row.value(key);
    const problem = describeProblem(key, SCHEMA.sample_annotation.fields[key]!, value);
    const token = row.value("token");
    const record = typeof token === "string" ? `sample_annotation ${token}` : undefined;
    return damagedTable(this.path, problem ?? `field "${key}" is damaged`, { record, offset: row.offset });
  }
}

/** Mixes a sample into the words of an instance's token; three of the four words stay as they are. */
function mix(words: Uint32Array, sample: number): void {
  words[3] = Math.imul(words[3]!, 0x9e3779b1) + sample;
}

function vectorText(values: readonly number[]): string {
  return `[${values.map(pythonFloat).join(", ")}]`;
}

/**
 * Reads a whole table.
 *
 * @returns the number of rows
 * @throws VistaError `FORMAT` where the file is no JSON, or a row is no object
 */
function readTable(
  path: string,
  take: (row: RawRow, index: number) => void,
  onBytes: (bytes: number) => void,
): number {
  const row = new RawRow();
  let rows = 0;
  const { error } = readRows(
    path,
    {
      fast(bytes, at, end, offset) {
        const after = row.scan(bytes, at, end, offset);
        if (after !== -1) take(row, rows++);
        return after;
      },
      value(_, offset) {
        throw damagedTable(path, "the row is not an object", { offset });
      },
    },
    onBytes,
  );
  if (error === undefined) return rows;
  throw damagedTable(path, `not JSON: ${error.reason}`, { offset: error.offset });
}
