/** `vista-train recipes`: its options. What it does is loaded when it runs. */
import type { Command } from "commander";
import { JSON_OBJECT, QUIET } from "../../core/cli/options.js";
import { addRecipeOptions } from "./options.js";
import type { RecipesFlags } from "./run-recipes.js";

export function addRecipes(program: Command): void {
  addRecipeOptions(program.command("recipes"))
    .summary("list the recipes")
    .option(...JSON_OBJECT)
    .option(...QUIET)
    .addHelpText("after", "\nExamples:\n  $ vista-train recipes --json")
    .action(async (flags: RecipesFlags) => {
      const { listRecipes } = await import("./run.js");
      await listRecipes(flags);
    });
}
