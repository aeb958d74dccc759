/** The bytes of computed tensors, as long as they are needed, and the order in which tensors depend on one another. */
import { VistaError } from "../../core/errors.js";
import type { Tensor } from "../tensor/tensor.js";
import { Arena } from "./arena.js";
import { SpareBuffers } from "./spare-buffers.js";

/** The largest number of buffers that are kept for further results: few results wait to be copied, as windows come in order. */
const MAX_SPARE = 4;

interface Computed {
  readonly bytes: Promise<Uint8Array>;
  /** The number of bytes that no window has asked for. */
  unasked: number;
  /** The number of bytes that no window has copied. */
  uncopied: number;
}

/** The results of computations, which the windows of one copy share. */
export class ComputedCache {
  /** The memory for the inputs of the one computation that runs. */
  readonly inputs = new Arena();
  readonly #entries = new Map<Tensor, Computed>();
  readonly #buffers = new SpareBuffers(MAX_SPARE);
  #last: Promise<unknown> = Promise.resolve();

  /**
   * Copies bytes `[from, from + target.length)` of a computed tensor, whose result is forgotten when as many bytes have been
   * asked for as it has. One tensor is computed at a time, so that only its inputs are in memory. A computation makes the other
   * computed tensors that it needs within its own turn (see `WindowReader`) and never asks here for them: it would wait for a
   * computation that waits for it.
   */
  async read(
    tensor: Tensor,
    from: number,
    target: Uint8Array,
    compute: (result: Uint8Array) => Promise<void>,
  ): Promise<void> {
    let entry = this.#entries.get(tensor);
    if (entry === undefined) {
      const bytes = this.#last.then(async () => {
        const result = this.#buffers.take(tensor.byteLength);
        await compute(result);
        return result;
      });
      this.#last = bytes.catch(() => {});
      entry = { bytes, unasked: tensor.byteLength, uncopied: tensor.byteLength };
      this.#entries.set(tensor, entry);
    }
    entry.unasked -= target.byteLength;
    if (entry.unasked <= 0) this.#entries.delete(tensor);
    const bytes = await entry.bytes;
    target.set(bytes.subarray(from, from + target.byteLength));
    entry.uncopied -= target.byteLength;
    if (entry.uncopied <= 0) this.#buffers.give(bytes);
  }
}

/** Returns the tensors that a tensor is made of directly. */
export function inputsOf({ source }: Tensor): readonly Tensor[] {
  if (source.kind === "cast") return [source.from];
  return source.kind === "computed" ? source.inputs : [];
}

/**
 * Returns all tensors that the given ones are made of, the given ones included, each after everything that it depends on.
 * @throws VistaError `FORMAT` where one depends on itself
 */
export function dependencyOrder(tensors: Iterable<Tensor>): Tensor[] {
  const order: Tensor[] = [];
  const done = new Set<Tensor>();
  const open = new Set<Tensor>();
  for (const first of tensors) {
    if (done.has(first)) continue;
    if (inputsOf(first).length === 0) {
      done.add(first);
      order.push(first);
      continue;
    }
    // This is no recursion, since a chain may be longer than the stack is deep.
    const path: { tensor: Tensor; next: number }[] = [{ tensor: first, next: 0 }];
    open.add(first);
    while (path.length > 0) {
      const top = path.at(-1)!;
      const input = inputsOf(top.tensor)[top.next++];
      if (input === undefined) {
        path.pop();
        open.delete(top.tensor);
        done.add(top.tensor);
        order.push(top.tensor);
      } else if (open.has(input)) {
        throw new VistaError(
          "FORMAT",
          `a computed tensor of shape [${input.shape.join(", ")}] depends on itself`,
          { hint: "The inputs of a computed tensor must not lead back to it." },
        );
      } else if (!done.has(input)) {
        open.add(input);
        path.push({ tensor: input, next: 0 });
      }
    }
  }
  return order;
}
