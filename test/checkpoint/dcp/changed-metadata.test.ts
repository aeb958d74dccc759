/** The `.metadata` that real torch wrote, with one thing in it changed: refused with the tensor and the box, and nothing is written. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { runCli } from "../../helpers/cli.js";
import { changedDcp, fields, type Metadata, numbers } from "../../helpers/dcp-metadata.js";
import { FIXTURES, temporaryFolder } from "../../helpers/state.js";

it("written again without a change, it is what it was", async () => {
  const folder = changedDcp(() => {});
  const { code, stdout } = await runCli("vista-ckpt", ["diff", folder, join(FIXTURES, "dcp/2d-2x2ranks")]);
  expect([code, stdout]).toEqual([
    0,
    expect.stringMatching(/step, which is no tensor\nstate dicts equal: 9 tensors the same\n$/),
  ]);
});

it("bytes behind the end of an item are told by their place in the file", async () => {
  let end = 0;
  const folder = changedDcp((metadata) => {
    const items = [...metadata.storage.values()].map(fields);
    const endOf = (item: (typeof items)[number]) => Number(item.get("offset")) + Number(item.get("length"));
    // One between two others of its file, so that there are bytes before it and behind it.
    const item = items.find((one) => {
      const beside = items.filter((other) => other.get("relative_path") === one.get("relative_path"));
      return Number(one.get("offset")) > 0 && beside.some((other) => other.get("offset") === endOf(one));
    })!;
    end = endOf(item);
    item.set("length", Number(item.get("length")) + 2);
  });
  const { code, stderr } = await runCli("vista-ckpt", ["inspect", folder]);
  expect(stderr).toContain(`at byte ${end}: 2 bytes behind the end of the zip belong to nothing`);
  expect(code).toBe(1);
});

// `both` is 7 × 5 on a mesh of 2 × 2: rows 0:4 and 4:7, columns 0:3 and 3:5.
const cases: [string, (metadata: Metadata) => void, RegExp][] = [
  [
    "a chunk that is not there",
    (metadata) => {
      const chunks = metadata.chunks("both");
      chunks.splice(
        chunks.findIndex((chunk) => `${numbers(fields(chunk).get("offsets"))}` === "4,0"),
        1,
      );
    },
    /both: nothing was saved for the box \[4:7, 0:3\]; 3 saved boxes hold 26 of 35 elements \(shape \[7, 5\]\)/,
  ],
  [
    "boxes that overlap",
    (metadata) => metadata.move("both", [4, 3], [3, 3]),
    /both: the box \[3:6, 3:5\] and the box \[0:4, 3:5\] overlap/,
  ],
  [
    "a box outside the tensor",
    (metadata) => metadata.move("both", [4, 0], [5, 0]),
    /both: the box \[5:8, 0:3\] leaves the tensor of shape \[7, 5\]/,
  ],
  [
    "another box of the tensor in its place",
    (metadata) => metadata.place("both", [4, 0], "both", [0, 0]),
    /both: at byte \d+: the box \[4:7, 0:3\]: a F32 tensor of shape \[4, 3\] lies there, not F32 of \[3, 3\]/,
  ],
  [
    "another tensor in its place",
    (metadata) => metadata.place("both", [4, 0], "everywhere", [0]),
    /both: at byte \d+: the box \[4:7, 0:3\]: a I64 tensor of shape \[6\] lies there, not F32 of \[3, 3\]/,
  ],
  [
    "a pickled object in its place",
    (metadata) => metadata.place("both", [4, 0], "step", []),
    /both: at byte \d+: the box \[4:7, 0:3\]: no tensor lies there/,
  ],
  [
    "a place that is told for no box",
    (metadata) => metadata.storage.delete(metadata.stored("both", 4, 0).key),
    /both: .*nothing says where the chunk at \[4, 0\] was saved/,
  ],
  [
    "a place behind the end of the file",
    (metadata) => metadata.stored("both", 4, 0).info.set("offset", 1_000_000),
    /both: at byte 1000000: (?:the box \[4:7, 0:3\]|it) was saved up to byte \d+, the file has \d+ bytes/,
  ],
  [
    "an extension",
    (metadata) => metadata.stored("both", 4, 0).info.set("transform_descriptors", ["stream.zstd"]),
    /both: it was saved through an extension \(transform_descriptors\)/,
  ],
];

describe.each(cases)("%s", (_, change, message) => {
  it.each(["to-st", "merge", "verify", "inspect"])("%s", async (command) => {
    const output = join(temporaryFolder(), "out.safetensors");
    const more = { "to-st": ["--raw", "-o", output], merge: ["-o", output] }[command] ?? [];
    const { code, stdout, stderr } = await runCli("vista-ckpt", [command, changedDcp(change), ...more]);
    expect(stdout + stderr).toMatch(message);
    expect({ code, written: existsSync(output) }).toEqual({ code: 1, written: false });
  });
});
