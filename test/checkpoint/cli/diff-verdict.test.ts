/** The verdict of `diff` is one on what was compared: on metadata too, and never on tensors or states that nothing looked at. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { runCli } from "../../helpers/cli.js";
import { temporaryFolder } from "../../helpers/state.js";
import {
  Call,
  type Fake,
  FakeTensor,
  Tuple,
  torchEntries,
  torchZip,
  writeFakeCheckpoint,
  zip,
} from "../../helpers/torch-file.js";

const t = (...values: number[]) => new FakeTensor(values);
const dict = (of: Record<string, Fake>) => new Map<Fake, Fake>(Object.entries(of));
const model = () => dict({ a: t(1, 2), b: t(3) });

function save(value: Fake): string {
  const path = join(temporaryFolder(), "x.pt");
  writeFileSync(path, torchZip(value));
  return path;
}

/** A safetensors file with tensors of two bytes each, written by hand. */
function safetensors(
  metadata: Record<string, string> | undefined,
  path = join(temporaryFolder(), "x.safetensors"),
  names = ["w"],
): string {
  const tensors = names.map((name, i) => [
    name,
    { dtype: "U8", shape: [2], data_offsets: [2 * i, 2 * i + 2] },
  ]);
  const header = Buffer.from(
    JSON.stringify({
      ...(metadata && { __metadata__: metadata }),
      ...Object.fromEntries(tensors),
    }),
  );
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.byteLength));
  writeFileSync(path, Buffer.concat([length, header, Buffer.alloc(2 * names.length, 7)]));
  return path;
}

async function diff(a: string, b: string, ...options: string[]) {
  const { code, stdout } = await runCli("vista-ckpt", ["diff", a, b, ...options]);
  return { code, verdict: stdout.trimEnd().split("\n").at(-1)!, stdout };
}

const NOT_ALL = "no difference in what was compared: 2 tensors the same";

describe("metadata of safetensors", () => {
  it("that differ are a difference, each named", async () => {
    const a = safetensors({ format: "pt", step: "100", only: "here" });
    const b = safetensors({ format: "pt", step: "200" });
    const { code, verdict, stdout } = await diff(a, b);
    expect(code).toBe(1);
    expect(verdict).toBe("tensors compared are equal, metadata differ: 1 tensor the same");
    expect(stdout).toMatch(/^different metadata: 2\n {2}step {2}100 ≠ 200\n {2}only {2}only in \S+: here$/m);
    expect(await diff(a, a)).toMatchObject({ code: 0, verdict: "equal: 1 tensor the same" });
    const json = JSON.parse((await diff(a, b, "--json")).stdout);
    expect(json).toMatchObject({ equal: false, same: 1, metadata: [{ key: "step" }, { key: "only" }] });
  });

  it("`format` that only one program wrote is named, another format is a difference", async () => {
    const plain = safetensors(undefined);
    const marked = safetensors({ format: "pt" });
    const { code, verdict, stdout } = await diff(plain, marked);
    expect({ code, verdict }).toEqual({ code: 0, verdict: "state dicts equal: 1 tensor the same" });
    expect(stdout).toMatch(/^not compared: 1\n {2}\S+: metadata format, which the other has not$/m);
    expect(await diff(marked, safetensors({ format: "tf" }))).toMatchObject({ code: 1 });
  });

  it("are named beside a torch file, which has none", async () => {
    const w = new FakeTensor(Uint8Array.of(7, 7), [2], { storageClass: "ByteStorage" });
    const { code, verdict, stdout } = await diff(safetensors({ step: "1" }), save(dict({ w })));
    expect({ code, verdict }).toEqual({ code: 0, verdict: "state dicts equal: 1 tensor the same" });
    expect(stdout).toMatch(/metadata step, which the other has not/);
  });

  it("of every shard count, and what shards do not agree on is left out by name", async () => {
    const sharded = (first: Record<string, string>, second: Record<string, string>) => {
      const folder = temporaryFolder();
      safetensors(first, join(folder, "1.safetensors"), ["v"]);
      safetensors(second, join(folder, "2.safetensors"), ["w"]);
      const index = { metadata: {}, weight_map: { v: "1.safetensors", w: "2.safetensors" } };
      writeFileSync(join(folder, "model.safetensors.index.json"), JSON.stringify(index));
      return folder;
    };
    const a = sharded({ format: "pt" }, { format: "pt", step: "1" });
    expect(await diff(a, a)).toMatchObject({ code: 0, verdict: "equal: 2 tensors the same" });
    expect(await diff(a, sharded({ format: "pt" }, { format: "pt", step: "2" }))).toMatchObject({ code: 1 });
    const odd = sharded({ format: "pt", part: "1" }, { format: "pt", part: "2" });
    const { code, verdict, stdout } = await diff(odd, odd);
    expect({ code, verdict }).toEqual({ code: 0, verdict: "state dicts equal: 2 tensors the same" });
    expect(stdout).toMatch(/__metadata__\.part, which is no tensor/);
    const output = join(odd, "out.safetensors");
    const { stdout: said } = await runCli("vista-ckpt", ["to-st", odd, "--raw", "-o", output]);
    expect(said).toMatch(/left out, since no tensors: __metadata__\.part/);
  });
});

