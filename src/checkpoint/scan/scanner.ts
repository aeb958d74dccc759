/** Defines what the readers of all kinds of content share while one file is looked at. */
import { throwIfAborted } from "../../core/errors.js";
import type { RangeReader } from "../../core/io/source.js";
import type { Findings, Place, ScanRule } from "./findings.js";

/** A storage that a persistent id names; its record holds numbers, which nothing interprets. */
export interface NamedStorage {
  readonly key: string;
  readonly cls: string;
  readonly numel: number | undefined;
}

export interface Content {
  readonly kind: string;
  /** The storages that it names, where it is a pickle. */
  readonly storages: readonly NamedStorage[];
}

type Look = (scanner: Scanner, reader: RangeReader, place: Place, depth: number) => Promise<Content>;

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
    private readonly look: Look,
  ) {}

  add(rule: ScanRule, message: string, place: Place, offset?: number): void {
    this.findings.add(rule, message, place, offset);
  }

  content(reader: RangeReader, place: Place, depth: number): Promise<Content> {
    return this.look(this, reader, place, depth);
  }

  throwIfAborted(): void {
    throwIfAborted(this.signal);
  }
}
