/** The command that a recipe of Vista stands for; nothing is started. */
import { launchCommand, loadRecipes, planLaunch, toScript } from "vista-ckpt/train";

const recipe = (await loadRecipes(undefined)).get("phase1");
if (recipe === undefined) throw new Error("there is no recipe phase1");
const plan = planLaunch(recipe, { vista: "Vista", nodes: 1, gpus: 8 }, process.cwd());
console.log(toScript(launchCommand(plan, undefined, process.env)));
