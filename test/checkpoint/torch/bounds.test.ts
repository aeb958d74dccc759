/**
 * Small pickles that ask for much: each ends in one VistaError or in the right answer, and no worker of these tests has
 * the memory or the time for what they ask.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { inspectCheckpoint } from "../../../src/checkpoint/inspect.js";
import type { TorchFile } from "../../../src/checkpoint/torch/file.js";
import { PICKLE_LIMITS } from "../../../src/checkpoint/torch/limits.js";
import { keyText, PyTuple, type PyValue } from "../../../src/checkpoint/torch/objects.js";
import { findStateDict } from "../../../src/checkpoint/torch/state-dicts.js";
import { walk } from "../../../src/checkpoint/torch/storages.js";
import { isVistaError } from "../../../src/core/errors.js";
import { temporaryFolder } from "../../helpers/state.js";
import { Call, FakeTensor, torchEntries, zip } from "../../helpers/torch-file.js";

const u32 = (value: number) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes.toString("latin1");
};
const text = (value: string) => `X${u32(value.length)}${value}`;

/** A tensor of one element. */
const tensor = (shape = "K\x01\x85", strides = "K\x01\x85") =>
  `ctorch._utils\n_rebuild_tensor_v2\n((${text("storage")}ctorch\nFloatStorage\n${text("0")}${text("cpu")}K\x01tQK\x00${shape}${strides}\x89}tR`;

async function inspected(pickle: string): Promise<string> {
  const path = join(temporaryFolder(), "x.pt");
  writeFileSync(
    path,
    zip([
      { name: "archive/data.pkl", data: Buffer.from(`\x80\x02${pickle}.`, "latin1") },
      { name: "archive/byteorder", data: Buffer.from("little") },
      { name: "archive/data/0", data: Buffer.alloc(4) },
    ]),
  );
  return answerOf(path);
}

/** The error's text, or the names of the tensors. */
async function answerOf(path: string): Promise<string> {
  try {
    const { tensors, unreadable } = await inspectCheckpoint(path);
    return `tensors: ${[...tensors, ...unreadable].map(({ name }) => name).join(", ")}`;
  } catch (error) {
    if (!isVistaError(error)) throw error;
    expect(error.message.length).toBeLessThan(3000);
    expect(error.message).not.toMatch(/not foreseen/);
    return error.message;
  }
}

/** `levels` lists or tuples, each of two references to the one before: 2^levels leaves for whoever unfolds them. */
function doubled(levels: number, close: string): string {
  let out = `]r${u32(1000)}0`;
  for (let i = 0; i < levels; i++) out += `(j${u32(1000 + i)}j${u32(1000 + i)}${close}r${u32(1001 + i)}0`;
  return `${out}j${u32(1000 + levels)}`;
}

