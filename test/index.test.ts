import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import * as api from "../src/index.js";

it("the public API is this, and nothing slips in or out unseen", () => {
  expect(Object.keys(api).sort()).toMatchInlineSnapshot(`
    [
      "ERROR_CODES",
      "RULES",
      "StateDict",
      "VistaError",
      "applyVistaSteps",
      "buildIndex",
      "castState",
      "checkAnnotations",
      "checkImage",
      "checkImages",
      "checkNuScenes",
      "checkOpenDv",
      "collectStats",
      "diffStates",
      "encodeIndex",
      "inspectCheckpoint",
      "isVistaError",
      "openCheckpoint",
      "openSafetensors",
      "openTorchFile",
      "openZeroCheckpoint",
      "readIndex",
      "saveCheckpoint",
      "verifyCheckpoint",
      "writeSafetensors",
      "writeTorchFile",
      "writeYouTube",
    ]
  `);
});

it("every error code has its line in docs/errors.md", () => {
  const page = readFileSync("docs/errors.md", "utf8");
  const documented = [...page.matchAll(/^\| `([A-Z_]+)` +\|/gm)].map((match) => match[1]);
  expect(documented).toEqual(Object.keys(api.ERROR_CODES));
});
