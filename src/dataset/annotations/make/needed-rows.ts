/**
 * The rows of tables that something is made from. Each is looked at when it is needed, and where something is wrong with it, the
 * error names it. Nobody looks at the others.
 */
import { join } from "node:path";
import { fromSystem, VistaError, type Where } from "../../../core/errors.js";
import { describeProblem, kindOf } from "../../nuscenes/read/field-types.js";
import { stateOf, type Tables } from "../../nuscenes/read/load-tables.js";
import { type FieldType, SCHEMA, type TableName } from "../../nuscenes/read/schema.js";
import type { TableState } from "../../nuscenes/read/table-state.js";
import { type Row, RowText, rowOf, type SmallTable } from "../../nuscenes/read/tables.js";

const HINT = "`vista-data check` names every row like it; unpack the tables from their archive again.";

/** Returns the error for a table that something cannot be made from. */
export function damagedTable(path: string, what: string, place: Omit<Where, "path"> = {}): VistaError {
  return new VistaError("FORMAT", what, { path, ...place, hint: HINT });
}

/** The rows of one table, which may be small or large. */
export class NeededRows {
  readonly path: string;
  readonly state: TableState;
  readonly #small: SmallTable | undefined;
  readonly #twins: ReadonlySet<number>;
  #text: RowText | undefined;

  /** Opens a table. @throws VistaError `NOT_FOUND`, `IO`, `FORMAT` where the table is not there or not whole */
  constructor(
    tables: Tables,
    private readonly name: TableName,
  ) {
    this.path = join(tables.folder, `${name}.json`);
    if (tables.missing.includes(name)) {
      throw new VistaError("NOT_FOUND", "the table is not there", { path: this.path, hint: HINT });
    }
    const refused = tables.unreadable.get(name);
    if (refused !== undefined)
      throw new VistaError("IO", `cannot read the table: ${refused}`, { path: this.path });
    this.#small = tables.small[name];
    this.state = stateOf(tables, name)!;
    const { error, duplicates } = this.state;
    if (error !== undefined)
      throw damagedTable(this.path, `not JSON: ${error.reason}`, { offset: error.offset });
    if (duplicates.more > 0) {
      const all = duplicates.first.length + duplicates.more;
      throw damagedTable(this.path, `${all} rows have the token of another row`);
    }
    this.#twins = new Set(duplicates.first.flat());
  }

  /** Returns a row after it has made sure that the given fields are as the schema has them. @throws VistaError `FORMAT` */
  read(row: number, fields: readonly string[]): Row {
    const values = this.#small?.values[row] ?? this.#readAt(row);
    const { token } = values;
    if (typeof token !== "string" || token === "") throw this.error(row, "the row has no token");
    if (this.#twins.has(row)) throw this.error(row, "two rows have this token");
    for (const field of fields) {
      const type = SCHEMA[this.name].fields[field] as FieldType;
      const problem = describeProblem(field, type, values[field]);
      if (problem !== undefined) throw this.error(row, problem);
    }
    return values;
  }

  error(row: number, what: string): VistaError {
    const { token } = this.#small?.values[row] ?? this.#readAt(row);
    const record = typeof token === "string" && token !== "" ? `${this.name} ${token}` : undefined;
    return damagedTable(this.path, what, { record, offset: this.state.offset[row]! });
  }

  /** Refuses a table with a row that is no object: nobody knows what it stands for. @throws VistaError `FORMAT` */
  refuseOtherRows(): void {
    const other = this.state.problems.first.find(({ message }) => message.startsWith("the row is"));
    if (other !== undefined) throw damagedTable(this.path, other.message, { offset: other.offset });
  }

  /** Throws an error about a field that names a row of another table which is not there. @throws VistaError `FORMAT` */
  refuseLink(row: number, field: string, table: TableName): never {
    const name = this.read(row, [field])[field];
    throw this.error(row, `${field} names ${table} "${name}", which is not there`);
  }

  /** Returns the `timestamp` of a row. @throws VistaError `FORMAT` where the row's `timestamp` is no time */
  timeOf(row: number): number {
    const { timestamp } = this.read(row, []);
    if (typeof timestamp === "number" && Number.isFinite(timestamp)) return timestamp;
    throw this.error(row, `field "timestamp" is ${kindOf(timestamp)}, not a time`);
  }

  close(): void {
    this.#text?.close();
  }

  #readAt(row: number): Row {
    try {
      this.#text ??= new RowText(this.path);
      return this.#text.at(this.state.offset[row]!);
    } catch (error) {
      throw fromSystem(error, this.path, "read the table");
    }
  }
}

/**
 * Yields the rows of sample, each with the row of the scene that it belongs to.
 *
 * @throws VistaError `FORMAT` where a sample does not say which scene that is
 */
export function* scenesOf(
  samples: NeededRows,
  { sample, scene }: Tables["small"],
): Generator<[number, number]> {
  samples.refuseOtherRows();
  for (const [row, { scene_token }] of sample!.values.entries()) {
    const at = rowOf(scene!, scene_token);
    if (at < 0) samples.refuseLink(row, "scene_token", "scene");
    yield [row, at];
  }
}
