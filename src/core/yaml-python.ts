/**
 * The rules by which PyYAML, as OmegaConf uses it, reads what YAML 1.2 reads otherwise: `0500` is 320, `yes` is true, `1:30` is 90.
 * The sources are resolver.py, constructor.py and scanner.py of PyYAML 6.0, and `get_yaml_loader` of OmegaConf 2.3.
 */
import { type Document, isAlias, isScalar, Lexer, type parseDocument, type ScalarTag, visit } from "yaml";

const NULL = /^(?:~|null|Null|NULL|)$/;
const BOOL = /^(?:yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF)$/;
const TRUE = /^(?:yes|true|on)$/i;
const INT =
  /^(?:[-+]?0b[01_]+|[-+]?0[0-7_]+|[-+]?(?:0|[1-9][0-9_]*)|[-+]?0x[0-9a-fA-F_]+|[-+]?[1-9][0-9_]*(?::[0-5]?[0-9])+)$/;
/** PyYAML's own pattern and the one that OmegaConf adds, which takes `1e-4` too. */
const FLOAT = [
  /^(?:[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$/,
  /^(?:[-+]?[0-9]+(?:_[0-9]+)*\.[0-9_]*(?:[eE][-+]?[0-9]+)?|[-+]?[0-9]+(?:_[0-9]+)*[eE][-+]?[0-9]+|\.[0-9]+(?:_[0-9]+)*(?:[eE][-+][0-9]+)?|[-+]?[0-9]+(?:_[0-9]+)*(?::[0-5]?[0-9])+\.[0-9_]*)$/,
];

/** The tag of all scalars without quotes, but for merge keys. */
const PYTHON_SCALAR: ScalarTag = {
  tag: "tag:yaml.org,2002:python-scalar",
  default: true,
  test: /^/,
  resolve: plainValue,
};

export const PYTHON_OPTIONS = {
  version: "1.1",
  schema: "failsafe",
  customTags: ["merge", PYTHON_SCALAR],
} as const satisfies Parameters<typeof parseDocument>[1];

/**
 * Returns the value of a scalar without quotes. A float that is a whole number becomes the text that Python writes for it, `25.0`: to
 * JavaScript it would be an integer, and where Python counts with it, it fails.
 */
function plainValue(text: string): unknown {
  if (NULL.test(text)) return null;
  if (BOOL.test(text)) return TRUE.test(text);
  if (FLOAT.some((pattern) => pattern.test(text))) {
    const value = floatValue(text);
    return Number.isInteger(value) ? floatText(value) : value;
  }
  if (INT.test(text)) return intValue(text);
  // These two have a meaning as keys, and PyYAML knows no value for them.
  if (text === "=" || text === "<<") throw new Error(`PyYAML has no value for a plain \`${text}\``);
  return text;
}

function floatValue(text: string): number {
  const [, sign, digits] = /^([-+]?)(.*)$/.exec(text.replaceAll("_", "").toLowerCase())!;
  const factor = sign === "-" ? -1 : 1;
  if (digits === ".inf") return factor * Number.POSITIVE_INFINITY;
  if (digits === ".nan") return Number.NaN;
  return factor * sexagesimal(digits!);
}

function floatText(value: number): string {
  const text = Object.is(value, -0) ? "-0" : String(value);
  return text.includes("e") ? text : `${text}.0`;
}

function intValue(text: string): number {
  const [, sign, digits] = /^([-+]?)(.*)$/.exec(text.replaceAll("_", ""))!;
  const value = /^0[0-7]+$/.test(digits!) ? Number(`0o${digits}`) : sexagesimal(digits!);
  // Only a prefix is left of `0x_`.
  if (Number.isNaN(value)) throw new Error(`\`${text}\` is no number to Python`);
  return sign === "-" ? 0 - value : value;
}

function sexagesimal(digits: string): number {
  return digits.split(":").reduce((value, part) => value * 60 + Number(part), 0);
}

/** The characters that PyYAML takes, without those that are ends of lines to it and not to other readers. */
const PRINTABLE = /^[\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]*/u;

/** Checks the words of a text for what other readers of YAML take and PyYAML does not, and for tags. @throws Error */
export function checkPythonText(text: string): void {
  const odd = text.codePointAt(PRINTABLE.exec(text)![0].length);
  if (odd !== undefined) {
    const code = odd.toString(16).toUpperCase().padStart(4, "0");
    throw new Error(`it has the character U+${code}, which PyYAML does not take here`);
  }
  let previous = "";
  let inBlock = false;
  let flow = 0;
  const anchors = new Set<string>();
  for (const lexeme of new Lexer().lex(text)) {
    // The lexer marks each scalar without quotes, and each text below `|` or `>`, by U+001F before it.
    const isUnquoted = previous === "\x1f";
    const isPlain = isUnquoted && !inBlock;
    previous = lexeme;
    // To PyYAML a tab is no blank: it is taken in quotes, comments and the text below `|` or `>` alone.
    if (lexeme.includes("\t") && (isPlain || !(isUnquoted || /^["'#]/.test(lexeme))))
      throw new Error("there is a tab between words, which PyYAML does not take");
    if (flow > 0 && isPlain && /^:|\?/.test(lexeme))
      throw new Error(`PyYAML does not take \`${lexeme}\` in brackets without quotes`);
    if (isUnquoted) {
      inBlock = false;
      continue;
    }
    if (/^[|>]/.test(lexeme)) inBlock = true;
    else if (/^[[{]/.test(lexeme)) flow++;
    else if (/^[\]}]/.test(lexeme)) flow--;
    else if (lexeme.startsWith("!")) throw new Error(`the tag ${lexeme} is not read here`);
    else if (/^[&*]/.test(lexeme) && (!/^.[\w-]+$/.test(lexeme) || anchors.has(lexeme)))
      throw new Error(
        `PyYAML does not take ${lexeme} here: a name has letters, digits, _ and -, and is given once`,
      );
    if (lexeme.startsWith("&")) anchors.add(lexeme);
  }
}

/** Checks the keys of a document: lists, mappings and null are none to OmegaConf, and the order of two merges is not known here. */
export function checkPythonKeys(document: Document): void {
  visit(document, {
    Map(_, { items }) {
      const keys = items.map(({ key }) => (isScalar(key) ? key.value : isAlias(key) ? key.source : null));
      if (keys.includes(null)) throw new Error("a key is null, a list or a mapping");
      if (keys.filter((key) => typeof key === "symbol").length > 1)
        throw new Error("one mapping has several merge keys `<<`: write one list of them");
    },
  });
}
