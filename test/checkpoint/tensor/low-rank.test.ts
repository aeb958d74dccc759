import fc from "fast-check";
import { expect, it } from "vitest";
import { lowRankUpdate } from "../../../src/checkpoint/tensor/low-rank.js";

const f32 = (values: readonly number[]) => ({
  dtype: "F32" as const,
  bytes: new Uint8Array(Float32Array.from(values).buffer),
});

it("is base + scale · up @ down, rounded once, for any sizes", () => {
  const value = fc.float({ min: -8, max: 8, noNaN: true });
  const sizes = fc.tuple(
    fc.integer({ min: 1, max: 7 }),
    fc.integer({ min: 1, max: 11 }),
    fc.integer({ min: 1, max: 9 }),
  );
  const inputs = sizes.chain(([rows, rank, columns]) => {
    const matrix = (n: number) => fc.array(value, { minLength: n, maxLength: n });
    return fc.tuple(
      fc.constant([rows, rank, columns] as const),
      matrix(rows * columns),
      matrix(rows * rank),
      matrix(rank * columns),
    );
  });
  fc.assert(
    fc.property(inputs, fc.constantFrom(1, 0.5, -2), ([shape, base, up, down], scale) => {
      const [rows, rank, columns] = shape;
      const result = new Uint8Array(4 * rows * columns);
      lowRankUpdate(f32(base), f32(up), f32(down), shape, scale, result);
      const got = new Float32Array(result.buffer);
      for (let i = 0; i < rows; i++) {
        for (let j = 0; j < columns; j++) {
          let exact = base[i * columns + j]!;
          let size = Math.abs(exact);
          for (let k = 0; k < rank; k++) {
            const product = scale * up[i * rank + k]! * down[k * columns + j]!;
            exact += product;
            size += Math.abs(product);
          }
          // Half a unit in the last place, and float64's own error in another order of summation.
          expect(Math.abs(got[i * columns + j]! - exact)).toBeLessThanOrEqual(
            Math.abs(exact) * 2 ** -24 + size * 1e-14 + 2 ** -149,
          );
        }
      }
    }),
  );
});

it.each([
  ["F16", 2048, 1, 2048], // halfway to 2050: to even
  ["F16", 2050, 1, 2052],
  ["BF16", 256, 1, 256],
  ["BF16", 258, 1, 260],
  ["F64", 1, 2 ** -50, 1 + 2 ** -50],
] as const)("%s: %d + %d = %d", (dtype, base, add, sum) => {
  const code = (value: number) => {
    if (dtype === "F64") return new Uint8Array(Float64Array.of(value).buffer);
    const bits = new Uint32Array(Float32Array.of(value).buffer)[0]!;
    if (dtype === "BF16") return new Uint8Array(Uint16Array.of(bits >>> 16).buffer);
    // Powers of two and their neighbours only: rebias the exponent, keep the upper ten bits.
    return new Uint8Array(Uint16Array.of((bits - 0x38000000) >>> 13).buffer);
  };
  const result = new Uint8Array(code(1).length);
  lowRankUpdate({ dtype, bytes: code(base) }, f32([add]), f32([1]), [1, 1, 1], 1, result);
  expect([...result]).toEqual([...code(sum)]);
});
