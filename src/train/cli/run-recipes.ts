/** The work of `vista-train recipes`: it lists what there is to start. */
import { plural } from "../../core/cli/format.js";
import type { PrintOptions } from "../../core/cli/options.js";
import { printResult } from "../../core/cli/print.js";
import { type Recipe, SVD } from "../launch/built-in-recipes.js";
import { readRecipes } from "./plan.js";

export interface RecipesFlags extends PrintOptions {
  vista: string;
  recipes?: string;
}

export async function listRecipes(flags: RecipesFlags): Promise<void> {
  const recipes = [...(await readRecipes(flags)).values()];
  const width = Math.max(...recipes.map((recipe) => recipe.name.length));
  const line = ({ name, title, nodes, gpus, startsFrom }: Recipe) =>
    `${name.padEnd(width)}  ${`${nodes} x ${plural(gpus, "GPU")}`.padEnd(12)}  ${title}; starts from ${startsFrom === SVD ? "SVD" : startsFrom}`;
  printResult(flags, { command: "recipes", recipes }, recipes.map(line));
}
