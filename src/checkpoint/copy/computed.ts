/** The bytes of computed tensors, while they are needed; and in which order tensors depend on one another. */
import { VistaError } from "../../core/errors.js";
import type { Tensor } from "../tensor/tensor.js";
import { Arena } from "./arena.js";

/** Results waiting to be copied are few: windows are small and in order. */
const MAX_SPARE = 4;

interface Computed {
  readonly bytes: Promise<Uint8Array>;
  /** Bytes that no window has asked for, and bytes that no window has copied. */
  unasked: number;
  uncopied: number;
}

/** What the windows of one copy share. */
export class ComputedCache {
  /** For the inputs of the one computation that runs. */
  readonly inputs = new Arena();
  readonly #entries = new Map<Tensor, Computed>();
  /** Buffers of results that all windows have copied. */
  readonly #spare: Uint8Array[] = [];
  #last: Promise<unknown> = Promise.resolve();

  /**
   * Copies bytes `[from, from + target.length)` of a computed tensor, which is forgotten when as many bytes have been asked
   * for as it has. One is computed at a time, so that the inputs of one only are in memory. A computation gets what it
   * needs of other computed tensors within its own turn (see `WindowReader`), never from here: it would wait for
   * one that waits for it.
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
        const result = this.#takeSpare(tensor.byteLength);
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
    if (entry.uncopied <= 0 && this.#spare.length < MAX_SPARE) this.#spare.push(new Uint8Array(bytes.buffer));
  }

  #takeSpare(length: number): Uint8Array {
    const at = this.#spare.findIndex(({ byteLength }) => byteLength >= length);
    const bytes = at >= 0 ? this.#spare.splice(at, 1)[0]! : new Uint8Array(length);
    return bytes.subarray(0, length);
  }
}

/** The tensors that a tensor is made of, one step down. */
export function inputsOf({ source }: Tensor): readonly Tensor[] {
  if (source.kind === "cast") return [source.from];
  return source.kind === "computed" ? source.inputs : [];
}

/**
 * All tensors that the given ones are made of, themselves included, each after everything that it depends on.
 * @throws VistaError `FORMAT` where one depends on itself
 */
export function dependencyOrder(tensors: Iterable<Tensor>): Tensor[] {
  const order: Tensor[] = [];
  const done = new Set<Tensor>();
  const open = new Set<Tensor>();
  for (const first of tensors) {
    if (done.has(first)) continue;
    // No recursion: a chain may be longer than the stack is deep.
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
