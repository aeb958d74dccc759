/** The columns of the large tables: typed arrays over shared memory that grow as rows come. */

interface Arrays {
  u32: Uint32Array;
  i32: Int32Array;
  u16: Uint16Array;
  u8: Uint8Array;
  f64: Float64Array;
}

export type ColumnKind = keyof Arrays;
type ArrayOf<K extends ColumnKind> = Arrays[K];

const MAKE: { [K in ColumnKind]: (length: number) => Arrays[K] } = {
  u32: (length) => new Uint32Array(new SharedArrayBuffer(length * 4)),
  i32: (length) => new Int32Array(new SharedArrayBuffer(length * 4)),
  u16: (length) => new Uint16Array(new SharedArrayBuffer(length * 2)),
  u8: (length) => new Uint8Array(new SharedArrayBuffer(length)),
  f64: (length) => new Float64Array(new SharedArrayBuffer(length * 8)),
};

/** The form of one column: it has `width` numbers for each row. */
export interface ColumnSpec<K extends ColumnKind = ColumnKind> {
  kind: K;
  width: number;
}

/**
 * Columns with room for a guessed number of rows. Memory that no row has been written to is never touched, so a guess that is too
 * large costs nothing.
 */
export class Columns<S extends Readonly<Record<string, ColumnSpec>>> {
  #capacity: number;
  arrays: { [N in keyof S]: ArrayOf<S[N]["kind"]> };

  constructor(
    private readonly spec: S,
    capacity: number,
  ) {
    this.#capacity = Math.max(16, Math.ceil(capacity));
    this.arrays = this.#allocate(this.#capacity);
  }

  /** Makes room for `row`; `arrays` may hold new arrays afterwards. */
  ensure(row: number): void {
    if (row < this.#capacity) return;
    const old = this.arrays;
    this.#capacity = Math.ceil(this.#capacity * 1.5) + 16;
    this.arrays = this.#allocate(this.#capacity);
    for (const name of Object.keys(this.spec) as (keyof S)[]) {
      (this.arrays[name] as Uint8Array).set(old[name] as Uint8Array);
    }
  }

  /** Returns the columns, cut to `rows` rows. */
  finish(rows: number): { [N in keyof S]: ArrayOf<S[N]["kind"]> } {
    return this.#each((name, { width }) => (this.arrays[name] as Uint8Array).subarray(0, rows * width));
  }

  #allocate(capacity: number): { [N in keyof S]: ArrayOf<S[N]["kind"]> } {
    return this.#each((_, { kind, width }) => MAKE[kind](capacity * width));
  }

  #each(make: (name: keyof S, column: S[keyof S]) => ArrayBufferView): {
    [N in keyof S]: ArrayOf<S[N]["kind"]>;
  } {
    const arrays = {} as { [N in keyof S]: ArrayOf<S[N]["kind"]> };
    for (const name of Object.keys(this.spec) as (keyof S)[]) {
      arrays[name] = make(name, this.spec[name]!) as ArrayOf<S[keyof S]["kind"]>;
    }
    return arrays;
  }
}
