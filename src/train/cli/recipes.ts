/** `vista-train recipes`: what there is to start. */
import type { Command } from "commander";
import { SVD } from "../launch/recipes.js";
import { addRecipeOptions, readRecipes } from "./options.js";

export function addRecipes(program: Command): void {
  addRecipeOptions(program.command("recipes"))
    .summary("list the recipes")
    .option("--json", "print one JSON object")
    .addHelpText("after", `\nExamples:\n  $ vista-train recipes --json`)
    .action(async (flags: { vista: string; recipes?: string; json?: boolean }) => {
      const recipes = [...(await readRecipes(flags)).values()];
      if (flags.json) {
        process.stdout.write(`${JSON.stringify({ command: "recipes", recipes })}\n`);
        return;
      }
      const width = Math.max(...recipes.map((recipe) => recipe.name.length));
      for (const recipe of recipes) {
        const size = `${recipe.nodes} x ${recipe.gpus} GPUs`.padEnd(12);
        const from = recipe.startsFrom === SVD ? "SVD" : recipe.startsFrom;
        process.stdout.write(`${recipe.name.padEnd(width)}  ${size}  ${recipe.title}; starts from ${from}\n`);
      }
    });
}
