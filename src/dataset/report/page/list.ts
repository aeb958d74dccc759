/** The list in the report's page: which findings it shows, in which order, and how they are copied. */
import type { Severity } from "../../finding.js";
import type { PageData, PageRow } from "./data.js";

export interface Filter {
  /** The code of a rule, or "" for all. */
  rule: string;
  /** The words that must all be in the file, the record or the text. */
  text: string;
  severities: ReadonlySet<Severity>;
}

/** The column to sort by; -1 is the order by severity and count. */
export interface Order {
  column: number;
  up: boolean;
}

type Key = (row: PageRow, rules: PageData["rules"]) => string | number;

/** The columns of the list. Rules are in the order of severity and count, so that a rule's number sorts by both. */
export const COLUMNS: readonly { title: string; key: Key }[] = [
  { title: "Severity", key: ([rule]) => rule },
  { title: "Rule", key: ([rule], rules) => rules[rule]!.code },
  { title: "File", key: ([, path]) => path },
  { title: "Record", key: ([, , record]) => record },
  { title: "What", key: ([, , , message]) => message },
  { title: "Places", key: ([, , , , places]) => places },
];

/** The findings of a report, in which rows are found quickly, also among 100,000. */
export class FindingList {
  readonly #data: PageData;
  /** The rows in the order of severity and count; those of one rule are in the order of the report. */
  readonly #rows: readonly PageRow[];
  /** The texts that are searched, in small letters, which are made at the first search. */
  #texts: Map<PageRow, string> | undefined;

  constructor(data: PageData) {
    this.#data = data;
    this.#rows = [...data.findings].sort((a, b) => a[0] - b[0]);
  }

  select({ rule, text, severities }: Filter, order: Order = { column: -1, up: true }): PageRow[] {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    const texts = words.length === 0 ? undefined : this.#searched();
    const wanted = this.#data.rules.map(
      (each) => severities.has(each.severity) && (rule === "" || each.code === rule),
    );
    const rows = this.#rows.filter(
      (row) => wanted[row[0]] && words.every((word) => texts!.get(row)!.includes(word)),
    );
    const column = COLUMNS[order.column];
    if (column === undefined) return rows;
    const sign = order.up ? 1 : -1;
    const { rules: all } = this.#data;
    return rows.sort((a, b) => compare(column.key(a, all), column.key(b, all)) * sign);
  }

  #searched(): Map<PageRow, string> {
    this.#texts ??= new Map(this.#rows.map((row) => [row, `${row[1]}\n${row[2]}\n${row[3]}`.toLowerCase()]));
    return this.#texts;
  }
}

function compare(a: string | number, b: string | number): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Returns rows as text, one a line: the file, the record and what is wrong, parted by tabs. */
export function toText(rows: readonly PageRow[]): string {
  return rows.map(([, path, record, message]) => `${path}\t${record}\t${message}\n`).join("");
}

/** Returns which of `count` rows are in view, and some on both sides of them. */
export function rowsInView(
  top: number,
  height: number,
  rowHeight: number,
  count: number,
): { from: number; to: number } {
  const spare = 4;
  const from = Math.max(0, Math.floor(top / rowHeight) - spare);
  return { from: Math.min(from, count), to: Math.min(count, Math.ceil((top + height) / rowHeight) + spare) };
}

/**
 * Returns the row to which a key moves from row `at`, or undefined for a key that does not move. `page` is the number of rows in
 * view.
 */
export function rowAfterKey(key: string, at: number, page: number, count: number): number | undefined {
  const moves: Record<string, number> = {
    ArrowDown: at + 1,
    ArrowUp: at - 1,
    PageDown: at + Math.max(1, page),
    PageUp: at - Math.max(1, page),
    Home: 0,
    End: count - 1,
  };
  const to = Object.hasOwn(moves, key) ? moves[key] : undefined;
  return to === undefined || count === 0 ? undefined : Math.max(0, Math.min(count - 1, to));
}
