/**
 * The three large tables as columns. Foreign keys into smaller tables are looked up while the rows pass; keys into the large
 * tables (prev and next, and the ego poses of frames) wait until those are whole.
 */
import { statSync } from "node:fs";
import { readRows } from "../../json/rows.js";
import { type ColumnSpec, Columns } from "./columns.js";
import { FIELD, RowDecoder } from "./decode.js";
import { Dictionary, NO_FOLDER, shortestPath, writeFileKey } from "./file-names.js";
import type { TableName } from "./schema.js";
import {
  type Dangling,
  indexTokens,
  KEEP,
  Kept,
  LINK,
  type RowProblem,
  type TableState,
} from "./table-state.js";
import { lookUp, readToken, type TokenTable, viewOf } from "./tokens.js";

export interface SampleData extends TableState {
  time: Float64Array;
  /** The flags of the rows: 1 for a key frame. */
  keyFrame: Uint8Array;
  /** The row of sample that each row names; `sensor` holds that of calibrated_sensor. */
  sample: Int32Array;
  sensor: Int32Array;
  /** The rows that each row names, once they have been followed: that of ego_pose only where that table is loaded. */
  egoPose: Int32Array;
  prev: Int32Array;
  next: Int32Array;
  /** The tokens that these are found by, until then. */
  egoPoseWords: Uint32Array;
  prevWords: Uint32Array;
  nextWords: Uint32Array;
  /** The keys of the files, as tokens have them ({@link writeFileKey}). */
  file: Uint32Array;
  /** The index in {@link folders}, whose paths have `/` between parts; {@link NO_FOLDER} where the file has no usable name. */
  folder: Uint16Array;
  folders: string[];
  /** The index in {@link forms}. */
  form: Uint16Array;
  forms: { fileformat: string; width: number; height: number }[];
}

export interface EgoPoses extends TableState {
  time: Float64Array;
}

export interface Annotations extends TableState {
  sample: Int32Array;
  instance: Int32Array;
  prev: Int32Array;
  next: Int32Array;
}

type Report = (bytes: number) => void;

/** A table to load: its file, and the tables that its keys name. */
interface LargeTable<Target extends string> {
  path: string;
  targets: Record<Target, TokenTable>;
}

/** Returns the number of rows to make room for: the size of the file divided by that of a usual row, and some more. */
function expectedRows(path: string, rowBytes: number): number {
  return (statSync(path).size / rowBytes) * 1.1;
}

/** A collector of what every large table has, while its rows are decoded. */
class Loader<Table extends TableName, S extends ColumnSpec> {
  readonly columns: Columns<S>;
  readonly #common: Columns<typeof COMMON>;
  readonly decoder: RowDecoder<Table>;
  readonly problems = new Kept<RowProblem>();
  complete = true;
  row = 0;
  readonly #dangling = new Map<string, Dangling>();
  readonly #moreDangling: Record<string, number> = {};

  constructor(
    table: Table,
    spec: S,
    capacity: number,
    onRow: (loader: Loader<Table, S>, offset: number) => void,
  ) {
    this.columns = new Columns(spec, capacity);
    this.#common = new Columns(COMMON, capacity);
    this.decoder = new RowDecoder<Table>(table, {
      row: (offset) => {
        this.columns.ensure(this.row);
        this.#common.ensure(this.row);
        const common = this.#common.arrays;
        common.offset[this.row] = offset;
        // The token is the first field of every table.
        if (this.decoder.state[0] === FIELD.ok) {
          copyWords(this.decoder.words, 0, common.keys, this.row * 4);
        } else {
          common.exclude[this.row] = 1;
          this.complete = false;
        }
        onRow(this, offset);
        this.row++;
      },
      noRow: (problem) => {
        this.complete = false;
        this.problems.add(problem);
      },
      problem: (problem) => this.problems.add(problem),
    });
  }

  /** Returns the target row of a key that the decoder holds. */
  resolve(field: number, target: TokenTable, offset: number): number {
    const state = this.decoder.state[field];
    if (state === FIELD.bad) return LINK.unusable;
    if (state === FIELD.empty) return LINK.none;
    const row = lookUp(target, this.decoder.words, field * 4);
    if (row !== -1) return row;
    this.addDangling(field, this.decoder.text(this.decoder.from[field]!, this.decoder.to[field]!), offset);
    return LINK.dangling;
  }

