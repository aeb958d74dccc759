/** Which dict of a torch file is its state dict, and what is said of the others. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { inspectCheckpoint } from "../../src/checkpoint/inspect.js";
import { openCheckpoint } from "../../src/checkpoint/open.js";
import { saveCheckpoint } from "../../src/checkpoint/save.js";
import { runCli } from "../helpers/cli.js";
import { FIXTURES, temporaryFolder } from "../helpers/state.js";
import { Call, type Fake, FakeTensor, Instance, Tuple, torchZip, zip } from "../helpers/torch-file.js";

const t = (...values: number[]) => new FakeTensor(values);
const dict = (of: Record<string, Fake>) => new Map<Fake, Fake>(Object.entries(of));
const model = (first = 1) => dict({ "a.weight": t(first, 2), "a.bias": t(3), "b.weight": t(4) });

function save(value: Fake, name = "x.pt", folder = temporaryFolder()): string {
  const path = join(folder, name);
  writeFileSync(path, torchZip(value));
  return path;
}

async function opened(value: Fake, key?: string) {
  const checkpoint = await openCheckpoint(save(value), key === undefined ? {} : { key });
  await checkpoint.state.close();
  return { ...checkpoint, names: [...checkpoint.state.tensors.keys()] };
}

/** As torch.save(model) pickles it: the class, and all that the module has. */
const wholeModule = () =>
  new Instance("net", "Net", {
    _parameters: dict({ w: t(1), b: t(2) }),
    _modules: dict({
      inner: new Instance("torch.nn", "Linear", { _parameters: dict({ w: t(3) }), _modules: dict({}) }),
    }),
  });

const NAMES = ["a.weight", "a.bias", "b.weight"];

