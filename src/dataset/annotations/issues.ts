/** Collects what is wrong with the records of one file: single findings up to a limit, the rest as a count. */
import { finding } from "../define-rules.js";
import type { Finding, Rule } from "../finding.js";

/** Findings of one rule and file that are kept one by one. */
const KEEP = 1000;

interface Group {
  rule: Rule;
  message: (count: number) => string;
  index: number;
  offset: number;
  count: number;
}

export class Issues {
  readonly #path: string;
  readonly #single: Finding[] = [];
  readonly #kept = new Map<Rule, { kept: number; more: number; index: number; offset: number }>();
  readonly #groups = new Map<Rule, Map<string, Group>>();

  /** @param path  of the annotation file, relative to the root */
  constructor(path: string) {
    this.#path = path;
  }

  /**
   * Something wrong with one record.
   *
   * @param index  number of the record; {@link NO_INDEX} where it is not known
   */
  record(rule: Rule, index: number, offset: number, message: string): void {
    let state = this.#kept.get(rule);
    if (state === undefined) {
      state = { kept: 0, more: 0, index, offset };
      this.#kept.set(rule, state);
    }
    if (state.kept === KEEP) {
      if (state.more++ === 0) Object.assign(state, { index, offset });
      return;
    }
    state.kept++;
    this.#single.push(finding(rule, this.#path, message, place(index, offset)));
  }

  /**
   * Something that concerns many records alike: one finding for all with the same `key`, at the first of them.
   *
   * @param message  called at the end with the number of records
   */
  group(rule: Rule, key: string, index: number, offset: number, message: (count: number) => string): void {
    let groups = this.#groups.get(rule);
    if (groups === undefined) {
      groups = new Map();
      this.#groups.set(rule, groups);
    }
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
      all.push(finding(rule, this.#path, message, { ...place(index, offset), count: more }));
    }
    for (const { rule, message, index, offset, count } of this.#allGroups()) {
      all.push(finding(rule, this.#path, message(count), { ...place(index, offset), count }));
    }
    return all.sort((a, b) => a.offset! - b.offset!);
  }
}

/** The index of a record that was found by its offset: nobody counted those before it. */
export const NO_INDEX = -1;

function place(index: number, offset: number): { record?: string; offset: number } {
  return index === NO_INDEX ? { offset } : { record: `record ${index}`, offset };
}

/** `1 record names`, `12 records name`. */
export function records(count: number, verb: string): string {
  return count === 1 ? `1 record ${verb}s` : `${count} records ${verb}`;
}
