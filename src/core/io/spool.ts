/** A file without a name, for what is too much for memory. It goes with the process, however that ends. */
import { closeSync, openSync, readSync, unlinkSync } from "node:fs";
import { fromSystem } from "../errors.js";
import { writeAllSync } from "./output.js";
import { newToken, partialPath } from "./partial-names.js";

export class Spool {
  #fd: number | undefined;
  #size = 0;

  /** @param path  the path of the output that it serves; it takes its room on the same disk */
  constructor(private readonly path: string) {}

  /** The number of bytes written so far. */
  get size(): number {
    return this.#size;
  }

  /** Writes at the end. @throws VistaError `NO_SPACE`, `IO` */
  append(bytes: Uint8Array): void {
    try {
      this.#fd ??= openNameless(this.path);
      writeAllSync(this.#fd, bytes, this.#size);
      this.#size += bytes.byteLength;
    } catch (error) {
      throw fromSystem(error, this.path, "write what does not fit into memory beside the output");
    }
  }

  /** Fills `target` from `position` on, as far as there is something. @returns the number of bytes read */
  read(target: Uint8Array, position: number): number {
    if (this.#fd === undefined) return 0;
    try {
      return readSync(this.#fd, target, 0, target.byteLength, position);
    } catch (error) {
      throw fromSystem(error, this.path, "read what was written beside the output");
    }
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }
}

function openNameless(beside: string): number {
  const path = partialPath(beside, newToken(), "partial");
  const fd = openSync(path, "wx+", 0o600);
  unlinkSync(path);
  return fd;
}
