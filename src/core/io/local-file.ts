/** Files of this machine as {@link SourceFile}s, which are opened again where they were closed in between. */
import { readSync, type Stats } from "node:fs";
import { type FileHandle, stat } from "node:fs/promises";
import { cannot, fromSystem, VistaError } from "../errors.js";
import { openRegular, readInto } from "./regular.js";
import { SourceFile } from "./source.js";

/**
 * The largest number of handles that are kept open at once, over all files: it is below the usual `ulimit -n` of 1024 and above
 * the files of 512 ranks. Where there is one file more, shards that are read one after the other are each closed just before they
 * are needed.
 */
const MAX_OPEN = 600;

/** The nanoseconds for a few bytes above which they were not in memory: a disk or a network answered. */
const SLOW = 500_000n;

/** The largest number of bytes that are copied in some microseconds where they are in memory. */
const SMALL = 64 * 1024;

/** The number of small reads of which one lets the process do something else, such as draw its progress or hear a signal. */
const TURN = 32;

/** The milliseconds that an open waits for another file's reads to end where the process has no descriptor left. */
const PATIENCE_MS = 5000;

/** The open files, least recently used first. */
const openFiles = new Set<LocalFile>();

/** A file of this machine. It is closed when many others were used since, and opened again for the next read. */
export class LocalFile extends SourceFile {
  #handle: FileHandle | undefined;
  #opening: Promise<FileHandle> | undefined;
  #reading = 0;
  #answered = false;
  #slow = false;
  #smallReads = 0;
  #closed = false;
  /** The functions to call when nothing reads the file any more. */
  #onIdle: (() => void)[] = [];

  private constructor(
    path: string,
    size: number,
    /** The look at the file when it was opened, which tells it from another one under the same path. */
    private readonly first: Stats,
    handle: FileHandle,
  ) {
    super(path, size);
    this.#handle = handle;
    openFiles.add(this);
  }

