/**
 * Bounds on what one pickle may ask for, with the largest real value beside each. A model-states file of 100,000 tensors
 * runs 3 million operations in 15 MB, nested less than 20 deep; CPython stops pickling at a depth of about 1,000.
 */
export const PICKLE_LIMITS = {
  /** Bytes of one pickle. Real: 15 MB. */
  size: 512 * 2 ** 20,
  /** Operations, and the items and characters that they copy. Real: 3 million. */
  operations: 50_000_000,
  /** Open MARKs. Real: 20. */
  depth: 10_000,
  /** Values on the stack at once. Real: 2,000 (pickle sends items in batches of 1,000). */
  stack: 5_000_000,
  /** Bytes of one integer (LONG1 cannot exceed 255; LONG4 could ask for 2 GiB). Real: 10, the magic number. */
  longBytes: 1024,
  /** Bytes of memory that the values take, as estimated: so many for any pickle … Real: 90 MB for 100,000 tensors. */
  memory: 192 * 2 ** 20,
  /** … and so many more for each byte of the pickle. Real: 6. */
  memoryPerByte: 16,
  /** … and no more than that. */
  memoryAtMost: 1536 * 2 ** 20,
  /** Different names of classes and functions. Real: 40. */
  globals: 10_000,
  /** Characters of a module's or a class's name. Real: 70. */
  globalName: 1_000,
  /** Characters of the key of a storage. Real: 15, an address. */
  storageKey: 100,
  /** Dimensions of a tensor; torch's own limit. Real: 6. */
  dimensions: 64,
  /** Containers within containers, where they are walked. Real: 20. */
  nesting: 10_000,
  /** Characters of the path to a value within the pickle. Real: 200. */
  path: 1_000,
  /** Param groups or sub-groups of an optimizer. Real: 200. */
  groups: 10_000,
  /** Ranks that saved a checkpoint. Real: 2,048. */
  ranks: 100_000,
  /** Names with shapes, over all param groups. Real: 100,000. */
  shapes: 2_000_000,
};

/** Estimates, in bytes, of what V8 takes for values: objects with their fields, tables of Maps, slots with room to grow. */
export const COST = {
  list: 48,
  tuple: 56,
  slot: 16,
  dict: 200,
  entry: 48,
  object: 120,
  bytes: 150,
  text: 32,
  number: 16,
  tensor: 300,
};

/** What a pickle has used so far; `fail` is called where it is too much. */
export class PickleBudget {
  #operations = 0;
  #memory = 0;
  readonly #allowed: number;
  readonly #fail: (what: string) => never;

  /** @param size  bytes of the pickle */
  constructor(size: number, fail: (what: string) => never) {
    const { memory, memoryPerByte, memoryAtMost } = PICKLE_LIMITS;
    this.#allowed = Math.min(memory + memoryPerByte * size, memoryAtMost);
    this.#fail = fail;
  }

  spend(operations: number): void {
    this.#operations += operations;
    if (this.#operations > PICKLE_LIMITS.operations) {
      this.#fail(`more than ${PICKLE_LIMITS.operations} operations`);
    }
  }

  /** @param bytes  see {@link COST} */
  grow(bytes: number): void {
    this.#memory += bytes;
    if (this.#memory > this.#allowed) {
      this.#fail(`its values need more than ${this.#allowed} bytes of memory`);
    }
  }
}
