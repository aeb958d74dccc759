/**
 * The report of one command: what was checked, and the findings in one order that depends on nothing but themselves. Reports of
 * shards can therefore be joined into exactly what one run would have said (merge.ts).
 */

import { remember } from "../../core/maps.js";
import { compareText } from "../../core/text.js";
import type { Chart, CheckSummary, Finding, Rule, Severity, Shard } from "../finding.js";
import { joinPath } from "../paths.js";
import { RULES } from "../rules.js";

/** The number of findings in one folder (or table) under one rule. */
export interface FolderCount {
  folder: string;
  findings: number;
  /** The sum of the places that these findings stand for. */
  places: number;
}

/** The numbers of findings under one rule. */
export interface RuleCount extends Rule {
  /** The number of findings under the rule. */
  findings: number;
  /** The sum of the places that these findings stand for. */
  places: number;
  /** The folders by number of findings, with the most first. */
  folders: FolderCount[];
}

/** The options that decide on the content of a report, so that only reports of one kind are joined. */
export interface ReportOptions {
  /** The number of findings of each rule that are listed; the rest is only counted. */
  maxFindings: number;
  /** The codes of the rules whose findings are counted and left out. */
  ignore: string[];
  /** The command's other options that change what is checked, in words. */
  check: Record<string, string | number | boolean>;
}

/** The report of `vista-data check`, in the form of its `--json`. */
export interface Report {
  format: "vista-data report 1";
  version: string;
  /** The root as the user wrote it. */
  root: string;
  /** The verdict; `clean in part` means that nothing was found, and that not everything was looked at. */
  verdict: "clean" | "clean in part" | "errors" | "no errors" | "interrupted";
  /** The numbers of findings by severity. */
  counts: Record<Severity, number>;
  /** The summaries of the checks that the command made. */
  parts: CheckSummary[];
  /** The options that decided on what the report has. */
  options: ReportOptions;
  /** The shard of the check; undefined in the report of a whole run. */
  shard?: Shard;
  /** The rules with findings, in the order of the rule tables. */
  rules: RuleCount[];
  /** The findings, at most `options.maxFindings` of each rule, with paths relative to `root`. */
  findings: Finding[];
  /** The number of findings that were ignored, by rule. */
  ignored: Record<string, number>;
}

const ORDER = new Map(RULES.map((rule, index) => [rule.code, index]));

/**
 * Returns the place of a path in counts. A table (a JSON file below a version folder, an annotation file) is a place of its own;
 * other files count for their folder.
 */
export function folderOf(path: string): string {
  if (/(^|\/)(v\d[^/]*|annos|meta)\/[^/]+\.(json|csv)$/.test(path)) return path;
  const slash = path.lastIndexOf("/");
  return slash === -1 ? "." : path.slice(0, slash);
}

/** Compares findings by the one order that all reports have. */
export function compareFindings(a: Finding, b: Finding): number {
  return (
    (ORDER.get(a.rule) ?? ORDER.size) - (ORDER.get(b.rule) ?? ORDER.size) ||
    compareText(a.rule, b.rule) ||
    compareText(folderOf(a.path), folderOf(b.path)) ||
    compareText(a.path, b.path) ||
    (a.offset ?? -1) - (b.offset ?? -1) ||
    compareText(a.record ?? "", b.record ?? "") ||
    compareText(a.message, b.message) ||
    (a.count ?? 1) - (b.count ?? 1)
  );
}

/** The findings of one rule: all are counted, and the first `limit` of them are kept. */
class RuleFindings {
  readonly folders = new Map<string, FolderCount>();
  findings = 0;
  places = 0;
  #kept: Finding[] = [];

  constructor(private readonly limit: number) {}

  keep(finding: Finding): void {
    this.#kept.push(finding);
    if (this.#kept.length >= this.limit * 2 + 1000) this.#trim();
  }

  count(folder: string, findings: number, places: number): void {
    this.findings += findings;
    this.places += places;
    const known = remember(this.folders, folder, () => ({ folder, findings: 0, places: 0 }));
    known.findings += findings;
    known.places += places;
  }

  kept(): Finding[] {
    this.#trim();
    return this.#kept;
  }

  #trim(): void {
    this.#kept.sort(compareFindings);
    if (this.#kept.length > this.limit) this.#kept.length = this.limit;
  }
}

export class ReportBuilder {
  readonly #ignore: ReadonlySet<string>;
  readonly #rules = new Map<string, RuleFindings>();
  /**
   * The counts of ignored findings, without a prototype because reports are read from files, and `__proto__` is a rule like any
   * other.
   */
  readonly #ignored = Object.create(null) as Record<string, number>;

