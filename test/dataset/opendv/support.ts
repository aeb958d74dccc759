import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished, vi } from "vitest";
import { folderOf, makeOpenDv, type OpenDvOptions, type OpenDvRow } from "../../../bench/make-opendv.mjs";
import type { Check, Finding } from "../../../src/dataset/finding.js";
import { copyFolder } from "../../helpers/copy.js";
import { removeAll } from "../../helpers/remove.js";

/** A folder that {@link removeFolders} removes. */
const folders: string[] = [];

export function newFolder(): string {
  const path = mkdtempSync(join(tmpdir(), "vista-data-"));
  folders.push(path);
  return path;
}

/** Puts the clock on for the rest of the test, past the time in which a listing is not trusted because its folder has just changed. */
export function later(): void {
  vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + 2600 });
  onTestFinished(() => {
    vi.useRealTimers();
  });
}

export function removeFolders(): void {
  removeAll(folders.splice(0));
}

/** A clean set to copy from. */
export async function makeSet(options: OpenDvOptions = {}): Promise<{ root: string; rows: OpenDvRow[] }> {
  const root = newFolder();
  return { root, rows: await makeOpenDv(root, { frames: 40, ...options }) };
}

/** A copy of a set. Its frames are hard links to the first one's: replace them, never write into them. */
export function copyOf(root: string): string {
  return copyFolder(root, newFolder(), /\.(jpg|png)$/);
}

export function frame(root: string, row: OpenDvRow, number: number): string {
  return join(root, folderOf(row), `${String(number).padStart(9, "0")}.jpg`);
}

/** Replaces a file's content by a file of its own. */
export function replace(path: string, content: string | Uint8Array): void {
  rmSync(path, { force: true });
  writeFileSync(path, content);
}

export async function collect(check: Check): Promise<Finding[]> {
  const findings: Finding[] = [];
  for await (const found of check) findings.push(found);
  return findings;
}

/** Pixels that do not compress away, the same ones every time. */
export function noise(width: number, height: number): Buffer {
  const pixels = Buffer.alloc(width * height * 3);
  let state = 1;
  for (let i = 0; i < pixels.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    pixels[i] = 90 + (state >>> 25);
  }
  return pixels;
}