describe("the state dict of a file", () => {
  it.each([
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "module",
    "net",
    "network",
    "weights",
    "my_network", // the only dict of tensors
  ])("under %s, beside a lone tensor and an optimizer", async (key) => {
    const optimizer = dict({ state: new Map<Fake, Fake>([[0, dict({ exp_avg: t(1), exp_avg_sq: t(2) })]]) });
    const lone: Record<string, Fake> = key === "my_network" ? {} : { loss: t(0.5) };
    const found = await opened(dict({ epoch: 3, ...lone, optimizer, [key]: model() }));
    expect(found).toMatchObject({ key, names: NAMES });
  });

  /** As torch's optimizers return it: two moments for each of two parameters, more tensors than the model has. */
  const optimizerState = (parameters = 2) =>
    dict({
      state: new Map<Fake, Fake>(
        Array.from({ length: parameters }, (_, i) => [
          i,
          dict({ step: t(1), exp_avg: t(1, 2), exp_avg_sq: t(3, 4), max_exp_avg_sq: t(5, 6) }),
        ]),
      ),
      param_groups: [dict({ lr: t(0.1), params: [0, 1] })],
    });

  it("is never an optimizer's, whatever key that is under", async () => {
    for (const key of ["opt", "o1", "adam", "G"]) {
      const found = await opened(dict({ [key]: optimizerState(), net: model() }));
      expect(found).toMatchObject({ key: "net", names: NAMES });
      expect(found.others.every(({ model }) => !model)).toBe(true);
      await expect(opened(dict({ [key]: optimizerState(1), epoch: 3 }))).rejects.toMatchObject({
        code: "FORMAT",
      });
      // Beside tensors of the model at the top.
      const top = await opened(new Map([...model(), [key, optimizerState()]]));
      expect(top).toMatchObject({ key: undefined, names: NAMES });
    }
    // As torch.save((model.state_dict(), optimizer.state_dict())) writes it.
    expect(await opened(new Tuple(model(), optimizerState()))).toMatchObject({ key: "0", names: NAMES });
  });

  it("within another: model.state_dict, checkpoint.model", async () => {
    for (const [outer, inner] of [
      ["model", "state_dict"],
      ["checkpoint", "model"],
    ] as const) {
      const found = await opened(dict({ loss: t(1), [outer]: dict({ [inner]: model(), step: 1 }) }));
      expect(found).toMatchObject({ key: `${outer}.${inner}`, names: NAMES });
    }
  });

  it("of one tensor, beside one lone tensor", async () => {
    const found = await opened(dict({ loss: t(0.5), state_dict: dict({ w: t(1) }) }));
    expect(found).toMatchObject({ key: "state_dict", names: ["w"] });
    expect(found.warnings).toEqual([expect.stringMatching(/1 beside the state dict/)]);
  });

  it("beside an optimizer_state_dict of torch's tutorials: no optimizer shard", async () => {
    const optimizer = dict({ state: new Map(), param_groups: [] });
    const found = await opened(dict({ model_state_dict: model(), optimizer_state_dict: optimizer }));
    expect(found).toMatchObject({ key: "model_state_dict", names: NAMES });
  });

  it("the one with the most tensors; the others are said", async () => {
    const found = await opened(dict({ net: dict({ w: t(1) }), state_dict: model(), ema: model(7) }));
    expect(found).toMatchObject({ key: "state_dict", names: NAMES });
    expect(found.warnings).toEqual([
      "left out tensors that are not in the state dict: 1 under net, 3 under ema (--key takes another)",
    ]);
  });

  it.each<[string, Fake]>([
    ["two usual places with as many tensors", dict({ model: model(), net: model() })],
    ["several unusual places", dict({ student: model(), teacher: model() })],
    ["a lone tensor and an unusual place", dict({ loss: t(1), my_network: model() })],
    ["lone tensors that are more than the model's", dict({ a: t(1), b: t(2), model: dict({ w: t(1) }) })],
    [
      "an unusual place with far more tensors",
      dict({ model: dict({ w: t(1) }), backbone: model(), loss: t(1) }),
    ],
    ["a lone tensor and models in a list", dict({ loss: t(1), models: [model(), model()] })],
    ["a lone tensor and a model in a tuple", dict({ loss: t(1), best: new Tuple(model(), 0.5) })],
  ])("%s: refused, with the choices", async (_, value) => {
    await expect(opened(value)).rejects.toMatchObject({
      code: "AMBIGUOUS",
      message: expect.stringMatching(/dicts of tensors, .*\((?:2|3) tensors\)/),
      hint: expect.stringContaining("--key"),
    });
  });

  it.each<[string, Fake, RegExp]>([
    ["a list of tensors", dict({ loss: t(1), params: [t(1), t(2)] }), /1 tensor at the top.*2 under params/],
    [
      "a module that was pickled whole",
      dict({ loss: t(1), model: wholeModule() }),
      /3 under model \(net\.Net, a module that was pickled whole\)/,
    ],
  ])("a lone tensor beside %s: refused, and --key . takes it", async (_, value, message) => {
    await expect(opened(value)).rejects.toMatchObject({ code: "AMBIGUOUS", message });
    expect(await opened(value, ".")).toMatchObject({ names: ["loss"] });
  });

  /** The state of a random generator, as torch.get_rng_state() returns it. */
  const randomState = (size: number) =>
    new FakeTensor(new Uint8Array(size), [size], { storageClass: "ByteStorage" });
  const number = (value: number) => new FakeTensor([value], []);

  it.each<[string, Fake, RegExp]>([
    [
      "accelerate's random_states_0.pkl",
      dict({
        step: 3,
        random_state: new Tuple(3, 1),
        torch_manual_seed: randomState(5056),
        torch_cuda_manual_seed: [randomState(16)],
      }),
      /1 tensor at the top that may be no weights: states of random generators \(torch_manual_seed\)/,
    ],
    [
      "Trainer's rng_state.pth",
      dict({ python: 1, cpu: randomState(5056), cuda: randomState(16) }),
      /2 tensors at the top/,
    ],
    ["a generator's state of another device", dict({ mps_rng_state: randomState(44) }), /mps_rng_state/],
    [
      "two of them under a key of their own",
      dict({ epoch: 1, gen: dict({ cpu: randomState(5056) }) }),
      /under gen/,
    ],
    [
      "a loss beside counts",
      dict({ iteration: 5, loss: number(0.5) }),
      /single numbers beside values.*\(loss\)/,
    ],
  ])("%s is no state dict unless it is asked for", async (_, value, message) => {
    await expect(opened(value)).rejects.toMatchObject({
      code: "AMBIGUOUS",
      message,
      hint: expect.stringContaining("--key"),
    });
    const { kind, warnings } = await inspectCheckpoint(save(value));
    expect({ kind, warnings }).toEqual({ kind: "torch-other", warnings: [expect.stringMatching(message)] });
    const folder = temporaryFolder();
    const path = save(value, "x.pt", folder);
    const output = join(folder, "y.safetensors");
    expect(await runCli("vista-ckpt", ["to-st", path, output, "--raw"])).toMatchObject({
      code: 1,
      stdout: "",
    });
    expect(await runCli("vista-ckpt", ["diff", path, path])).toMatchObject({ code: 2, stdout: "" });
    const key = (value as Map<Fake, Fake>).has("gen") ? "gen" : ".";
    expect((await runCli("vista-ckpt", ["diff", path, path, "--key", key])).stdout).toMatch(
      /^(?:state dicts )?equal: \d tensor/m,
    );
  });

  it("a small model whose tensors only resemble such states is taken", async () => {
    const small: [string, Fake][] = [
      ["random_projection.weight", dict({ "random_projection.weight": t(1, 2) })],
      ["packed", dict({ packed: new FakeTensor(new Uint8Array(32), [32], { storageClass: "ByteStorage" }) })],
      ["logit_scale", dict({ logit_scale: number(2) })],
      ["cpu", dict({ epoch: 1, model: dict({ cpu: randomState(5056) }) })],
      ["a", dict({ epoch: 1, a: t(1), n: number(2) })],
    ];
    for (const [name, value] of small) expect((await opened(value)).names[0]).toBe(name);
  });

  it("a model in a list is found where it is the only one, and by its number", async () => {
    const value = dict({ epoch: 1, models: [model(), dict({ w: t(5) })] });
    expect(await opened(dict({ epoch: 1, models: [model()] }))).toMatchObject({
      names: NAMES,
      key: "models.0",
    });
    expect(await opened(value, "models.1")).toMatchObject({ names: ["w"], key: "models.1" });
  });

  it.each<[string, Fake]>([
    ["", wholeModule()],
    [" under model", dict({ epoch: 1, model: wholeModule() })],
  ])("a module that torch.save(model) pickled whole is called so%s", async (under, value) => {
    const path = save(value);
    await expect(openCheckpoint(path)).rejects.toMatchObject({
      code: "WRONG_KIND",
      message: expect.stringContaining(`a whole module (net.Net)${under}, as torch.save(model) pickles it`),
      hint: expect.stringContaining("state_dict()"),
    });
    const { warnings, tensors } = await inspectCheckpoint(path);
    expect(warnings[0]).toContain("a whole module (net.Net)");
    expect(tensors.length).toBe(3);
  });

  it("--key names another one, keys with dots in them too, and . the file itself", async () => {
    const value = dict({ loss: t(1), "ema.shadow": dict({ "x.y": dict({ z: t(5) }) }), state_dict: model() });
    expect(await opened(value, "ema.shadow.x.y")).toMatchObject({ names: ["z"], key: "ema.shadow.x.y" });
    expect(await opened(value, ".")).toMatchObject({ names: ["loss"], key: undefined });
    await expect(opened(value, "ema.nothing")).rejects.toThrow(
      /no state dict under "ema\.nothing": no such key; tensors are in: state_dict \(3 tensors\)/,
    );
  });

  it("an empty one, and one with a tensor named optimizer_state_dict, are written and read again", async () => {
    for (const value of [dict({}), dict({ optimizer_state_dict: t(1, 2) })]) {
      const { state } = await openCheckpoint(save(value));
      for (const name of ["y.bin", "y.safetensors"]) {
        const output = join(temporaryFolder(), name);
        await saveCheckpoint(state, output, { fsync: false });
        const back = await openCheckpoint(output);
        expect([...back.state.tensors.keys()]).toEqual([...value.keys()]);
        await back.state.close();
      }
      await state.close();
    }
  });
});

