/** Sound files of other programs are called what they are: neither damaged nor repacked. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { openCheckpoint } from "../../../src/checkpoint/open.js";
import { runCli } from "../../helpers/cli.js";
import { temporaryFolder } from "../../helpers/state.js";
import { type Fake, FakeTensor, torchZip, zip } from "../../helpers/torch-file.js";

const text = (value: string) => Buffer.from(value);

/** Record names and compression as torch 2.13 writes them. */
const torchScript = zip([
  { name: "ts/data/0", data: text("0123") },
  { name: "ts/data.pkl", data: text("x") },
  { name: "ts/code/__torch__/a.py", data: text("y"), method: 8 },
  { name: "ts/constants.pkl", data: text("z") },
  { name: "ts/version", data: text("3\n") },
]);
const exported = zip([
  { name: "x/data/weights/weight_0", data: text("0123") },
  { name: "x/models/model.json", data: text("{}") },
  { name: "x/archive_format", data: text("pt2") },
]);
/** ir_version 8, producer_name "pytorch". */
const onnx = Buffer.concat([Buffer.from([0x08, 0x08, 0x12, 0x07]), text("pytorch"), Buffer.alloc(40)]);

describe.each<[string, string, Buffer, RegExp]>([
  ["TorchScript", "model.pt", torchScript, /this is a TorchScript archive/],
  ["torch.export", "model.pt2", exported, /this is a program of torch\.export/],
  ["ONNX", "model.onnx", onnx, /this is an ONNX model/],
  ["GGUF", "model.bin", Buffer.concat([text("GGUF"), Buffer.alloc(40)]), /this is a GGUF file/],
  ["HTML", "model.bin", text("<!DOCTYPE html><html>404</html>"), /this is a page of HTML/],
  [
    "a data file of torch.distributed.checkpoint",
    "__0_0.distcp",
    torchZip(new Map<Fake, Fake>([["a", new FakeTensor([1])]])),
    /this is a data file of torch\.distributed\.checkpoint/,
  ],
])("%s", (_, name, bytes, message) => {
  const path = join(temporaryFolder(), name);
  writeFileSync(path, bytes);

  it("is refused for what it is", async () => {
    await expect(openCheckpoint(path)).rejects.toMatchObject({
      code: "WRONG_KIND",
      message: expect.stringMatching(message),
      hint: expect.any(String),
    });
  });

  it("verify calls it neither damaged nor sound", async () => {
    const { code, stdout, stderr } = await runCli("vista-ckpt", ["verify", path]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toMatch(message);
    expect(stderr).not.toMatch(/DAMAGED|damaged|repacked/);
  });
});
