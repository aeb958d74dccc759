/**
 * Annotation files without the records that Vista's loader cannot use; the records that are kept stay the same, byte for byte.
 */
import type { Stats } from "node:fs";
import type { FileHandle } from "node:fs/promises";
import { cannot, fromSystem, throwIfAborted, VistaError } from "../../core/errors.js";
import { AtomicFile, type OutputOptions, prepareOutput } from "../../core/io/output.js";
import { openRegular } from "../../core/io/regular.js";
import type { RunOptions } from "../../core/progress.js";
import type { AnnotationTally } from "../finding.js";

const BLOCK = 1 << 20;

/** The state of a file when it was read. Where the state differs later, offsets into the file mean nothing. */
type Stamp = Pick<Stats, "size" | "mtimeMs">;

/**
 * The records of one annotation file that the loader skips or dies of, in a form that can be sent between threads. A check fills
 * it in (the `unusable` of its options), and {@link writeClean} leaves these records out.
 */
export interface UnusableRecords {
  /** The path of the file, as it was given to the check. */
  readonly path: string;
  /** The subset of the loader that reads the file; undefined where no record told which one that is. */
  subset?: AnnotationTally["subset"];
  /** The number of records in the file. */
  records: number;
  /** The number of records that are kept. */
  kept: number;
  /** The numbers of records that are left out, by the rule that each breaks first. */
  leftOut: Map<string, number>;
  /**
   * Whether the frames were looked for. It is false where there was no data to look in, so that only the form of the records was
   * looked at.
   */
  framesSeen: boolean;
  /** The place where the file stops being JSON, and the reason; undefined where it is JSON to its end. */
  error?: string;
  /**
   * @internal The byte ranges without use, each from a record that is left out to the next one that is kept, as pairs of from and
   *   to.
   */
  cuts: number[];
  /** @internal The range from the end of the last record that is kept to that of the file's last one, where this is another. */
  tail?: readonly [from: number, to: number];
  /**
   * @internal The size and the time of the file when it was read.
   */
  stamp?: Stamp;
}

/** Returns an object to give to the check of `path`, which fills it in. */
export function unusableRecords(path: string): UnusableRecords {
  return { path, records: 0, kept: 0, leftOut: new Map(), framesSeen: false, cuts: [] };
}

/** Builds {@link UnusableRecords} from the records of a file, which it takes one by one, in their order. */
export class UnusableBuilder {
  #from: number | undefined;
  /** The offset after the last record that is kept. */
  #keptEnd = 0;

  constructor(private readonly found: UnusableRecords) {}

  /**
   * Takes the next record.
   *
   * @param end  the offset after the record
   * @param rule  the rule that the record breaks; undefined where the loader can use the record
   */
  add(offset: number, end: number, rule: string | undefined): void {
    const found = this.found;
    found.records++;
    if (rule !== undefined) {
      found.leftOut.set(rule, (found.leftOut.get(rule) ?? 0) + 1);
      this.#from ??= offset;
      found.tail = [this.#keptEnd, end];
      return;
    }
    found.kept++;
    this.#keptEnd = end;
    delete found.tail;
    if (this.#from !== undefined) found.cuts.push(this.#from, offset);
    this.#from = undefined;
  }
}

/** Returns why there can be no file without these records, or undefined where there can be one. */
export function whyNoCleanFile(found: UnusableRecords): string | undefined {
  const { error, subset, records, kept, path } = found;
  if (error !== undefined) return `${path} is no JSON array: ${error}`;
  if (subset === undefined) return `${path} has no record of a kind that is known`;
  if (subset === "language") return `${path} is a language file of DriveAGI's, which Vista does not read`;
  if (kept > 0) return undefined;
  return `not one of the ${records} records of ${path} could be kept, and with an empty file Vista's loader turns in circles for ever`;
}

/**
 * Writes the file without the records in `found`: everything else is copied byte for byte, in its order. The output still has its
 * temporary name when it is returned: the caller commits or discards it.
 *
 * @throws VistaError `INCOMPLETE` where nothing could be written (see {@link whyNoCleanFile}), `INCONSISTENT` where the file is
 *   no longer what was checked, `EXISTS`, `NO_SPACE`, `IO`, `ABORTED`
 */
export async function createClean(
  found: UnusableRecords,
  path: string,
  options: OutputOptions & Pick<RunOptions, "signal"> = {},
): Promise<AtomicFile> {
  const reason = whyNoCleanFile(found);
  if (reason !== undefined) throw new VistaError("INCOMPLETE", reason, { path });
  const { handle: source } = await openRegular(found.path).catch(
    cannot("read the annotation file", found.path),
  );
  let file: AtomicFile | undefined;
  try {
    const { size } = found.stamp!;
    file = await AtomicFile.create(await prepareOutput(path, size, options), options);
    const cuts = [...found.cuts, ...(found.tail ?? [])];
    await copyWithout(source, size, cuts, file, options.signal);
    const { size: now, mtimeMs } = await source.stat();
    if (now !== size || mtimeMs !== found.stamp!.mtimeMs) throw changed(found.path);
    return file;
  } catch (error) {
    await file?.discard();
    throw fromSystem(error, path, "write the output");
  } finally {
    await source.close();
  }
}

/**
 * Writes the annotation file without the records in `found`, which a check has filled in. Everything else is copied byte for
 * byte, in its order. The output is written whole or not at all.
 *
 * @throws VistaError `INCOMPLETE` where nothing can be kept, `INCONSISTENT` where the file is no longer what was checked,
 *   `EXISTS`, `NO_SPACE`, `IO`, `ABORTED`
 */
export async function writeClean(
  found: UnusableRecords,
  path: string,
  options: OutputOptions & Pick<RunOptions, "signal"> = {},
): Promise<void> {
  const file = await createClean(found, path, options);
  try {
    await file.commit();
  } catch (error) {
    await file.discard();
    throw error;
  }
}

function changed(path: string): VistaError {
  return new VistaError("INCONSISTENT", "the file was changed while it was checked and copied", {
    path,
    hint: "Run again when nothing writes to it.",
  });
}

/** Copies everything except the ranges in `cuts`, which are rising pairs of from and to. */
async function copyWithout(
  source: FileHandle,
  size: number,
  cuts: readonly number[],
  file: AtomicFile,
  signal: AbortSignal | undefined,
): Promise<void> {
  const block = Buffer.alloc(BLOCK);
  let cut = 0;
  for (let base = 0; base < size; ) {
    throwIfAborted(signal);
    const { bytesRead } = await source.read(block, 0, Math.min(BLOCK, size - base), base);
    if (bytesRead === 0) return; // The file is shorter than it was, which the caller sees from its size.
    const end = base + bytesRead;
    let length = 0;
    for (let at = base; at < end; ) {
      const to = cut < cuts.length ? Math.min(Math.max(cuts[cut]!, at), end) : end;
      block.copyWithin(length, at - base, to - base);
      length += to - at;
      at = to;
      if (at === end) break;
      at = Math.min(cuts[cut + 1]!, end);
      if (at === cuts[cut + 1]) cut += 2;
    }
    await file.write(block.subarray(0, length));
    base = end;
  }
}