describe("keys that are no names", () => {
  it.each<[string, Fake, RegExp]>([
    ["a tuple", new Tuple("a", 1), /\(a, 1\): a tensor whose key is no name: \(a, 1\) is no text/],
    ["None", null, /null is no text/],
    ["a fraction", 0.5, /0.5 is no text/],
  ])("%s is refused; inspect lists it", async (_, key, message) => {
    const value = new Map<Fake, Fake>([...model(), [key, t(1)]]);
    await expect(opened(value)).rejects.toThrow(message);
    const { tensors, unreadable } = await inspectCheckpoint(save(value));
    expect(tensors).toHaveLength(3);
    expect(unreadable).toHaveLength(1);
  });

  it("an integer is a name, but not beside the same text", async () => {
    expect((await opened(new Map<Fake, Fake>([[7, t(1)]]))).names).toEqual(["7"]);
    const both = new Map<Fake, Fake>([
      ["7", t(1)],
      [7, t(2)],
    ]);
    await expect(opened(both)).rejects.toThrow(/"7" is there twice, as text and as a number/);
  });

  it("names that differ in lone surrogates only do not become one, and text that is no UTF-8 is refused", async () => {
    const bytes = torchZip(dict({ "a???": t(1), "b???": t(2) }));
    const named = (first: number[], second: number[]) => {
      // The pickle is not the only record with a checksum: it is written anew.
      const start = bytes.indexOf("archive/data.pkl") + "archive/data.pkl".length;
      const end = bytes.indexOf("PK", start);
      const pickle = Buffer.from(bytes.subarray(start, end));
      pickle.set([0x61, ...first], pickle.indexOf("a???"));
      pickle.set([0x61, ...second], pickle.indexOf("b???"));
      const path = join(temporaryFolder(), "x.pt");
      const storage = Buffer.from(Float32Array.of(1).buffer);
      writeFileSync(
        path,
        zip([
          { name: "archive/data.pkl", data: pickle },
          { name: "archive/data/0", data: storage },
          { name: "archive/data/1", data: storage },
        ]),
      );
      return path;
    };
    const surrogates = named([0xed, 0xa0, 0x80], [0xed, 0xa0, 0x81]);
    await expect(openCheckpoint(surrogates)).rejects.toThrow(/lone surrogate/);
    expect((await inspectCheckpoint(surrogates)).unreadable).toHaveLength(2);
    await expect(openCheckpoint(named([0xff, 0x61, 0x61], [0xfe, 0x61, 0x61]))).rejects.toThrow(
      /text that is no UTF-8/,
    );
    const checkpoint = await openCheckpoint(named([0xef, 0xbf, 0xbd], [0xe2, 0x82, 0xac]));
    await checkpoint.state.close();
    expect(checkpoint.kind).toBe("torch");
  });
});

