/** The numbers of the zip form, as torch reads and writes it. */

/** The alignment in bytes that torch keeps for the data of records, so that they can be mapped into memory. */
export const ALIGNMENT = 64;

/** The bytes of a local file header without name and extra field. */
export const LOCAL_HEADER = 30;

/** The number that in 32 bits says that the real one is in an extra field of zip64. */
export const U32_MAX = 0xffffffff;
