/** The options of the command `vista-train recipes`, whose work is loaded when it runs. */
import type { Command } from "commander";
import { JSON_OBJECT, QUIET } from "../../core/cli/options.js";
import { later } from "../../core/cli/program.js";
import { addRecipeOptions } from "./options.js";

export function addRecipes(program: Command): void {
  addRecipeOptions(program.command("recipes"))
    .summary("list the recipes")
    .option(...JSON_OBJECT)
    .option(...QUIET)
    .addHelpText("after", "\nExamples:\n  $ vista-train recipes --json")
    .action(later(async () => (await import("./run-recipes.js")).listRecipes));
}
