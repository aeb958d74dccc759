/** Keeps the stack of the pickle machine with its marks, and its memo; everything that goes onto it is within the limits. */
import type { PickleCursor } from "./cursor.js";
import { COST, PICKLE_LIMITS, type PickleBudget } from "./limits.js";
import { type PyLatin1, PyTuple, type PyValue } from "./objects.js";

/**
 * Fields are `private` and not `#`, here as in the machine, its cursor and its budget: with `#`, reading a pickle takes a tenth longer
 * until V8 optimises, and by then most checkpoints are open.
 */
export class PickleStack {
  private readonly values: PyValue[] = [];
  /** The number of values below the innermost MARK: what is below is out of reach. */
  private floor = 0;
  /** What {@link floor} was before each MARK that is open. */
  private readonly marks: number[] = [];
  private readonly memo: PyValue[] = [];
  /** The number of values of {@link memo} that the budget knows of. */
  private counted = 0;
  private readonly memoSparse = new Map<number, PyValue>();

  /** Makes an empty stack. @param cursor  the place of the machine, for error messages */
  constructor(
    private readonly cursor: PickleCursor,
    private readonly budget: PickleBudget,
  ) {}

  /** Lets go of all values. */
  clear(): void {
    for (const list of [this.values, this.marks, this.memo]) list.length = 0;
    this.floor = 0;
    this.memoSparse.clear();
  }

  /** Checks how far the stack and the memo have grown; an operation adds one value at most to either. */
  checkSize(): void {
    if (this.values.length > PICKLE_LIMITS.stack)
      this.cursor.fail(`more than ${PICKLE_LIMITS.stack} values on the stack`);
    this.budget.grow(COST.slot * (this.memo.length - this.counted));
    this.counted = this.memo.length;
  }

  push(value: PyValue): void {
    this.values.push(value);
  }

  /** Pushes a value that takes memory. @param cost  the bytes that it takes, see `COST` */
  pushNew(value: PyValue, cost: number): void {
    this.budget.grow(cost);
    this.values.push(value);
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
    this.marks.push(this.floor);
    this.floor = this.values.length;
    if (this.marks.length > PICKLE_LIMITS.depth)
      this.cursor.fail(`nested more than ${PICKLE_LIMITS.depth} deep`);
  }

  /** Takes the innermost MARK away where it is on top; returns whether it was. */
  dropMark(): boolean {
    const outer = this.marks.at(-1);
    if (outer === undefined || this.floor !== this.values.length) return false;
    this.marks.pop();
    this.floor = outer;
    return true;
  }

  top(): PyValue {
    const { values } = this;
    if (values.length <= this.floor) this.refuseEmpty();
    return values[values.length - 1]!;
  }

  pop(): PyValue {
    const { values } = this;
    if (values.length <= this.floor) this.refuseEmpty();
    return values.pop() as PyValue;
  }

  popMany(count: number): PyValue[] {
    const { values } = this;
    const start = values.length - count;
    if (start < this.floor) this.refuseEmpty();
    return values.splice(start);
  }

  /** Takes the values above the innermost MARK, and the MARK itself. */
  popMark(): PyValue[] {
    const outer = this.marks.pop();
    if (outer === undefined) return this.cursor.fail("no MARK on the stack");
    const start = this.floor;
    this.floor = outer;
    return this.values.splice(start);
  }

  private refuseEmpty(): never {
    this.cursor.fail("the stack is empty");
  }

  /**
   * Puts the value on top into the memo.
   * @param index  its number there; by default the number of those that are there, as in Python, where one that is written twice
   *   counts once: by any other number a pickle could show other names here than it calls there
   */
  memoize(index = this.memo.length + this.memoSparse.size): void {
    const { values, memo, memoSparse } = this;
    if (values.length <= this.floor) this.refuseEmpty();
    const value = values[values.length - 1]!;
    // An index far beyond what was stored so far would make a sparse array, so a Map holds it, whether it is hostile or not.
    if (index > memo.length) {
      this.budget.grow(COST.entry);
      memoSparse.set(index, value);
    } else {
      memo[index] = value;
      if (memoSparse.size > 0) memoSparse.delete(index);
    }
  }

  recall(index: number): void {
    const value = index < this.memo.length ? this.memo[index] : this.memoSparse.get(index);
    if (value === undefined) this.cursor.fail(`memo ${index} is read before it is written`);
    this.push(value as PyValue);
  }

  /** Tells whether a value is in the memo; looking through all of it counts as work. */
  isMemoized(value: PyValue): boolean {
    this.budget.spend(this.memo.length + this.memoSparse.size);
    return this.memo.includes(value) || [...this.memoSparse.values()].includes(value);
  }
}
