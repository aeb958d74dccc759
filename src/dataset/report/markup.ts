/** HTML as text that cannot be broken by what is put into it. */

/** A text that is HTML already. */
export class Markup {
  constructor(readonly text: string) {}
}

type Content = Markup | string | number | undefined | readonly Content[];

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

/** Returns a text, such as a file's name, so that it holds no tag and cannot end an attribute in quotes. */
function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (letter) => ENTITIES[letter]!);
}

/**
 * Returns HTML from a template. What is put in counts as text, unless this function itself has made it. Attributes must have
 * quotes.
 */
export function html(parts: TemplateStringsArray, ...contents: Content[]): Markup {
  return new Markup(parts.reduce((text, part, i) => text + textOf(contents[i - 1]) + part));
}

function textOf(content: Content): string {
  if (content === undefined) return "";
  if (content instanceof Markup) return content.text;
  if (typeof content === "object") return content.map(textOf).join("");
  return escapeHtml(String(content));
}
