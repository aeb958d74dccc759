/** Changes that a file may suffer or an attacker may make: of bytes, and of JSON by its structure. */
import type { Random } from "./random.js";

const ODD_NUMBERS = [
  0,
  1,
  -1,
  2,
  127,
  128,
  255,
  256,
  65535,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 32 - 1,
  2 ** 40,
  2 ** 53,
];

/** A few changes of bytes. */
export function mutateBytes(input: Uint8Array, random: Random, most = 6): Buffer {
  let bytes: Buffer = Buffer.from(input);
  for (let left = random.size(most); left > 0; left--) bytes = changeOnce(bytes, random);
  return bytes;
}

function changeOnce(bytes: Buffer, random: Random): Buffer {
  if (bytes.length === 0) return Buffer.from([random.below(256)]);
  const at = random.below(bytes.length);
  switch (random.below(9)) {
    case 0:
      bytes[at] = random.below(256);
      return bytes;
    case 1:
      bytes[at]! ^= 1 << random.below(8);
      return bytes;
    case 2: {
      // A number where a length or an offset may be.
      const value = random.pick(ODD_NUMBERS);
      const width = random.pick([1, 2, 4, 8]);
      for (let i = 0; i < width && at + i < bytes.length; i++) {
        bytes[at + i] = Number((BigInt(value) >> BigInt(8 * i)) & 0xffn);
      }
      return bytes;
    }
    case 3:
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + random.size(bytes.length - at))]);
    case 4: {
      const part = bytes.subarray(at, at + random.size(64));
      const to = random.below(bytes.length);
      return Buffer.concat([bytes.subarray(0, to), part, bytes.subarray(to)]);
    }
    case 5: {
      const part = bytes.subarray(at, at + random.size(32));
      return Buffer.concat([
        bytes.subarray(0, at),
        ...Array<Buffer>(random.size(200)).fill(part),
        bytes.subarray(at),
      ]);
    }
    case 6:
      return bytes.subarray(0, at) as Buffer;
    case 7: {
      const digit = /[0-9]/;
      // The next digit in text becomes another one, or many.
      for (let i = at; i < bytes.length; i++) {
        if (!digit.test(String.fromCharCode(bytes[i]!))) continue;
        const number = Buffer.from(String(random.pick([...ODD_NUMBERS, 1e308, 1.5, 2 ** 64])));
        return Buffer.concat([bytes.subarray(0, i), number, bytes.subarray(i + 1)]);
      }
      return bytes;
    }
    default:
      return Buffer.concat([bytes, bytes.subarray(at, at + random.size(100))]);
  }
}

const ODD_NAMES = [
  "__proto__",
  "constructor",
  "toString",
  "",
  "\u0000",
  "\u001b[31m",
  "\u202e",
  "a".repeat(5000),
];

/** What stands where something else should. */
function oddValue(random: Random): unknown {
  return random.pick<() => unknown>([
    () => null,
    () => true,
    () => random.pick(ODD_NUMBERS),
    () => random.pick([0.5, 1e308, -1e308, 1e-320]),
    () => "",
    () => random.pick(ODD_NAMES),
    () => [],
    () => ({}),
    // JavaScript makes neither a text nor a number of it.
    () => ({ toString: 1, valueOf: 1 }),
    () => Array(random.size(300)).fill(random.pick(ODD_NUMBERS)),
    () => nested(random.size(3000)),
    () => "x".repeat(random.size(20_000)),
    () => ({ [random.pick(ODD_NAMES)]: random.pick(ODD_NUMBERS) }),
  ])();
}

function nested(depth: number): unknown {
  let value: unknown = 1;
  for (let i = 0; i < depth; i++) value = [value];
  return value;
}

/** A few changes of a JSON value: members and items lost, doubled, renamed, exchanged, or of another type. Changes it in place. */
export function mutateJson(value: unknown, random: Random, most = 4): unknown {
  let changed = value;
  for (let left = random.size(most); left > 0; left--) changed = changeAt(changed, random, 0);
  return changed;
}

function changeAt(value: unknown, random: Random, depth: number): unknown {
  const into = typeof value === "object" && value !== null && Object.keys(value).length > 0;
  // Deeper with every level that is there: the leaves are where the readers look.
  if (!into || (depth > 0 && random.chance(0.25))) {
    if (into && random.chance(0.5)) return changeContainer(value as object, random);
    return oddValue(random);
  }
  const holder = value as Record<string, unknown>;
  const key = random.pick(Object.keys(holder));
  Object.defineProperty(holder, key, {
    value: changeAt(holder[key], random, depth + 1),
    configurable: true,
    enumerable: true,
    writable: true,
  });
  return holder;
}

function changeContainer(value: object, random: Random): unknown {
  if (Array.isArray(value)) {
    const at = random.below(value.length);
    if (random.chance(0.4)) value.splice(at, 1 + random.size(3));
    else if (random.chance(0.5)) value.splice(at, 0, value[random.below(value.length)]);
    else value[at] = value[random.below(value.length)];
    return value;
  }
  const record = value as Record<string, unknown>;
  const key = random.pick(Object.keys(record));
  if (random.chance(0.5)) delete record[key];
  else {
    const other = random.chance(0.5) ? random.pick(ODD_NAMES) : random.pick(Object.keys(record));
    Object.defineProperty(record, other, {
      value: record[key],
      configurable: true,
      enumerable: true,
      writable: true,
    });
  }
  return record;
}

/** Text of a JSON file: changed by structure, and now and then in its bytes too. */
export function mutateJsonFile(text: string, random: Random): Buffer {
  const changed =
    JSON.stringify(mutateJson(JSON.parse(text), random), undefined, random.pick([0, 0, 1])) ?? "null";
  const bytes = Buffer.from(changed);
  return random.chance(0.3) ? mutateBytes(bytes, random, 3) : bytes;
}
