/** Commands as a POSIX shell reads them. */
import { quote } from "../../core/text.js";

/** The pattern of words that start a line in {@link toShellLines}: options, and train.py. */
const BREAK = /^(-|train\.py$)/;

/** Writes one command over several lines with `\`, an option and its value on each, for people and to be pasted. */
export function toShellLines(words: readonly string[]): string {
  const lines: string[][] = [];
  for (const [index, word] of words.entries()) {
    const fresh = index === 0 || (BREAK.test(word) && !(index === 1 && word === "-m"));
    const isValue = words[index - 1]?.startsWith("-") ?? false;
    if (fresh || (isDotted(word) && !isValue)) lines.push([word]);
    else lines.at(-1)?.push(word);
  }
  return lines.map((line) => line.map(quote).join(" ")).join(" \\\n    ");
}

/** Tells whether a word is a `dotted.key=value` argument of train.py. */
function isDotted(word: string): boolean {
  return /^[\w.[\]]+=/.test(word);
}