  addDangling(field: number, missing: string, offset: number): void {
    const name = this.decoder.names[field]!;
    const key = `${name}:${missing}`;
    const known = this.#dangling.get(key);
    if (known !== undefined) known.count++;
    else if (this.#dangling.size < KEEP) this.#dangling.set(key, { field: name, missing, count: 1, offset });
    else this.#moreDangling[name] = (this.#moreDangling[name] ?? 0) + 1;
  }

  /** Takes a key that is followed later: its words, or that there is none to follow. */
  takeLink(field: number, words: Uint32Array, links: Int32Array): void {
    const state = this.decoder.state[field];
    if (state === FIELD.ok) copyWords(this.decoder.words, field * 4, words, this.row * 4);
    else links[this.row] = state === FIELD.empty ? LINK.none : LINK.unusable;
  }

  run(path: string, onBytes: Report): TableState {
    const result = readRows(path, this.decoder, onBytes);
    const { keys, offset, exclude } = this.#common.finish(this.row);
    return {
      ...result,
      ...indexTokens(keys, exclude),
      rows: this.row,
      problems: this.problems,
      dangling: [...this.#dangling.values()],
      moreDangling: this.#moreDangling,
      complete: this.complete && result.error === undefined,
      offset,
      exclude,
    };
  }
}

const COMMON = {
  keys: [Uint32Array, 4],
  offset: [Float64Array, 1],
  exclude: [Uint8Array, 1],
} as const;

function copyWords(from: Uint32Array, at: number, to: Uint32Array, slot: number): void {
  to[slot] = from[at]!;
  to[slot + 1] = from[at + 1]!;
  to[slot + 2] = from[at + 2]!;
  to[slot + 3] = from[at + 3]!;
}

const EGO_POSES = { time: [Float64Array, 1] } as const;

export function loadEgoPose({ path }: { path: string }, onBytes: Report): EgoPoses {
  const loader = new Loader("ego_pose", EGO_POSES, expectedRows(path, 250), ({ columns, decoder, row }) => {
    columns.arrays.time[row] = decoder.numbers[F.timestamp]!;
  });
  const F = loader.decoder.fields;
  const state = loader.run(path, onBytes);
  return { ...state, ...loader.columns.finish(state.rows) };
}

const LINKS = {
  prev: [Int32Array, 1],
  next: [Int32Array, 1],
  prevWords: [Uint32Array, 4],
  nextWords: [Uint32Array, 4],
} as const;

const SAMPLE_DATA = {
  ...LINKS,
  egoPose: [Int32Array, 1],
  egoPoseWords: [Uint32Array, 4],
  keyFrame: [Uint8Array, 1],
  time: [Float64Array, 1],
  file: [Uint32Array, 4],
  sample: [Int32Array, 1],
  sensor: [Int32Array, 1],
  folder: [Uint16Array, 1],
  form: [Uint16Array, 1],
} as const;

export function loadSampleData(
  { path, targets }: LargeTable<"sample" | "calibrated_sensor">,
  onBytes: Report,
): SampleData {
  const folders = new Dictionary(path, "folders of files", shortestPath);
  const forms = new Dictionary(path, "formats and sizes of pictures");

  const loader = new Loader("sample_data", SAMPLE_DATA, expectedRows(path, 520), (self, offset) => {
    const { decoder, row } = self;
    const columns = self.columns.arrays;
    columns.time[row] = decoder.numbers[F.timestamp]!;
    columns.sample[row] = self.resolve(F.sample_token, targets.sample, offset);
    columns.sensor[row] = self.resolve(F.calibrated_sensor_token, targets.calibrated_sensor, offset);
    if (decoder.numbers[F.is_key_frame] === 1) columns.keyFrame[row] = 1;
    self.takeLink(F.ego_pose_token, columns.egoPoseWords, columns.egoPose);
    self.takeLink(F.prev, columns.prevWords, columns.prev);
    self.takeLink(F.next, columns.nextWords, columns.next);

    const from = decoder.from[F.filename]!;
    const to = decoder.to[F.filename]!;
    let slash = to - 1;
    while (slash >= from && decoder.bytes[slash] !== 0x2f) slash--;
    if (slash + 1 < to) {
      const folder = folders.id(decoder, from, Math.max(from, slash));
      columns.folder[row] = folder;
      writeFileKey(viewOf(decoder.bytes), slash + 1, to, folder, columns.file, row * 4);
    } else {
      columns.folder[row] = NO_FOLDER;
    }
    columns.form[row] = forms.id(
      decoder,
      decoder.from[F.fileformat]!,
      decoder.to[F.fileformat]!,
      decoder.numbers[F.width]!,
      decoder.numbers[F.height]!,
    );
  });
  const F = loader.decoder.fields;
  const state = loader.run(path, onBytes);
  return {
    ...state,
    ...loader.columns.finish(state.rows),
    folders: folders.entries.map(({ text }) => text),
    forms: forms.entries.map(({ text: fileformat, a: width, b: height }) => ({ fileformat, width, height })),
  };
}

/** Puts in place the rows that the links name by their words. Links that are a {@link LINK} already stay what they are. */
export function follow({
  words,
  links,
  table,
}: {
  words: Uint32Array;
  links: Int32Array;
  table: TokenTable;
}): void {
  for (let row = 0; row < links.length; row++) {
    if (links[row]! < 0) continue;
    const target = lookUp(table, words, row * 4);
    links[row] = target === -1 ? LINK.dangling : target;
  }
}

const ANNOTATIONS = {
  ...LINKS,
  sample: [Int32Array, 1],
  instance: [Int32Array, 1],
} as const;

export function loadAnnotations(
  { path, targets }: LargeTable<"sample" | "instance" | "attribute" | "visibility">,
  onBytes: Report,
): Annotations {
  const words = new Uint32Array(4);
  const loader = new Loader("sample_annotation", ANNOTATIONS, expectedRows(path, 500), (self, offset) => {
    const { decoder, row } = self;
    const columns = self.columns.arrays;
    columns.sample[row] = self.resolve(F.sample_token, targets.sample, offset);
    columns.instance[row] = self.resolve(F.instance_token, targets.instance, offset);
    self.resolve(F.visibility_token, targets.visibility, offset);
    for (let i = 0; i < decoder.list.length; i += 2) {
      const [from, to] = [decoder.list[i]!, decoder.list[i + 1]!];
      readToken(decoder.bytes, from, to, words, 0);
      if (lookUp(targets.attribute, words) !== -1) continue;
      self.addDangling(F.attribute_tokens, decoder.text(from, to), offset);
    }
    self.takeLink(F.prev, columns.prevWords, columns.prev);
    self.takeLink(F.next, columns.nextWords, columns.next);
  });
  const F = loader.decoder.fields;
  const state = loader.run(path, onBytes);
  const { prevWords, nextWords, ...columns } = loader.columns.finish(state.rows);
  follow({ words: prevWords, links: columns.prev, table: state.table });
  follow({ words: nextWords, links: columns.next, table: state.table });
  return { ...state, ...columns };
}
