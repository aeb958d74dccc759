/** What the HTML report hands to its script. */
import type { Severity } from "../../finding.js";

export interface PageRule {
  code: string;
  severity: Severity;
  title: string;
  fix: string;
  /** Where its page can be read. */
  url: string;
}

/** A finding as a row: as objects, 100,000 findings would repeat their keys as often. `rule` is a place in the list of rules. */
export type PageRow = readonly [rule: number, path: string, record: string, message: string, places: number];

export interface PageData {
  /** The gravest first, of equal ones that with the most findings. */
  rules: PageRule[];
  findings: PageRow[];
}
