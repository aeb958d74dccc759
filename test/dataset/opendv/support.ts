import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { folderOf, makeOpenDv, type OpenDvOptions, type OpenDvRow } from "../../../bench/make-opendv.mjs";
import type { Check, Finding } from "../../../src/dataset/finding.js";

/** A folder that {@link removeFolders} removes. */
const folders: string[] = [];

export function newFolder(): string {
  const path = mkdtempSync(join(tmpdir(), "vista-data-"));
  folders.push(path);
  return path;
}

export function removeFolders(): void {
  for (const path of folders.splice(0)) rmSync(path, { recursive: true, force: true });
}

/** A clean set to copy from. */
export async function makeSet(options: OpenDvOptions = {}): Promise<{ root: string; rows: OpenDvRow[] }> {
  const root = newFolder();
  return { root, rows: await makeOpenDv(root, { frames: 40, ...options }) };
}

/** A copy whose files may be changed. */
export function copyOf(root: string): string {
  const copy = newFolder();
  cpSync(root, copy, { recursive: true, verbatimSymlinks: true });
  return copy;
}

export function frame(root: string, row: OpenDvRow, number: number): string {
  return join(root, folderOf(row), `${String(number).padStart(9, "0")}.jpg`);
}

/** Replaces a file's content (frames of a generated set are hard links: never write into one). */
export function replace(path: string, content: string | Uint8Array): void {
  rmSync(path, { force: true });
  writeFileSync(path, content);
}

export async function collect(check: Check): Promise<Finding[]> {
  const findings: Finding[] = [];
  for await (const found of check) findings.push(found);
  return findings;
}
