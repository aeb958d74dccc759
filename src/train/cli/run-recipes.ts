/** What `vista-train recipes` does: lists what there is to start. */
import { printJson, printLines } from "../../core/cli/print.js";
import { SVD } from "../launch/built-in-recipes.js";
import { readRecipes } from "./plan.js";

export interface RecipesFlags {
  vista: string;
  recipes?: string;
  json?: boolean;
  quiet?: boolean;
}

export async function listRecipes(flags: RecipesFlags): Promise<void> {
  const recipes = [...(await readRecipes(flags)).values()];
  if (flags.json) printJson({ command: "recipes", recipes });
  if (flags.json || flags.quiet) return;
  const width = Math.max(...recipes.map((recipe) => recipe.name.length));
  printLines(
    recipes.map((recipe) => {
      const size = `${recipe.nodes} x ${recipe.gpus} GPUs`.padEnd(12);
      const from = recipe.startsFrom === SVD ? "SVD" : recipe.startsFrom;
      return `${recipe.name.padEnd(width)}  ${size}  ${recipe.title}; starts from ${from}`;
    }),
  );
}