describe("tensors that only torch can rebuild", () => {
  const sparse = new Call(
    "torch._utils",
    "_rebuild_sparse_tensor",
    new Call("torch.serialization", "_get_layout", "torch.sparse_coo"),
    new Tuple(t(1), t(2), new Call("torch", "Size", new Tuple(2, 3)), true),
  );

  it("are listed by inspect, and refused by name where they would be lost", async () => {
    const value = new Map<Fake, Fake>([...model(), ["mask", sparse]]);
    const { tensors, unreadable } = await inspectCheckpoint(save(value));
    expect(tensors.map(({ name }) => name)).toEqual(NAMES);
    expect(unreadable).toMatchObject([{ name: "mask", what: "a sparse tensor of shape [2, 3]" }]);
    await expect(opened(value)).rejects.toThrow(/mask: a tensor that only torch can rebuild/);
  });
});

describe("the commands", () => {
  it("to-st of a model beside a lone tensor writes the model", async () => {
    const folder = temporaryFolder();
    const path = save(dict({ epoch: 1, loss: t(1), state_dict: model() }), "x.pt", folder);
    const output = join(folder, "y.safetensors");
    const result = await runCli("vista-ckpt", ["to-st", path, "--raw", "-o", output, "--json"]);
    expect(JSON.parse(result.stdout)).toMatchObject({ tensors: 3 });
    const other = await runCli("vista-ckpt", ["to-st", path, "--raw", "-o", output, "--force", "--key", "."]);
    expect(other.stdout).toContain("1 tensor,");
  });

  it("diff never says equal while dicts of tensors were left out", async () => {
    const a = save(dict({ loss: t(1), state_dict: model(), ema: model(5) }));
    const b = save(dict({ loss: t(1), state_dict: model(), ema: model(6) }));
    const result = await runCli("vista-ckpt", ["diff", a, b]);
    expect(result.code).toBe(1);
    expect(result.stdout).not.toMatch(/^equal/m);
    expect(result.stdout).toMatch(/not compared: 4\n.*3 tensors under ema/s);
    expect(result.stdout).toMatch(/no difference in what was compared: 3 tensors the same/);
    const ema = await runCli("vista-ckpt", ["diff", a, b, "--key", "ema"]);
    expect(ema).toMatchObject({ code: 1, stdout: expect.stringContaining("different: 2 tensors the same") });
    const chosen = await runCli("vista-ckpt", ["diff", a, a, "--key", "state_dict", "--key-b", "ema"]);
    expect(chosen.stdout).toContain("different: 2 tensors the same");
    const named = await runCli("vista-ckpt", ["diff", a, b, "--key", "state_dict"]);
    expect(named).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^state dicts equal: 3 tensors the same/m),
    });
  });

  it("diff never says equal over tensors within entries of the state dict, as quantised modules pack them", async () => {
    const packed = (value: number) => dict({ scale: t(1), "0._packed": new Tuple("qint8", t(value)) });
    const result = await runCli("vista-ckpt", ["diff", save(packed(1)), save(packed(2))]);
    expect(result.code).toBe(1);
    expect(result.stdout).toMatch(/1 tensor under 0\._packed/);
    expect(result.stdout).toMatch(/no difference in what was compared: 1 tensor the same/);
  });

  it("diff names the values beside the tensors that it did not compare, and never says equal over arrays of numpy", async () => {
    const array = (value: string) => new Call("numpy._core.multiarray", "_reconstruct", value);
    const values = (epoch: number) => save(new Map([...model(), ["epoch", epoch]]));
    const plain = await runCli("vista-ckpt", ["diff", values(1), values(2)]);
    expect(plain.code).toBe(0);
    expect(plain.stdout).toMatch(
      /not compared: 2\n.*: epoch, which is no tensor\n.*\nstate dicts equal: 3 tensors the same/,
    );
    const arrays = (value: string) => save(dict({ state_dict: new Map([...model(), ["b", array(value)]]) }));
    const result = await runCli("vista-ckpt", ["diff", arrays("x"), arrays("y")]);
    expect(result.code).toBe(1);
    expect(result.stdout).toMatch(/not compared: 2\n.*state_dict\.b, which is an array of numpy\n/);
    expect(result.stdout).toMatch(/no difference in what was compared: 3 tensors the same/);
  });

  it("two different models beside the same lone tensor differ", async () => {
    const a = save(dict({ loss: t(1), state_dict: model(1) }));
    const b = save(dict({ loss: t(1), state_dict: model(9) }));
    expect(await runCli("vista-ckpt", ["diff", a, b, "--json"])).toMatchObject({
      code: 1,
      stdout: expect.stringContaining('"name":"a.weight"'),
    });
  });

  it("diff: a damaged file is an error, no difference", async () => {
    const a = save(model());
    const bytes = readFileSync(a);
    const at = bytes.indexOf(Buffer.from(Float32Array.of(3).buffer));
    bytes[at + 3] = 0x7e;
    const b = join(temporaryFolder(), "b.pt");
    writeFileSync(b, bytes);
    const result = await runCli("vista-ckpt", ["diff", a, b]);
    expect(result).toMatchObject({ code: 2, stdout: "" });
    expect(result.stderr).toMatch(/b\.pt: archive\/data\/1: .*CRC-32.*damaged/);
    expect((await runCli("vista-ckpt", ["diff", a, b, "--no-verify"])).stdout).toContain(
      "different: 2 tensors",
    );
  });

  it("inspect and verify take --key; a key that names nothing is said", async () => {
    const path = save(dict({ state_dict: model(), ema: dict({ w: t(Number.NaN) }) }));
    const inspected = await runCli("vista-ckpt", ["inspect", path, "--key", "ema", "--json"]);
    expect(JSON.parse(inspected.stdout)).toMatchObject({ key: "ema", tensors: [{ name: "w" }] });
    const nonFinite = async (...args: string[]) =>
      JSON.parse((await runCli("vista-ckpt", ["verify", path, "--json", ...args])).stdout).nonFinite;
    expect(await nonFinite()).toHaveLength(1);
    expect(await nonFinite("--key", "ema")).toHaveLength(1);
    expect(await nonFinite("--key", "state_dict")).toEqual([]);
    for (const command of ["inspect", "verify", "to-st"]) {
      const { code, stderr } = await runCli("vista-ckpt", [command, path, "--key", "nothing"]);
      expect(code).toBeGreaterThan(0);
      expect(stderr).toMatch(/no state dict under "nothing"/);
    }
  });
});

