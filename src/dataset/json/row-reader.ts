/** Reading of single rows here and there in a file. */
import { closeSync } from "node:fs";
import { openRegularSync, readIntoSync } from "../../core/io/regular.js";

/** The size of the first buffer in bytes; most rows are shorter. */
const ROW_BYTES = 4096;

/** A file of which rows are read by their offsets. It is open from the first of them on. */
export class RowReader {
  #fd: number | undefined;
  #buffer = Buffer.alloc(ROW_BYTES + 1);

  constructor(private readonly path: string) {}

  /**
   * Reads a row.
   *
   * @param take  gets the bytes from `offset` on and how many they are (a zero byte follows them); returns undefined where the row
   *   goes on behind them, and is then called again with more
   * @returns what `take` returns; undefined where the file ends within the row
   * @throws the system's error
   */
  read<Result>(offset: number, take: (bytes: Buffer, end: number) => Result | undefined): Result | undefined {
    this.#fd ??= openRegularSync(this.path);
    for (;;) {
      const room = this.#buffer.length - 1;
      const end = readIntoSync(this.#fd, this.#buffer.subarray(0, room), offset);
      this.#buffer[end] = 0;
      const taken = take(this.#buffer, end);
      if (taken !== undefined || end < room) return taken;
      this.#buffer = Buffer.alloc(room * 2 + 1);
    }
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }
}