describe("bounds", () => {
  it("a key that is a tuple doubled sixty times is named without being unfolded", async () => {
    expect(await inspected(`}${doubled(60, "t")}${tensor()}s`)).toMatch(/tensors: <tuple of 2>$/);
  });

  it("a key that is a list nested 100,000 deep does not overflow the stack", async () => {
    const deep = `${"]".repeat(100_000)}${"a".repeat(99_999)}`;
    expect(await inspected(`}${deep}${tensor()}s`)).toMatch(/Array|nested more than/);
  });

  it("a shape that is doubled, or has a million dimensions in each of many tensors, is refused", async () => {
    expect(await inspected(`}${text("w")}${tensor(doubled(40, "t"), doubled(40, "t"))}s`)).toMatch(/size/);
    const long = `(${"K\x01".repeat(1_000_000)}tr${u32(7)}0`;
    const many = Array.from({ length: 1000 }, (_, i) => text(`w${i}`) + tensor(`j${u32(7)}`, `j${u32(7)}`));
    expect(await inspected(`${long}}(${many.join("")}u`)).toMatch(/size/);
  });

  it("a path through a million lists, with a tensor at each, is not spelled out a million times", async () => {
    const levels = 200_000;
    const pickle = `${tensor()}r${u32(5)}0${`](j${u32(5)}`.repeat(levels)}${"e".repeat(levels)}`;
    expect(await inspected(pickle)).toMatch(/nested more than 10000 deep/);
  });

  it("a long key shared by many dicts is not joined into as many long paths", async () => {
    const key = `${text("k".repeat(1_000_000))}r${u32(3)}0`;
    const dicts = Array.from({ length: 5000 }, () => `}j${u32(3)}${tensor()}s`).join("");
    const answer = await inspected(`${key}](${dicts}e`);
    expect(answer.length).toBeLessThan(20_000_000);
    expect(answer).toMatch(/^tensors: 0\.kkk/);
  });

  it("a list or a set without containers that another list has a thousand times is not looked at a thousand times", () => {
    let looks = 0;
    const list: PyValue[] = [1, 2];
    Object.defineProperty(list, 1, { get: () => ++looks });
    class Counting extends Set<PyValue> {
      override [Symbol.iterator]() {
        looks++;
        return super[Symbol.iterator]();
      }
    }
    for (const one of [list, new Counting([1, 2])]) {
      looks = 0;
      const value = new Map<PyValue, PyValue>([["many", new Array<PyValue>(1000).fill(one)]]);
      const file = { file: { path: "x.pt" }, value } as unknown as TorchFile;
      expect(() => findStateDict(file)).toThrow("no state dict");
      expect(looks).toBeGreaterThan(0);
      expect(looks).toBeLessThan(10);
    }
  });

  it("millions of empty dicts are refused before they fill the memory", async () => {
    const pickle = `](${"}".repeat(4_000_000)}e`;
    expect(await inspected(pickle)).toMatch(/need more than \d+ bytes of memory/);
  });

  it("names of classes and modules are bounded in length and in number", async () => {
    expect(await inspected(`c${"m".repeat(2000)}\nX\n`)).toMatch(/a name of 2000 characters/);
    const many = Array.from({ length: PICKLE_LIMITS.globals + 1 }, (_, i) => `cm\nC${i}\n0`).join("");
    expect(await inspected(`${many}N`)).toMatch(/more than 10000 names/);
  });

  it("a subclass of a subclass of a tensor, 30,000 times, does not overflow the stack", async () => {
    // (rebuild, None, (rebuild, None, (… ))), each in the one after it.
    const rebuild = "ctorch._tensor\n_rebuild_from_type_v2\n";
    const nested = `)r${u32(8)}0${`${rebuild}Nj${u32(8)}\x87r${u32(8)}0`.repeat(30_000)}`;
    const pickle = `${rebuild}j${u32(8)}R`;
    expect(await inspected(`${nested}}${text("w")}${pickle}s`)).toMatch(/nested more than 10000 deep/);
  });

  it("a thousand references to one dict of a hundred thousand shapes are counted, not walked", async () => {
    const shapes = Array.from({ length: 100_000 }, (_, i) => `${text(`p${i}`)}K\x01\x85`).join("");
    const dict = `}(${shapes}ur${u32(9)}0`;
    const pickle = (top: string) => ({
      name: "archive/data.pkl",
      data: Buffer.from(`\x80\x02${top}.`, "latin1"),
    });
    const folder = join(temporaryFolder(), "zero");
    mkdirSync(folder);
    const model = `${dict}}(${text("module")}}${text("param_shapes")}](${`j${u32(9)}`.repeat(1000)}eu`;
    writeFileSync(join(folder, "mp_rank_00_model_states.pt"), zip([pickle(model)]));
    const shard = new Map<string, unknown>([["zero_stage", 2]]);
    writeFileSync(
      join(folder, "zero_pp_rank_0_mp_rank_00_optim_states.pt"),
      zip(torchEntries(new Map([["optimizer_state_dict", shard as never]]))),
    );
    expect(await answerOf(folder)).toMatch(/100000000 shapes, the limit is/);
  });

  it.each([1e9, 2 ** 40])(
    "partition_count %d is refused, and no list of so many ranks is made",
    async (count) => {
      const folder = join(temporaryFolder(), `ranks-${count}`);
      mkdirSync(folder);
      const flat = new FakeTensor([1, 2]);
      const w = new FakeTensor([1, 2]);
      writeFileSync(
        join(folder, "mp_rank_00_model_states.pt"),
        zip(
          torchEntries(
            new Map<string, never>([
              ["module", new Map([["w", w]]) as never],
              ["param_shapes", [new Map([["w", new Call("torch", "Size", [2])]])] as never],
            ]),
          ),
        ),
      );
      const shard = new Map<string, never>([
        ["zero_stage", 2 as never],
        ["partition_count", (count < 2 ** 31 ? count : 2 ** 40) as never],
        ["single_partition_of_fp32_groups", [flat] as never],
      ]);
      // JavaScript's 2^40 is pickled as a float; a Python int of that size needs LONG1.
      const entries = torchEntries(new Map([["optimizer_state_dict", shard as never]]));
      if (count > 2 ** 31) {
        const float = Buffer.alloc(9);
        float[0] = 0x47;
        float.writeDoubleBE(2 ** 40, 1);
        const data = Buffer.from(entries[0]!.data);
        const at = data.indexOf(float);
        Buffer.from([0x8a, 7, 0, 0, 0, 0, 0, 1, 0]).copy(data, at);
        entries[0]!.data = data;
      }
      writeFileSync(join(folder, "zero_pp_rank_0_mp_rank_00_optim_states.pt"), zip(entries));
      expect(await answerOf(folder)).toMatch(
        new RegExp(`partition_count is ${count}, the limit is 100000 ranks`),
      );
    },
  );

  it("keys that are no text have a name that tells their kind", () => {
    const cases: [PyValue, string][] = [
      ["a", "a"],
      [7, "7"],
      [new PyTuple(["a", 1]), "(a, 1)"],
      [new PyTuple([new PyTuple([])]), "<tuple of 1>"],
      [[1], "<Array>"],
      [null, "null"],
    ];
    for (const [key, name] of cases) expect(keyText(key)).toBe(name);
  });

  it("a value that holds itself is walked once", () => {
    const ring: PyValue[] = [];
    ring.push(ring, 1);
    const places: string[] = [];
    walk(new Map([["a", ring]]), (_, at) => places.push(at()));
    expect(places).toEqual(["", "a"]);
  });
});

