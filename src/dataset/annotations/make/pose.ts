/**
 * Rigid poses in float64, in the order of operations of nuscenes-devkit (`transform_matrix`) and pyquaternion, so that results
 * differ from theirs only by rounding.
 */

/** A 4 × 4 matrix, row by row. */
export type Matrix = readonly number[];

/** A quaternion as w, x, y, z. */
export type Quaternion = readonly number[];

/** A pose as the tables have it: it says where the inner frame lies in the outer one. */
export type Pose = readonly [translation: readonly number[], rotation: Quaternion];

/** The tolerance of pyquaternion: it takes a length for 1 where the square of the length is within this of 1. */
const UNIT = 1e-14;

function dot4(a: readonly number[], b: readonly number[]): number {
  return a[0]! * b[0]! + a[1]! * b[1]! + a[2]! * b[2]! + a[3]! * b[3]!;
}

/**
 * Returns the quaternion with a length of 1, as `Quaternion._normalise` makes it; one that has this length already stays as it
 * is.
 */
function normalised(q: Quaternion): Quaternion {
  const square = dot4(q, q);
  if (Math.abs(1 - square) < UNIT) return q;
  const length = Math.sqrt(square);
  return q.map((value) => value / length);
}

/**
 * Returns the 3 × 3 rotation of a quaternion, row by row: the product of its two matrices of multiplication, without the real
 * part.
 */
function rotationMatrix(rotation: Quaternion): number[] {
  const [w, x, y, z] = normalised(rotation) as [number, number, number, number];
  const left = [
    [x, w, -z, y],
    [y, z, w, -x],
    [z, -y, x, w],
  ];
  const right = [
    [x, w, z, -y],
    [y, -z, w, x],
    [z, y, -x, w],
  ];
  return left.flatMap((row) => right.map((column) => dot4(row, column)));
}

/** Returns the transform of a row with `translation` and `rotation`: outer ← inner. */
export function transform(translation: readonly number[], rotation: Quaternion): Matrix {
  const m = rotationMatrix(rotation);
  const row = (i: number) => [m[3 * i]!, m[3 * i + 1]!, m[3 * i + 2]!, translation[i]!];
  return [...row(0), ...row(1), ...row(2), 0, 0, 0, 1];
}

/** Returns the transform back: inner ← outer. */
export function inverseTransform(translation: readonly number[], rotation: Quaternion): Matrix {
  const m = rotationMatrix(rotation);
  const [x, y, z] = translation.map((value) => -value) as [number, number, number];
  const row = (i: number) => {
    const [a, b, c] = [m[i]!, m[3 + i]!, m[6 + i]!];
    return [a, b, c, a * x + b * y + c * z];
  };
  return [...row(0), ...row(1), ...row(2), 0, 0, 0, 1];
}

/**
 * Returns a point of the outer frame in the inner one. It is moved first and then turned, which loses less of large coordinates.
 */
export function toInner(
  translation: readonly number[],
  rotation: Quaternion,
  point: readonly number[],
): [x: number, y: number, z: number] {
  const m = rotationMatrix(rotation);
  const moved = point.map((value, i) => value - translation[i]!) as [number, number, number];
  const turned = (i: number) => m[i]! * moved[0] + m[3 + i]! * moved[1] + m[6 + i]! * moved[2];
  return [turned(0), turned(1), turned(2)];
}

/** Returns the product a · b. */
export function multiply(a: Matrix, b: Matrix): Matrix {
  const out = new Array<number>(16);
  for (let i = 0; i < 4; i++) {
    for (let j = 0; j < 4; j++) {
      out[4 * i + j] =
        a[4 * i]! * b[j]! +
        a[4 * i + 1]! * b[4 + j]! +
        a[4 * i + 2]! * b[8 + j]! +
        a[4 * i + 3]! * b[12 + j]!;
    }
  }
  return out;
}

/** Returns the last column, which says where the inner frame's origin lies in the outer one. */
export function originOf(matrix: Matrix): [x: number, y: number, z: number] {
  return [matrix[3]!, matrix[7]!, matrix[11]!];
}

/** The cosine above which two rotations are so near that pyquaternion goes straight from one to the other. */
const NEARLY_THE_SAME = 0.9995;
/** The distance of the squared length from 1 below which pyquaternion takes a cheaper root. */
const NEARLY_UNIT = 2.107342e-8;

/** Returns the quaternion with a length of 1, as `Quaternion._fast_normalise` makes it. */
function fastNormalised(q: Quaternion): Quaternion {
  const square = dot4(q, q);
  if (Math.abs(1 - square) < UNIT || square === 0) return q;
  const length = Math.abs(1 - square) < NEARLY_UNIT ? (1 + square) / 2 : Math.sqrt(square);
  return q.map((part) => part / length);
}

/**
 * Returns the rotation between two, by the shorter way, as `Quaternion.slerp` of pyquaternion does. `amount` runs from 0 to 1.
 */
export function slerp(from: Quaternion, to: Quaternion, amount: number): Quaternion {
  let a = fastNormalised(from);
  const b = fastNormalised(to);
  let dot = dot4(a, b);
  if (dot < 0) {
    a = a.map((part) => -part);
    dot = -dot;
  }
  if (dot > NEARLY_THE_SAME) return fastNormalised(a.map((part, i) => part + amount * (b[i]! - part)));
  const whole = Math.acos(dot);
  const part = whole * amount;
  const toB = Math.sin(part) / Math.sin(whole);
  const toA = Math.cos(part) - (dot * Math.sin(part)) / Math.sin(whole);
  return fastNormalised(a.map((value, i) => toA * value + toB * b[i]!));
}
