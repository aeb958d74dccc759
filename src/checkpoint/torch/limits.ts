/**
 * Bounds on what one pickle may ask for. A real model-states file of 100,000 tensors runs about 3 million operations in
 * 15 MB, nested less than 20 deep; CPython itself stops pickling at a depth of about 1,000.
 */
export const PICKLE_LIMITS = {
  /** Bytes of one pickle. */
  size: 512 * 2 ** 20,
  /** Operations; each allocates at most one small object. */
  operations: 50_000_000,
  /** Open MARKs. */
  depth: 10_000,
  /** Values on the stack at once. */
  stack: 5_000_000,
  /** Bytes of one integer (LONG1 cannot exceed 255; LONG4 could ask for 2 GiB). */
  longBytes: 1024,
};
