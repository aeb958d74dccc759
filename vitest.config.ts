import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

/**
 * Small files of tests that take seconds. Vitest begins with the largest files: it would come to these at the end, when the other
 * worker has nothing left to do.
 */
const SLOW = [
  "fuzz/fuzz",
  "checkpoint/vista/golden",
  "checkpoint/zero/optimizer",
  "dataset/cli/annos-stop",
  "dataset/nuscenes/keys",
  "reliability/kill",
  "train/run",
  "train/run-signals",
  "examples",
  "no-network",
];

class SlowFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const isSlow = ({ moduleId }: TestSpecification) =>
      SLOW.some((name) => moduleId.endsWith(`/test/${name}.test.ts`));
    const sorted = await super.sort(files);
    return [...sorted.filter(isSlow), ...sorted.filter((file) => !isSlow(file))];
  }
}

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    globalSetup: ["test/helpers/temporary.ts"],
    setupFiles: ["test/helpers/on-timeout.ts", "test/helpers/leaks.ts"],
    // The commands are run as they were built.
    server: { deps: { external: [/\/dist\//] } },
    // Tests against the real Python tools are a command of their own: npm run test:peers.
    exclude: ["test/peers/**"],
    sequence: { sequencer: SlowFirst },
    // Vitest takes one worker on two cores unless told otherwise.
    maxWorkers: 2,
    // Loading the sources anew for each of a hundred files takes a third of the time; test/helpers/leaks.ts sees to it that
    // no file leaves the process in another state.
    isolate: false,
    // Only what hangs takes so long; a machine on which others work as well is many times slower than one that is free.
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
});
