import { defineConfig } from "vitest/config";

/** The tests that run the real Python tools; `test/peers/run.sh` makes the environments and starts this. */
export default defineConfig({
  test: {
    include: ["test/peers/**/*.test.ts"],
    // fixtures/make/ranks.py ends what hangs after 600 s; a test that loads checkpoints on five numbers of ranks takes as long as
    // that on a machine that others load ten times over.
    testTimeout: 1_800_000,
    hookTimeout: 1_800_000,
    // Most of the time one Python loads its packages, or processes wait for one another.
    maxWorkers: 2,
  },
});
