/** Small valid sets for tests, and ways to break them. */
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { type MakeNuScenesOptions, makeNuScenes } from "../../../bench/make-nuscenes.mjs";
import type { CheckSummary, Finding } from "../../../src/dataset/finding.js";
import { type CheckNuScenesOptions, checkNuScenes } from "../../../src/dataset/nuscenes/check/check.js";
import { copyFolder } from "../../helpers/copy.js";
import { removeAll } from "../../helpers/remove.js";

export const VERSION = "v1.0-mini";
// biome-ignore lint/suspicious/noExplicitAny: tests break rows in every way
export type Row = Record<string, any>;

export async function picture(width = 160, height = 90): Promise<Buffer> {
  // Stripes: a plain picture would be too short to cut off in the middle of its data.
  const pixels = Buffer.alloc(width * height * 3, 0).map((_, i) => (i * 37) % 251);
  return sharp(pixels, { raw: { width, height, channels: 3 } })
    .jpeg({ quality: 40 })
    .toBuffer();
}

export class TestSet {
  readonly root: string;

  constructor(root: string) {
    this.root = root;
  }

  path(...parts: string[]): string {
    return join(this.root, ...parts);
  }

  rows(table: string): Row[] {
    return JSON.parse(readFileSync(this.path(VERSION, `${table}.json`), "utf8"));
  }

  /** Puts blanks between the rows of a table, so that it has this many bytes: rows are long to make and to read. */
  stretch(table: string, bytes: number): void {
    const path = this.path(VERSION, `${table}.json`);
    const text = readFileSync(path, "utf8");
    const rows = text.split(/(?<=\}),/);
    writeFileSync(path, rows.join(",".padEnd(Math.ceil((bytes - text.length) / (rows.length - 1)))));
  }

  /** Changes the rows of a table; a new array may be returned. Written without white space unless `indent` says so. */
  edit(table: string, change: (rows: Row[]) => unknown, indent?: number): void {
    const rows = this.rows(table);
    const changed = change(rows);
    const kept = Array.isArray(changed) ? changed : rows;
    writeFileSync(this.path(VERSION, `${table}.json`), JSON.stringify(kept, null, indent));
  }
}

/** A set in a folder of its own, which {@link Sets.clear} removes. */
export class Sets {
  readonly #folders: string[] = [];

  #folder(): string {
    const folder = mkdtempSync(join(tmpdir(), "vista-nuscenes-"));
    this.#folders.push(folder);
    return folder;
  }

  async make(options: MakeNuScenesOptions = {}): Promise<TestSet> {
    const root = this.#folder();
    makeNuScenes(root, {
      scenes: 2,
      samples: 3,
      boxes: 2,
      channels: ["CAM_FRONT", "LIDAR_TOP", "RADAR_FRONT"],
      files: "small",
      width: 160,
      height: 90,
      image: await picture(),
      ...options,
    });
    return new TestSet(root);
  }

  copy(set: TestSet): TestSet {
    return new TestSet(copyFolder(set.root, this.#folder()));
  }

  clear(): void {
    removeAll(this.#folders.splice(0));
  }
}

export async function findingsOf(
  root: string,
  options: CheckNuScenesOptions = {},
): Promise<{ findings: Finding[]; summary: CheckSummary }> {
  const check = checkNuScenes(root, options);
  const findings: Finding[] = [];
  for await (const finding of check) findings.push(finding);
  return { findings, summary: check.summary };
}

/** `rule path record`, as tests compare them. */
export function brief(finding: Finding): string {
  const rule = finding.rule.replace("nuscenes/", "");
  return `${rule} ${finding.path}${finding.record === undefined ? "" : ` ${finding.record}`}`;
}