describe("a folder with the one file of a model", () => {
  it.each(["pytorch_model.bin", "model.safetensors"])("%s is read", async (name) => {
    const folder = temporaryFolder();
    const { state } = await openCheckpoint(save(model()));
    await saveCheckpoint(state, join(folder, name), { fsync: false });
    await state.close();
    mkdirSync(join(folder, "logs"));
    const checkpoint = await openCheckpoint(folder);
    await checkpoint.state.close();
    expect([...checkpoint.state.tensors.keys()].sort()).toEqual([...NAMES].sort());
    expect((await runCli("vista-ckpt", ["verify", folder])).stdout).toMatch(/^sound: 1 file/m);
    writeFileSync(join(folder, "adapter_model.bin"), "");
    await expect(openCheckpoint(folder)).rejects.toMatchObject({ code: "AMBIGUOUS" });
  });
});

describe("to-st --raw and the metadata of a safetensors input", () => {
  it("keeps it, with what --metadata adds; without --raw says that it is left out", async () => {
    const folder = temporaryFolder();
    const input = join(folder, "a.safetensors");
    const { state } = await openCheckpoint(save(dict({ "_forward_module.w": t(1) })));
    await saveCheckpoint(state, input, { fsync: false, metadata: { format: "pt", note: "mine" } });
    await state.close();
    const raw = join(folder, "raw.safetensors");
    const kept = await runCli("vista-ckpt", ["to-st", input, raw, "--raw", "--metadata", "note=new"]);
    expect(kept.stdout).toMatch(/metadata of the input, 2 entries: kept/);
    const back = await openCheckpoint(raw);
    await back.state.close();
    expect(Object.fromEntries(back.metadata!)).toEqual({ format: "pt", note: "new" });
    const steps = await runCli("vista-ckpt", ["to-st", input, join(folder, "steps.safetensors")]);
    expect(steps.stdout).toMatch(/metadata of the input, 2 entries: left out/);
  });
});