describe("counts", () => {
  it("a zip that claims more records than any real one is refused before they are read", async () => {
    const path = join(temporaryFolder(), "x.pt");
    const bytes = zip(torchEntries(new Map([["w", new FakeTensor([1])]])));
    const at = bytes.length - 22;
    const end64 = Buffer.alloc(56 + 20);
    end64.writeUInt32LE(0x06064b50, 0);
    end64.writeBigUInt64LE(44n, 4);
    end64.writeBigUInt64LE(600_000n, 24);
    end64.writeBigUInt64LE(600_000n, 32);
    end64.writeBigUInt64LE(BigInt(bytes.readUInt32LE(at + 12)), 40);
    end64.writeBigUInt64LE(BigInt(bytes.readUInt32LE(at + 16)), 48);
    end64.writeUInt32LE(0x07064b50, 56);
    end64.writeBigUInt64LE(BigInt(at), 64);
    end64.writeUInt32LE(1, 72);
    bytes.writeUInt16LE(0xffff, at + 10);
    writeFileSync(path, Buffer.concat([bytes.subarray(0, at), end64, bytes.subarray(at)]));
    expect(await answerOf(path)).toMatch(/the zip claims 600000 records, the limit is 200000/);
  });

  it("a safetensors header of more tensors than any real one is refused where the first of them begins", async () => {
    const path = join(temporaryFolder(), "x.safetensors");
    const entries = Array.from(
      { length: 200_001 },
      (_, i) => `"${i}":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}`,
    );
    const header = Buffer.from(`{${entries.join(",")}}`);
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(header.length));
    writeFileSync(path, Buffer.concat([length, header]));
    expect(await answerOf(path)).toMatch(/more than 200000 tensors/);
  });
});
