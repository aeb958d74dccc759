/** Defines what a scan finds, and where. */

/** The rules of a scan. Every finding counts for the verdict, whatever its severity. */
export const SCAN_RULES = {
  "unknown-global": {
    severity: "error",
    title: "a class or function outside the list of what checkpoints need",
    fix: "Do not load the file unless you know what it is; torch.load with weights_only=True refuses it.",
  },
  "odd-operation": {
    severity: "error",
    title: "an operation that pickles of checkpoints never use",
    fix: "Do not load the file: such operations serve to reach what is not named.",
  },
  unparsed: {
    severity: "error",
    title: "something that could not be read to its end, so it may hold anything",
    fix: "Do not load the file; where it should be sound, copy it again and scan that.",
  },
  contradiction: {
    severity: "error",
    title: "a record that contradicts what the file says of it, or bytes that belong to no record",
    fix: "Do not load the file: other programs may read it in another way than this one did.",
  },
  program: {
    severity: "error",
    title: "a program inside the file (TorchScript), which torch.jit.load runs",
    fix: "Load it only if you trust who made it.",
  },
  "not-understood": {
    severity: "error",
    title: "content of a kind that this command does not know, so nothing is said of it",
    fix: "Look at it with a tool for its kind.",
  },
} as const satisfies Record<string, { severity: "error" | "note"; title: string; fix: string }>;

export type ScanRule = keyof typeof SCAN_RULES;

export interface ScanFinding {
  readonly rule: ScanRule;
  readonly severity: "error" | "note";
  readonly path: string;
  /** The record; records within records are joined by `!` from the outside in: `archive/data.pkl!state.blob`. */
  readonly record?: string;
  /** The byte offset in the record, or in the file where there is no record. */
  readonly offset?: number;
  readonly message: string;
}

/** The account of one file that was looked at. */
export interface ScannedFile {
  readonly path: string;
  /** The kind of its content: `torch zip`, `pickle`, `safetensors` … */
  readonly kind: string;
  readonly bytes: number;
  readonly pickles: number;
  readonly records: number;
  /** The names that its pickles mention, known ones among them. */
  readonly globals: readonly string[];
  readonly findings: number;
}

export interface ScanReport {
  readonly files: readonly ScannedFile[];
  readonly findings: readonly ScanFinding[];
  /** The number of findings that are counted and not listed. */
  readonly more: number;
  /** Whether everything was understood and nothing was found; false also where there was no file to look at. */
  readonly clean: boolean;
}

/** The largest number of findings of one scan that are listed; the rest are only counted. */
const MAX_FINDINGS = 10_000;

export class Findings {
  readonly list: ScanFinding[] = [];
  count = 0;

  add(rule: ScanRule, message: string, place: Place, offset?: number): void {
    this.count++;
    if (this.list.length >= MAX_FINDINGS) return;
    this.list.push({
      rule,
      severity: SCAN_RULES[rule].severity,
      path: place.path,
      record: place.record,
      offset,
      message,
    });
  }
}

/** The place of a finding: a file, or a record in it. */
export interface Place {
  readonly path: string;
  readonly record?: string;
}

export function inside(place: Place, record: string): Place {
  return { path: place.path, record: place.record === undefined ? record : `${place.record}!${record}` };
}
