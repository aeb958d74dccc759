/**
 * The files of the tests share their processes. Each must leave its own as it found it, or the next one passes or fails by the
 * order in which they come.
 */
import { readdirSync, readlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { afterAll, beforeAll, expect, vi } from "vitest";
import { FIXTURES } from "./state.js";

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP", "SIGPIPE"];

/** What a test may change of its process. */
function state() {
  const listeners = SIGNALS.map((name) => [name, process.listenerCount(name)]);
  // libvips sets this one when sharp is loaded, once a process.
  const { VIPSHOME, ...environment } = process.env;
  return {
    environment,
    folder: process.cwd(),
    exitCode: process.exitCode,
    listeners: Object.fromEntries(listeners),
    fakeTimers: vi.isFakeTimers(),
    functions: [process.stdout.write, process.stderr.write, process.kill, globalThis.fetch],
  };
}

/** The tests' files that this process has open; nothing where there is no /proc. */
function openFiles(): string[] {
  let fds: string[];
  try {
    fds = readdirSync("/proc/self/fd");
  } catch {
    return [];
  }
  const paths = fds.map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return ""; // the one that listed the folder
    }
  });
  return paths.filter((path) => [tmpdir(), FIXTURES].some((folder) => path.startsWith(`${folder}/`)));
}

let before: ReturnType<typeof state>;
let filesBefore: ReadonlySet<string>;
// The hooks of a setup file run before all others of the same kind at the start, and after them at the end.
beforeAll(() => {
  before = state();
  filesBefore = new Set(openFiles());
});
afterAll(() => {
  expect(state(), "the state of the process after the last test of this file").toEqual(before);
  // Node warns of what the garbage collector closes, perhaps in the middle of another file's test.
  const files = openFiles().filter((path) => !filesBefore.has(path));
  expect(files, "files that are open after the last test of this file").toEqual([]);
});
