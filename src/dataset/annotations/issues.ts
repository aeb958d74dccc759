/** Collects what is wrong with the records of one file: single findings up to a limit, the rest as a count. */
import { remember } from "../../core/maps.js";
import type { Finding } from "../finding.js";
import { type AnnotationRule, finding } from "./rules.js";

/** Findings of one rule and file that are kept one by one. */
const KEEP = 1000;

/** The index of a record that was found by its offset: nobody counted those before it. */
export const NO_INDEX = -1;

/** A record: its number, {@link NO_INDEX} where that is not known, and its first byte. */
interface Place {
  index: number;
  offset: number;
}

interface Group extends Place {
  rule: AnnotationRule;
  message: (count: number) => string;
  count: number;
}

export class Issues {
  readonly #single: Finding[] = [];
  readonly #kept = new Map<AnnotationRule, Place & { kept: number; more: number }>();
  readonly #groups = new Map<AnnotationRule, Map<string, Group>>();

  /** The record that is looked at. */
  index = NO_INDEX;
  offset = 0;

  /** @param path  of the annotation file, relative to the root */
  constructor(private readonly path: string) {}

  /** Says which record is looked at from now on: its number, {@link NO_INDEX} where that is not known, and its first byte. */
  at(index: number, offset: number): void {
    this.index = index;
    this.offset = offset;
  }

  /** Something wrong with the record. */
  record(rule: AnnotationRule, message: string): void {
    const { index, offset } = this;
    const state = remember(this.#kept, rule, () => ({ kept: 0, more: 0, index, offset }));
    if (state.kept === KEEP) {
      if (state.more++ === 0) Object.assign(state, { index, offset });
      return;
    }
    state.kept++;
    this.#single.push(finding(rule, this.path, message, place(index, offset)));
  }

  /**
   * Something that concerns many records alike, the one that is looked at among them: one finding for all with the same `key`, at
   * the first of them.
   *
   * @param message  called at the end with the number of records
   */
  group(rule: AnnotationRule, key: string, message: (count: number) => string): void {
    const { index, offset } = this;
    const groups = remember(this.#groups, rule, () => new Map());
    const group = groups.get(key);
    if (group === undefined) groups.set(key, { rule, message, index, offset, count: 1 });
    else {
      group.count++;
      // A sample is not looked at in the order of the file.
      if (offset < group.offset) Object.assign(group, { message, index, offset });
    }
  }

  #allGroups(): Group[] {
    return [...this.#groups.values()].flatMap((groups) => [...groups.values()]);
  }

  /** All findings, in the order of the (first) records in the file. */
  findings(): Finding[] {
    const all = [...this.#single];
    for (const [rule, { more, index, offset }] of this.#kept) {
      if (more === 0) continue;
      const message = `${more} more records have a fault of this kind`;
      all.push(finding(rule, this.path, message, { ...place(index, offset), count: more }));
    }
    for (const { rule, message, index, offset, count } of this.#allGroups()) {
      all.push(finding(rule, this.path, message(count), { ...place(index, offset), count }));
    }
    return all.sort((a, b) => a.offset! - b.offset!);
  }
}

function place(index: number, offset: number): { record?: string; offset: number } {
  return index === NO_INDEX ? { offset } : { record: `record ${index}`, offset };
}

/** `1 record names`, `12 records name`. */
export function records(count: number, verb: string): string {
  return count === 1 ? `1 record ${verb}s` : `${count} records ${verb}`;
}
