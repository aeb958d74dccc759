/** Reads what files of each format hold: their records as ranges to scan, and what is wrong with what the files say of them. */
import { firstNames, incompleteFile, isVistaError } from "../core/errors.js";
import { mapOrdered } from "../core/io/map-ordered.js";
import type { Region, SourceFile } from "../core/io/source.js";
import { plural } from "../core/text.js";
import type { SavedItem } from "./dcp/metadata.js";
import { readHeader } from "./safetensors/header.js";
import type { TorchFile } from "./torch/file.js";
import { describedTensors, type UnreadableTensor } from "./torch/named-tensors.js";
import type { PyDict } from "./torch/objects.js";
import { LOOK_UPS, readOpenTorchFile, readTorchZip, versionProblem } from "./torch/read.js";
import { type FoundStateDict, findStateDict } from "./torch/state-dicts.js";
import { type StorageUse, storagesIn } from "./torch/storages.js";
import { TorchTensor, unsupportedTensor } from "./torch/values.js";
import { openTorchZip, type TorchZip } from "./torch/zip.js";
import { type NamedRange, rangeOf } from "./verify-ranges.js";

export interface Contents {
  readonly format: "torch zip" | "legacy torch" | "safetensors" | "dcp";
  /** The number of records of the whole file, including those without a range. */
  readonly records: number;
  readonly ranges: readonly NamedRange[];
}

/** The place where findings are noted. */
export interface Notes {
  readonly warnings: string[];
  /** Notes an error that the input caused, and throws every other. */
  problem(cause: unknown): void;
}

export class ContentsReader {
  /**
   * Makes a reader that adds what is wrong to `notes`.
   * @param key  the keys of the state dict whose values are searched for NaN and infinity
   * @param isOptimizer  whether the file is known to be an optimizer's, in which no state dict is looked for
   */
  constructor(
    private readonly notes: Notes,
    private readonly key: string | undefined,
    private readonly isOptimizer: boolean,
  ) {}

  /** @param read  the same file, where its pickle was read before */
  async zip(file: SourceFile, read?: TorchFile): Promise<Contents> {
    return { format: "torch zip", ...(await this.#rangesOf(await openTorchZip(file), read)) };
  }

  /**
   * Reads a data file of a distributed checkpoint: one zip after the other. Bytes that the metadata do not account for give a
   * warning.
   */
  async dcp(file: SourceFile, items: readonly SavedItem[]): Promise<Contents> {
    const all: NamedRange[] = [];
    let records = 0;
    let end = 0;
    let between = 0;
    for (const { name, box, offset, length } of items) {
      between += Math.max(0, offset - end);
      end = Math.max(end, offset + length);
      if (end > file.size) {
        const what = `it was saved up to byte ${end}, the file has ${file.size} bytes`;
        throw incompleteFile(what, { path: file.path, record: name, offset });
      }
      try {
        const zip = await openTorchZip(file, { start: offset, length });
        const { ranges, records: count } = await this.#rangesOf(zip);
        records += count;
        for (const range of ranges) {
          const isData = box !== undefined && /\/data\/\d+$/.test(range.region.name);
          all.push(isData ? { ...range, name } : range);
        }
      } catch (error) {
        this.notes.problem(error);
      }
    }
    between += file.size - end;
    if (between > 0)
      this.notes.warnings.push(`${file.path}: ${between} bytes belong to no item and were not looked at`);
    return { format: "dcp", records, ranges: all };
  }

  /** Reads a pickle as torch wrote it before it used zips; it has no checksums. */
  async legacy(file: SourceFile): Promise<Contents> {
    const torchFile = await readOpenTorchFile(file);
    const storages = await this.#weightStorages(torchFile);
    const regions = await torchFile.regions();
    const end = regions.reduce((last, { offset, length }) => Math.max(last, offset + length), 0);
    if (regions.length > 0 && end < file.size)
      this.notes.warnings.push(
        `${file.path}: ${file.size - end} bytes behind the last storage belong to nothing and were not looked at`,
      );
    const ranges = regions.map((region) => {
      const storage = storages.get(region.name.slice("storage ".length));
      return rangeOf(region, storage?.dtype, storage?.path ?? region.name);
    });
    return { format: "legacy torch", records: regions.length, ranges };
  }

  async safetensors(file: SourceFile): Promise<Contents> {
    const { entries, dataStart } = await readHeader(file);
    const ranges = entries
      .filter(({ start, end }) => start < end)
      .map(({ name, dtype, start, end }) => {
        const region = { file, name: "tensor data", offset: dataStart + start, length: end - start };
        return rangeOf({ ...region, crc32: undefined }, dtype, name);
      });
    return { format: "safetensors", records: entries.length, ranges };
  }

  /** Returns the records of a zip as ranges to scan. */
  async #rangesOf(zip: TorchZip, read?: TorchFile): Promise<{ ranges: NamedRange[]; records: number }> {
    const storages = await this.#readPickle(zip, read);
    const problem = await versionProblem(zip).catch((error: unknown) => error);
    if (problem !== undefined) this.notes.problem(problem);
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

  /** Looks at each item on its own: what is wrong with one is a problem, and does not keep the others from being looked at. */
  async #lookUp<Item>(items: Iterable<Item>, look: (item: Item) => Promise<void>): Promise<void> {
    const caught = (error: unknown) => ({ error });
    for await (const failure of mapOrdered(items, LOOK_UPS, (item) => look(item).catch(caught)))
      if (failure !== undefined) this.notes.problem(failure.error);
  }

  /**
   * Reads the pickle. Damage of its bytes is found with that of the other records, so only what the pickle says is judged here.
   */
  async #readPickle(zip: TorchZip, read?: TorchFile): Promise<ReadonlyMap<string, StorageUse>> {
    try {
      return await this.#weightStorages(read ?? (await readTorchZip(zip)));
    } catch (error) {
      if (!(isVistaError(error) && error.code === "CHECKSUM")) this.notes.problem(error);
      this.notes.warnings.push(
        `${zip.file.path}: its pickle cannot be read, so NaN and infinity were not looked for`,
      );
      return new Map();
    }
  }

