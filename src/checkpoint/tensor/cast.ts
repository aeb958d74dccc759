/**
 * Converts between element types, as torch's `.to(dtype)` does on a CPU. Everything goes through float32, from which alone torch
 * makes its 16-bit types; rounding to 16 bits is to nearest, ties to even.
 */
import { VistaError } from "../../core/errors.js";
import { type DType, dtypeInfo } from "./dtype.js";
import { narrow } from "./kernels.js";

/** The types that tensors can be converted to. */
export type CastTarget = "F32" | "F16" | "BF16";

export function isCastTarget(dtype: string): dtype is CastTarget {
  return dtype === "F32" || dtype === "F16" || dtype === "BF16";
}

/**
 * Converts whole elements. Both arrays must hold the same number of elements.
 * @throws VistaError `UNSUPPORTED` for a pair that has no conversion
 */
export function castBytes(source: Uint8Array, from: DType, target: Uint8Array, to: DType): void {
  const decode = DECODERS[from];
  if (decode === undefined || !isCastTarget(to)) {
    throw new VistaError("UNSUPPORTED", `there is no conversion from ${from} to ${to}`, {
      hint: "Keep this tensor's dtype.",
    });
  }
  if (to === "F32" && target.byteOffset % 4 === 0) decode(source, elementsOf(Float32Array, target));
  else if (from === "F32" && to !== "F32") narrow(to, source, target);
  else {
    const floats = new Float32Array(target.byteLength / (to === "F32" ? 4 : 2));
    decode(source, floats);
    const bytes = new Uint8Array(floats.buffer);
    if (to === "F32") target.set(bytes);
    else narrow(to, bytes, target);
  }
}

/** Tells whether {@link castBytes} knows the pair. */
export function canCast(from: DType, to: DType): boolean {
  return from === to || (isCastTarget(to) && DECODERS[from] !== undefined);
}

export interface ArrayType<Values> {
  readonly BYTES_PER_ELEMENT: number;
  new (buffer: ArrayBufferLike, offset: number, length: number): Values;
}

/** Returns the elements of bytes: a view or, where their address does not suit the elements, a copy. */
export function elementsOf<Values>(type: ArrayType<Values>, bytes: Uint8Array): Values {
  const width = type.BYTES_PER_ELEMENT;
  const { buffer, byteOffset, byteLength } = bytes.byteOffset % width === 0 ? bytes : Uint8Array.from(bytes);
  return new type(buffer, byteOffset, byteLength / width);
}

/** Tells whether {@link floatsOf} has the values of this type, which is so for all floating-point types but the packed ones. */
export function isWidenable(dtype: DType): boolean {
  return (dtype.startsWith("F") || dtype === "BF16") && canCast(dtype, "F32");
}

/**
 * Returns the values of elements of a type that {@link isWidenable} as JavaScript's numbers: for F64 and F32 those of
 * {@link elementsOf}, for others the exactly widened values.
 */
export function floatsOf(bytes: Uint8Array, dtype: DType): Float32Array | Float64Array {
  if (dtype === "F64") return elementsOf(Float64Array, bytes);
  if (dtype === "F32") return elementsOf(Float32Array, bytes);
  const floats = new Float32Array((bytes.byteLength * 8) / dtypeInfo(dtype).bits);
  castBytes(bytes, dtype, new Uint8Array(floats.buffer), "F32");
  return floats;
}

