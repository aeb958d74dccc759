/** Small helpers for text that messages, tables and reports share. */

/** Formats 1234567 as `1,234,567`. It does so without `toLocaleString`, whose first call takes 40 ms. */
export function formatCount(count: number): string {
  return String(Math.round(count)).replace(/\B(?=(?:\d{3})+$)/g, ",");
}

/** Returns a count with its noun, such as `1 tensor` or `2 tensors`. */
export function plural(count: number, noun: string, many = `${noun}s`): string {
  return `${formatCount(count)} ${count === 1 ? noun : many}`;
}

/** Compares texts by code units, which gives the same order on every machine, unlike `localeCompare`. */
export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/**
 * Returns a text for a value that a file has where a text is expected. `String` alone would fail for a list that is nested deep
 * and for a mapping with a `toString` of its own.
 */
export function textOf(value: unknown): string {
  if (typeof value !== "object" || value === null) return String(value);
  return Array.isArray(value) ? `<list of ${value.length}>` : "<mapping>";
}

/** Returns a number for a value that a file has where a number is expected; NaN for lists, mappings and null. */
export function numberOf(value: unknown): number {
  return typeof value === "object" ? Number.NaN : Number(value);
}

/** Returns the words of a text, for long lists of names. */
export function words(text: string): readonly string[] {
  return text.trim().split(/\s+/);
}

/** Quotes one word of a shell command where the shell would change it; zsh takes `=word` for the path of a program. */
export function quote(word: string): string {
  return /^[\w@%+:,./-][\w@%+=:,./-]*$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** The pattern of half a surrogate pair; with the `u` flag it matches only a half without its partner. */
export const LONE_SURROGATE = /\p{Surrogate}/u;

/** Returns the value of a text that is JSON; `undefined` for any other text. */
export function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
