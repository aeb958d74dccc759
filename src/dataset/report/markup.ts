/** HTML as text that cannot be broken by what is put into it. */

/** Text that is HTML already. */
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

/** Of what files name: no tag, no end of an attribute in quotes. */
export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (letter) => ENTITIES[letter]!);
}

/** A template of HTML: what is put in is text, unless it is made by this function itself. Attributes must have quotes. */
export function html(parts: TemplateStringsArray, ...contents: Content[]): Markup {
  return new Markup(parts.reduce((text, part, i) => text + textOf(contents[i - 1]) + part));
}

function textOf(content: Content): string {
  if (content === undefined) return "";
  if (content instanceof Markup) return content.text;
  if (typeof content === "object") return content.map(textOf).join("");
  return escapeHtml(String(content));
}
