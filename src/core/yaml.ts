/** Reading of YAML that users write; whatever is wrong with it is reported as a VistaError. */
import { isUtf8 } from "node:buffer";
import { cannot, VistaError } from "./errors.js";
import { readRegular } from "./io/regular.js";

/** The largest size of a config in bytes; the largest config of Vista has 7 kB. */
const MAX_BYTES = 1 << 18;

/**
 * Reads a YAML file. Its mappings become objects without a prototype, so that no key of a file is one that objects inherit.
 *
 * @param doing  what the reading is for, as the words after "cannot": `read the config`
 * @param options.python  whether to read it by the rules of PyYAML as OmegaConf uses it, as Vista reads its configs; what PyYAML
 *   does not take is refused. Otherwise every scalar is the text that is written there: `0123` is an account, `1.10` a version. `~`, `null` and nothing
 *   are null
 * @throws VistaError `NOT_FOUND`, `WRONG_KIND` and `IO` for the file, `FORMAT` for what is not YAML in UTF-8; that includes
 *   unknown aliases, merge keys whose value is no mapping, and expansions without an end
 */
export async function readYaml(
  path: string,
  doing: string,
  options: { python?: boolean } = {},
): Promise<unknown> {
  const bytes = await readRegular(path, MAX_BYTES).catch(cannot(doing, path));
  if (!isUtf8(bytes)) throw new VistaError("FORMAT", "not YAML: not text in UTF-8", { path });
  return parseYaml(String(bytes), path, options);
}

/** Parses a text as {@link readYaml} parses a file; `path` is the path for messages. */
export async function parseYaml(
  text: string,
  path: string,
  options: { python?: boolean } = {},
): Promise<unknown> {
  // The library is loaded only for the first text, since it is larger than most commands.
  const { parseYamlText } = await import("./yaml-text.js");
  return parseYamlText(text, path, options);
}
