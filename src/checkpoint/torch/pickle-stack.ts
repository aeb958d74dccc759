/** Keeps the stack of the pickle machine with its marks, and its memo; everything that goes onto it is within the limits. */
import type { PickleCursor } from "./cursor.js";
import { COST, PICKLE_LIMITS, type PickleBudget } from "./limits.js";
import { type PyLatin1, PyTuple, type PyValue } from "./objects.js";

export class PickleStack {
  readonly #values: PyValue[] = [];
  /** The number of values below the innermost MARK: what is below is out of reach. */
  #floor = 0;
  /** What {@link #floor} was before each MARK that is open. */
  readonly #marks: number[] = [];
  readonly #memo: PyValue[] = [];
  readonly #memoSparse = new Map<number, PyValue>();

  /** Makes an empty stack. @param cursor  the place of the machine, for error messages */
  constructor(
    private readonly cursor: PickleCursor,
    private readonly budget: PickleBudget,
  ) {}

  /** Lets go of all values. */
  clear(): void {
    for (const list of [this.#values, this.#marks, this.#memo]) list.length = 0;
    this.#floor = 0;
    this.#memoSparse.clear();
  }

  /** Checks the number of values; an operation adds one at most. */
  checkSize(): void {
    if (this.#values.length > PICKLE_LIMITS.stack)
      this.cursor.fail(`more than ${PICKLE_LIMITS.stack} values on the stack`);
  }

  push(value: PyValue): void {
    this.#values.push(value);
  }

  /** Pushes a value that takes memory. @param cost  the bytes that it takes, see `COST` */
  pushNew(value: PyValue, cost: number): void {
    this.budget.grow(cost);
    this.#values.push(value);
  }

  pushText(text: string | PyLatin1): void {
    const { length } = typeof text === "string" ? text : text.text;
    this.pushNew(text, COST.text + 2 * length);
  }

  pushTuple(items: PyValue[]): void {
    this.pushNew(new PyTuple(items), COST.tuple + COST.slot * items.length);
  }

  pushList(items: PyValue[]): void {
    this.pushNew(items, COST.list + COST.slot * items.length);
  }

  mark(): void {
    this.#marks.push(this.#floor);
    this.#floor = this.#values.length;
    if (this.#marks.length > PICKLE_LIMITS.depth)
      this.cursor.fail(`nested more than ${PICKLE_LIMITS.depth} deep`);
  }

  /** Takes the innermost MARK away where it is on top; returns whether it was. */
  dropMark(): boolean {
    const outer = this.#marks.at(-1);
    if (outer === undefined || this.#floor !== this.#values.length) return false;
    this.#marks.pop();
    this.#floor = outer;
    return true;
  }

  top(): PyValue {
    if (this.#values.length <= this.#floor) this.cursor.fail("the stack is empty");
    return this.#values[this.#values.length - 1]!;
  }

  pop(): PyValue {
    const value = this.top();
    this.#values.pop();
    return value;
  }

  popMany(count: number): PyValue[] {
    const start = this.#values.length - count;
    if (start < this.#floor) this.cursor.fail("the stack is empty");
    return this.#popFrom(start);
  }

  /** Takes the values above the innermost MARK, and the MARK itself. */
  popMark(): PyValue[] {
    const outer = this.#marks.pop();
    if (outer === undefined) return this.cursor.fail("no MARK on the stack");
    const start = this.#floor;
    this.#floor = outer;
    return this.#popFrom(start);
  }

  #popFrom(start: number): PyValue[] {
    const items = this.#values.slice(start);
    this.#values.length = start;
    return items;
  }

  /**
   * Puts the value on top into the memo.
   * @param index  its number there; by default the number of those that are there, as in Python, where one that is written twice
   *   counts once: by any other number a pickle could show other names here than it calls there
   */
  memoize(index = this.#memo.length + this.#memoSparse.size): void {
    const value = this.top();
    this.budget.grow(index <= this.#memo.length ? COST.slot : COST.entry);
    // An index far beyond what was stored so far would make a sparse array, so a Map holds it, whether it is hostile or not.
    if (index > this.#memo.length) this.#memoSparse.set(index, value);
    else {
      this.#memo[index] = value;
      this.#memoSparse.delete(index);
    }
  }

  recall(index: number): void {
    const value = index < this.#memo.length ? this.#memo[index] : this.#memoSparse.get(index);
    if (value === undefined) this.cursor.fail(`memo ${index} is read before it is written`);
    this.push(value as PyValue);
  }

  /** Tells whether a value is in the memo; looking through all of it counts as work. */
  isMemoized(value: PyValue): boolean {
    this.budget.spend(this.#memo.length + this.#memoSparse.size);
    return this.#memo.includes(value) || [...this.#memoSparse.values()].includes(value);
  }
}
