/** Defines what the readers of all kinds of content share while one file is looked at. */
import { throwIfAborted } from "../../core/errors.js";
import type { RangeReader } from "../../core/io/source.js";
import { dtypeInfo } from "../tensor/dtype.js";
import { dtypeOfElements } from "../torch/values.js";
import type { Findings, Place, ScanRule } from "./findings.js";

/** A storage that a persistent id names; its record holds numbers, which nothing interprets. */
export interface NamedStorage {
  readonly key: string;
  readonly cls: string;
  readonly numel: number | undefined;
}

/**
 * Returns the length of a storage's bytes.
 * @returns `undefined` where the pickle gives no number of elements or a type that is not known
 */
export function storageLength({ cls, numel }: NamedStorage): number | undefined {
  if (cls === "UntypedStorage" || numel === undefined) return numel;
  const dtype = dtypeOfElements(cls);
  return dtype && (numel * dtypeInfo(dtype).bits) / 8;
}

/** Bytes of any kind that are looked at. */
export interface Subject {
  readonly reader: RangeReader;
  readonly place: Place;
  /** How many others the bytes are inside of: the record of a zip, the bytes in a pickle. */
  readonly depth: number;
}

export interface Content {
  readonly kind: string;
  /** The storages that it names, where it is a pickle. */
  readonly storages?: readonly NamedStorage[];
}

/** The findings and counts that are gathered while one file is looked at. */
export class Scanner {
  readonly globals = new Set<string>();
  pickles = 0;
  records = 0;
  /** The number of bytes that were decompressed. */
  inflated = 0;

  constructor(
    private readonly findings: Findings,
    private readonly signal: AbortSignal | undefined,
    /** Looks at bytes that are inside others, such as a record of a zip, whatever they are. */
    private readonly look: (scanner: Scanner, subject: Subject) => Promise<Content>,
  ) {}

  add(rule: ScanRule, message: string, place: Place, offset?: number): void {
    this.findings.add(rule, message, place, offset);
  }

  content(subject: Subject): Promise<Content> {
    return this.look(this, subject);
  }

  throwIfAborted(): void {
    throwIfAborted(this.signal);
  }
}
