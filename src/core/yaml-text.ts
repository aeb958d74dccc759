/** The text of a YAML file as values, within bounds. */
import { Parser, parseDocument } from "yaml";
import { VistaError } from "./errors.js";

/** Keys and values of a config; the largest of Vista's has some 400. The library's time grows with their square. */
const MAX_NODES = 10_000;

/** Mappings and lists within one another; Vista's go 9 deep. V8 ends the process where a pattern meets a full stack. */
const MAX_DEPTH = 100;

/** What one file's aliases may expand to, a bound of the library's own; Vista's have three. */
const MAX_ALIASES = 100;

/**
 * @param path  for messages
 * @throws VistaError `FORMAT`
 */
export function parseYamlText(text: string, path: string, { merge = false }: { merge?: boolean }): unknown {
  const bad = (error: unknown) => {
    const [line = ""] = String((error as Error).message).split("\n");
    return new VistaError("FORMAT", `not YAML: ${line.replace(/:$/, "")}`, { path, cause: error });
  };
  try {
    checkBounds(text);
    // Without warnings of the library on stderr, which no command asked for.
    const document = parseDocument(text, { merge, logLevel: "error" });
    const [problem] = document.errors;
    if (problem !== undefined) throw problem;
    return withoutPrototypes(document.toJS({ maxAliasCount: MAX_ALIASES }));
  } catch (error) {
    // Among them ReferenceError for an alias to nothing, TypeError for keys that are mappings, RangeError for depth.
    throw bad(error);
  }
}

/** The syntax alone is read without recursion; making values of it is not. */
function checkBounds(text: string): void {
  const open: [token: Syntax, depth: number][] = [];
  for (const token of new Parser().parse(text)) open.push([token as Syntax, 0]);
  for (let nodes = 0; open.length > 0; nodes++) {
    const [token, depth] = open.pop()!;
    if (depth > MAX_DEPTH) throw new Error(`mappings or lists are more than ${MAX_DEPTH} deep`);
    if (nodes > MAX_NODES) throw new Error(`more than ${MAX_NODES} keys and values`);
    if (typeof token.value === "object" && token.value !== null) open.push([token.value, depth]);
    for (const { key, value } of token.items ?? []) {
      if (key) open.push([key, depth + 1]);
      if (value) open.push([value, depth + 1]);
    }
  }
}

/** What the bounds need of the parser's tokens: a document has a value, a collection has items. */
interface Syntax {
  value?: Syntax | string | undefined;
  items?: readonly { key?: Syntax | null; value?: Syntax | undefined }[];
}

function withoutPrototypes(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(withoutPrototypes);
  const copy: Record<string, unknown> = Object.create(null);
  for (const [key, item] of Object.entries(value)) copy[key] = withoutPrototypes(item);
  return copy;
}
