/** The findings about the records of one file: single findings up to a limit, and the rest as a count. */
import { remember } from "../../core/maps.js";
import type { Finding } from "../finding.js";
import { joinPath } from "../paths.js";
import { type AnnotationRule, finding } from "./rules.js";

/** The number of findings of one rule and file that are kept one by one. */
const KEEP = 1000;

/** The index of a record that was found by its offset, so that nobody counted those before it. */
export const NO_INDEX = -1;

/** The place of a record: its number, or {@link NO_INDEX} where that is not known, and the offset of its first byte. */
export interface Place {
  index: number;
  offset: number;
}

/** The number of some records, and the place of the first of them in the file; those of a sample come in any order. */
export class RecordCount implements Place {
  count = 0;
  index = NO_INDEX;
  offset = Number.POSITIVE_INFINITY;

  /** Counts a record. @returns whether none of those before it comes earlier in the file */
  add({ index, offset }: Place): boolean {
    this.count++;
    if (offset >= this.offset) return false;
    this.index = index;
    this.offset = offset;
    return true;
  }
}

interface Group {
  found: RecordCount;
  verb: string;
  what: () => string;
}

/** The findings of one file. As a place, it is that of the record that is looked at. */
export class Issues implements Place {
  readonly #single: Finding[] = [];
  /** The number of single findings of each rule, and the records that none was kept of. */
  readonly #kept = new Map<AnnotationRule, { kept: number; more: RecordCount }>();
  readonly #groups = new Map<AnnotationRule, Map<string, Group>>();

  index = NO_INDEX;
  offset = 0;

  /** The place below the root where the data is that records name, if what is missing of it is to be named. */
  data: string | undefined;
  /** What is not there of the data, each by itself and once. */
  readonly missing: Finding[] = [];
  readonly #lacking = new Set<string>();

  /** @param path  the path of the annotation file, relative to the root */
  constructor(private readonly path: string) {}

  #next = 0;
  #jumped = false;

  /** Says that the next record is looked at from now on; `offset` is that of its first byte. */
  next(offset: number): void {
    this.at(this.#jumped ? NO_INDEX : this.#next++, offset);
  }

  /** Says that from here on records come from anywhere in the file, so that nobody counts those between. */
  jump(): void {
    this.#jumped = true;
  }

  /**
   * Says which record is looked at from now on: its number, or {@link NO_INDEX} where that is not known, and the offset of its
   * first byte.
   */
  at(index: number, offset: number): void {
    this.index = index;
    this.offset = offset;
  }

  /** Notes that something is wrong with the record that is looked at. */
  record(rule: AnnotationRule, message: string): void {
    const state = remember(this.#kept, rule, () => ({ kept: 0, more: new RecordCount() }));
    if (state.kept === KEEP) {
      state.more.add(this);
      return;
    }
    state.kept++;
    this.#single.push(finding(rule, this.path, message, place(this)));
  }

  /**
   * Notes something that concerns many records alike, among them the one that is looked at. All with the same `key` give one
   * finding, at the first of them: `12 records name …`.
   *
   * @param what  returns what follows the verb; called at the end, for the first of the records
   */
  group(rule: AnnotationRule, key: string, verb: string, what: () => string): void {
    const groups = remember(this.#groups, rule, () => new Map<string, Group>());
    const group = remember(groups, key, () => ({ found: new RecordCount(), verb, what }));
    if (group.found.add(this)) Object.assign(group, { verb, what });
  }

  /** Notes a frame or a folder that a record names and that is not there. */
  lacks(rule: AnnotationRule, name: string): void {
    if (this.data === undefined) return;
    const path = joinPath(this.data, name);
    if (this.#lacking.has(path)) return;
    this.#lacking.add(path);
    this.missing.push(finding(rule, path, `needed by ${this.path}`));
  }

  /** Returns all findings, in the order of their (first) records in the file. */
  findings(): Finding[] {
    const all = [...this.#single];
    for (const [rule, { more }] of this.#kept) {
      if (more.count === 0) continue;
      const message = `${more.count} more records have a fault of this kind`;
      all.push(finding(rule, this.path, message, { ...place(more), count: more.count }));
    }
    for (const [rule, groups] of this.#groups) {
      for (const { found, verb, what } of groups.values()) {
        const message = `${records(found.count, verb)} ${what()}`;
        all.push(finding(rule, this.path, message, { ...place(found), count: found.count }));
      }
    }
    return all.sort((a, b) => a.offset! - b.offset!);
  }
}

function place({ index, offset }: Place): { record?: string; offset: number } {
  return index === NO_INDEX ? { offset } : { record: `record ${index}`, offset };
}

/** Returns a subject and its verb, such as `1 record names` or `12 records name`. */
export function records(count: number, verb: string): string {
  if (count !== 1) return `${count} records ${verb}`;
  return `1 record ${verb === "have" ? "has" : `${verb}s`}`;
}
