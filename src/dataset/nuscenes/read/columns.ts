/** The columns of the large tables: typed arrays over shared memory that grow as rows come. */

interface Numbers {
  new (buffer: SharedArrayBuffer): Uint32Array | Int32Array | Uint16Array | Uint8Array | Float64Array;
  readonly BYTES_PER_ELEMENT: number;
}

/** The columns of a table by their names: the array of each, and how many numbers it has for a row. */
export type ColumnSpec = Readonly<Record<string, readonly [array: Numbers, width: number]>>;

type ArraysOf<S extends ColumnSpec> = { [N in keyof S]: InstanceType<S[N][0]> };

/**
 * Columns with room for a guessed number of rows. Memory that no row has been written to is never touched, so a guess that is too
 * large costs nothing.
 */
export class Columns<S extends ColumnSpec> {
  #capacity: number;
  arrays: ArraysOf<S>;

  constructor(
    private readonly spec: S,
    capacity: number,
  ) {
    this.#capacity = Math.max(16, Math.ceil(capacity));
    this.arrays = this.#allocate();
  }

  /** Makes room for `row`; `arrays` may hold new arrays afterwards. */
  ensure(row: number): void {
    if (row < this.#capacity) return;
    const old = this.arrays;
    this.#capacity = Math.ceil(this.#capacity * 1.5) + 16;
    this.arrays = this.#allocate();
    for (const name in this.spec) this.arrays[name].set(old[name]);
  }

  /** Returns the columns, cut to `rows` rows. */
  finish(rows: number): ArraysOf<S> {
    return this.#each((name, [, width]) => this.arrays[name].subarray(0, rows * width));
  }

  #allocate(): ArraysOf<S> {
    return this.#each((_, [Values, width]) => {
      return new Values(new SharedArrayBuffer(this.#capacity * width * Values.BYTES_PER_ELEMENT));
    });
  }

  #each(make: (name: keyof S, column: S[keyof S]) => InstanceType<Numbers>): ArraysOf<S> {
    const arrays = {} as ArraysOf<S>;
    for (const name in this.spec) arrays[name] = make(name, this.spec[name]!) as ArraysOf<S>[typeof name];
    return arrays;
  }
}
