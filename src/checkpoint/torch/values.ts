/**
 * Understands what torch puts into a pickle: storages behind persistent ids, and the calls that rebuild tensors from them. Here
 * they become {@link TorchTensor}s, descriptions without data.
 *
 * Source: torch/_utils.py (_rebuild_*), torch/serialization.py (persistent_id), torch/_tensor.py.
 */
import { VistaError } from "../../core/errors.js";
import { type DType, dtypeInfo, dtypeOfStorage, dtypeOfTorchName } from "../tensor/dtype.js";
import { PICKLE_LIMITS } from "./limits.js";
import {
  asDict,
  asItems,
  keyText,
  type PyDict,
  PyGlobal,
  PyObject,
  PyTuple,
  type PyValue,
} from "./objects.js";
import { readPickle } from "./pickle.js";

/** A storage as a persistent id names it. */
export class TorchStorage {
  constructor(
    /** The key of the storage: `3` for the record `data/3`. */
    readonly key: string,
    /** The type of the elements; `undefined` for an UntypedStorage, where tensors say what it holds. */
    readonly dtype: DType | undefined,
    readonly byteLength: number,
    /**
     * The class of a storage whose numbers mean nothing without the scale that a tensor on it has; `undefined` for other
     * storages.
     */
    readonly quantised?: string,
  ) {}
}

/** The integers that storages of quantised tensors hold; types of less than a byte are packed into bytes. */
const QUANTISED: ReadonlyMap<string, DType> = new Map([
  ["QInt8Storage", "I8"],
  ["QUInt8Storage", "U8"],
  ["QInt32Storage", "I32"],
  ["QUInt4x2Storage", "U8"],
  ["QUInt2x4Storage", "U8"],
]);

/** Returns the type of the elements of a storage class, be it one of quantised tensors. */
export function dtypeOfElements(className: string): DType | undefined {
  return QUANTISED.get(className) ?? dtypeOfStorage(className);
}

/** A tensor that only torch can rebuild; what it is and that it is there is known. */
export class TorchUnreadable {
  constructor(
    /** The reason as a noun, such as `a sparse tensor`. */
    readonly what: string,
    readonly shape: readonly number[] | undefined,
  ) {}
}

/** A tensor that is a view of a storage; `offset` and `strides` are in elements. */
export class TorchTensor {
  constructor(
    readonly storage: TorchStorage,
    readonly dtype: DType,
    readonly offset: number,
    readonly shape: readonly number[],
    readonly strides: readonly number[],
  ) {}
}

/** The largest number of shapes that are kept to be shared. Real models have some hundred. */
const MAX_MET = 2000;

/** The meaning of torch's persistent ids and calls, for one file. */
export class TorchValues {
  /** The storages by key, as far as they were named. */
  readonly storages = new Map<string, TorchStorage>();
  /** The names of all classes and functions, in order of appearance. */
  readonly globals: PyGlobal[] = [];
  /** The shapes and strides that were met: most tensors of a model have those of others, and there may be 100,000. */
  readonly #met = new Map<string, readonly number[]>();

  #record = "";

  constructor(private readonly path: string) {}

  /** Reads a pickle of the file as `readPickle` does. */
  read(data: Uint8Array, record: string, start = 0): ReturnType<typeof readPickle> {
    this.#record = record;
    return readPickle(
      data,
      {
        path: this.path,
        record,
        construct: (callable, args, at) => this.#construct(callable, args, at),
        persistentId: (id, at) => this.#persistentId(id, at),
        onGlobal: (name) => this.globals.push(name),
      },
      start,
    );
  }