describe("tensors beside the state dict", () => {
  const moments = dict({ exp_avg: t(1, 2), exp_avg_sq: t(3, 4) });
  const optimizer = dict({ state: new Map<Fake, Fake>([[0, moments]]), param_groups: [dict({ lr: 0.1 })] });
  const array = new Call("numpy._core.multiarray", "_reconstruct", "x");

  it.each<[string, Record<string, Fake>]>([
    ["averages under a key like an optimizer's", { optimizer_ema_weights: model() }],
    [
      "averages that an optimizer keeps beside its state",
      { optimizer_states: [dict({ opt: optimizer, ema: new Tuple(t(1, 2), t(3)) })] },
    ],
    [
      "fp32 masters beside an optimizer's state",
      { optimizer: dict({ state: optimizer, fp32_from_fp16: [[t(1, 2)]] }) },
    ],
    [
      "averages that a callback keeps",
      { callbacks: dict({ EMA: dict({ state_dict: model(), best: t(1) }) }) },
    ],
    ["a second model whose name has `scaler` in it", { upscaler: model() }],
    ["averages in a list before an optimizer's state", { extra: dict({ ema: [t(1, 2)], optim: optimizer }) }],
    ["a lone tensor of several numbers", { alphas_cumprod: t(1, 2, 3) }],
    ["averages as arrays of numpy", { ema: dict({ a: array }) }],
  ])("%s are not called equal", async (_, beside) => {
    const path = save(dict({ state_dict: model(), ...beside }));
    const { code, verdict, stdout } = await diff(path, path);
    expect({ code, verdict }, stdout).toEqual({ code: 1, verdict: NOT_ALL });
    expect(await diff(path, path, "--key", "state_dict")).toMatchObject({
      code: 0,
      verdict: "state dicts equal: 2 tensors the same",
    });
  });

  it("of an optimizer, random generators and single numbers leave the state dicts equal, which is not all", async () => {
    const rng = new FakeTensor(new Uint8Array(16), [16], { storageClass: "ByteStorage" });
    const path = save(
      dict({
        epoch: 3,
        state_dict: model(),
        optimizer,
        optimizer_states: [optimizer],
        lr_schedulers: [dict({ last: t(0.1) })],
        cuda_rng_state: [rng],
        callbacks: dict({ checkpoint: dict({ best_model_score: t(0.5) }) }),
        loops: dict({ state: dict({ sums: t(1, 2, 3) }) }),
        loss: t(0.5),
      }),
    );
    const { code, verdict, stdout } = await diff(path, path);
    expect({ code, verdict }, stdout).toEqual({
      code: 0,
      verdict: "state dicts equal: 2 tensors the same",
    });
    expect(JSON.parse((await diff(path, path, "--json")).stdout)).toMatchObject({ stateDictOnly: true });
  });
});

describe("other files of weights in a folder", () => {
  /** As accelerate saves two models and what goes with them. */
  function folder(): string {
    const path = temporaryFolder();
    for (const name of ["model.safetensors", "model_1.safetensors"]) safetensors(undefined, join(path, name));
    for (const name of ["optimizer.bin", "scheduler.bin", "sampler.bin", "random_states_0.pkl"])
      writeFileSync(join(path, name), "x");
    return path;
  }
  const said =
    "left out other files in this folder that may hold weights: model_1.safetensors (give one of them)";

  it("are named, and the folder is not called equal; the file is", async () => {
    const path = folder();
    const { code, verdict, stdout } = await diff(path, path);
    expect({ code, verdict }).toEqual({
      code: 1,
      verdict: "no difference in what was compared: 1 tensor the same",
    });
    expect(stdout).toMatch(/model_1\.safetensors, another file in the folder/);
    const file = join(path, "model.safetensors");
    expect(await diff(file, file)).toMatchObject({ code: 0, verdict: "equal: 1 tensor the same" });
    expect(await diff(path, join(path, "model_1.safetensors"))).toMatchObject({ code: 0 });
    const verified = await runCli("vista-ckpt", ["verify", path]);
    expect(verified).toMatchObject({ code: 0, stdout: expect.stringContaining(`note: ${said}`) });
    expect((await runCli("vista-ckpt", ["inspect", path])).stderr).toContain(said);
  });

  it("are those that an index does not name", async () => {
    const path = folder();
    const index = { metadata: {}, weight_map: { w: "model.safetensors" } };
    writeFileSync(join(path, "model.safetensors.index.json"), JSON.stringify(index));
    expect(await diff(path, path)).toMatchObject({ code: 1 });
    expect((await runCli("vista-ckpt", ["verify", path])).stdout).toContain(said);
  });
});

