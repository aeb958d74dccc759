import { defineConfig } from "vitest/config";

/** The tests that run the real Python tools; `test/peers/run.sh` makes the environments and starts this. */
export default defineConfig({
  test: {
    include: ["test/peers/**/*.test.ts"],
    testTimeout: 600_000,
    hookTimeout: 600_000,
    // Most of the time one Python loads its packages, or processes wait for one another.
    maxWorkers: 2,
  },
});