  /** Reads a persistent id, `('storage', class, key, location, numel[, view])`. */
  #persistentId(id: PyValue, at: number): PyValue {
    const items = id instanceof PyTuple ? id.items : [];
    // Not `const [tag, cls] = items`: before V8 optimises, that takes an iterator and an object for each item.
    const tag = items[0];
    const cls = items[1];
    const key = items[2];
    const numel = items[4];
    if (typeof id === "string") {
      throw this.#error(
        "UNSUPPORTED",
        "storages named by text, as pickle_protocol=0 does it: torch.load takes none either",
        at,
      );
    }
    // Before torch 1.6 a pickled module had its source code with it: ('module', class, file, source).
    if (tag === "module" && cls !== undefined) return cls;
    const name = cls instanceof PyGlobal ? cls.qualname : "";
    const dtype = dtypeOfElements(name);
    if (
      tag !== "storage" ||
      typeof key !== "string" ||
      key.length > PICKLE_LIMITS.storageKey ||
      !isCount(numel) ||
      (dtype === undefined && name !== "UntypedStorage")
    ) {
      throw this.#error("FORMAT", `a persistent id that is no known storage (${name || typeof tag})`, at);
    }
    if (items.length > 5 && items[5] !== null) {
      throw this.#error("UNSUPPORTED", "a storage that is a view of another (torch before 0.4)", at);
    }
    const byteLength = dtype === undefined ? numel : (numel * dtypeInfo(dtype).bits) / 8;
    const known = this.storages.get(key);
    if (known !== undefined) {
      if (known.byteLength !== byteLength || known.dtype !== dtype) {
        throw this.#error("FORMAT", `storage ${key} is described in two ways`, at);
      }
      return known;
    }
    const storage = new TorchStorage(key, dtype, byteLength, QUANTISED.has(name) ? name : undefined);
    this.storages.set(key, storage);
    return storage;
  }

  #construct(callable: PyGlobal, args: readonly PyValue[], at: number): PyValue | undefined {
    switch (callable.id) {
      case "torch._utils._rebuild_tensor":
      case "torch._utils._rebuild_tensor_v2":
        return this.#tensor(args, undefined, args[6], at);
      case "torch._utils._rebuild_tensor_v3":
        return this.#tensor(args, args[6], args[7], at);
      case "torch._utils._rebuild_parameter":
      case "torch._utils._rebuild_parameter_with_state":
        return args[0] instanceof TorchTensor || args[0] instanceof TorchUnreadable ? args[0] : undefined;
      case "torch._utils._rebuild_sparse_tensor":
        return new TorchUnreadable("a sparse tensor", dimensions(asItems(args[1])?.[2]));
      case "torch._utils._rebuild_sparse_csr_tensor":
        return new TorchUnreadable("a sparse tensor", dimensions(asItems(args[1])?.[3]));
      case "torch._utils._rebuild_qtensor":
        return new TorchUnreadable(quantisedOn(args[0]), dimensions(args[2]));
      case "torch._utils._rebuild_nested_tensor":
        return new TorchUnreadable("a nested tensor", undefined);
      case "torch._utils._rebuild_meta_tensor_no_storage":
        return new TorchUnreadable("a meta tensor, without data", dimensions(args[1]));
      case "torch._utils._rebuild_wrapper_subclass":
        return new TorchUnreadable("a tensor subclass that wraps others", dimensions(args[2]));
      case "torch._tensor._rebuild_from_type":
      case "torch._tensor._rebuild_from_type_v2": {
        // The call rebuilds a subclass of Tensor, with the arguments (function, class, arguments, state).
        const [inner, , innerArgs] = args;
        // A subclass of a subclass is one such call too: torch writes none that nests further.
        return inner instanceof PyGlobal && innerArgs instanceof PyTuple && !inner.id.includes("_from_type")
          ? this.#construct(inner, innerArgs.items, at)
          : undefined;
      }
      default:
        return undefined;
    }
  }

  #tensor(
    args: readonly PyValue[],
    dtypeArg: PyValue | undefined,
    metadata: PyValue | undefined,
    at: number,
  ): TorchTensor | TorchUnreadable {
    const storage = args[0];
    const offset = args[1];
    const shape = this.#dimensions(args[2]);
    const strides = this.#dimensions(args[3]);
    if (
      !(storage instanceof TorchStorage) ||
      !isCount(offset) ||
      shape?.length !== strides?.length ||
      !shape ||
      !strides
    ) {
      throw this.#error("FORMAT", "a tensor whose storage, offset, size or stride is not one", at);
    }
    let dtype = storage.dtype;
    if (dtypeArg !== undefined) {
      dtype = dtypeArg instanceof PyGlobal ? dtypeOfTorchName(dtypeArg.qualname) : undefined;
      if (dtype === undefined) {
        if (dtypeArg instanceof PyGlobal) return new TorchUnreadable(`a tensor of ${dtypeArg.id}`, shape);
        throw this.#error("FORMAT", "a tensor of an unknown type", at);
      }
    }
    if (storage.quantised !== undefined) return new TorchUnreadable(quantisedOn(storage), shape);
    if (dtype === undefined) throw this.#error("FORMAT", "a tensor without a dtype", at);
    const flags = asDict(metadata);
    if (flags?.get("conj") === true || flags?.get("neg") === true) {
      return new TorchUnreadable("a tensor that is a lazy conjugate or negative view", shape);
    }
    return new TorchTensor(storage, dtype, offset, shape, strides);
  }

  #dimensions(value: PyValue | undefined): readonly number[] | undefined {
    const found = dimensions(value);
    if (found === undefined) return undefined;
    const key = found.join();
    const known = this.#met.get(key);
    if (known === undefined && this.#met.size < MAX_MET) this.#met.set(key, found);
    return known ?? found;
  }

  #error(code: "FORMAT" | "UNSUPPORTED", what: string, offset: number): VistaError {
    return new VistaError(code, what, {
      path: this.path,
      record: this.#record,
      offset,
      hint:
        code === "FORMAT"
          ? "The file is damaged or was not written by torch.save."
          : "Save it in another form.",
    });
  }
}

function quantisedOn(storage: PyValue | undefined): string {
  const name = storage instanceof TorchStorage ? storage.quantised : undefined;
  return `a quantised tensor${name === undefined ? "" : ` (${name})`}`;
}

export function isCount(value: PyValue | undefined): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

/** Returns the numbers of a torch.Size, a tuple or a list of counts; `undefined` for anything else. */
export function dimensions(value: PyValue | undefined): number[] | undefined {
  // A set is left out because asItems would copy it before its size is known.
  const items = value instanceof Set ? undefined : asItems(value);
  if (items !== undefined && items.length > PICKLE_LIMITS.dimensions) return undefined;
  return items?.every(isCount) ? (items.slice() as number[]) : undefined;
}

/**
 * Tells what a tensor-like value is that this package cannot read (sparse, quantised, meta …), or returns `undefined` if the
 * value is nothing of the kind.
 */
export function unsupportedTensor(value: PyValue): string | undefined {
  if (value instanceof TorchUnreadable) return value.what;
  return value instanceof PyObject && /^torch\..*_rebuild_/.test(value.id) ? value.id : undefined;
}

/** Tells whether a value is a tensor, be it one that this package cannot read. */
export function isTensorLike(value: PyValue): boolean {
  return value instanceof TorchTensor || unsupportedTensor(value) !== undefined;
}

export function namesOfOthers(dict: PyDict): string[] {
  return [...dict].filter(([, value]) => !isTensorLike(value)).map(([name]) => keyText(name));
}
