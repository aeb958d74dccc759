/** Sound files of other programs are called what they are: neither damaged nor repacked. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { openCheckpoint } from "../../../src/checkpoint/open.js";
import { runCli } from "../../helpers/cli.js";
import { temporaryFolder } from "../../helpers/state.js";
import {
  Call,
  type Fake,
  FakeTensor,
  Instance,
  legacyTorch,
  pickle,
  Tuple,
  torchZip,
  zip,
} from "../../helpers/torch-file.js";

const text = (value: string) => Buffer.from(value);
const dict = (of: Record<string, Fake>) => new Map<Fake, Fake>(Object.entries(of));

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
/** Record names as torch.package of torch 2.13 writes them. */
const packaged = zip([
  { name: "pkg/.data/0.storage", data: text("0123") },
  { name: "pkg/m/m.pkl", data: text("x") },
  { name: "pkg/.data/extern_modules", data: text("torch\n") },
  { name: "pkg/.data/python_version", data: text("3.11.2") },
  { name: "pkg/.data/version", data: text("3\n") },
  { name: "pkg/byteorder", data: text("little") },
]);
/** A tensor as `pickle.dump` writes it: its storage is a file of torch.save within the pickle. */
const pickledTensor = new Call(
  "torch._utils",
  "_rebuild_tensor_v2",
  new Call("torch.storage", "_load_from_bytes", "…"),
  0,
  new Tuple(1),
  new Tuple(1),
  false,
  null,
);
/** ir_version 8, producer_name "pytorch". */
const onnx = Buffer.concat([Buffer.from([0x08, 0x08, 0x12, 0x07]), text("pytorch"), Buffer.alloc(40)]);

const lfsPointer = text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n");

