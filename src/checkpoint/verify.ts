/** Checking whole checkpoints: every checksum, every rule of the formats, and how many numbers are none. */
import { firstNames, fromReader, isVistaError, VistaError } from "../core/errors.js";
import { combineCrc32 } from "../core/io/crc32.js";
import { mapOrdered } from "../core/io/map-ordered.js";
import { openSource } from "../core/io/open-source.js";
import { joinPlace, lookAt, placeName } from "../core/io/places.js";
import type { Region, SourceFile } from "../core/io/source.js";
import type { RunOptions } from "../core/progress.js";
import { plural } from "../core/text.js";
import { checksumError } from "./copy/input-checks.js";
import { Lanes } from "./copy/lanes.js";
import { scanRanges } from "./copy/scan-ranges.js";
import { type DcpItem, findDcp, listDcpItems } from "./dcp/open.js";
import { listSafetensorsShards } from "./dcp/safetensors.js";
import { detectFormat, findIndex, findWeightsFile, openCheckpoint } from "./open.js";
import { openSafetensors } from "./safetensors/read.js";
import { readShardIndex, type StatedShard, shardError } from "./shard-index.js";
import type { NonFinite } from "./tensor/non-finite.js";
import type { TorchFile } from "./torch/file.js";
import type { PyDict } from "./torch/objects.js";
import { describedTensors, type UnreadableTensor } from "./torch/open.js";
import { LOOK_UPS, readTorchFile, readTorchZip } from "./torch/read.js";
import { type FoundStateDict, findStateDict } from "./torch/state-dicts.js";
import { type StorageUse, storagesIn, walk } from "./torch/storages.js";
import { TorchTensor, unsupportedTensor } from "./torch/values.js";
import { openTorchZip, type TorchZip } from "./torch/zip.js";
import { coverWhole, type NamedRange, rangeOf } from "./verify-ranges.js";
import { findCheckpoint, listCheckpointFiles, listUniversalFiles } from "./zero/layout.js";

export interface VerifiedFile {
  readonly path: string;
  readonly format: "torch zip" | "legacy torch" | "safetensors" | "dcp" | "unknown";
  readonly bytes: number;
  /** Records of a zip (of all zips in a file of DCP), tensors of a safetensors file, storages of a legacy file. */
  readonly records: number;
  /** Records whose CRC-32 was checked and matched. */
  readonly checked: number;
}

export interface NonFiniteCount extends NonFinite {
  readonly path: string;
  /** A tensor's name, or where in the pickle it is. */
  readonly name: string;
}

export interface VerifyReport {
  readonly path: string;
  readonly files: readonly VerifiedFile[];
  /** What is damaged, each one line; empty for a sound checkpoint. */
  readonly problems: readonly VistaError[];
  /** Tensors with NaN or infinity: no damage of the file, though hardly what was meant. */
  readonly nonFinite: readonly NonFiniteCount[];
  readonly warnings: readonly string[];
}

export interface VerifyOptions extends RunOptions {
  /** For a ZeRO checkpoint: the tag (sub-folder); default: what `latest` says. */
  tag?: string;
  /** Keys to the state dict in a torch file, joined by dots, whose numbers are looked at; see `OpenOptions`. */
  key?: string;
}

/**
 * Reads every byte of a checkpoint of any kind. What is damaged goes into the report; only what keeps it from being looked at
 * (a missing file, no permission) is thrown.
 *
 * @throws VistaError `NOT_FOUND`, `WRONG_KIND`, `AMBIGUOUS`, `IO`, `ABORTED`
 */
export async function verifyCheckpoint(path: string, options: VerifyOptions = {}): Promise<VerifyReport> {
  return new Verifier(path, options).run();
}

class Verifier {
  readonly #path: string;
  readonly #options: VerifyOptions;
  readonly #files: VerifiedFile[] = [];
  readonly #problems: VistaError[] = [];
  readonly #nonFinite: NonFiniteCount[] = [];
  readonly #warnings: string[] = [];
  /** What the data files of a distributed checkpoint hold, by path. */
  #items: ReadonlyMap<string, readonly DcpItem[]> = new Map();
  readonly #seen = new Set<VistaError>();
  /** One file, which a key may be in. */
  #single = false;
  #done = 0;
  #total = 0;
  /** What an index says of the files, by path. */
  readonly #stated = new Map<string, StatedShard>();

