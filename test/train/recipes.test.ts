import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test, vi } from "vitest";
import { BUILT_IN_RECIPES } from "../../src/train/launch/built-in-recipes.js";
import { loadRecipes } from "../../src/train/launch/recipes.js";
import { temporaryFolder } from "./checkout.js";

const folder = await temporaryFolder();

async function load(text: string) {
  const path = join(folder, "vista-train.yaml");
  await writeFile(path, text);
  return loadRecipes(path);
}

test("the built-in recipes are those of Vista's documentation", () => {
  const rows = BUILT_IN_RECIPES.map((r) => [r.name, r.nodes, r.gpus, r.base[0], r.startsFrom, r.next]);
  expect(rows).toEqual([
    ["example", 2, 8, "configs/example/nusc_train.yaml", "svd", undefined],
    ["debug", 1, 1, "configs/example/nusc_train.yaml", "svd", undefined],
    ["phase1", 16, 8, "configs/training/vista_phase1.yaml", "svd", "phase2-stage1"],
    ["phase2-stage1", 1, 8, "configs/training/vista_phase2_stage1.yaml", "phase1", "phase2-stage2"],
    ["phase2-stage2", 1, 8, "configs/training/vista_phase2_stage2.yaml", "phase2-stage1", undefined],
  ]);
});

test("a recipe of one's own takes what it does not say from the one it extends", async () => {
  const recipes = await load(`
recipes:
  small:
    extends: phase1
    nodes: 4
    args: ["data.params.num_workers=8"]
    env: { NCCL_SOCKET_IFNAME: ib0, NCCL_IB_HCA: 1 }
    slurm: { partition: gpu, time: "24:00:00", sbatch: { qos: high } }
`);
  expect(recipes.get("small")).toMatchObject({
    nodes: 4,
    gpus: 8,
    base: ["configs/training/vista_phase1.yaml"],
    startsFrom: "svd",
    next: "phase2-stage1",
    args: ["data.params.num_workers=8"],
    env: { NCCL_SOCKET_IFNAME: "ib0", NCCL_IB_HCA: "1" },
    slurm: { partition: "gpu", time: "24:00:00", sbatch: { qos: "high" } },
  });
  expect(recipes.get("phase1")?.nodes).toBe(16);
});

test("values are the text that is written: no number loses a zero; switches of sbatch are on or off", async () => {
  const recipes = await load(`
recipes:
  a:
    base: x.yaml
    nodes: 2
    args: [data.params.num_workers=8, 1e5]
    env: { VERSION: 1.10, ID: 0123, BIG: 12345678901234567890, NONE: , NOTHING: null, EMPTY: "", QUOTED: "~", ON: yes }
    slurm: { account: 0123, time: 90, sbatch: { exclusive: true, requeue: false, mem: 0, qos: high } }
  b: { extends: a, slurm: ~ }
`);
  expect(recipes.get("a")).toMatchObject({
    nodes: 2,
    args: ["data.params.num_workers=8", "1e5"],
    env: {
      VERSION: "1.10",
      ID: "0123",
      BIG: "12345678901234567890",
      NONE: "",
      NOTHING: "",
      EMPTY: "",
      QUOTED: "~",
      ON: "yes",
    },
    slurm: { account: "0123", time: "90", sbatch: { exclusive: "", requeue: "-", mem: "0", qos: "high" } },
  });
  expect(recipes.get("b")?.slurm.account).toBe("0123");
});

test.each([
  ["recipes: { a: { base: x.yaml, node: 2 } }", "recipe a has the key `node`"],
  ["recipes: { a: { base: x.yaml, nodes: 0 } }", "`nodes` must be a whole number above 0"],
  ["recipes: { a: { base: x.yaml, nodes: two } }", "`nodes` must be a whole number above 0"],
  ["recipes: { a: { nodes: 2 } }", "`base` must be given"],
  ["recipes: { a: { extends: phase3 } }", "extends `phase3`"],
  ["recipes: { a: { base: x.yaml, next: b } }", "names `b`"],
  ["recipes: { check: { base: x.yaml } }", "`check` cannot be the name"],
  ["recipes: { a: { extends: debug, gpus: 2 } }", "`launcher` must be `torchrun`"],
  ["recipes: { a: { base: x.yaml, slurm: { partitions: x } } }", "the key `partitions`"],
  ["recipes: { a: { base: x.yaml, slurm: { partition: null } } }", "`partition` must be a text"],
  ["recipes: { a: { base: x.yaml, args: [~] } }", "`args` must be a list of texts"],
  ["recipes: { a: { base: x.yaml, env: { 'A B': 1 } } }", "`env: A B` must be a name"],
  ["recipes: { a: { base: x.yaml, env: { A: [1, 2] } } }", "`env: A` must be a text"],
  ['recipes: { a: { base: x.yaml, env: { A: "b\\nc" } } }', "`env: A` must be without line breaks"],
  ["recipes: { a: { base: x.yaml, slurm: { sbatch: { 'b c': 1 } } } }", "`sbatch: b c` must be a name"],
  ['recipes: { a: { base: x.yaml, slurm: { sbatch: { qos: "a\\nb" } } } }', "must be without line breaks"],
  ["recipes: [a]", "must map names to recipes"],
  ["recipe: {}", "the key `recipe`"],
  ["recipes: { a: [", "not YAML"],
  ["recipes: *nowhere", "not YAML"],
  ["recipes: { a: { base: x.yaml, <<: 1 } }", "has the key `<<`"],
  ["recipes: { __proto__: { base: 1.5, nodes: 0 } }", "`nodes` must be"],
  ["recipes: { a: { __proto__: { nodes: 2 } } }", "has the key `__proto__`"],
  ['recipes: { a: { base: x.yaml, args: ["a\\eb"] } }', "`args` must be without line breaks"],
])("%s is refused with the file and the key", async (text, message) => {
  await expect(load(text)).rejects.toMatchObject({
    code: "FORMAT",
    message: expect.stringContaining(message),
    where: { path: join(folder, "vista-train.yaml") },
  });
});

test("a recipes file that does not exist is an error, no file at all is none", async () => {
  await expect(loadRecipes(join(folder, "none.yaml"))).rejects.toMatchObject({ code: "NOT_FOUND" });
  expect((await loadRecipes(undefined)).size).toBe(5);
  expect((await load("recipes: ~")).size).toBe(5);
});

test("a key that is a list is refused in one line, without a warning of the library's", async () => {
  const warned = vi.spyOn(process, "emitWarning");
  await expect(load("recipes:\n  ? [a]\n  : 1\n")).rejects.toMatchObject({ name: "VistaError" });
  expect(warned).not.toHaveBeenCalled();
  warned.mockRestore();
});

test("a recipe that a program changes stays what it is for the next one that asks", async () => {
  const recipe = (await loadRecipes()).get("phase1")!;
  const { gpus, args } = structuredClone(recipe);
  recipe.gpus = 1;
  recipe.args.push("--seed=1");
  expect((await loadRecipes()).get("phase1")).toMatchObject({ gpus, args });
});