  constructor(
    private readonly root: string,
    private readonly options: ReportOptions,
  ) {
    this.#ignore = new Set(options.ignore);
  }

  /** Adds a finding. @returns false where the finding's rule is ignored */
  add(finding: Finding): boolean {
    if (this.#ignore.has(finding.rule)) {
      this.addIgnored(finding.rule, 1);
      return false;
    }
    const rule = this.#rule(finding.rule);
    rule.count(folderOf(finding.path), 1, finding.count ?? 1);
    rule.keep(finding);
    return true;
  }

  /** Adds what another report has counted and kept (see merge.ts). */
  addCounted(report: Report): void {
    for (const { code, folders } of report.rules) {
      for (const { folder, findings, places } of folders) this.#rule(code).count(folder, findings, places);
    }
    for (const finding of report.findings) this.#rule(finding.rule).keep(finding);
    for (const [rule, count] of Object.entries(report.ignored)) this.addIgnored(rule, count);
  }

  addIgnored(rule: string, count: number): void {
    this.#ignored[rule] = (this.#ignored[rule] ?? 0) + count;
  }

  finish(version: string, parts: CheckSummary[], shard?: Shard): Report {
    const rules: RuleCount[] = [];
    const findings: Finding[] = [];
    const counts: Record<Severity, number> = { error: 0, warning: 0, note: 0 };
    for (const { code, severity, title, fix } of RULES) {
      const found = this.#rules.get(code);
      if (found === undefined || found.findings === 0) continue;
      counts[severity] += found.findings;
      const folders = [...found.folders.values()];
      folders.sort((a, b) => b.findings - a.findings || compareText(a.folder, b.folder));
      rules.push({ code, severity, title, fix, findings: found.findings, places: found.places, folders });
      findings.push(...found.kept());
    }
    const interrupted = parts.some((part) => part.interrupted);
    const clean = isWhole(parts) ? "clean" : "clean in part";
    const found = counts.error > 0 ? "errors" : rules.length > 0 ? "no errors" : clean;
    return {
      format: "vista-data report 1",
      version,
      root: this.root,
      verdict: interrupted ? "interrupted" : found,
      counts,
      parts,
      options: this.options,
      shard,
      rules,
      findings,
      ignored: Object.fromEntries(Object.entries(this.#ignored).sort(([a], [b]) => compareText(a, b))),
    };
  }

  #rule(code: string): RuleFindings {
    return remember(this.#rules, code, () => new RuleFindings(this.options.maxFindings));
  }
}

/** Tells whether checks looked at all that they were to look at, and at anything: a shard may have nothing of its own. */
export function isWhole(parts: readonly CheckSummary[]): boolean {
  return (
    isAnythingSeen(parts) &&
    parts.every(
      ({ coverage, sampled }) =>
        coverage.every(({ checked, total }) => checked >= total) && (sampled ?? []).length === 0,
    )
  );
}

/** Tells whether checks looked at anything at all. */
export function isAnythingSeen(parts: readonly CheckSummary[]): boolean {
  return parts.some(({ coverage }) => coverage.some(({ checked }) => checked > 0));
}

/** Returns a summary with its paths relative to the command's root, and its charts in one order. */
export function normaliseSummary(summary: CheckSummary, prefix: string): CheckSummary {
  const path = (name: string) => joinPath(prefix, name);
  const normal: CheckSummary = { ...summary };
  if (summary.samples !== undefined) normal.samples = summary.samples.map(path).sort();
  if (summary.annotations !== undefined) {
    normal.annotations = summary.annotations.map((tally) => ({ ...tally, path: path(tally.path) }));
  }
  if (summary.charts !== undefined) {
    normal.charts = summary.charts.map((chart) => {
      const points = [...chart.points].sort((a, b) => naturalOrder(a.label, b.label));
      return { ...chart, points } as Chart;
    });
  }
  return normal;
}

/**
 * Compares names with numbers in them: "9 ms" comes before "10 ms". The order is the same on every machine, unlike that of
 * localeCompare.
 */
function naturalOrder(a: string, b: string): number {
  const left = a.match(/\d+|\D+/g) ?? [];
  const right = b.match(/\d+|\D+/g) ?? [];
  for (let i = 0; i < Math.min(left.length, right.length); i++) {
    const x = left[i]!;
    const y = right[i]!;
    const byNumber = /^\d/.test(x) && /^\d/.test(y) ? Number(x) - Number(y) : 0;
    const order = byNumber || compareText(x, y);
    if (order !== 0) return order;
  }
  return left.length - right.length;
}
