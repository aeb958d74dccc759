import { fstatSync, readdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, it, vi } from "vitest";
import { openSource } from "../../../src/core/io/open-source.js";
import type { SourceFile } from "../../../src/core/io/source.js";
import { temporaryFolder } from "../../helpers/state.js";

afterEach(() => vi.restoreAllMocks());

async function openFile(): Promise<SourceFile> {
  const path = join(temporaryFolder(), "data");
  writeFileSync(path, Buffer.from("0123456789"));
  return openSource(path);
}

/** Each look at the clock is this many nanoseconds after the one before. */
function clockOf(step: bigint): void {
  let now = 0n;
  vi.spyOn(process.hrtime, "bigint").mockImplementation(() => {
    now += step;
    return now;
  });
}

it("a few bytes that are in memory come at once", async () => {
  clockOf(10_000n);
  const file = await openFile();
  const target = Buffer.alloc(3);
  expect(file.readSmall(target, 4)).toBeUndefined();
  expect(target.toString()).toBe("456");
  await file.close();
});

it("a file that was slow once is waited for, and gives the same bytes", async () => {
  clockOf(2_000_000n);
  const file = await openFile();
  const target = Buffer.alloc(3);
  expect(file.readSmall(target, 0)).toBeUndefined();
  const second = file.readSmall(target, 7);
  expect(second).toBeInstanceOf(Promise);
  await second;
  expect(target.toString()).toBe("789");
  await file.close();
});

it("bytes beyond the end are an error with the numbers, and a file without its descriptor is opened again", async () => {
  const file = await openFile();
  await expect(file.readSmall(Buffer.alloc(4), 8)).rejects.toMatchObject({
    code: "TRUNCATED",
    message: expect.stringContaining("4 bytes wanted, 2 there"),
  });
  await file.suspend();
  const target = Buffer.alloc(2);
  await file.readSmall(target, 1);
  expect(target.toString()).toBe("12");
  await file.close();
});

it("closing waits for those who hold the descriptor, which so is no other file's while they use it", async () => {
  const file = await openFile();
  const fd = await file.hold();
  let closed = false;
  const closing = file.close().then(() => {
    closed = true;
  });
  await new Promise((resolve) => setImmediate(resolve));
  expect([closed, fstatSync(fd).size]).toEqual([false, 10]);
  file.release();
  await closing;
  expect(() => fstatSync(fd)).toThrow(/EBADF/);
});

it("a read after close() is an error and opens nothing", async () => {
  const file = await openFile();
  await file.close();
  const before = readdirSync("/proc/self/fd").length;
  for (const read of [
    () => file.read(Buffer.alloc(2), 0),
    () => file.hold(),
    async () => file.readSmall(Buffer.alloc(2), 0),
  ])
    await expect(read()).rejects.toMatchObject({ code: "USAGE", where: { path: file.path } });
  expect(readdirSync("/proc/self/fd").length).toBe(before);
});

it("another file of the same name is not taken for the one that was opened", async () => {
  const file = await openFile();
  await file.suspend();
  writeFileSync(`${file.path}.new`, "9876543210");
  renameSync(`${file.path}.new`, file.path);
  await expect(file.read(Buffer.alloc(2), 0)).rejects.toMatchObject({
    code: "INCONSISTENT",
    where: { path: file.path },
  });
  await file.close();
});

it("many small reads in a row, all of them from memory, let a timer or a signal have its turn", async () => {
  clockOf(10_000n);
  const file = await openFile();
  let turns = 0;
  let next = setImmediate(function turn() {
    turns++;
    next = setImmediate(turn);
  });
  const target = Buffer.alloc(3);
  for (let i = 0; i < 1000; i++) await file.read(target, i % 8);
  clearImmediate(next);
  expect(turns).toBeGreaterThan(10);
  await file.close();
});

it("the first read of a file never blocks, nor does a large one", async () => {
  const path = join(temporaryFolder(), "large");
  writeFileSync(path, Buffer.alloc(1_000_000, 1));
  const file = await openSource(path);
  const now = vi.spyOn(process.hrtime, "bigint");
  const small = Buffer.alloc(3);
  await file.read(small, 0);
  const large = Buffer.alloc(900_000);
  await file.read(large, 0);
  expect(now).not.toHaveBeenCalled();
  await file.read(small, 5);
  expect(now).toHaveBeenCalled();
  expect([...small, large[899_999]]).toEqual([1, 1, 1, 1]);
  await file.close();
});
