/**
 * The bounds on what one pickle may ask for, with the largest real value beside each. A model-states file of 100,000 tensors runs
 * 3 million operations in 15 MB, nested less than 20 deep; CPython stops pickling at a depth of about 1,000.
 */
export const PICKLE_LIMITS = {
  /** The bytes of one pickle. Real pickles have up to 15 MB. */
  size: 512 * 2 ** 20,
  /** The operations, together with the items and characters that they copy. Real pickles have up to 3 million. */
  operations: 50_000_000,
  /** The MARKs that are open at once. Real pickles have up to 20. */
  depth: 10_000,
  /** The values on the stack at once. Real pickles have up to 2,000 (pickle sends items in batches of 1,000). */
  stack: 5_000_000,
  /**
   * The bytes of one integer (LONG1 cannot exceed 255; LONG4 could ask for 2 GiB). Real ones have up to 10, as the magic number.
   */
  longBytes: 1024,
  /**
   * The bytes of memory that the values of any pickle may take, as estimated. Real pickles take up to 90 MB, for 100,000 tensors.
   */
  memory: 192 * 2 ** 20,
  /** The bytes of memory that are allowed in addition for each byte of the pickle. Real pickles take up to 6. */
  memoryPerByte: 16,
  /** The bytes of memory that the values of a pickle of any size may take at most. */
  memoryAtMost: 1536 * 2 ** 20,
  /** The different names of classes and functions. Real pickles have up to 40. */
  globals: 10_000,
  /** The characters of the name of a module or class. Real ones have up to 70. */
  globalName: 1_000,
  /** The characters of the key of a storage. Real ones have up to 15, as an address. */
  storageKey: 100,
  /** The dimensions of a tensor, which is torch's own limit. Real ones have up to 6. */
  dimensions: 64,
  /** The depth of containers within containers, where they are walked. Real pickles have up to 20. */
  nesting: 10_000,
  /** The characters of the path to a value within the pickle. Real ones have up to 200. */
  path: 1_000,
  /** The param groups or sub-groups of an optimizer. Real ones have up to 200. */
  groups: 10_000,
  /** The ranks that saved a checkpoint. Real runs have up to 2,048. */
  ranks: 100_000,
  /** The names with shapes, over all param groups. Real ones have up to 100,000. */
  shapes: 2_000_000,
};

/** The estimated bytes that V8 takes for values: objects with their fields, tables of Maps, slots with room to grow. */
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

/** The account of what a pickle has used so far; `fail` is called where it is too much. */
export class PickleBudget {
  private operations = 0;
  private memory = 0;
  private readonly allowed: number;

  /** Begins the account of one pickle. @param size  the bytes of the pickle */
  constructor(
    size: number,
    private readonly fail: (what: string) => never,
  ) {
    const { memory, memoryPerByte, memoryAtMost } = PICKLE_LIMITS;
    this.allowed = Math.min(memory + memoryPerByte * size, memoryAtMost);
  }

  spend(operations: number): void {
    this.operations += operations;
    if (this.operations > PICKLE_LIMITS.operations) {
      this.fail(`more than ${PICKLE_LIMITS.operations} operations`);
    }
  }

  /** Adds to the memory that the values take. @param bytes  an estimate as in {@link COST} */
  grow(bytes: number): void {
    this.memory += bytes;
    if (this.memory > this.allowed) {
      this.fail(`its values need more than ${this.allowed} bytes of memory`);
    }
  }
}

/**
 * The largest number of records of a zip, read or written: what is written must be read again. Real files stay far below: Vista's
 * has 2,500, a model-states file of 100,000 tensors has about 100,000.
 */
export const MAX_RECORDS = 200_000;