/** Rounds the bits of a float32 (IEEE 754 binary32) to those of a float16 (binary16), to nearest, ties to even. */
export function f32BitsToF16(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00 | ((magnitude >>> 13) & 0x1ff);
  // Magnitudes of 65520 and above round to infinity.
  if (magnitude >= 0x477ff000) return sign | 0x7c00;
  if (magnitude >= 0x38800000) {
    // A normal half has an exponent that is 112 less, and 13 bits fewer, which are rounded away.
    return sign | ((magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13);
  }
  // A subnormal half is a multiple of 2^-24; 2^-25 and below round to zero.
  if (magnitude <= 0x33000000) return sign;
  const shift = 126 - (magnitude >>> 23);
  const mantissa = (magnitude & 0x7fffff) | 0x800000;
  const half = 1 << (shift - 1);
  const kept = mantissa >>> shift;
  const rest = mantissa & ((1 << shift) - 1);
  return sign | (kept + (rest > half || (rest === half && (kept & 1) === 1) ? 1 : 0));
}

// --- to float32 ---------------------------------------------------------------------------------------------------

type Decoder = (source: Uint8Array, target: Float32Array) => void;

function numbers(type: ArrayType<ArrayLike<number>>): Decoder {
  return (source, target) => target.set(elementsOf(type, source));
}

function bf16ToF32(source: Uint8Array, target: Float32Array): void {
  const from = elementsOf(Uint16Array, source);
  const to = new Uint32Array(target.buffer, target.byteOffset, target.length);
  for (let i = 0; i < from.length; i++) to[i] = from[i]! << 16;
}

function viaTable(decode: (value: number) => number): Decoder {
  let table: Float32Array | undefined;
  return (source, target) => {
    table ??= Float32Array.from({ length: 256 }, (_, value) => decode(value));
    for (let i = 0; i < source.length; i++) target[i] = table[source[i]!]!;
  };
}

/**
 * Returns a decoder of small binary floats: a sign, `exponent` bits and `mantissa` bits. `special` returns the values for which
 * the plain rule does not hold: NaN and infinity differ between the formats.
 */
function decodeSmallFloat(
  exponent: number,
  mantissa: number,
  bias: number,
  special: (value: number) => number | undefined,
) {
  return (value: number): number => {
    const named = special(value);
    if (named !== undefined) return named;
    const sign = value >>> (exponent + mantissa) === 0 ? 1 : -1;
    const e = (value >>> mantissa) & (2 ** exponent - 1);
    const m = value & (2 ** mantissa - 1);
    return e === 0 ? sign * m * 2 ** (1 - bias - mantissa) : sign * (1 + m / 2 ** mantissa) * 2 ** (e - bias);
  };
}

let halfBits: Uint32Array | undefined;

/**
 * Widens halves by their bits and not as numbers, since JavaScript may change the sign and the payload of a NaN. Here the sign
 * and the payload of a half's NaN are kept and the quiet bit is set, as x86's VCVTPH2PS and torch's vector loops do. The last
 * elements of a tensor, which torch's build widens one by one, become 0x7fffffff there, whatever the NaN was.
 */
function halves(source: Uint8Array, target: Float32Array): void {
  halfBits ??= tableOfHalves();
  const to = new Uint32Array(target.buffer, target.byteOffset, target.length);
  const from = elementsOf(Uint16Array, source);
  for (let i = 0; i < from.length; i++) to[i] = halfBits[from[i]!]!;
}

function tableOfHalves(): Uint32Array {
  const decode = decodeSmallFloat(5, 10, 15, ieeeSpecial(5, 10));
  const bits = new Uint32Array(Float32Array.from({ length: 65536 }, (_, half) => decode(half)).buffer);
  for (let payload = 1; payload < 0x400; payload++) {
    const nan = 0x7fc00000 | (payload << 13);
    bits[0x7c00 | payload] = nan;
    bits[0xfc00 | payload] = 0x80000000 | nan;
  }
  return bits;
}

function ieeeSpecial(exponent: number, mantissa: number) {
  const top = (2 ** exponent - 1) * 2 ** mantissa;
  const signBit = 2 ** (exponent + mantissa);
  return (value: number): number | undefined => {
    const magnitude = value % signBit;
    if (magnitude < top) return undefined;
    return magnitude > top ? Number.NaN : value >= signBit ? -Infinity : Infinity;
  };
}

/**
 * Prepares a 64-bit integer for float32. Beyond 2^53 it would be rounded twice (to float64, then to float32), so the bits that
 * would be lost are folded into the lowest one that is kept.
 */
function roundOnce(value: bigint): number {
  const magnitude = value < 0n ? -value : value;
  if (magnitude < 1n << 53n) return Number(value);
  const kept = (magnitude >> 11n) | ((magnitude & 0x7ffn) === 0n ? 0n : 1n);
  return Number(kept) * (value < 0n ? -2048 : 2048);
}

function bigints(type: ArrayType<ArrayLike<bigint>>): Decoder {
  return (source, target) => {
    const from = elementsOf(type, source);
    for (let i = 0; i < from.length; i++) target[i] = roundOnce(from[i]!);
  };
}

/** Returns a decoder that takes the real part, as torch does (with a warning) when a complex tensor becomes float. */
function realPart(type: ArrayType<ArrayLike<number>>): Decoder {
  return (source, target) => {
    const from = elementsOf(type, source);
    for (let i = 0; i < target.length; i++) target[i] = from[2 * i]!;
  };
}

const DECODERS: Partial<Record<DType, Decoder>> = {
  F64: numbers(Float64Array),
  F32: numbers(Float32Array),
  BF16: bf16ToF32,
  F16: halves,
  F8_E5M2: viaTable(decodeSmallFloat(5, 2, 15, ieeeSpecial(5, 2))),
  // Only the pattern of all ones is NaN, and there is no infinity.
  F8_E4M3: viaTable(decodeSmallFloat(4, 3, 7, (value) => ((value & 0x7f) === 0x7f ? Number.NaN : undefined))),
  // The "fnuz" types have no infinity and no negative zero, whose pattern is the only NaN; their bias is one higher.
  F8_E5M2FNUZ: viaTable(decodeSmallFloat(5, 2, 16, (value) => (value === 0x80 ? Number.NaN : undefined))),
  F8_E4M3FNUZ: viaTable(decodeSmallFloat(4, 3, 8, (value) => (value === 0x80 ? Number.NaN : undefined))),
  // Every pattern but one is an unsigned power of two.
  F8_E8M0: viaTable((value) => (value === 0xff ? Number.NaN : 2 ** (value - 127))),
  I8: numbers(Int8Array),
  U8: numbers(Uint8Array),
  BOOL: (source, target) => {
    for (let i = 0; i < source.length; i++) target[i] = source[i] === 0 ? 0 : 1;
  },
  I16: numbers(Int16Array),
  U16: numbers(Uint16Array),
  I32: numbers(Int32Array),
  U32: numbers(Uint32Array),
  I64: bigints(BigInt64Array),
  U64: bigints(BigUint64Array),
  C64: realPart(Float32Array),
  C128: realPart(Float64Array),
};
