/** The columns of the large tables: typed arrays over shared memory that grow as rows come. */

const ARRAYS = { u32: Uint32Array, i32: Int32Array, u16: Uint16Array, u8: Uint8Array, f64: Float64Array };
type ColumnKind = keyof typeof ARRAYS;

/** The form of one column: it has `width` numbers for each row. */
export interface ColumnSpec<K extends ColumnKind = ColumnKind> {
  kind: K;
  width: number;
}

/** The array of each column. */
type ArraysOf<S extends Readonly<Record<string, ColumnSpec>>> = {
  [N in keyof S]: InstanceType<(typeof ARRAYS)[S[N]["kind"]]>;
};

/**
 * Columns with room for a guessed number of rows. Memory that no row has been written to is never touched, so a guess that is too
 * large costs nothing.
 */
export class Columns<S extends Readonly<Record<string, ColumnSpec>>> {
  #capacity: number;
  arrays: ArraysOf<S>;

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
  finish(rows: number): ArraysOf<S> {
    return this.#each((name, { width }) => (this.arrays[name] as Uint8Array).subarray(0, rows * width));
  }

  #allocate(capacity: number): ArraysOf<S> {
    return this.#each((_, { kind, width }) => {
      const Values = ARRAYS[kind] as typeof Uint8Array;
      return new Values(new SharedArrayBuffer(capacity * width * Values.BYTES_PER_ELEMENT));
    });
  }

  #each(make: (name: keyof S, column: S[keyof S]) => ArrayBufferView): ArraysOf<S> {
    const arrays = {} as ArraysOf<S>;
    for (const name of Object.keys(this.spec) as (keyof S)[]) {
      arrays[name] = make(name, this.spec[name]!) as ArraysOf<S>[keyof S];
    }
    return arrays;
  }
}
