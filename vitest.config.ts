import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    globalSetup: ["test/helpers/temporary.ts"],
    setupFiles: ["test/helpers/on-timeout.ts"],
    // The commands are run as they were built.
    server: { deps: { external: [/\/dist\//] } },
    // Tests against the real Python tools are a command of their own: npm run test:peers.
    exclude: ["test/peers/**"],
    // Vitest takes one worker on two cores unless told otherwise.
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 120_000,
  },
});
