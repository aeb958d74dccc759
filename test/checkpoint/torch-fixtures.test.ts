import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { openCheckpoint } from "../../src/checkpoint/open.js";
import { verifyCheckpoint } from "../../src/checkpoint/verify.js";
import { digestsOf } from "../helpers/state.js";

const FIXTURES = fileURLToPath(new URL("../../fixtures/torch/", import.meta.url));

interface Expected {
  tensors: { name: string; dtype: string; shape: number[]; sha256: string }[];
}
const { files } = JSON.parse(readFileSync(join(FIXTURES, "expected.json"), "utf8")) as {
  files: Record<string, Expected>;
};

/** Not read, and why; each is said to be sound all the same, or refused for what is wrong with the zip. */
const REFUSED: Record<string, string> = {
  "repacked-deflated.pt": "UNSUPPORTED",
};

describe.each(Object.entries(files))("%s", (name, expected) => {
  const path = join(FIXTURES, name);

  it("is read as torch reads it", async () => {
    const opening = openCheckpoint(path);
    if (REFUSED[name] !== undefined) {
      await expect(opening).rejects.toMatchObject({ code: REFUSED[name] });
      return;
    }
    const { state } = await opening;
    const digests = new Map((await digestsOf(state)).map((digest) => [digest.name, digest]));
    await state.close();
    for (const entry of expected.tensors)
      expect(entry).toMatchObject(digests.get(entry.name) ?? { name: "missing" });
  });

  it("verify raises no false alarm", async () => {
    const { problems } = await verifyCheckpoint(path);
    // Its records cannot be checked, and torch reads them wrongly with mmap.
    if (name === "repacked-deflated.pt") expect(problems).toMatchObject([{ code: "UNSUPPORTED" }]);
    else expect(problems).toEqual([]);
  });
});

it("verify takes a quantised model for sound", async () => {
  const { problems, warnings } = await verifyCheckpoint(join(FIXTURES, "unusual-quantized.pt"));
  expect(problems).toEqual([]);
  expect(warnings).toEqual([expect.stringContaining("quantised")]);
});
