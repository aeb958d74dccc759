/** Recipes: the documented ones, and those that users add in `vista-train.yaml`. */
import { VistaError } from "../../core/errors.js";
import { isRecord } from "../../core/maps.js";
import { numberOf, words } from "../../core/text.js";
import { readYaml } from "../../core/yaml.js";
import { BUILT_IN_RECIPES, type Recipe, SVD } from "./built-in-recipes.js";
import { COMMANDS, hasControlCharacters, SBATCH_NAME, UNSAID, VARIABLE_NAME } from "./names.js";
import { LEFT_OUT } from "./plan.js";

/** The names that the command line takes for something else. */
const RESERVED = new Set<string>([...COMMANDS, ...UNSAID, SVD]);

const KEYS = new Set(
  words("extends title launcher nodes gpus base startsFrom iterations next args env slurm"),
);
const SLURM_KEYS = new Set(["partition", "time", "account", "sbatch"]);

/**
 * Reads `vista-train.yaml` and returns the built-in recipes with its own added; one of the same name replaces the built-in one.
 * See docs/training.md for the format.
 *
 * @throws VistaError `NOT_FOUND`, `FORMAT` with the recipe and the key that is wrong
 */
export async function loadRecipes(path?: string): Promise<Map<string, Recipe>> {
  // Whoever changes a recipe changes a copy of it.
  const recipes = new Map(BUILT_IN_RECIPES.map((recipe) => [recipe.name, structuredClone(recipe)]));
  if (path === undefined) return recipes;
  const root = (await readYaml(path, "read the recipes")) ?? {};
  if (!isRecord(root)) throw malformed("must be a mapping with the key `recipes`", path);
  onlyKnown(root, new Set(["recipes"]), path, "the file");
  const rows = root.recipes ?? {};
  if (!isRecord(rows)) throw malformed("`recipes` must map names to recipes", path);
  for (const [name, row] of Object.entries(rows)) {
    if (RESERVED.has(name) || !/^[\w.-]+$/.test(name) || name.startsWith("-")) {
      throw malformed(`\`${name}\` cannot be the name of a recipe`, path);
    }
    recipes.set(name, parseRecipe(name, row, recipes, path));
  }
  for (const recipe of recipes.values()) {
    for (const other of [recipe.next, recipe.startsFrom === SVD ? undefined : recipe.startsFrom]) {
      if (other !== undefined && !recipes.has(other)) {
        throw malformed(`recipe ${recipe.name} names \`${other}\`, which is no recipe`, path);
      }
    }
  }
  return recipes;
}

function malformed(what: string, path: string): VistaError {
  return new VistaError("FORMAT", what, { path, hint: "docs/training.md has an example of such a file." });
}

function parseRecipe(name: string, row: unknown, known: Map<string, Recipe>, path: string): Recipe {
  const where = `recipe ${name}`;
  if (!isRecord(row)) throw malformed(`${where} must be a mapping`, path);
  onlyKnown(row, KEYS, path, where);
  const parent = row.extends === undefined ? undefined : known.get(String(row.extends));
  if (row.extends !== undefined && parent === undefined) {
    const what = `${where} extends \`${row.extends}\`, which is no recipe above it`;
    throw malformed(what, path);
  }
  const fail = (key: string, must: string): never => {
    throw malformed(`${where}: \`${key}\` must be ${must}`, path);
  };
  const plain = (key: string, value: unknown, must = "a text"): string => {
    if (typeof value !== "string" || value === "") return fail(key, must);
    return hasControlCharacters(value) ? fail(key, "without line breaks and control characters") : value;
  };
  const text = (key: string, from: Record<string, unknown> = row): string | undefined =>
    from[key] === undefined ? undefined : plain(key, from[key]);
  const count = (key: string): number | undefined => {
    if (row[key] === undefined) return undefined;
    const value = numberOf(row[key]);
    return Number.isSafeInteger(value) && value > 0 ? value : fail(key, "a whole number above 0");
  };
  const list = (key: string): string[] | undefined => {
    const value = row[key];
    if (value === undefined) return undefined;
    return [value].flat().map((item) => plain(key, item, "a list of texts"));
  };
  const map = (key: string, from: Record<string, unknown>, name: RegExp): Record<string, string> => {
    const { [key]: value = {} } = from;
    if (!isRecord(value)) return fail(key, "a mapping");
    const texts = Object.entries(value).map(([k, v]): [string, string] => {
      if (!name.test(k)) return fail(`${key}: ${k}`, "a name without blanks and signs");
      return [k, v ? plain(`${key}: ${k}`, v) : ""];
    });
    return Object.fromEntries(texts);
  };
  const launcher = text("launcher") ?? parent?.launcher ?? "torchrun";
  if (launcher !== "torchrun" && launcher !== "python") return fail("launcher", "`torchrun` or `python`");
  const base = list("base") ?? parent?.base;
  if (base === undefined || base.length === 0) return fail("base", "given: one config file or several");
  const slurm = row.slurm ?? {};
  if (!isRecord(slurm)) return fail("slurm", "a mapping");
  onlyKnown(slurm, SLURM_KEYS, path, `${where}: slurm`);
  const recipe: Recipe = {
    name,
    title: text("title") ?? parent?.title ?? name,
    launcher,
    nodes: count("nodes") ?? parent?.nodes ?? 1,
    gpus: count("gpus") ?? parent?.gpus ?? 8,
    base,
    startsFrom: text("startsFrom") ?? parent?.startsFrom ?? SVD,
    iterations: count("iterations") ?? parent?.iterations,
    next: text("next") ?? parent?.next,
    args: list("args") ?? parent?.args ?? [],
    env: { ...parent?.env, ...map("env", row, VARIABLE_NAME) },
    slurm: {
      partition: text("partition", slurm) ?? parent?.slurm.partition,
      time: text("time", slurm) ?? parent?.slurm.time,
      account: text("account", slurm) ?? parent?.slurm.account,
      sbatch: { ...parent?.slurm.sbatch, ...switches(map("sbatch", slurm, SBATCH_NAME)) },
    },
  };
  if (recipe.launcher === "python" && (recipe.nodes > 1 || recipe.gpus > 1)) {
    return fail("launcher", "`torchrun` for more than one node or GPU");
  }
  return recipe;
}

/** Returns options of sbatch in which `true` stands for one without a value, and `false` for one that is left out. */
function switches(options: Record<string, string>): Record<string, string> {
  const read = (value: string) => (value === "true" ? "" : value === "false" ? LEFT_OUT : value);
  return Object.fromEntries(Object.entries(options).map(([name, value]) => [name, read(value)]));
}

function onlyKnown(
  value: Record<string, unknown>,
  keys: ReadonlySet<string>,
  path: string,
  where: string,
): void {
  const other = Object.keys(value).find((key) => !keys.has(key));
  if (other === undefined) return;
  const what = `${where} has the key \`${other}\`, which is none of ${[...keys].join(", ")}`;
  throw malformed(what, path);
}
