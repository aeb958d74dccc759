import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** One folder for everything that a run of the tests writes, removed when it ends: some inputs are hundreds of megabytes. */
export default function setup(): () => void {
  const folder = mkdtempSync(join(tmpdir(), "vista-ckpt-tests-"));
  process.env.TMPDIR = folder;
  return () => rmSync(folder, { recursive: true, force: true });
}
