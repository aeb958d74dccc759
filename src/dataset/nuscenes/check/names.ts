/** The names of tables and rows in findings: the text that columns do not keep is read again from the files. */

import { join } from "node:path";
import { remember } from "../../../core/maps.js";
import { stateOf, type Tables } from "../read/load-tables.js";
import type { TableName } from "../read/schema.js";
import type { TableState } from "../read/table-state.js";
import { RowText } from "../read/tables.js";

export class Names {
  readonly #texts = new Map<TableName, RowText>();

  /** @param version  the name of the version's folder */
  constructor(
    readonly tables: Tables,
    private readonly version: string,
  ) {}

  /** Returns the path of a table's file, relative to the root. */
  path(name: TableName | "image_annotations"): string {
    return `${this.version}/${name}.json`;
  }

  state(name: TableName): TableState | undefined {
    return stateOf(this.tables, name);
  }

  field(name: TableName, row: number, field: string): string {
    const known = this.tables.small[name]?.values[row];
    return known === undefined
      ? this.fieldAt(name, this.state(name)!.offset[row]!, field)
      : String(known[field]);
  }

  token(name: TableName, row: number): string {
    return this.field(name, row, "token");
  }

  place(name: TableName, row: number): { record: string; offset: number } {
    return { record: this.token(name, row), offset: this.state(name)!.offset[row]! };
  }

  /** Returns the value of a field in the row at an offset of the file, as a string. */
  fieldAt(name: TableName, offset: number, field: string): string {
    const text = remember(this.#texts, name, () => new RowText(join(this.tables.folder, `${name}.json`)));
    return String(text.at(offset)[field]);
  }

  close(): void {
    for (const text of this.#texts.values()) text.close();
    this.#texts.clear();
  }
}