  /**
   * Returns the storages of models and of optimizers: in callbacks and the like, infinity is a common start value and means
   * nothing. A tensor that its storage cannot hold is a problem.
   */
  async #weightStorages(torchFile: TorchFile): Promise<Map<string, StorageUse>> {
    const unreadable = new Unreadable();
    const { path } = torchFile.file;
    const { storages, tensors } = storagesIn(torchFile.value, path, (value, at) =>
      unreadable.look(value, at),
    );
    await this.#lookUp(tensors.keys(), async (tensor) => {
      await torchFile.tensor(tensor);
    });
    this.notes.warnings.push(...unreadable.warnings().map((warning) => `${path}: ${warning}`));
    if (this.isOptimizer) return storages;
    const found = this.#stateDict(torchFile);
    if (found === undefined || (found.key === undefined && this.key === undefined)) return storages;
    const weights = new Set<string>();
    for (const value of found.dict.values()) if (value instanceof TorchTensor) weights.add(value.storage.key);
    const models = this.key === undefined ? found.others.filter(({ model }) => model) : [];
    const counts = (path: string) =>
      models.some(({ key }) => path.startsWith(`${key}.`)) ||
      (this.key === undefined && /^(?:optimizer|frozen_param_)/.test(path));
    return new Map([...storages].filter(([key, { path }]) => weights.has(key) || counts(path)));
  }

  /** Finds the state dict. @throws VistaError `USAGE` for a key that names none */
  #stateDict(torchFile: TorchFile): FoundStateDict | undefined {
    try {
      return findStateDict(torchFile, this.key);
    } catch (error) {
      if (this.key !== undefined) throw error;
      return undefined; // It is an optimizer's shard or has several state dicts: all storages are looked at.
    }
  }
}

/** The tensors that no command can read, although their bytes are looked at like all others. */
class Unreadable {
  readonly #names: string[] = [];
  readonly #nameless: string[] = [];

  /** Looks at a value of a pickle. @param at  returns its place */
  look(value: object, at: () => string): void {
    const what = unsupportedTensor(value);
    if (what !== undefined) this.#names.push(`${at()} (${what})`);
    if (value instanceof Map) this.#nameless.push(...keysThatAreNoNames(value, at()));
  }

  warnings(): string[] {
    const warnings: string[] = [];
    const warn = (what: string, of: readonly string[]) => {
      if (of.length > 0) warnings.push(`${what}: ${firstNames(of)}`);
    };
    warn("tensors that only torch can rebuild", this.#names);
    const count = plural(this.#nameless.length, "tensor");
    warn(`${count} under keys that are no names, which no command can read`, this.#nameless);
    return warnings;
  }
}

/** Returns what is wrong with the keys of tensors in a dict, each with its place. */
function keysThatAreNoNames(dict: PyDict, place: string): string[] {
  const unreadable: UnreadableTensor[] = [];
  describedTensors(dict, { path: "" }, unreadable);
  return unreadable
    .filter(({ isName }) => !isName)
    .map(({ what }) => (place === "" ? what : `${place}: ${what}`));
}