describe("verify", () => {
  it("one damaged local header is one problem, and the numbers of the rest are looked at", async () => {
    const path = save(dict({ a: t(1, 2), b: t(Number.NaN), c: t(5) }));
    const bytes = readFileSync(path);
    const header = bytes.lastIndexOf("PK\u0003\u0004", bytes.indexOf("archive/data/0"));
    bytes[header] = 0;
    writeFileSync(path, bytes);
    const { code, stdout } = await runCli("vista-ckpt", ["verify", path, "--json"]);
    const report = JSON.parse(stdout);
    expect(code).toBe(1);
    expect(report.problems).toHaveLength(1);
    expect(report.problems[0].record).toBe("archive/data/0");
    expect(report.nonFinite).toMatchObject([{ name: "b", nan: 1 }]);
  });

  it("a damaged local header of the pickle, which is read twice, is one problem too", async () => {
    const path = join(FIXTURES, "scan/bad/other-method-in-the-local-header.pt");
    const { stdout } = await runCli("vista-ckpt", ["verify", path, "--json"]);
    expect(JSON.parse(stdout).problems).toMatchObject([{ record: "archive/data.pkl" }]);
  });

  it("a pickle that is damaged: says that NaN was not looked for", async () => {
    const path = save(dict({ b: t(Number.NaN) }));
    const bytes = readFileSync(path);
    const at = bytes.indexOf("FloatStorage");
    bytes[at] = bytes[at]! ^ 1;
    writeFileSync(path, bytes);
    const report = JSON.parse((await runCli("vista-ckpt", ["verify", path, "--json"])).stdout);
    expect(report.problems).toHaveLength(1);
    expect(report.warnings).toEqual([expect.stringMatching(/NaN and infinity were not looked for/)]);
  });
});
