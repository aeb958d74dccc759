import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import * as checkpoints from "../src/checkpoint/index.js";
import * as data from "../src/dataset/index.js";
import * as train from "../src/train/index.js";

it("the door `vista-ckpt` has these names, and nothing slips in or out unseen", () => {
  expect(Object.keys(checkpoints).sort()).toMatchInlineSnapshot(`
    [
      "ERROR_CODES",
      "SCAN_RULES",
      "StateDict",
      "VistaError",
      "applyProfile",
      "applyVista",
      "castState",
      "defaultReshardOutput",
      "defaultUniversalOutput",
      "diffStates",
      "diffValues",
      "inspectCheckpoint",
      "isVistaError",
      "openCheckpoint",
      "openOptimizerState",
      "readValues",
      "reshardCheckpoint",
      "saveCheckpoint",
      "scanPaths",
      "tensorFrom",
      "tensorStatistics",
      "verifyCheckpoint",
      "writeUniversal",
    ]
  `);
});

it("the door `vista-ckpt/data` has these names", () => {
  expect(Object.keys(data).sort()).toMatchInlineSnapshot(`
    [
      "ERROR_CODES",
      "RULES",
      "VistaError",
      "buildIndex",
      "checkAnnotations",
      "checkImage",
      "checkImages",
      "checkNuScenes",
      "checkOpenDv",
      "collectStats",
      "drawSheet",
      "encodeIndex",
      "findClip",
      "findYouTubeClips",
      "isVistaError",
      "mergeReports",
      "readIndex",
      "unusableRecords",
      "writeClean",
      "writeInterpolatedTables",
      "writeNuScenesAnnotations",
      "writeYouTube",
    ]
  `);
});

it("the door `vista-ckpt/train` has these names", () => {
  expect(Object.keys(train).sort()).toMatchInlineSnapshot(`
    [
      "BUILT_IN_RECIPES",
      "ERROR_CODES",
      "VistaError",
      "finishRun",
      "isVistaError",
      "launchCommand",
      "loadRecipes",
      "planLaunch",
      "preflight",
      "pruneRun",
      "runStatus",
      "runTraining",
      "slurmScript",
      "toScript",
    ]
  `);
});

it("the doors share one class of errors", () => {
  expect(data.VistaError).toBe(checkpoints.VistaError);
  expect(train.VistaError).toBe(checkpoints.VistaError);
});

it("every error code has its line in docs/errors.md", () => {
  const page = readFileSync("docs/errors.md", "utf8");
  const documented = [...page.matchAll(/^\| `([A-Z_]+)` +\|/gm)].map((match) => match[1]);
  expect(documented).toEqual(Object.keys(checkpoints.ERROR_CODES));
});
