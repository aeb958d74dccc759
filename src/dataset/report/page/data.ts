/** The data that the HTML report hands to its script. */
import type { Rule } from "../../finding.js";

export interface PageRule extends Rule {
  /** The address of the page about the rule. */
  url: string;
}

/**
 * A finding as a row, because 100,000 findings as objects would repeat their keys as often. `rule` is a place in the list of
 * rules.
 */
export type PageRow = readonly [rule: number, path: string, record: string, message: string, places: number];

export interface PageData {
  /** The rules: the gravest come first and, of equally grave ones, that with the most findings. */
  rules: PageRule[];
  findings: PageRow[];
}
