/**
 * What the whole run of the tests needs before its first file: built files that are not older than the sources, and one
 * folder for everything that the tests write.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, statfsSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { removeAll } from "./remove.js";

/** Bytes that must be free in memory for the tests to write there; they use some 300 MB at once. */
const ROOM = 2_000_000_000;

/**
 * The folder is in memory where there is such a place: on a busy disk single writes and fsyncs of small files take seconds,
 * and the tests make many thousand of them. It is removed when the run ends.
 */
export default function setup(): () => void {
  buildIfStale();
  const folder = mkdtempSync(join(placeInMemory() ?? tmpdir(), "vista-ckpt-tests-"));
  process.env.TMPDIR = folder;
  // Commands run in the tests' own process, whose standard error may be a terminal.
  process.env.NO_COLOR = "1";
  return () => removeAll([folder]);
}

function placeInMemory(): string | undefined {
  try {
    const { bavail, bsize } = statfsSync("/dev/shm");
    return bavail * bsize >= ROOM ? "/dev/shm" : undefined;
  } catch {
    return undefined;
  }
}

/** What dist/ is made from, beside src/: npm writes the last file whenever it installs packages, some of which are bundled. */
const INPUTS = [
  "package.json",
  "scripts/build.mjs",
  "tsconfig.json",
  "tsconfig.build.json",
  "node_modules/.package-lock.json",
];

/** Some tests run the commands from dist/. A folder is newer than a file that was added to it or removed. */
function buildIfStale(): void {
  const sources = [...INPUTS, "src", ...namesBelow("src")];
  const newest = Math.max(...sources.map((file) => statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0));
  // The build writes this file last.
  const built = statSync("dist/THIRD-PARTY-LICENSES.txt", { throwIfNoEntry: false });
  if (built !== undefined && built.mtimeMs >= newest) return;
  process.stderr.write("dist/ is older than src/: building it\n");
  execFileSync(process.execPath, ["scripts/build.mjs"], { stdio: "inherit" });
}

function namesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" }).map((name) => join(folder, name));
}
