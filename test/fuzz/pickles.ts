/** Pickles: changed operation by operation, or made from the grammar, so that the machine is reached and not its first check. */
import { mutateBytes } from "./mutate.js";
import type { Random } from "./random.js";

const NO_ARGUMENT = "()]}.012Nadestuloq\x81\x85\x86\x87\x88\x89\x8f\x90\x91\x92\x93\x94\x98RbQ";
const GLOBALS = [
  "collections\nOrderedDict",
  "collections\ndefaultdict",
  "__builtin__\nset",
  "builtins\nlist",
  "builtins\ndict",
  "builtins\ntuple",
  "torch\nSize",
  "torch\nFloatStorage",
  "torch\nBFloat16Storage",
  "torch.storage\nUntypedStorage",
  "torch._utils\n_rebuild_tensor_v2",
  "torch._utils\n_rebuild_tensor_v3",
  "torch._utils\n_rebuild_parameter",
  "torch._tensor\n_rebuild_from_type_v2",
  "_codecs\nencode",
  "os\nsystem",
  "deepspeed.runtime.zero.config\nZeroStageEnum",
];
const TEXTS = [
  "storage",
  "cpu",
  "0",
  "1",
  "module",
  "state_dict",
  "optimizer_state_dict",
  "param_shapes",
  "weight",
  "latin1",
];

function latin(text: string): Buffer {
  return Buffer.from(text, "latin1");
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value >>> 0);
  return bytes;
}

/** One operation with arguments that can be read. */
function operation(random: Random): Buffer {
  switch (random.below(14)) {
    case 0:
      return latin(`c${random.pick(GLOBALS)}\n`);
    case 1: {
      const text = latin(random.pick(TEXTS));
      return Buffer.concat([latin("X"), u32(text.length), text]);
    }
    case 2:
      return Buffer.from([0x4b, random.below(256)]);
    case 3:
      return Buffer.concat([latin("J"), u32(random.pick([0, 1, -1, 4, 2 ** 31, 7]))]);
    case 4:
      return Buffer.from([0x71, random.below(20)]);
    case 5:
    case 6:
      return Buffer.from([0x68, random.below(20)]);
    case 7:
      return latin(`I${random.pick(["00", "01", "5", "-3", "99999999999999999999"])}\n`);
    case 8:
      return Buffer.concat([Buffer.from([0x8a, 8]), u32(random.below(2 ** 31)), u32(random.below(2 ** 31))]);
    case 9:
      return latin(random.pick([tensor("0"), tensor("1"), tensor("0", "K\x02K\x02\x86", "K\x00K\x00\x86")]));
    case 10:
      return latin(random.pick([")", "]", "}", "("]).repeat(random.size(2000)));
    case 11:
      return latin("a".repeat(random.size(100)));
    default:
      return latin(random.pick([...NO_ARGUMENT]));
  }
}

function tensor(key: string, shape = "K\x01\x85", strides = "K\x01\x85"): string {
  const text = (value: string) => `X${String.fromCharCode(value.length)}\0\0\0${value}`;
  return `ctorch._utils\n_rebuild_tensor_v2\n((${text("storage")}ctorch\nFloatStorage\n${text(key)}${text("cpu")}K\x01tQK\0${shape}${strides}\x89}tR`;
}

/** A pickle from the grammar, of up to `most` operations. */
export function makePickle(random: Random, most = 200): Buffer {
  const parts: Buffer[] = [Buffer.from([0x80, random.pick([2, 2, 2, 3, 4, 5])])];
  if (random.chance(0.7)) parts.push(latin("}q\0"));
  for (let left = random.size(most); left > 0; left--) {
    const part = operation(random);
    const times = random.chance(0.03) ? random.size(3000) : 1;
    for (let i = 0; i < times; i++) parts.push(part);
    // What a dict holds is what the readers look at.
    if (random.chance(0.2)) {
      const text = latin(random.pick(TEXTS));
      parts.push(latin("h\0X"), u32(text.length), text, operation(random), latin("s0"));
    }
  }
  if (random.chance(0.7)) parts.push(latin("h\0"));
  parts.push(latin("."));
  return Buffer.concat(parts);
}

/** Bytes of the argument of operations that have one of fixed length. */
const FIXED: Record<string, number> = {
  "\x80": 1,
  K: 1,
  q: 1,
  h: 1,
  M: 2,
  J: 4,
  r: 4,
  j: 4,
  G: 8,
  "\x95": 8,
};
/** Bytes of the length before arguments that say theirs. */
const COUNTED: Record<string, number> = {
  U: 1,
  C: 1,
  "\x8a": 1,
  "\x8c": 1,
  X: 4,
  T: 4,
  B: 4,
  "\x8b": 4,
  "\x8d": 8,
};
/** Lines after operations in text. */
const LINES: Record<string, number> = { c: 2, i: 2, I: 1, L: 1, F: 1, S: 1, V: 1, P: 1, p: 1, g: 1 };

/** Cuts pickles into their operations, as far as they can be read. */
function operationsOf(bytes: Buffer): Buffer[] {
  const operations: Buffer[] = [];
  let at = 0;
  while (at < bytes.length) {
    const code = String.fromCharCode(bytes[at]!);
    let end = at + 1 + (FIXED[code] ?? 0);
    const counted = COUNTED[code];
    if (counted !== undefined && at + 1 + counted <= bytes.length) {
      end = at + 1 + counted + bytes.readUIntLE(at + 1, Math.min(counted, 4));
    }
    for (let line = 0; line < (LINES[code] ?? 0); line++) end = bytes.indexOf(0x0a, end) + 1 || bytes.length;
    operations.push(bytes.subarray(at, Math.min(end, bytes.length)));
    at = end;
    if (operations.length > 20_000) return [...operations, bytes.subarray(at)];
  }
  return operations;
}

/** A real pickle (or several, one after the other) with operations changed, lost, doubled, exchanged or put in. */
export function mutatePickle(pickle: Uint8Array, random: Random): Buffer {
  if (random.chance(0.2)) return mutateBytes(pickle, random);
  const operations = operationsOf(Buffer.from(pickle));
  for (let left = random.size(4); left > 0 && operations.length > 0; left--) {
    const at = random.below(operations.length);
    const old = operations[at]!;
    switch (random.below(10)) {
      case 0:
        operations.splice(at, 1);
        break;
      case 1:
        operations.splice(at, 0, operation(random));
        break;
      case 2: {
        const times = random.size(3000);
        operations.splice(at, 0, ...Array<Buffer>(times).fill(old));
        break;
      }
      default: {
        // Another argument of the same kind, from elsewhere in the pickle: what nests stays as it was.
        const same = operations.filter((other) => other[0] === old[0] && !other.equals(old));
        if (same.length > 0 && random.chance(0.6)) operations[at] = random.pick(same);
        else if (old.length > 1) {
          const changed = Buffer.from(old);
          changed[1 + random.below(old.length - 1)] = random.pick([0, 1, 2, 3, 127, 128, 255]);
          operations[at] = changed;
        } else operations[at] = random.pick(operations);
      }
    }
  }
  return Buffer.concat(operations);
}
