/** A line of values as a small chart of text. */

const BLOCKS = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];

export interface Chart {
  /** Top row first. */
  rows: string[];
  /** Values that the lowest and the highest column stand for. */
  low: number;
  high: number;
}

/**
 * Draws values as rows of block characters; each column is the mean of its share of the values. Values that are no
 * finite numbers are left out; undefined where none is left.
 *
 * @param width  columns at most
 * @param height  rows
 */
export function drawChart(values: readonly number[], width: number, height: number): Chart | undefined {
  const finite = values.filter(Number.isFinite);
  if (finite.length === 0) return undefined;
  const columns = binMeans(finite, Math.min(width, finite.length));
  const low = Math.min(...columns);
  const high = Math.max(...columns);
  const span = high - low;
  const steps = height * BLOCKS.length;
  // Every column shows at least one step, so that the lowest value is seen, too.
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

/** Means of `count` runs of nearly equal length. */
export function binMeans(values: readonly number[], count: number): number[] {
  return Array.from({ length: count }, (_, bin) => {
    const from = Math.floor((bin * values.length) / count);
    const to = Math.floor(((bin + 1) * values.length) / count);
    let sum = 0;
    for (let i = from; i < to; i++) sum += values[i]!;
    return sum / (to - from);
  });
}
