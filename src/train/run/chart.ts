/** The drawing of a series of values as a small chart of text. */

import { sum } from "../../core/sum.js";

const BLOCKS = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];

export interface Chart {
  /** The rows, the top one first. */
  rows: string[];
  /** The value that the lowest column stands for; `high` is that of the highest. */
  low: number;
  high: number;
}

/**
 * Draws values as rows of block characters; each column is the mean of its share of the values. Values that are no
 * finite numbers are left out.
 *
 * @param width  the largest number of columns
 * @param height  the number of rows
 * @returns undefined where no value is left
 */
export function drawChart(values: readonly number[], width: number, height: number): Chart | undefined {
  const finite = values.filter(Number.isFinite);
  if (finite.length === 0) return undefined;
  const columns = binMeans(finite, Math.min(width, finite.length));
  const low = Math.min(...columns);
  const high = Math.max(...columns);
  const span = high - low;
  const steps = height * BLOCKS.length;
  // Every column shows at least one step, so that the lowest value is seen too.
  const heights = columns.map((value) =>
    span === 0 ? 1 : 1 + Math.round(((value - low) / span) * (steps - 1)),
  );
  const rows: string[] = [];
  for (let row = height - 1; row >= 0; row--) {
    const text = heights.map((filled) => {
      const here = filled - row * BLOCKS.length;
      return here <= 0 ? " " : BLOCKS[Math.min(here, BLOCKS.length) - 1];
    });
    rows.push(text.join("").trimEnd());
  }
  return { rows, low, high };
}

/** Returns the means of `count` runs of values, of nearly equal length. */
export function binMeans(values: readonly number[], count: number): number[] {
  return Array.from({ length: count }, (_, bin) => {
    const from = Math.floor((bin * values.length) / count);
    const to = Math.floor(((bin + 1) * values.length) / count);
    return sum(values.slice(from, to)) / (to - from);
  });
}
