/** Parsing of the text of a YAML file into values, within bounds. */
import { Parser, parseDocument } from "yaml";
import { VistaError } from "./errors.js";
import { checkPythonKeys, checkPythonText, PYTHON_OPTIONS } from "./yaml-python.js";

/**
 * The largest number of keys and values of a config; the largest config of Vista has some 400. The library's time grows with the
 * square of their number.
 */
const MAX_NODES = 10_000;

/**
 * The deepest nesting of mappings and lists; Vista's go 9 deep. V8 ends the process where a regular expression meets a full
 * stack.
 */
const MAX_DEPTH = 100;

/** The bound, in the library's own measure, on what the aliases of one file expand to; Vista's files have three aliases. */
const MAX_ALIASES = 100;

/**
 * Parses the text of a YAML file. @throws VistaError `FORMAT`
 * @param options.python  whether as PyYAML and OmegaConf read it; otherwise every scalar is the text that is written there, or null
 */
export function parseYamlText(
  written: string,
  path: string,
  { python = false }: { python?: boolean },
): unknown {
  // Python takes a carriage return alone for the end of a line, too.
  const text = python ? written.replace(/\r\n?/g, "\n") : written;
  const bad = (error: unknown) => {
    const [line = ""] = String((error as Error).message).split("\n");
    return new VistaError("FORMAT", `not YAML: ${line.replace(/:$/, "")}`, { path, cause: error });
  };
  try {
    checkBounds(text);
    if (python) checkPythonText(text);
    // The library would otherwise print warnings on stderr, which no command asked for.
    const options = python ? PYTHON_OPTIONS : { schema: "failsafe" as const, customTags: ["null" as const] };
    const document = parseDocument(text, { ...options, logLevel: "error" });
    const [problem] = document.errors;
    if (problem?.code === "MULTIPLE_DOCS") throw new Error("more than one document, parted by `---`");
    if (problem !== undefined) throw problem;
    if (python) checkPythonKeys(document);
    return withoutPrototypes(document.toJS({ maxAliasCount: MAX_ALIASES }));
  } catch (error) {
    // The library also throws ReferenceError for an alias to nothing, TypeError for keys that are mappings, RangeError for depth.
    throw bad(error);
  }
}

/** Checks the bounds on the syntax alone, which is read without recursion; the making of values is recursive. */
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

/** The part of the parser's tokens that the bounds need: a document has a value, a collection has items. */
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
