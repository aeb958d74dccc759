import { existsSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve, sep } from "node:path";
import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification, type Vite } from "vitest/node";

const ROOT = import.meta.dirname;

/**
 * Files of tests that start many programs. A process that has run tests for a while has several hundred megabytes, whose page tables
 * are copied for each program that it starts: these come first.
 */
const STARTING = [
  "examples",
  "reliability/faults",
  "train/prepare",
  "train/run-signals",
  "train/run",
  "reliability/kill",
  "train/slurm",
  "core/cli/grammar",
  "core/io/output",
  "dataset/cli/annos-stop",
  "checkpoint/cli/merge-bad-input",
  "checkpoint/cli/to-st",
  "checkpoint/cli/reshard",
  "train/cli",
  "no-network",
  "reliability/load",
  "core/io/regular",
];

/**
 * Files of tests that take seconds. Vitest begins with the largest files: it would come to some of these at the end, when the other
 * worker has nothing left to do.
 */
const SLOW = [
  "checkpoint/zero/reshard",
  "checkpoint/remote/remote",
  "fuzz/fuzz",
  "dataset/opendv/faults",
  "dataset/annotations/quick",
  "dataset/nuscenes/faults",
  "dataset/cli/data-check",
  "checkpoint/torch/bounds",
  "checkpoint/scan/scan",
  "checkpoint/vista/golden",
  "checkpoint/zero/optimizer",
  "dataset/cli/data-index",
  "dataset/images/images",
  "dataset/nuscenes/keys",
];

class InThisOrder extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const first = [...STARTING, ...SLOW].map((name) => join(ROOT, "test", `${name}.test.ts`));
    const place = ({ moduleId }: TestSpecification) => {
      const at = first.indexOf(moduleId);
      return at === -1 ? first.length : at;
    };
    return (await super.sort(files)).sort((a, b) => place(a) - place(b));
  }
}

/**
 * What the tests import from src/ they get from dist/, as users do. Node loads it as it is: no transformation of 380 files, and no
 * getter behind each name that one of them imports from another, both of which Vitest needs for sources; and threads start, whose
 * files only a built package has. The set-up builds dist/ where it is stale. Three kinds of modules are taken from src/: all
 * of them in watch mode, where nothing builds; those that are in the programs alone, and so in dist/ as a part of bundles; and what
 * a test imports that gives a module of Node or a package another content, which Vitest does where it loads the importer itself.
 */
function sourcesAsBuilt(): Vite.Plugin {
  let watch = false;
  /** The built file of a source, if there is one. */
  const builtOf = (path: string) => {
    if (!path.startsWith(join(ROOT, "src") + sep)) return undefined;
    const built = join(ROOT, "dist", relative(join(ROOT, "src"), path)).replace(/\.ts$/, ".js");
    return existsSync(built) ? built : undefined;
  };
  return {
    name: "sources-as-built",
    enforce: "pre",
    configureVitest: ({ vitest }) => {
      watch = vitest.config.watch;
    },
    resolveId(name, importer) {
      if (watch || importer === undefined || !name.startsWith(".")) return undefined;
      const built = builtOf(resolve(dirname(importer), name));
      // A source that is in dist/ as well was loaded for such a test, and so is what it imports.
      if (built === undefined || builtOf(importer) !== undefined) return undefined;
      if (/\bvi\.(?:doM|m)ock\(/.test(readFileSync(importer, "utf8"))) return undefined;
      return { id: built, external: true };
    },
  };
}

export default defineConfig({
  plugins: [sourcesAsBuilt()],
  // Of what watch mode would watch beside these, the Python environments alone have more than 100,000 files.
  server: { watch: { ignored: ["**/.venv-peers/**", "**/dist/**", "**/bench/tmp/**"] } },
  test: {
    include: ["test/**/*.test.ts"],
    globalSetup: ["test/helpers/temporary.ts"],
    setupFiles: ["test/helpers/on-timeout.ts", "test/helpers/leaks.ts"],
    // The commands are run as they were built.
    server: { deps: { external: [/\/dist\//] } },
    // Tests against the real Python tools are a command of their own: npm run test:peers.
    exclude: ["test/peers/**"],
    sequence: { sequencer: InThisOrder },
    // Vitest takes one worker on two cores unless told otherwise.
    maxWorkers: 2,
    // Most of the code runs a few times, in which V8's optimising compiler costs more than it saves: it takes its turn ten times as late,
    // by a switch that only Node 20 has; later versions begin with a quicker compiler.
    // What one test makes is garbage when the next begins: with more room for objects, less of it is copied and marked before.
    execArgv: [
      ...(process.version.startsWith("v20.") ? ["--interrupt-budget=700000"] : []),
      "--min-semi-space-size=32",
      "--max-semi-space-size=64",
      "--initial-old-space-size=512",
    ],
    // Loading the sources anew for each of a hundred files takes a third of the time; test/helpers/leaks.ts sees to it that
    // no file leaves the process in another state.
    isolate: false,
    // Only what hangs takes so long; a machine on which others work as well is many times slower than one that is free.
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
});
