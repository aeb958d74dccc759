/** Whether a path lies within a folder, on Windows, whose rules for paths Node has everywhere. */
import { expect, it, vi } from "vitest";

vi.mock("node:path", async (original) => {
  const { win32 } = await original<typeof import("node:path")>();
  return { ...win32, default: win32 };
});
// Another file of tests may have loaded it in this process, with the rules of this system.
vi.resetModules();
const { wayWithin } = await import("../../../src/core/io/within.js");

it.each([
  ["C:\\sets\\in", "C:\\sets\\in\\deep\\out", "deep\\out"],
  ["C:\\sets\\in", "c:\\SETS\\IN\\out", "out"],
  ["C:\\sets\\in", "C:\\sets\\in", ""],
  ["C:\\sets\\in", "C:\\sets\\in\\..out", "..out"],
  ["C:\\sets\\in", "C:\\sets", undefined],
  ["C:\\sets\\in", "C:\\sets\\in2", undefined],
  ["C:\\sets\\in", "D:\\sets\\in\\out", undefined],
  ["C:\\sets\\in", "\\\\server\\share\\out", undefined],
])("the way from %s to %s is %s", (folder, path, way) => {
  expect(wayWithin(folder, path)).toBe(way);
});