describe("entries of the state dict that nothing here reads", () => {
  it.each<[string, Fake, RegExp]>([
    [
      "layer._extra_state",
      new Call("_io", "BytesIO"),
      /layer\._extra_state, a module's state in a form of its own/,
    ],
    [
      "w",
      new Call("numpy._core.multiarray", "_reconstruct", "x"),
      /state_dict\.w, which is an array of numpy/,
    ],
    ["0._packed", new Tuple("qint8", t(1, 2)), /1 tensor under state_dict\.0\._packed/],
  ])(
    "%s that differs, or is not looked at, is never called equal, also with --key",
    async (name, value, said) => {
      const of = (entry: Fake) =>
        save(dict({ state_dict: new Map<Fake, Fake>([...model(), [name, entry]]) }));
      const [a, b] = [of(value), of(value instanceof Call ? new Call(value.module, value.name, "y") : value)];
      for (const options of [[], ["--key", "state_dict"]]) {
        const { code, verdict, stdout } = await diff(a, b, ...options);
        expect({ code, verdict }, stdout).toEqual({ code: 1, verdict: NOT_ALL });
        expect(stdout).toMatch(said);
      }
    },
  );

  it("an extra state and an array of numpy that are the same in both are compared, under whatever key", async () => {
    const entries = new Map<Fake, Fake>([
      ...model(),
      ["x._extra_state", dict({ scale: 2 })],
      ["n", new Call("numpy._core.multiarray", "_reconstruct", "x")],
    ]);
    const [a, b] = [save(entries), save(dict({ module: entries }))];
    expect(await diff(a, a)).toMatchObject({ code: 0, verdict: "equal: 2 tensors the same" });
    expect(await diff(a, b)).toMatchObject({ code: 0, verdict: "state dicts equal: 2 tensors the same" });
  });

  describe("tensors in the dicts and lists of an extra state", () => {
    const deep = () => dict({ scale: t(1, 2), amax: [t(3), new Tuple(t(4), 5)], step: 7 });
    const saved = (of: Record<string, Fake>, more: Record<string, Fake> = {}) =>
      save(
        dict({
          state_dict: new Map([
            ...dict({ a: t(1, 2), b: t(3), ...more }),
            ["x._extra_state", new Map([...deep(), ...dict(of)])],
          ]),
        }),
      );
    const a = saved({});

    it("are compared by their places, as all others are", async () => {
      expect(await diff(a, a)).toMatchObject({ code: 0, verdict: "state dicts equal: 5 tensors the same" });
      const b = saved({ scale: t(1, 2.5) });
      const { code, verdict, stdout } = await diff(a, b);
      expect({ code, verdict }).toEqual({ code: 1, verdict: "different: 4 tensors the same" });
      expect(stdout).toContain(
        "  x._extra_state.scale  values differ in 1 element; largest difference 0.5, relative 0.2\n",
      );
      expect(stdout).not.toContain("not compared");
      expect(await diff(a, b, "--atol", "0.5")).toMatchObject({
        code: 0,
        verdict: "state dicts equal: 4 tensors the same, 1 within what was allowed",
      });
      const half = new FakeTensor(Uint8Array.of(0, 0x3c, 0, 0x40), [2], { storageClass: "HalfStorage" });
      expect((await diff(a, saved({ scale: half }))).stdout).toMatch(
        /x\._extra_state\.scale {2}dtype F32 ≠ F16; same values/,
      );
    });

    it("are compared also where they are larger than a value's text may be, or are there twice in one input", async () => {
      const large = saved({ scale: new FakeTensor(new Uint8Array(2 ** 21), [2 ** 19]) });
      expect(await diff(large, large)).toMatchObject({
        code: 0,
        verdict: "state dicts equal: 5 tensors the same",
      });
      const scale = t(1, 2);
      const verdict = "state dicts equal: 6 tensors the same";
      expect(await diff(saved({ scale, again: scale }), saved({ again: t(1, 2) }))).toMatchObject({
        code: 0,
        verdict,
      });
    });

    it("are not compared where a list is in itself, or lists stand for very many values", async () => {
      /** Saves a model with an extra state in which `@2` stands for the second list, wherever it is. */
      const withReferences = (extra: Fake) => {
        const entries = torchEntries(new Map<Fake, Fake>([...model(), ["x._extra_state", extra]]));
        let lists = 0;
        const pickled = Buffer.from(entries[0]!.data)
          .toString("latin1")
          .replace(/X[^X]{4}@(\d)/gs, (_, number) => `h${String.fromCharCode(number)}`)
          .replace(/\]\(/g, () => `]q${String.fromCharCode(++lists)}(`);
        entries[0]!.data = Buffer.from(pickled, "latin1");
        const path = join(temporaryFolder(), "x.pt");
        writeFileSync(path, zip(entries));
        return path;
      };
      // Each list has the one before ten times; the last stands for a million tensors.
      const tens = [2, 3, 4, 5, 6, 7].map((before) => Array<Fake>(10).fill(`@${before}`));
      for (const extra of [
        ["@1", t(5)],
        [[t(5)], ...tens],
      ]) {
        const path = withReferences(extra);
        const { code, verdict, stdout } = await diff(path, path);
        expect({ code, verdict }, stdout).toEqual({ code: 1, verdict: NOT_ALL });
      }
      const few = withReferences([[t(5)], ...tens.slice(0, 2)]);
      expect(await diff(few, few)).toMatchObject({ code: 0, verdict: "equal: 113 tensors the same" });
    });

    it("are compared of a ZeRO checkpoint too, whose state dict is in its model states", async () => {
      const zero = (scale: FakeTensor, key = "module") => {
        const folder = temporaryFolder();
        const states = dict({ a: t(1, 2), "x._extra_state": dict({ scale, step: 7 }), "y._extra_state": 3 });
        const partitions = [[t(1, 2)]];
        writeFakeCheckpoint(folder, {
          stage: 1,
          partitions,
          paramShapes: [{ a: [2] }],
          model: { [key]: states },
        });
        return folder;
      };
      const verdict = "state dicts equal: 2 tensors the same";
      for (const key of ["module", "net"]) {
        const path = zero(t(5), key);
        const { code, ...said } = await diff(path, path, ...(key === "module" ? [] : ["--key", key]));
        expect({ code, verdict: said.verdict }, said.stdout).toEqual({ code: 0, verdict });
      }
      const { code, stdout } = await diff(zero(t(5)), zero(t(6)));
      expect(code).toBe(1);
      expect(stdout).toContain(
        "x._extra_state.scale  values differ in 1 element; largest difference 1, relative 0.1667",
      );
    });

    it("are named as not compared where something else in it differs, or another tensor has the name of such a place", async () => {
      const others: Record<string, Fake>[] = [
        { step: 8 },
        { amax: [t(3)] },
        { amax: [t(3), new Tuple(t(4), 6)] },
        { scale: 1 },
        { more: t(1) },
      ];
      for (const b of others) {
        const { code, verdict, stdout } = await diff(a, saved(b));
        expect({ code, verdict }).toEqual({ code: 1, verdict: NOT_ALL });
        expect(stdout).toMatch(/state_dict\.x\._extra_state, a module's state in a form of its own/);
        expect(stdout).toMatch(/1 tensor under state_dict\.x\._extra_state\.amax\.1/);
      }
      const clash = saved({}, { "x._extra_state.scale": t(9, 9) });
      const verdict = "no difference in what was compared: 3 tensors the same";
      expect(await diff(clash, clash)).toMatchObject({ code: 1, verdict });
      const sparse = saved({ s: new Call("torch._utils", "_rebuild_sparse_tensor", new Tuple()) });
      expect(await diff(sparse, sparse)).toMatchObject({ code: 1, verdict: NOT_ALL });
    });
  });

  it("an extra state of None and one that is a tensor are nothing of the kind", async () => {
    const none = save(new Map<Fake, Fake>([...model(), ["_extra_state", null]]));
    expect(await diff(none, none)).toMatchObject({ code: 0 });
    const tensor = save(new Map<Fake, Fake>([...model(), ["x._extra_state", t(1, 2)]]));
    expect(await diff(tensor, tensor)).toMatchObject({ code: 0, verdict: "equal: 3 tensors the same" });
  });
});
