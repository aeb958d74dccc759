/**
 * Tells apart what an exact reading of a pickle keeps apart, and refuses what could not be written again with the same meaning.
 */
import type { PickleCursor } from "./cursor.js";
import { PyFloat, type PyLatin1, PyObject, type PyValue } from "./objects.js";
import type { PickleStack } from "./pickle-stack.js";

export class ExactReading {
  /**
   * Begins an exact or an ordinary reading.
   * @param on  false where everything is read as its plain value and nothing is refused
   */
  constructor(
    private readonly cursor: PickleCursor,
    readonly on: boolean,
  ) {}

  float(value: number): PyValue {
    return this.on ? new PyFloat(value) : value;
  }

  /** Refuses a text of Python 2 beyond ASCII, since its meaning depends on who reads it. */
  python2(text: string | PyLatin1): string | PyLatin1 {
    const isAscii = typeof text === "string" && Buffer.byteLength(text) === text.length;
    if (this.on && !isAscii) this.refuse("a text of Python 2 beyond ASCII");
    return text;
  }

  /** Refuses a call among values that leave the stack and are in no memo: it was made for what it does and not for its result. */
  drop(values: readonly PyValue[], stack: PickleStack): void {
    if (this.on && values.some((value) => value instanceof PyObject && !stack.isMemoized(value)))
      this.refuse("a call whose result is not used");
  }

  /** Refuses items that are to be added to `target` after its state was set. */
  beforeState(target: PyValue): void {
    if (this.on && target instanceof PyObject && target.state !== undefined)
      this.refuse("items that are set after the state of their object");
  }

  refuse(what: string): never {
    return this.cursor.fail(`${what}, which cannot be written again as it is`);
  }
}
