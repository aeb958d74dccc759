/** Hints name the programs as the one that prints them was started. */
import { expect, it } from "vitest";
import { asStarted } from "../../src/train/cli/started.js";

const PROJECT = "/work/node_modules/.bin";

it.each([
  ["a global install", "/usr/local/bin/vista-train", { PATH: "/usr/local/bin:/usr/bin" }, "vista-ckpt"],
  [
    "a project's programs on the path",
    `${PROJECT}/vista-train`,
    { PATH: `/usr/bin:${PROJECT}` },
    "vista-ckpt",
  ],
  [
    "npx, which puts them there",
    `${PROJECT}/vista-train`,
    { PATH: PROJECT, npm_command: "exec" },
    "npx vista-ckpt",
  ],
  ["npm run", `${PROJECT}/vista-train`, { PATH: PROJECT, npm_command: "run-script" }, "npx vista-ckpt"],
  ["a project's program by its path", `${PROJECT}/vista-train`, { PATH: "/usr/bin" }, "npx vista-ckpt"],
  [
    "a global install within npm run",
    "/usr/bin/vista-train",
    { PATH: PROJECT, npm_command: "run-script" },
    "vista-ckpt",
  ],
])("by %s", (_, script, env, words) => {
  expect(asStarted("vista-ckpt", { script, env })).toBe(words);
});

it("by Node and a file", () => {
  const words = asStarted("vista-ckpt", { script: "/work/bin/vista-train.js", env: { PATH: "/usr/bin" } });
  expect(words).toMatch(/node'? .*bin\/vista-ckpt\.js'?$/);
});
