/** Verifies whole checkpoints: every checksum, every rule of the formats, and the number of values that are NaN or infinite. */
import { fromReader, isVistaError, VistaError } from "../core/errors.js";
import { combineCrc32 } from "../core/io/crc32.js";
import { mapOrdered } from "../core/io/map-ordered.js";
import { openSource } from "../core/io/open-source.js";
import { filesAtOnce, joinPlace, lookAt } from "../core/io/places.js";
import type { SourceFile } from "../core/io/source.js";
import type { RunOptions } from "../core/progress.js";
import type { Checkpoint } from "./checkpoint.js";
import { checksumError } from "./copy/input-checks.js";
import { Lanes } from "./copy/lanes.js";
import { scanRanges } from "./copy/scan-ranges.js";
import { listSafetensorsShards } from "./dcp/find.js";
import type { SavedItem } from "./dcp/metadata.js";
import { findInput, notTaken } from "./find-input.js";
import { detectFormat, openCheckpoint } from "./open.js";
import { readShardIndex, type StatedShard, shardError } from "./shard-index.js";
import type { NonFinite } from "./tensor/non-finite.js";
import type { TorchFile } from "./torch/file.js";
import { type Contents, ContentsReader } from "./verify-contents.js";
import { coverWhole, type NamedRange } from "./verify-ranges.js";
import { findCheckpoint, listCheckpointFiles, listUniversalFiles } from "./zero/layout.js";

export interface VerifiedFile {
  readonly path: string;
  readonly format: "torch zip" | "legacy torch" | "safetensors" | "dcp" | "unknown";
  readonly bytes: number;
  /**
   * The number of records of a zip (in a file of DCP: of all its zips), tensors of a safetensors file, or storages of a legacy
   * file.
   */
  readonly records: number;
  /** The number of records whose CRC-32 was checked and matched. */
  readonly checked: number;
}

export interface NonFiniteCount extends NonFinite {
  readonly path: string;
  /** The name of the tensor, or its place in the pickle. */
  readonly name: string;
}

export interface VerifyReport {
  readonly path: string;
  readonly files: readonly VerifiedFile[];
  /** The problems: everything that is damaged, each in one line; empty for a sound checkpoint. */
  readonly problems: readonly VistaError[];
  /** The tensors with NaN or infinity, which is no damage of the file but hardly what was meant. */
  readonly nonFinite: readonly NonFiniteCount[];
  readonly warnings: readonly string[];
}

export interface VerifyOptions extends RunOptions {
  /** The tag (sub-folder) of a ZeRO checkpoint; by default the one that `latest` names. */
  tag?: string | undefined;
  /**
   * The keys, joined by dots, of the state dict in a torch file whose values are searched for NaN and infinity; see
   * `OpenOptions`.
   */
  key?: string | undefined;
}

/**
 * Reads every byte of a checkpoint of any kind. Damage goes into the report; only what prevents looking at it (a missing file, no
 * permission) is thrown.
 *
 * @throws VistaError `NOT_FOUND`, `WRONG_KIND`, `AMBIGUOUS`, `IO`, `ABORTED`
 */
export async function verifyCheckpoint(path: string, options: VerifyOptions = {}): Promise<VerifyReport> {
  return new Verifier(path, options).run();
}

/** The checkpoint as a whole, or the reason why it cannot be opened. */
type OpenedOrNot = { readonly checkpoint?: Checkpoint; readonly error?: unknown };

class Verifier {
  readonly #files: VerifiedFile[] = [];
  readonly #problems: VistaError[] = [];
  readonly #nonFinite: NonFiniteCount[] = [];
  readonly #warnings: string[] = [];
  /** The items of each data file of a distributed checkpoint, by path. */
  #items: ReadonlyMap<string, readonly SavedItem[]> = new Map();
  /** The files that hold an optimizer's state and nothing else, by path. */
  readonly #ofOptimizer = new Set<string>();
  readonly #seen = new Set<string>();
  /** Whether the input is a single file, in which a key may be looked up. */
  #single = false;
  #done = 0;
  #total = 0;
  /** The error that the caller's own `onProgress` threw, which says nothing about the file that is being read. */
  #ofCaller: unknown;
  /** The statements of an index about its files, by path. */
  readonly #stated = new Map<string, StatedShard>();

