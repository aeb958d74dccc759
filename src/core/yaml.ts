/** Reading of YAML that users write; whatever is wrong with it is reported as a VistaError. */
import { cannot } from "./errors.js";
import { readRegular } from "./io/regular.js";

/** The largest size of a config in bytes; the largest config of Vista has 7 kB. */
const MAX_BYTES = 1 << 18;

/**
 * Reads a YAML file. Its mappings become objects without a prototype, so that no key of a file is one that objects inherit.
 *
 * @param doing  what the reading is for, as the words after "cannot": `read the config`
 * @param options.merge  whether merge keys (`<<`) are understood, as they are by PyYAML and so by OmegaConf
 * @throws VistaError `NOT_FOUND`, `WRONG_KIND` and `IO` for the file, `FORMAT` for what is not YAML; that includes unknown
 *   aliases, merge keys whose value is no mapping, and expansions without an end
 */
export async function readYaml(
  path: string,
  doing: string,
  options: { merge?: boolean } = {},
): Promise<unknown> {
  const text = String(await readRegular(path, MAX_BYTES).catch(cannot(doing, path)));
  return parseYaml(text, path, options);
}

/** Parses a text as {@link readYaml} parses a file; `path` is the path for messages. */
export async function parseYaml(
  text: string,
  path: string,
  options: { merge?: boolean } = {},
): Promise<unknown> {
  // The library is loaded only for the first text, since it is larger than most commands.
  const { parseYamlText } = await import("./yaml-text.js");
  return parseYamlText(text, path, options);
}