describe.each<[string, string, Buffer, RegExp]>([
  ["TorchScript", "model.pt", torchScript, /this is a TorchScript archive/],
  ["torch.export", "model.pt2", exported, /this is a program of torch\.export/],
  ["torch.package", "model.pt", packaged, /this is a package of torch\.package/],
  [
    "tensors that pickle.dump wrote",
    "model.pkl",
    pickle(dict({ a: pickledTensor })),
    /this is a pickle of another program/,
  ],
  ["ONNX", "model.onnx", onnx, /this is an ONNX model/],
  ["GGUF", "model.bin", Buffer.concat([text("GGUF"), Buffer.alloc(40)]), /this is a GGUF file/],
  ["HTML", "model.bin", text("<!DOCTYPE html><html>404</html>"), /this is a page of HTML/],
  [
    "an HTML page called safetensors",
    "model.safetensors",
    text("<!DOCTYPE html><html>404</html>"),
    /this is a page of HTML or XML.*, not a safetensors file/,
  ],
  ["a Git LFS pointer", "model.bin", lfsPointer, /this is a Git LFS pointer/],
  [
    "a Git LFS pointer called safetensors",
    "model.safetensors",
    lfsPointer,
    /this is a Git LFS pointer, not a safetensors file/,
  ],
  [
    "TensorFlow Lite",
    "model.bin",
    Buffer.concat([Buffer.from([28, 0, 0, 0]), text("TFL3"), Buffer.alloc(40)]),
    /this is a model of TensorFlow Lite/,
  ],
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

/** The beginning of a tar archive: a name, and `ustar` at byte 257. */
const tar = Buffer.alloc(1024);
tar.write("x.pt");
tar.write("ustar", 257);

describe.each<[string, Buffer, RegExp]>([
  [
    "a zip of other files",
    zip([{ name: "x/views.pt", data: text("x") }]),
    /this is a zip archive \(with x\/views\.pt\)/,
  ],
  ["an empty zip", zip([]), /this is an empty zip archive/],
  ["a tar archive", tar, /this is a tar archive/],
  ["an xz archive", Buffer.from("\xfd7zXZ\0 and more bytes", "latin1"), /this is an xz archive/],
  [
    "a 7-Zip archive",
    Buffer.from("7z\xbc\xaf\x27\x1c\0\x04 and more bytes", "latin1"),
    /this is a 7-Zip archive/,
  ],
  ["a pickle of another program", pickle(dict({ a: 1 })), /this is a pickle of another program/],
])("%s", (_, bytes, message) => {
  it("is refused for what it is, and verify does not call it damaged", async () => {
    const path = join(temporaryFolder(), "x.pt");
    writeFileSync(path, bytes);
    await expect(openCheckpoint(path)).rejects.toMatchObject({
      code: "WRONG_KIND",
      message: expect.stringMatching(message),
    });
    const { code, stderr } = await runCli("vista-ckpt", ["verify", path]);
    expect(code).toBe(1);
    expect(stderr).toMatch(message);
    expect(stderr).not.toMatch(/DAMAGED|damaged/);
  });
});

it("a save that failed half way is called that: records of torch.save, and no pickle", async () => {
  const path = join(temporaryFolder(), "x.pt");
  writeFileSync(
    path,
    zip([
      { name: "x/.format_version", data: text("1") },
      { name: "x/version", data: text("3\n") },
    ]),
  );
  await expect(openCheckpoint(path)).rejects.toMatchObject({
    code: "FORMAT",
    message: expect.stringContaining("failed half way"),
  });
});

describe("files of torch.save without a state dict say what they hold", () => {
  const t = (...values: number[]) => new FakeTensor(values);
  it.each<[string, Fake, RegExp]>([
    ["one tensor", t(1, 2), /it is one tensor without a name/],
    ["a list of tensors", [t(1), t(2)], /it is a list of 2; 2 tensors in it, under 0, 1/],
    [
      "an object",
      new Instance("net", "Config", { w: t(1) }),
      /it is a net\.Config; 1 tensor in it, under state\.w/,
    ],
    ["a number", 5, /it is a number/],
    [
      "a dict of objects",
      dict({ a: new Instance("n", "C", { w: t(1) }), b: 2 }),
      /its keys: a, b; 1 tensor in it, under a\.state\.w/,
    ],
  ])("%s", async (_, value, message) => {
    const path = join(temporaryFolder(), "x.pt");
    writeFileSync(path, torchZip(value));
    await expect(openCheckpoint(path)).rejects.toMatchObject({
      code: "FORMAT",
      message: expect.stringMatching(message),
    });
  });

  it("the state of an optimizer is called so, with steps and without", async () => {
    for (const state of [
      new Map<Fake, Fake>(),
      new Map<Fake, Fake>([
        [0, dict({ exp_avg: t(1) })],
        [1, dict({ exp_avg: t(1) })],
      ]),
    ]) {
      const path = join(temporaryFolder(), "x.pt");
      writeFileSync(path, torchZip(dict({ state, param_groups: [dict({ lr: 1 })] })));
      await expect(openCheckpoint(path)).rejects.toMatchObject({
        code: "WRONG_KIND",
        message: expect.stringContaining("the state of an optimizer"),
      });
    }
  });

  it("a state dict that lies deep is found, and by its key still deeper", async () => {
    const nested = (depth: number) => {
      let value: Fake = dict({ w: t(1), b: t(2) });
      for (let i = 0; i < depth; i++) value = dict({ a: value });
      const path = join(temporaryFolder(), "x.pt");
      writeFileSync(path, torchZip(value));
      return path;
    };
    const names = async (path: string, key?: string) => {
      const checkpoint = await openCheckpoint(path, key === undefined ? {} : { key });
      await checkpoint.close();
      return [...checkpoint.tensors.keys()];
    };
    expect(await names(nested(6))).toEqual(["w", "b"]);
    await expect(names(nested(40))).rejects.toThrow(/its keys: a; 2 tensors in it, under a\.a\./);
    expect(await names(nested(40), Array(40).fill("a").join("."))).toEqual(["w", "b"]);
  });
});

it("verify says of a file of the older form that bytes behind its storages belong to nothing", async () => {
  const path = join(temporaryFolder(), "x.pt");
  const file = legacyTorch(dict({ w: new FakeTensor([1, 2]) }));
  writeFileSync(path, file);
  expect((await runCli("vista-ckpt", ["verify", path])).stdout).not.toMatch(/belong to nothing/);
  writeFileSync(path, Buffer.concat([file, Buffer.alloc(7)]));
  const { code, stdout } = await runCli("vista-ckpt", ["verify", path]);
  expect(code).toBe(0);
  expect(stdout).toMatch(
    /note: .*: 7 bytes behind the last storage belong to nothing and were not looked at/,
  );
});

it("a persistent id that is text, of pickle_protocol=0, is refused for that", async () => {
  const path = join(temporaryFolder(), "x.pt");
  const data = text("(dp0\nVw\np1\nP('storage', x)\ns.");
  writeFileSync(
    path,
    zip([
      { name: "x/data.pkl", data },
      { name: "x/version", data: text("3\n") },
    ]),
  );
  await expect(openCheckpoint(path)).rejects.toMatchObject({
    code: "UNSUPPORTED",
    message: expect.stringContaining("pickle_protocol=0"),
  });
});
