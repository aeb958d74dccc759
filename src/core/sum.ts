/** Returns the sum of some numbers, or of what `of` returns for each of some values; 0 for none. */
export function sum(values: Iterable<number>): number;
export function sum<Value>(values: Iterable<Value>, of: (value: Value) => number): number;
export function sum<Value>(values: Iterable<Value>, of: (value: Value) => number = Number): number {
  let total = 0;
  for (const value of values) total += of(value);
  return total;
}
