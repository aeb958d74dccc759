/** Bundles the fuzzer of test/fuzz and runs it with the arguments given: its workers need plain JavaScript. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = fileURLToPath(new URL("..", import.meta.url));
// Beside node_modules, so that packages are found; a folder of its own, so that two runs do not share one.
mkdirSync(join(root, "bench/tmp"), { recursive: true });
const out = mkdtempSync(join(root, "bench/tmp/fuzz-"));
// In memory where there is such a folder: every input is a file or several.
const scratch = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "vista-fuzz-"));
let status = 1;
try {
  await build({
    entryPoints: ["main", "worker"].map((name) => join(root, `test/fuzz/${name}.ts`)),
    outdir: out,
    outExtension: { ".js": ".mjs" },
    bundle: true,
    splitting: true,
    format: "esm",
    platform: "node",
    target: "node20.15",
    packages: "external",
    alias: { "node:fs/promises": join(root, "test/fuzz/fs-at-once.ts") },
    sourcemap: "inline",
  });
  const run = spawnSync(
    process.execPath,
    ["--enable-source-maps", join(out, "main.mjs"), ...process.argv.slice(2)],
    {
      stdio: "inherit",
      env: {
        ...process.env,
        FUZZ_FIXTURES: join(root, "fixtures"),
        FUZZ_WORKER: join(out, "worker.mjs"),
        FUZZ_SCRATCH: scratch,
      },
    },
  );
  status = run.status ?? 1;
} finally {
  rmSync(out, { recursive: true, force: true });
  if (!process.argv.includes("--one")) rmSync(scratch, { recursive: true, force: true });
}
process.exitCode = status;
