import { expect, it } from "vitest";
import type { TorchFile } from "../../../src/checkpoint/torch/file.js";
import type { PyValue } from "../../../src/checkpoint/torch/objects.js";
import { valueText } from "../../../src/checkpoint/zero/value-text.js";

/** Only tensors are read from the file, and there are none here. */
const FILE = {} as TorchFile;

/** Returns a list of two references to a list of two references …, which is 2 ** depth lists when written out. */
function doubled(depth: number): PyValue {
  let list: PyValue = [];
  for (let i = 0; i < depth; i++) list = [list, list];
  return list;
}

it("a value of more than a million values, which a few bytes of pickle can be, has no text", async () => {
  expect(await valueText(doubled(2), FILE)).toBe("[[[], []], [[], []]]");
  expect(await valueText(doubled(20), FILE)).toBeUndefined();
});
