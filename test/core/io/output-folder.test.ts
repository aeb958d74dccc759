/** A folder as output where the disk refuses to keep one of its small files, whose fsyncs go on side by side. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, expect, it, vi } from "vitest";
import { temporaryFolder } from "../../helpers/state.js";

/** Which fsync fails, counted from 1; the calls so far. */
const disk = vi.hoisted(() => ({ failing: 0, calls: 0 }));

vi.mock("node:fs", async (original) => {
  const fs = await original<typeof import("node:fs")>();
  const fsync = (fd: number, done: (error: Error | null) => void) => {
    if (++disk.calls !== disk.failing) return fs.fsync(fd, done);
    setImmediate(() => done(Object.assign(new Error("EIO: i/o error"), { code: "EIO", syscall: "fsync" })));
  };
  return { ...fs, default: fs, fsync };
});

// After the mock, and not the copy that other test files share.
vi.resetModules();
const { writeFolderAtomically } = await import("../../../src/core/io/output-folder.js");

const descriptors = () => readdirSync("/proc/self/fd").length;
const options = { replaceable: () => true, inputs: [], force: true };
const write = (path: string, files: number) =>
  writeFolderAtomically(path, 0, options, async (folder) => {
    for (let i = 0; i < files; i++) await folder.write(`part/${i}`, Buffer.from(`content ${i}`));
  });

beforeEach(() => {
  [disk.failing, disk.calls] = [0, 0];
});

it.each([
  ["the first of many", 1, 20],
  ["one in the middle", 9, 20],
  ["the last one, which only the end waits for", 20, 20],
  ["the only one", 1, 1],
])(
  "an fsync of a small file fails, %s: an error, every descriptor closed, nothing left",
  async (_, failing, files) => {
    const folder = temporaryFolder();
    const before = descriptors();
    disk.failing = failing;
    await expect(write(join(folder, "out"), files)).rejects.toMatchObject({
      name: "VistaError",
      code: "IO",
      where: { path: join(folder, "out") },
    });
    expect(disk.calls).toBeGreaterThanOrEqual(failing);
    expect([descriptors(), readdirSync(folder)]).toEqual([before, []]);
  },
);

it("an fsync of a small file fails: the older folder stays as it was", async () => {
  const folder = temporaryFolder();
  await write(join(folder, "out"), 3);
  disk.failing = disk.calls + 2;
  await expect(write(join(folder, "out"), 5)).rejects.toMatchObject({ code: "IO" });
  expect(readdirSync(folder)).toEqual(["out"]);
  expect(readdirSync(join(folder, "out", "part")).sort()).toEqual(["0", "1", "2"]);
});
