import { defineConfig } from "vitest/config";

/** The tests that run the real Python tools; `test/peers/run.sh` makes the environments and starts this. */
export default defineConfig({
  test: {
    include: ["test/peers/**/*.test.ts"],
    testTimeout: 600_000,
    hookTimeout: 600_000,
    // Each test starts Python processes of its own: more than one file at a time only makes them slower.
    fileParallelism: false,
  },
});
