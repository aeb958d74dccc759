/**
 * The one way in which files are opened for reading. A name in a folder may be anything: a pipe would block the process
 * for ever (deaf to signals, since the blocked thread is one of libuv's), and a device may act when it is opened.
 */
import {
  closeSync,
  constants,
  type Dir,
  type Dirent,
  existsSync,
  fstatSync,
  lstatSync,
  opendirSync,
  openSync,
  readFileSync,
  readSync,
  type Stats,
  statSync,
} from "node:fs";
import { type FileHandle, open, readdir, stat } from "node:fs/promises";
import { fromSystem, isSystemError, VistaError } from "../errors.js";

const FLAGS = constants.O_RDONLY | constants.O_NONBLOCK;

/**
 * The largest size in bytes of a file that is read as a whole. The largest real one, nuScenes' sample_data.json, has 1.1 GB and
 * is streamed.
 */
const MAX_WHOLE = 512 * 2 ** 20;

/** Opens whatever is there, for callers that look at what it is before they read. @throws the system's error */
export function openAnything(path: string): Promise<FileHandle> {
  return open(path, FLAGS);
}

/** Returns the bytes of a regular file; -1 for anything else, and where it cannot be looked at: opening it says why. */
export function sizeOf(path: string): number {
  try {
    const stats = statSync(path, { throwIfNoEntry: false });
    return stats?.isFile() ? stats.size : -1;
  } catch {
    return -1;
  }
}

/**
 * Looks at what is at a path; undefined where nothing is.
 * @throws VistaError where it cannot be looked at, since something may be there
 */
export function statsOf(path: string): Promise<Stats | undefined> {
  return stat(path).catch(unlessAbsent(undefined, "look at it", path));
}

/** Returns the names of what is in a folder; none where there is no such folder. @throws VistaError where it cannot be listed */
export function namesIn(folder: string): Promise<string[]> {
  return readdir(folder).catch(unlessAbsent<string[]>([], "list the folder", folder));
}

/** Returns a handler for a promise that answers with `value` where nothing is at a path, and throws elsewhere. */
function unlessAbsent<Value>(value: Value, doing: string, path: string): (error: unknown) => Value {
  return (error) => {
    if (isAbsent(error)) return value;
    throw fromSystem(error, path, doing);
  };
}

/**
 * Returns the entries of a folder, in no order; none where there is no such folder.
 *
 * @param most  how many are read: of a folder of frames, a few of many thousands say enough
 * @throws VistaError where it cannot be listed, and where it is a link that leads nowhere, which was meant to lead to a folder
 */
export function entriesIn(folder: string, most = Number.POSITIVE_INFINITY): Dirent[] {
  const entries: Dirent[] = [];
  try {
    hasEntry(folder, (entry) => entries.push(entry) >= most);
  } catch (error) {
    throw fromSystem(error, folder, "list the folder");
  }
  if (entries.length > 0 || existsSync(folder)) return entries;
  if (!lstatSync(folder, { throwIfNoEntry: false })?.isSymbolicLink()) return entries;
  throw new VistaError("IO", "is a symbolic link that leads nowhere (a disk that is not mounted?)", {
    path: folder,
    hint: "Mount the disk, mend the link, or remove it: what it leads to would be left out.",
  });
}

/**
 * Tells whether a folder has an entry of a kind, and reads no further than to the first; false where there is no such folder.
 * @throws the system's error where the folder is there and cannot be listed
 */
export function hasEntry(folder: string, isIt: (entry: Dirent) => boolean): boolean {
  let dir: Dir;
  try {
    dir = opendirSync(folder, { bufferSize: 256 });
  } catch (error) {
    if (isAbsent(error)) return false;
    throw error;
  }
  try {
    for (let entry = dir.readSync(); entry !== null; entry = dir.readSync()) if (isIt(entry)) return true;
    return false;
  } finally {
    dir.closeSync();
  }
}

/** Throws the system's error where a folder may be listed but not looked into (`chmod 644`): nothing in it can be opened. */
export function requireSearchable(folder: string): void {
  statSync(`${folder}/.`);
}

/** Tells whether an error says that nothing is at a path, which is another matter than something that cannot be looked at. */
export function isAbsent(error: unknown): boolean {
  return isSystemError(error) && (error.code === "ENOENT" || error.code === "ENOTDIR");
}

/**
 * Opens a regular file.
 *
 * @throws the system's error; `EISDIR` for a folder, `ENOTREG` for pipes, sockets and devices (see `fromSystem`)
 */
export async function openRegular(path: string): Promise<{ handle: FileHandle; stats: Stats }> {
  refuseOthers(await stat(path), path);
  const handle = await openAnything(path);
  try {
    // The file is looked at again, since what the name stands for may have changed in between.
    const stats = await handle.stat();
    refuseOthers(stats, path);
    return { handle, stats };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** Opens a regular file as {@link openRegular} does. @returns a descriptor, which the caller closes */
export function openRegularSync(path: string): number {
  refuseOthers(statSync(path), path);
  const fd = openSync(path, FLAGS);
  try {
    refuseOthers(fstatSync(fd), path);
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** Fills `target` from `position` on. @returns the number of bytes, which are fewer only where the file ends before */
export async function readInto(handle: FileHandle, target: Uint8Array, position: number): Promise<number> {
  let done = 0;
  while (done < target.byteLength) {
    const { bytesRead } = await handle.read(target, done, target.byteLength - done, position + done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return done;
}

/** Fills `target` as {@link readInto} does. */
export function readIntoSync(fd: number, target: Uint8Array, position: number): number {
  let done = 0;
  while (done < target.byteLength) {
    const got = readSync(fd, target, done, target.byteLength - done, position + done);
    if (got === 0) break;
    done += got;
  }
  return done;
}

/** Reads a whole file. @throws as {@link openRegular} does; VistaError `FORMAT` for more than `limit` bytes */
export async function readRegular(path: string, limit = MAX_WHOLE): Promise<Buffer> {
  const { handle, stats } = await openRegular(path);
  try {
    checkSize(stats.size, path, limit);
    return await handle.readFile();
  } finally {
    await handle.close();
  }
}

/** Reads a whole file as {@link readRegular} does. */
export function readRegularSync(path: string, limit = MAX_WHOLE): Buffer {
  const fd = openRegularSync(path);
  try {
    checkSize(fstatSync(fd).size, path, limit);
    return readFileSync(fd);
  } finally {
    closeSync(fd);
  }
}

function refuseOthers(stats: Stats, path: string): void {
  if (stats.isFile()) return;
  const [code, what] = stats.isDirectory() ? ["EISDIR", "is a folder"] : ["ENOTREG", "is not a regular file"];
  throw Object.assign(new Error(`${code}: ${what}, open '${path}'`), { code, syscall: "open", path });
}

/** Refuses a file that is larger than any of its kind. @throws VistaError `FORMAT` */
export function checkSize(size: number, path: string, limit: number): void {
  if (size <= limit) return;
  throw new VistaError("FORMAT", `the file has ${size} bytes, the limit for one of its kind is ${limit}`, {
    path,
    hint: "Check that it is the file that you meant.",
  });
}
