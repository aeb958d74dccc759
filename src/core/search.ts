/**
 * Finds, by binary search, the first of `count` places for which `holds` is true, as it has to be for all places after it.
 *
 * @returns `count` where there is none
 */
export function firstWhere(count: number, holds: (at: number) => boolean): number {
  let low = 0;
  let high = count;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if (holds(middle)) high = middle;
    else low = middle + 1;
  }
  return low;
}
