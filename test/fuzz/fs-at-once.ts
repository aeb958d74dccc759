/**
 * `node:fs/promises` without its threads, put in its place in the fuzzer's bundle. An input is a few kilobytes in memory that some
 * hundred calls look at, and waking a thread for each of them took more of the processors than the readers.
 */
import fs from "node:fs";

function atOnce<Arguments extends unknown[], Result>(
  call: (...args: Arguments) => Result,
): (...args: Arguments) => Promise<Result> {
  return async (...args) => call(...args);
}

export { constants } from "node:fs";
export const access = atOnce(fs.accessSync);
export const lstat = atOnce(fs.lstatSync);
export const mkdir = atOnce(fs.mkdirSync);
export const mkdtemp = atOnce(fs.mkdtempSync);
export const readdir = atOnce(fs.readdirSync as (path: string, options?: object) => unknown[]);
export const realpath = atOnce(fs.realpathSync);
export const rename = atOnce(fs.renameSync);
export const rm = atOnce(fs.rmSync);
export const rmdir = atOnce(fs.rmdirSync);
export const stat = atOnce(fs.statSync);
export const statfs = atOnce(fs.statfsSync);

/** What src/ calls of a FileHandle. */
class Handle {
  #isOpen = true;

  constructor(readonly fd: number) {}

  async stat() {
    return fs.fstatSync(this.fd);
  }

  async read(buffer: Uint8Array, offset: number, length: number, position: number) {
    return { bytesRead: fs.readSync(this.fd, buffer, offset, length, position), buffer };
  }

  async write(buffer: Uint8Array, offset?: number, length?: number, position?: number) {
    return { bytesWritten: fs.writeSync(this.fd, buffer, offset, length, position), buffer };
  }

  async readFile() {
    return fs.readFileSync(this.fd);
  }

  async writeFile(data: string | Uint8Array) {
    fs.writeFileSync(this.fd, data);
  }

  async sync() {
    fs.fsyncSync(this.fd);
  }

  /** Closes the file, once, as a FileHandle does: the number may be another file's by the next call. */
  async close() {
    if (this.#isOpen) fs.closeSync(this.fd);
    this.#isOpen = false;
  }
}

export const open = async (...args: Parameters<typeof fs.openSync>) => new Handle(fs.openSync(...args));
