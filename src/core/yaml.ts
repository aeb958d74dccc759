/** YAML of users, with its errors as ours. */
import { cannot } from "./errors.js";
import { readRegular } from "./io/regular.js";

/** Bytes of a config; the largest of Vista's has 7 kB. */
const MAX_BYTES = 1 << 18;

/**
 * Reads a YAML file whose mappings become objects without a prototype, so that no key of a file is one of ours.
 *
 * @param doing  what the reading is for, after "cannot": `read the config`
 * @param options.merge  merge keys (`<<`), as PyYAML and so OmegaConf have them
 * @throws VistaError `NOT_FOUND`, `WRONG_KIND` and `IO` of the file, `FORMAT` for what is not YAML (unknown aliases, merge
 *   keys of what is no mapping and expansions without an end among it)
 */
export async function readYaml(
  path: string,
  doing: string,
  options: { merge?: boolean } = {},
): Promise<unknown> {
  const text = String(await readRegular(path, MAX_BYTES).catch(cannot(doing, path)));
  return parseYaml(text, path, options);
}

/** As {@link readYaml} does with a text; `path` is for messages. */
export async function parseYaml(
  text: string,
  path: string,
  options: { merge?: boolean } = {},
): Promise<unknown> {
  // Loaded for the first text: the library is larger than most commands.
  const { parseYamlText } = await import("./yaml-text.js");
  return parseYamlText(text, path, options);
}
