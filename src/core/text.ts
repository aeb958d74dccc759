/** Small things about text that messages, tables and reports share. */

/** 1234567 → `1,234,567`. Not by `toLocaleString`, whose first call takes 40 ms. */
export function formatCount(count: number): string {
  return String(Math.round(count)).replace(/\B(?=(?:\d{3})+$)/g, ",");
}

/** `1 tensor`, `2 tensors`. */
export function plural(count: number, noun: string, many = `${noun}s`): string {
  return `${formatCount(count)} ${count === 1 ? noun : many}`;
}

/** By code units: the same order on every machine, unlike `localeCompare`. */
export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** A value that a file has where a text is expected. Not by `String`, which a list nested deep, or an own `toString`, would break. */
export function textOf(value: unknown): string {
  if (typeof value !== "object" || value === null) return String(value);
  return Array.isArray(value) ? `<list of ${value.length}>` : "<mapping>";
}

/** As {@link textOf}, for a number; NaN for lists and mappings. */
export function numberOf(value: unknown): number {
  return typeof value === "object" ? Number.NaN : Number(value);
}

/** Quotes one word of a shell's command, only where the shell would change it; zsh takes `=word` for the path of a program. */
export function quote(word: string): string {
  return /^[\w@%+:,./-][\w@%+=:,./-]*$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** Halves of surrogate pairs: with the `u` flag only those without their partner match. */
export const LONE_SURROGATE = /\p{Surrogate}/u;
