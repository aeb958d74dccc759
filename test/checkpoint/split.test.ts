import { expect, it } from "vitest";
import { formatIndex } from "../../src/checkpoint/shard-index.js";
import { splitState } from "../../src/checkpoint/split.js";
import { makeTensor, StateDict, type Tensor } from "../../src/checkpoint/tensor/tensor.js";

const sized = (bytes: number): Tensor => makeTensor("U8", [bytes], { kind: "pieces", pieces: [] });

/** Names a, b, c … of tensors of these sizes. */
function state(...sizes: number[]): StateDict {
  return new StateDict(new Map(sizes.map((size, i) => [String.fromCharCode(97 + i), sized(size)])));
}

// The results are those of huggingface_hub 1.x's split_state_dict_into_shards_factory on the same sizes, worked by hand
// from its documentation ([6, 6, 2, 6, 2, 2] with limit 10 is its own example).
it.each([
  [[6, 6, 2, 6, 2, 2], 10, ["a", "bc", "def"]],
  [[1, 1, 1], 3, ["abc"]],
  [[1, 1, 1], 2, ["ab", "c"]],
  [[1, 20, 1], 2, ["b", "ac"]],
  [[20], 2, ["a"]],
  [[20, 30], 2, ["a", "b"]],
  [[], 2, [""]],
] as const)("%j at %d → %j", (sizes, limit, files) => {
  expect(splitState(state(...sizes), limit, false).map((names) => names.join(""))).toEqual(files);
});

it("names with one tensor count once and stay in its file where bytes are shared", () => {
  const tied = sized(2);
  const tensors = new StateDict(
    new Map([
      ["a", tied],
      ["b", sized(2)],
      ["c", tied],
      ["d", sized(2)],
    ]),
  );
  expect(splitState(tensors, 4, true)).toEqual([["a", "b", "c"], ["d"]]);
  expect(splitState(tensors, 4, false)).toEqual([
    ["a", "b"],
    ["c", "d"],
  ]);
  expect(splitState(tensors, Infinity, true)).toEqual([["a", "b", "c", "d"]]);
});

it("an index is what Python's json.dumps(indent=2, sort_keys=True) writes", () => {
  const map = new Map([
    ["b", "x-00001-of-00002.bin"],
    ["\u{1f600}", "x"],
    ["\uffee", "x"],
    ['"ä\u007f', "x"],
  ]);
  // From: python -c 'import json; print(json.dumps({"metadata": {"shards": {…}, "total_size": 12}, "weight_map": {…}}, indent=2, sort_keys=True))'
  expect(formatIndex(map, 12, new Map([["x", { size: 7, crc32: 0xbadcafe }]]))).toBe(
    `${[
      "{",
      '  "metadata": {',
      '    "shards": {',
      '      "x": {',
      '        "crc32": "0badcafe",',
      '        "size": 7',
      "      }",
      "    },",
      '    "total_size": 12',
      "  },",
      '  "weight_map": {',
      '    "\\"\\u00e4\\u007f": "x",',
      '    "b": "x-00001-of-00002.bin",',
      '    "\\uffee": "x",',
      '    "\\ud83d\\ude00": "x"',
      "  }",
      "}",
    ].join("\n")}\n`,
  );
});
