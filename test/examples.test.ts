/** The examples of the documentation run as they would in a program that has the package in its node_modules. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { transformSync } from "esbuild";
import { expect, it } from "vitest";
import { openCheckpoint } from "../src/checkpoint/index.js";
import { temporaryFolder } from "./helpers/state.js";

const EXAMPLES = "docs/examples";

/** A folder with the package, a run and a data set in the places that the examples name. */
function makeApp(): string {
  const app = temporaryFolder();
  mkdirSync(join(app, "node_modules"));
  symlinkSync(process.cwd(), join(app, "node_modules", "vista-ckpt"));
  mkdirSync(join(app, "logs/run/checkpoints"), { recursive: true });
  symlinkSync(resolve("fixtures/zero/vista-phase2"), join(app, "logs/run/checkpoints/last.ckpt"));
  mkdirSync(join(app, "data"));
  symlinkSync(resolve("fixtures/nuscenes/mini"), join(app, "data/nuscenes"));
  return app;
}

/** Runs an example as JavaScript for Node 20. @returns what it prints */
function run(app: string, name: string): string {
  const isCommonJs = name.endsWith(".cts");
  const { code } = transformSync(readFileSync(join(EXAMPLES, name), "utf8"), {
    loader: "ts",
    target: "node20.15",
    format: isCommonJs ? "cjs" : "esm",
  });
  const script = join(app, isCommonJs ? "app.cjs" : "app.mjs");
  writeFileSync(script, code);
  return execFileSync(process.execPath, ["--no-warnings", script], { cwd: app, encoding: "utf8" });
}

it("every example has its test here", () => {
  expect(readdirSync(EXAMPLES).sort()).toEqual(["checkpoint.ts", "common-js.cts", "data.ts", "train.ts"]);
});

it("what README, pages and doors show of the library compiles as it stands, with the types of the package", () => {
  const pages = [
    "README.md",
    ...readdirSync("docs").flatMap((name) => (name.endsWith(".md") ? `docs/${name}` : [])),
  ];
  const shown = pages.flatMap((page) =>
    [...readFileSync(page, "utf8").matchAll(/^```ts\n(import [\s\S]*?)^```/gm)].map((match) => match[1]!),
  );
  // One of README, two of pages, and those of the three doors, which stand in docs/api.md.
  expect(shown.length).toBeGreaterThan(5);
  const app = makeApp();
  symlinkSync(resolve("node_modules/@types"), join(app, "node_modules/@types"));
  const files = shown.map((text, i) => {
    writeFileSync(join(app, `shown-${i}.mts`), text);
    return `shown-${i}.mts`;
  });
  // The error of a page is in what tsc prints, which an assertion shows.
  expect(compile(app, files)).toEqual(["", 0]);
});

it("every option may be given as undefined, also under exactOptionalPropertyTypes, and the declarations compile there", () => {
  const app = makeApp();
  symlinkSync(resolve("node_modules/@types"), join(app, "node_modules/@types"));
  const doors = { checkpoint: "vista-ckpt", dataset: "vista-ckpt/data", train: "vista-ckpt/train" };
  const lines = Object.entries(doors).flatMap(([folder, door]) => {
    const names = [...readFileSync(`src/${folder}/index.ts`, "utf8").matchAll(/\b[A-Z]\w*Options\b/g)];
    const all = [...new Set(names.map(([name]) => name))];
    expect(all.length).toBeGreaterThan(3);
    return [
      `import type * as ${folder} from "${door}";`,
      ...all.map((name) => `none<Refusing<${folder}.${name}>>();`),
    ];
  });
  const file = `type Optional<O> = { [K in keyof O]-?: {} extends Pick<O, K> ? K : never }[keyof O];
type Refusing<O> = { [K in Optional<O>]-?: undefined extends Required<O>[K] ? never : K }[Optional<O>];
declare function none<Keys>(...keys: [Keys] extends [never] ? [] : [Keys]): void;
${lines.join("\n")}
`;
  writeFileSync(join(app, "options.mts"), file);
  const strict = ["--exactOptionalPropertyTypes", "--skipLibCheck", "false"];
  expect(compile(app, ["options.mts"], strict)).toEqual(["", 0]);
});

/** Compiles files of an app without writing anything. @returns what tsc prints, and its exit code */
function compile(app: string, files: readonly string[], more: readonly string[] = []) {
  const modules = ["--module", "nodenext", "--target", "es2023", "--lib", "es2023,esnext.disposable"];
  const options = ["--strict", "--noEmit", ...modules, ...more, "--types", "node", ...files];
  const { stdout, status } = spawnSync(resolve("node_modules/.bin/tsc"), options, {
    cwd: app,
    encoding: "utf8",
  });
  return [stdout, status];
}

it("checkpoint.ts reads a ZeRO checkpoint and writes three files", async () => {
  const app = makeApp();
  const printed = run(app, "checkpoint.ts");
  expect(printed).toContain("_forward_module.model.diffusion_model.out.2.weight F32 [");
  expect(printed).toContain("zero 2 2 undefined");
  expect(printed).toContain("128 adapters merged");

  await using mine = await openCheckpoint(join(app, "mine.safetensors"));
  expect([...mine.tensors.keys()]).toEqual(["a"]);
  expect(mine.tensors.get("a")).toMatchObject({ dtype: "F32", shape: [2, 3] });
  expect(await mine.read("a")).toEqual(new Float32Array(6));
  await using vista = await openCheckpoint(join(app, "vista.safetensors"));
  expect(vista.tensors.size).toBe(772);
  expect(new Set([...vista.tensors.values()].map(({ dtype }) => dtype))).toEqual(new Set(["BF16"]));
  await using half = await openCheckpoint(join(app, "half.bin"));
  expect(half.tensors.size).toBe(1472);
});

it("common-js.cts requires the package, which Node can from 20.19 on, writes a torch file and reads it", () => {
  const { features, versions } = process as {
    features: { require_module?: boolean };
    versions: NodeJS.ProcessVersions;
  };
  const [major, minor] = versions.node.split(".").map(Number) as [number, number];
  expect(features.require_module === true).toBe(major > 20 ? major > 22 || minor >= 12 : minor >= 19);
  if (features.require_module) expect(run(makeApp(), "common-js.cts")).toBe("BigInt64Array(2) [ 1n, -2n ]\n");
  else expect(() => run(makeApp(), "common-js.cts")).toThrow("ERR_REQUIRE_ESM");
});

it("data.ts prints findings and the tally", () => {
  expect(run(makeApp(), "data.ts")).toMatch(/^\d+ errors by \d+ rules/m);
});

it("train.ts prints the command of phase 1", () => {
  expect(run(makeApp(), "train.ts")).toMatch(/torchrun[\s\S]*train\.py/);
});