  constructor(path: string, options: VerifyOptions) {
    this.#path = path;
    this.#options = options;
  }

  async run(): Promise<VerifyReport> {
    const { paths, together } = await this.#list();
    for (const path of paths) this.#total += (await lookAt(path)).size;
    const lanes = new Lanes(this.#total);
    try {
      for (const path of paths) await this.#file(path, lanes);
    } finally {
      lanes.close();
    }
    // Whether the files fit together; what is wrong inside one of them has been said.
    if (together && this.#problems.length === 0) await this.#together();
    return {
      path: this.#path,
      files: this.#files,
      problems: this.#problems,
      nonFinite: this.#nonFinite,
      warnings: this.#warnings,
    };
  }

  /** The files, and whether they have to fit together. @throws VistaError `USAGE` for a key where none is meant */
  async #list(): Promise<{ paths: string[]; together: boolean }> {
    const { isFolder } = await lookAt(this.#path);
    const index = isFolder
      ? await findIndex(this.#path)
      : placeName(this.#path).endsWith(".json")
        ? this.#path
        : undefined;
    if (index !== undefined) {
      const { shards, stated } = await readShardIndex(index);
      for (const [name, entry] of stated) if (shards.has(name)) this.#stated.set(shards.get(name)!, entry);
      return { paths: [...shards.values()], together: true };
    }
    const dcp = isFolder ? await findDcp(this.#path) : undefined;
    if (dcp !== undefined) {
      const shards = await listSafetensorsShards(dcp);
      if (shards.length > 0) return { paths: shards.map((name) => joinPlace(dcp, name)), together: true };
      this.#items = await listDcpItems(dcp);
      return { paths: [...this.#items.keys()].sort(), together: true };
    }
    const file = isFolder ? await findWeightsFile(this.#path) : this.#path;
    if (file !== undefined) {
      this.#single = true;
      return { paths: [file], together: this.#options.key !== undefined };
    }
    const files = await listCheckpointFiles(await findCheckpoint(this.#path, this.#options.tag));
    const paths = [...files.modelStates, ...files.shards].map((file) => file.path);
    if (files.universal) paths.push(...(await listUniversalFiles(files.tagFolder)));
    return { paths, together: true };
  }

  async #together(): Promise<void> {
    try {
      const { tag, key, signal } = this.#options;
      const opened = await openCheckpoint(this.#path, {
        tag,
        key,
        signal,
      });
      this.#warnings.push(...opened.warnings);
      await opened.state.close();
    } catch (error) {
      this.#problem(error);
    }
  }

  /** Notes an error that the input caused; others are thrown on. */
  #problem(cause: unknown): void {
    const error = fromReader(cause, this.#path);
    if (!isVistaError(error) || ["ABORTED", "USAGE"].includes(error.code)) throw error;
    // Several look at one thing: a record that cannot be located is one problem, however many tensors are in it.
    if (this.#seen.has(error)) return;
    this.#seen.add(error);
    // Sound all the same: of a kind that cannot be read or merged here, or saved without some of the weights.
    if (["UNSUPPORTED", "INCOMPLETE"].includes(error.code))
      this.#warnings.push(`cannot be used: ${error.message}`);
    else this.#problems.push(error);
  }

  async #file(path: string, lanes: Lanes): Promise<void> {
    const file = await openSource(path);
    const before = this.#done;
    try {
      const items = this.#items.get(path);
      const format = items === undefined ? await detectFormat(file) : "dcp";
      if (items !== undefined) await this.#distcp(file, items, lanes);
      else if (format === "zip") await this.#zip(file, lanes);
      else if (format === "safetensors") await this.#safetensors(file, lanes);
      else await this.#legacy(file, lanes);
    } catch (error) {
      const problem = fromReader(error, path);
      // A file of another kind is not damaged, and not looked at.
      if (!isVistaError(problem) || ["ABORTED", "USAGE", "WRONG_KIND"].includes(problem.code)) throw problem;
      // Whatever the reason: what could not be looked at is not sound.
      this.#problems.push(problem);
      this.#files.push({ path, format: "unknown", bytes: file.size, records: 0, checked: 0 });
    } finally {
      await file.close();
    }
    this.#done = before + file.size;
    this.#report();
  }

  async #zip(file: SourceFile, lanes: Lanes): Promise<void> {
    const { ranges, records } = await this.#rangesOf(await openTorchZip(file));
    const checked = await this.#scan(file, ranges, lanes);
    this.#files.push({ path: file.path, format: "torch zip", bytes: file.size, records, checked });
  }

  /** A data file of a distributed checkpoint: one zip after the other, or what the metadata do not account for. */
  async #distcp(file: SourceFile, items: readonly DcpItem[], lanes: Lanes): Promise<void> {
    const all: NamedRange[] = [];
    let records = 0;
    let end = 0;
    let between = 0;
    for (const { name, dtype, offset, length } of items) {
      between += Math.max(0, offset - end);
      end = Math.max(end, offset + length);
      if (end > file.size) {
        throw new VistaError("TRUNCATED", `it was saved up to byte ${end}, the file has ${file.size} bytes`, {
          path: file.path,
          record: name,
          offset,
          hint: "The file is incomplete: copy it again.",
        });
      }
      try {
        const zip = await openTorchZip(file, { start: offset, length });
        const { ranges, records: count } = await this.#rangesOf(zip);
        records += count;
        for (const range of ranges) {
          const isData = dtype !== undefined && /\/data\/\d+$/.test(range.region.name);
          all.push(isData ? { ...range, name } : range);
        }
      } catch (error) {
        this.#problem(error);
      }
    }
    between += file.size - end;
    if (between > 0)
      this.#warnings.push(`${file.path}: ${between} bytes belong to no item and were not looked at`);
    const checked = await this.#scan(file, all, lanes);
    this.#files.push({ path: file.path, format: "dcp", bytes: file.size, records, checked });
  }

  /** The records of a zip as ranges to look at. */
  async #rangesOf(zip: TorchZip): Promise<{ ranges: NamedRange[]; records: number }> {
    const storages = await this.#readPickle(zip);
    const names = [...zip.names()];
    const regions: Region[] = [];
    await this.#lookUp(names, async (name) => {
      regions.push(await zip.record(name));
    });
    regions.sort((a, b) => a.offset - b.offset);
    const ranges = regions.map((region) => {
      const key = region.name.slice(zip.root.length + 1);
      const storage = key.startsWith("data/") ? storages.get(key.slice("data/".length)) : undefined;
      return rangeOf(region, storage?.dtype, storage?.path ?? region.name);
    });
    return { ranges, records: names.length };
  }

  /** Each on its own: what is wrong with one of them is a problem, and does not keep the others from being looked at. */
  async #lookUp<Item>(items: Iterable<Item>, look: (item: Item) => Promise<void>): Promise<void> {
    const caught = (error: unknown) => ({ error });
    for await (const failure of mapOrdered(items, LOOK_UPS, (item) => look(item).catch(caught)))
      if (failure !== undefined) this.#problem(failure.error);
  }

  /** Damage of the pickle's bytes is found with that of the other records: here only what it says is wrong. */
  async #readPickle(zip: TorchZip): Promise<ReadonlyMap<string, StorageUse>> {
    try {
      return await this.#weightStorages(await readTorchZip(zip, { verify: true }));
    } catch (error) {
      if (!(isVistaError(error) && error.code === "CHECKSUM")) this.#problem(error);
      this.#warnings.push(
        `${zip.file.path}: its pickle cannot be read, so NaN and infinity were not looked for`,
      );
      return new Map();
    }
  }

  async #legacy(file: SourceFile, lanes: Lanes): Promise<void> {
    const torchFile = await readTorchFile(file.path);
    try {
      const storages = await this.#weightStorages(torchFile);
      const regions = await torchFile.regions();
      await this.#scan(
        file,
        regions.map((region) => {
          const storage = storages.get(region.name.slice("storage ".length));
          return rangeOf(region, storage?.dtype, storage?.path ?? region.name);
        }),
        lanes,
      );
      const end = Math.max(0, ...regions.map(({ offset, length }) => offset + length));
      if (regions.length > 0 && end < file.size)
        this.#warnings.push(
          `${file.path}: ${file.size - end} bytes behind the last storage belong to nothing and were not looked at`,
        );
      this.#files.push({
        path: file.path,
        format: "legacy torch",
        bytes: file.size,
        records: regions.length,
        checked: 0,
      });
    } finally {
      await torchFile.file.close();
    }
  }

  /**
   * The storages of models and of optimizers: in callbacks and the like, infinity is a common start value and means nothing.
   * Tensors that their storage cannot hold are problems.
   */
  async #weightStorages(torchFile: TorchFile): Promise<Map<string, StorageUse>> {
    const { storages, tensors } = storagesIn(torchFile.value, torchFile.file.path);
    await this.#lookUp(tensors.keys(), async (tensor) => {
      await torchFile.tensor(tensor);
    });
    this.#noteUnreadable(torchFile);
    const found = this.#stateDict(torchFile);
    if (found === undefined || (found.key === undefined && this.#options.key === undefined)) return storages;
    const weights = new Set<string>();
    for (const value of found.dict.values()) if (value instanceof TorchTensor) weights.add(value.storage.key);
    const models = this.#options.key === undefined ? found.others.filter(({ model }) => model) : [];
    const counts = (path: string) =>
      models.some(({ key }) => path.startsWith(`${key}.`)) ||
      (this.#options.key === undefined && /^(?:optimizer|frozen_param_)/.test(path));
    return new Map([...storages].filter(([key, { path }]) => weights.has(key) || counts(path)));
  }

  /** Tensors whose bytes are looked at as all others are, and that no command can read. */
  #noteUnreadable({ value, file }: TorchFile): void {
    const names: string[] = [];
    const nameless: string[] = [];
    walk(
      value,
      (current, name) => {
        const what = unsupportedTensor(current);
        if (what !== undefined) names.push(`${name} (${what})`);
        if (current instanceof Map) nameless.push(...keysThatAreNoNames(current, name));
      },
      file.path,
    );
    if (names.length > 0)
      this.#warnings.push(`${file.path}: tensors that only torch can rebuild: ${firstNames(names)}`);
    if (nameless.length > 0) {
      this.#warnings.push(
        `${file.path}: ${plural(nameless.length, "tensor")} under keys that are no names, which no command can read: ${firstNames(nameless)}`,
      );
    }
  }

  /** @throws VistaError `USAGE` for a key that names none */
  #stateDict(torchFile: TorchFile): FoundStateDict | undefined {
    const key = this.#single ? this.#options.key : undefined;
    try {
      return findStateDict(torchFile, key);
    } catch (error) {
      if (key !== undefined) throw error;
      return undefined; // an optimizer's shard, or several state dicts: all of them are looked at
    }
  }

  async #safetensors(file: SourceFile, lanes: Lanes): Promise<void> {
    const { state } = await openSafetensors(file.path);
    try {
      const ranges: NamedRange[] = [];
      for (const [name, tensor] of state.tensors) {
        if (tensor.source.kind !== "pieces") continue;
        for (const { region, start, length } of tensor.source.pieces) {
          ranges.push(
            rangeOf({ ...region, file, offset: region.offset + start, length }, tensor.dtype, name),
          );
        }
      }
      await this.#scan(file, ranges, lanes);
    } finally {
      await state.close();
    }
    this.#files.push({
      path: file.path,
      format: "safetensors",
      bytes: file.size,
      records: state.tensors.size,
      checked: 0,
    });
  }

  /**
   * Looks at all ranges, and at what is between them where an index states the CRC-32 of the whole file; damage and what is no
   * number go into the report.
   *
   * @returns how many had a checksum that matched
   */
  async #scan(file: SourceFile, ranges: readonly NamedRange[], lanes: Lanes): Promise<number> {
    let checked = 0;
    const stated = this.#stated.get(file.path);
    let whole: number | undefined = 0;
    await scanRanges(stated === undefined ? ranges : coverWhole(file, ranges), {
      lanes,
      signal: this.#options.signal,
      onBytes: (bytes) => {
        this.#done += bytes;
        this.#report();
      },
      onScanned: ({ region, name, length, compare }, { crc32, nonFinite }) => {
        if (whole !== undefined) whole = combineCrc32(whole, crc32, length);
        if (compare && crc32 !== region.crc32) this.#problem(checksumError(region, crc32));
        // 0 means "not computed": torch.serialization.set_crc32_options(False)
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
    this.#options.onProgress?.({ phase: "verify", done: this.#done, total: this.#total, unit: "bytes" });
  }
}

/** What is wrong with the keys of tensors in a dict, each with its place. */
function keysThatAreNoNames(dict: PyDict, place: string): string[] {
  const unreadable: UnreadableTensor[] = [];
  describedTensors(dict, { path: "" }, unreadable);
  return unreadable
    .filter(({ isName }) => !isName)
    .map(({ what }) => (place === "" ? what : `${place}: ${what}`));
}