  static async openPath(path: string): Promise<LocalFile> {
    const { handle, stats } = await withRoom(() => openRegular(path)).catch(cannot("open the file", path));
    const file = new LocalFile(path, stats.size, stats, handle);
    try {
      await closeIdle();
      return file;
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  override get isLocal(): boolean {
    return true;
  }

  /**
   * Fills `target` from `position` on. The first read does not block, whatever the disk or the network behind it does; later
   * small ones may block, as those of {@link readSmall} do.
   */
  override async read(target: Uint8Array, position: number): Promise<void> {
    const mayBlock = this.#answered && target.byteLength <= SMALL && this.#smallReads++ % TURN !== TURN - 1;
    if (mayBlock && this.#readNow(target, position)) return;
    await this.#readLater(target, position);
    this.#answered = true;
  }

  /**
   * Fills `target` by a read that blocks, which takes a fifth of the time where the file is in memory. Once the file was slow to
   * answer, its reads no longer block and go side by side.
   */
  override readSmall(target: Uint8Array, position: number): Promise<void> | undefined {
    return this.#readNow(target, position) ? undefined : this.#readLater(target, position);
  }

  async #readLater(target: Uint8Array, position: number): Promise<void> {
    if (position + target.byteLength > this.size)
      throw this.truncated(position, target.byteLength, this.size - position);
    this.#reading++;
    try {
      const handle = await this.#open();
      const done = await readInto(handle, target, position);
      if (done < target.byteLength) throw this.truncated(position, target.byteLength, done);
    } catch (error) {
      throw fromSystem(error, this.path, "read the file");
    } finally {
      this.release();
    }
  }

  #readNow(target: Uint8Array, position: number): boolean {
    if (this.#slow || this.#handle === undefined || position + target.byteLength > this.size) return false;
    const started = process.hrtime.bigint();
    let got = 0;
    try {
      got = readSync(this.#handle.fd, target, 0, target.byteLength, position);
    } catch {
      // The read that does not block comes next and says what is wrong.
    }
    this.#slow = process.hrtime.bigint() - started > SLOW;
    return got === target.byteLength;
  }

  override has(): boolean {
    return true;
  }

  override async hold(patience = PATIENCE_MS): Promise<number> {
    this.#reading++;
    try {
      return (await this.#open(patience)).fd;
    } catch (error) {
      this.release();
      throw fromSystem(error, this.path, "read the file");
    }
  }

  override release(): void {
    this.#reading--;
    if (this.#reading > 0) return;
    for (const tell of this.#onIdle.splice(0)) tell();
    for (const tell of waiting.splice(0)) tell();
  }

  override async close(): Promise<void> {
    this.#closed = true;
    while (this.#reading > 0) await new Promise<void>((tell) => this.#onIdle.push(tell));
    await this.suspend();
  }

  override async suspend(): Promise<void> {
    openFiles.delete(this);
    const handle = this.#handle;
    this.#handle = undefined;
    await handle?.close();
  }

  async #open(patience = PATIENCE_MS): Promise<FileHandle> {
    if (this.#closed) throw this.closed();
    if (this.#handle !== undefined) {
      openFiles.delete(this);
      openFiles.add(this);
      return this.#handle;
    }
    this.#opening ??= this.#reopen(patience);
    try {
      this.#handle = await this.#opening;
    } finally {
      this.#opening = undefined;
    }
    openFiles.add(this);
    await closeIdle();
    return this.#handle;
  }

  /** Opens the file again. @throws VistaError `INCONSISTENT` where another file has its path now */
  async #reopen(patience: number): Promise<FileHandle> {
    const { handle, stats } = await withRoom(() => openRegular(this.path), patience);
    if (identityOf(stats) === identityOf(this.first)) return handle;
    await handle.close();
    throw this.#changed("replaced by another file");
  }

  override async checkUnchanged(): Promise<void> {
    const now = await (this.#handle?.stat() ?? stat(this.path)).catch(() => undefined);
    // A file that was closed in between, and removed or replaced since, was read before.
    if (now === undefined || identityOf(now) !== identityOf(this.first)) return;
    if (now.mtimeMs !== this.first.mtimeMs || now.size !== this.size) throw this.#changed("written to");
  }

  #changed(how: string): VistaError {
    return new VistaError("INCONSISTENT", `was ${how} while it was being read`, {
      path: this.path,
      hint: "Run again when nothing writes there.",
    });
  }

  get idle(): boolean {
    return this.#reading === 0;
  }
}

function identityOf({ dev, ino }: { dev: number; ino: number }): string {
  return `${dev}:${ino}`;
}

async function closeIdle(): Promise<void> {
  for (const file of openFiles) {
    if (openFiles.size <= MAX_OPEN) return;
    if (file.idle) await file.suspend();
  }
}

/** The functions to call when the reads of some file have ended. */
const waiting: (() => void)[] = [];

/**
 * Opens something, and makes room for it where the process may have no more descriptors (`ulimit -n`): a file that nobody reads
 * gives its descriptor back, or else the first file whose reads end does.
 *
 * @param patience  the milliseconds to wait for room
 */
export async function withRoom<Opened>(
  attempt: () => Promise<Opened>,
  patience = PATIENCE_MS,
): Promise<Opened> {
  // The clock is looked at where it has to be: Node loads it then, which takes some milliseconds.
  let end: number | undefined;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (!isOutOfDescriptors(error)) throw error;
      end ??= performance.now() + patience;
      if (performance.now() > end) throw error;
      const idle = [...openFiles].find((file) => file.idle);
      if (idle !== undefined) await idle.suspend();
      else if (openFiles.size === 0) throw error;
      else await nextRelease(end - performance.now());
    }
  }
}

/** Tells whether an error says that the process, or the machine, may have no more open files. */
export function isOutOfDescriptors(error: unknown): boolean {
  const { code, cause } = error as NodeJS.ErrnoException;
  if (code === "EMFILE" || code === "ENFILE") return true;
  return cause !== undefined && isOutOfDescriptors(cause);
}

function nextRelease(milliseconds: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, Math.max(0, milliseconds));
    waiting.push(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}