  constructor(
    private readonly path: string,
    private readonly options: VerifyOptions,
  ) {}

  async run(): Promise<VerifyReport> {
    const { paths, together } = await this.#list();
    const looks = mapOrdered(paths, filesAtOnce(this.path), (path) => lookAt(path));
    for await (const { size } of looks) this.#total += size;
    const opened = together ? await this.#open() : undefined;
    try {
      const lanes = new Lanes(this.#total);
      try {
        const read = new Map(
          opened?.checkpoint?.torchFiles.map((torchFile) => [torchFile.file.path, torchFile]),
        );
        for (const path of paths) await this.#file(path, lanes, read.get(path));
      } finally {
        lanes.close();
      }
      // A file with damage made this fail too, and has been reported already.
      if (opened !== undefined && this.#problems.length === 0) await this.#together(opened);
    } finally {
      await opened?.checkpoint?.close();
    }
    const [files, problems, nonFinite] = [this.#files, this.#problems, this.#nonFinite];
    return { path: this.path, files, problems, nonFinite, warnings: this.#warnings };
  }

  /** Lists the files, and tells whether they have to fit together. */
  async #list(): Promise<{ paths: string[]; together: boolean }> {
    const { kind, place, beside } = await findInput(this.path);
    if (kind === "index") {
      const { shards, stated } = await readShardIndex(place);
      for (const [name, entry] of stated) if (shards.has(name)) this.#stated.set(shards.get(name)!, entry);
      return { paths: [...shards.values()], together: true };
    }
    if (kind === "dcp") {
      const shards = await listSafetensorsShards(place);
      if (shards.length > 0) return { paths: shards.map((name) => joinPlace(place, name)), together: true };
      const { listDcpItems } = await import("./dcp/open.js");
      this.#items = await listDcpItems(place);
      return { paths: [...this.#items.keys()].sort(), together: true };
    }
    if (kind === "file") {
      this.#single = true;
      this.#warnings.push(...notTaken(beside, [place]).warnings);
      return { paths: [place], together: (this.options.key ?? this.options.tag) !== undefined };
    }
    const files = await listCheckpointFiles(await findCheckpoint(this.path, this.options.tag));
    for (const { path } of files.shards) this.#ofOptimizer.add(path);
    if (files.universal)
      for (const path of await listUniversalFiles(files.tagFolder)) this.#ofOptimizer.add(path);
    return { paths: [...files.modelStates.map(({ path }) => path), ...this.#ofOptimizer], together: true };
  }

  /** Opens the checkpoint as a whole, which tells whether its files fit together. */
  async #open(): Promise<OpenedOrNot> {
    const { tag, key, signal } = this.options;
    try {
      return { checkpoint: await openCheckpoint(this.path, { tag, key, signal }) };
    } catch (error) {
      return { error };
    }
  }

  async #together({ checkpoint, error }: OpenedOrNot): Promise<void> {
    try {
      if (checkpoint === undefined) throw error;
      const { zero, warnings, path, state } = checkpoint;
      for (const file of state.files) await file.checkUnchanged();
      const doubts = zero?.doubts ?? [];
      this.#warnings.push(...warnings.filter((warning) => !doubts.includes(warning)));
      const where = { path, hint: "Copy all files again from where they were saved." };
      for (const doubt of doubts) this.#problem(new VistaError("INCONSISTENT", doubt, where));
      // The weights are a third of a universal checkpoint: training goes on with the rest.
      if (zero?.universal === true) {
        const { signal } = this.options;
        const { openOptimizerState } = await import("./optimizer-state.js");
        await (await openOptimizerState(this.path, { signal })).state.close();
      }
    } catch (error) {
      this.#problem(error);
    }
  }

  /** Notes an error that the input caused, and throws every other. */
  #problem(cause: unknown): void {
    const error = foundIn(cause, this.path);
    // One error may arrive several times: a record that cannot be located is one problem, however many tensors are in it.
    if (this.#seen.has(error.message)) return;
    this.#seen.add(error.message);
    // Such a checkpoint is sound all the same: it is of a kind that cannot be read or merged here, or was saved without some of
    // its weights.
    if (["UNSUPPORTED", "INCOMPLETE"].includes(error.code))
      this.#warnings.push(`cannot be used: ${error.message}`);
    else this.#problems.push(error);
  }

  /** @param read  the file where its pickle was read already; it is open then, and stays so */
  async #file(path: string, lanes: Lanes, read: TorchFile | undefined): Promise<void> {
    const file = read?.file ?? (await openSource(path));
    const before = this.#done;
    try {
      const { format, records, ranges } = await this.#contents(file, read);
      const checked = await this.#scan(file, ranges, lanes);
      await file.checkUnchanged();
      this.#files.push({ path, format, bytes: file.size, records, checked });
    } catch (error) {
      if (error !== undefined && error === this.#ofCaller) throw error;
      const problem = foundIn(error, path);
      // A file of another kind is not damaged, and was not looked at; in a set it stands where one of the set's belongs.
      if (problem.code === "WRONG_KIND" && this.#single) throw problem;
      // Whatever the reason is, a file that could not be looked at is not sound.
      this.#problems.push(problem);
      this.#files.push({ path, format: "unknown", bytes: file.size, records: 0, checked: 0 });
    } finally {
      if (read === undefined) await file.close();
    }
    this.#done = before + file.size;
    this.#report();
  }

  async #contents(file: SourceFile, read: TorchFile | undefined): Promise<Contents> {
    const notes = { warnings: this.#warnings, problem: (cause: unknown) => this.#problem(cause) };
    const key = this.#single ? this.options.key : undefined;
    const reader = new ContentsReader(notes, key, this.#ofOptimizer.has(file.path));
    const items = this.#items.get(file.path);
    if (items !== undefined) return reader.dcp(file, items);
    const format = await detectFormat(file);
    if (format !== "zip") return reader[format === "safetensors" ? format : "legacy"](file);
    // Of files that are the same but for their numbers, what is in them is kept of the first alone.
    return reader.zip(file, read?.value === null ? undefined : read);
  }

  /**
   * Scans all ranges and, where an index states the CRC-32 of the whole file, also the bytes between them. Damage, NaN and
   * infinity go into the report.
   *
   * @returns the number of ranges whose checksum matched
   */
  async #scan(file: SourceFile, ranges: readonly NamedRange[], lanes: Lanes): Promise<number> {
    let checked = 0;
    const stated = this.#stated.get(file.path);
    let whole: number | undefined = 0;
    await scanRanges(stated === undefined ? ranges : coverWhole(file, ranges), {
      lanes,
      signal: this.options.signal,
      onBytes: (bytes) => {
        this.#done += bytes;
        this.#report();
      },
      onScanned: ({ region, name, length, compare }, { crc32, nonFinite }) => {
        if (whole !== undefined) whole = combineCrc32(whole, crc32, length);
        if (compare && crc32 !== region.crc32) this.#problem(checksumError(region, crc32));
        // A CRC-32 of 0 means "not computed" (torch.serialization.set_crc32_options(False)), except for an empty record.
        else if (region.crc32 !== undefined && (region.crc32 !== 0 || region.length === 0)) checked++;
        if (nonFinite.nan + nonFinite.inf > 0)
          this.#nonFinite.push({ path: region.file.path, name, ...nonFinite });
      },
      onError: (error) => {
        whole = undefined;
        this.#problem(error);
      },
    });
    if (stated !== undefined && whole !== undefined && whole !== stated.crc32)
      this.#problem(shardError(file.path, stated, whole));
    return checked;
  }

  #report(): void {
    try {
      this.options.onProgress?.({ phase: "verify", done: this.#done, total: this.#total, unit: "bytes" });
    } catch (error) {
      this.#ofCaller = error;
      throw error;
    }
  }
}

/** Returns an error that the input caused. @throws every other error */
function foundIn(cause: unknown, path: string): VistaError {
  const error = fromReader(cause, path);
  if (!isVistaError(error) || ["ABORTED", "USAGE"].includes(error.code)) throw error;
  return error;
}
