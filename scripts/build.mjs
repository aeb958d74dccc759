/**
 * Builds dist/: the library and its types by tsc, then the three programs again as bundles. Loading commander, yauzl and forty
 * modules one by one takes longer than merging a small checkpoint; bundled, a program starts in little more time than Node itself.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { Script } from "node:vm";
import { build } from "esbuild";

const root = fileURLToPath(new URL("..", import.meta.url));
process.chdir(root);
// A stale file in dist/ would be published.
rmSync("dist", { recursive: true, force: true });
// Beside the bundles, which are other files.
const tsc = spawn("node_modules/.bin/tsc", ["-p", "tsconfig.build.json"], { stdio: "inherit" });
const typed = once(tsc, "close");

/** commander can start programs as sub-commands; ours are functions, and Node takes 4 ms to load what starts programs. */
const noChildren = {
  name: "no-children",
  setup: ({ onResolve, onLoad }) => {
    onResolve({ filter: /^node:child_process$/ }, () => ({ path: "child_process", namespace: "none" }));
    onLoad({ filter: /.*/, namespace: "none" }, () => ({ contents: "module.exports = {};" }));
  },
};

/**
 * Of undici the connections alone, and the `connect` that its index gives them, which a proxy is asked with: with its fetch, sockets and
 * caches it takes 0.1 s longer to load, a third of the start of a command with a URL.
 */
const connectionsOnly = {
  name: "connections-only",
  setup: ({ onResolve, onLoad }) => {
    onResolve({ filter: /^undici$/ }, () => ({ path: "undici", namespace: "connections" }));
    onLoad({ filter: /.*/, namespace: "connections" }, () => ({
      contents: `
        import connect from "undici/lib/api/api-connect.js";
        import Dispatcher from "undici/lib/dispatcher/dispatcher.js";
        Dispatcher.prototype.connect = connect;
        export { default as Agent } from "undici/lib/dispatcher/agent.js";
        export { default as ProxyAgent } from "undici/lib/dispatcher/proxy-agent.js";
      `,
      resolveDir: root,
    }));
  },
};

/**
 * Returns the parts of a program that are loaded later, each with those that are loaded by then whatever the command.
 *
 * @param inputs  the files of a bundle and what they import, as esbuild lists them
 */
function loadedBefore(inputs, entry) {
  const reached = (from) => {
    const files = new Set([from]);
    for (const file of files)
      for (const { kind, path } of inputs[file].imports)
        if (kind === "import-statement" && inputs[path]) files.add(path);
    return files;
  };
  const before = new Map([[entry, new Set()]]);
  for (const waiting = [entry]; waiting.length > 0; ) {
    const from = waiting.pop();
    const known = new Set([...before.get(from), from]);
    for (const file of reached(from)) {
      for (const { kind, path } of inputs[file].imports) {
        if (kind !== "dynamic-import" || !path.startsWith("src/")) continue;
        const old = before.get(path);
        const now = new Set([...known].filter((each) => old === undefined || old.has(each)));
        now.delete(path);
        if (old?.size === now.size) continue;
        before.set(path, now);
        waiting.push(path);
      }
    }
  }
  return before;
}

/**
 * Has every part that is loaded later import those that are loaded by then, so that what they share is one file of the bundle, not one
 * for each set of parts that share it: Node takes longer to find and open 20 small files than to compile them.
 */
const withPartsBefore = (before) => ({
  name: "with-parts-before",
  setup: ({ onLoad }) => {
    onLoad({ filter: /[/\\]src[/\\].*\.ts$/ }, ({ path }) => {
      const parts = [...(before.get(relative(root, path)) ?? [])];
      if (parts.length === 0) return undefined;
      const imports = parts.map((part) => `import ${JSON.stringify(join(root, part))};`);
      return { contents: `${readFileSync(path, "utf8")}\n${imports.join("\n")}\n`, loader: "ts" };
    });
  },
});

/** Threads are started by the name of a file, which is looked for beside the one that starts it. */
const WORKER = /new URL\(\s*"\.\/([\w-]+-worker)\.js",\s*import\.meta\.url/g;

/**
 * The statements of modules, as esbuild prints them: all imports of a file, its one export, and imports where they are needed. A
 * statement of another form stays, and the file is no script.
 */
const IMPORT =
  /(?<=^|[;}\n])import\s*(?:([\w$]+)\s*,?\s*)?(?:\*\s*as\s+([\w$]+)\s*|\{([^{}]*)\}\s*)?(?:from\s*)?("[^"]+");/g;
const EXPORT = /(?<=^|[;}\n])export(?:\s*\{([^{}]*)\}|\s+default\s+([^;]*));\s*$/;
const DYNAMIC_IMPORT = /\bimport\(("[^"]+")\)/g;

/**
 * Returns a file of a bundle as CommonJS, which esbuild parts into several files only as ES modules. Node starts a program a quarter
 * faster so: its loader of ES modules takes 6 ms before the first line runs, and reads every property of `node:fs`, its streams with
 * it, to export them. esbuild's own conversion has a getter behind each name, which costs as much again.
 */
function asCommonJs(text, path) {
  const requires = text.includes("moduleUrl")
    ? ['var moduleUrl=require("node:url").pathToFileURL(__filename);']
    : [];
  const body = text
    .replace(IMPORT, (_, whole, space, names, from) => {
      const named = names?.replace(/\s+as\s+/g, ":").replace(/\s/g, "");
      for (const name of [whole, space, named && `{${named}}`])
        if (name !== undefined) requires.push(`var ${name}=require(${from});`);
      if ((whole ?? space ?? named) === undefined) requires.push(`require(${from});`);
      return "";
    })
    .replace(EXPORT, (_, names, value) => {
      const pairs = names?.split(",").map((pair) => pair.trim().split(/\s+as\s+/));
      const members = pairs?.map(([own, other = own]) => `${other}:${own}`) ?? [`default:${value}`];
      return `module.exports={${members.join(",")}};\n`;
    })
    .replace(DYNAMIC_IMPORT, "Promise.resolve().then(()=>require($1))");
  const code = `"use strict";${requires.join("")}\n${body}`;
  new Script(`(function(exports,require,module,__filename){${code}\n})`, { filename: path });
  return code;
}

async function writeAsCommonJs(files) {
  for (const { path, text } of files) {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, asCommonJs(text, path));
    writeFileSync(join(dirname(path), "package.json"), '{ "type": "commonjs" }\n');
  }
}

/** Files that went into the bundles. */
const inputs = new Set();

async function bundle(entry, plugins) {
  const options = {
    outdir: dirname(entry).replace(/^src/, "dist"),
    bundle: true,
    // V8 keeps the source of a program as long as it runs: comments and indentation are half of it, and one character beyond
    // Latin-1 in a comment doubles the rest.
    minifyWhitespace: true,
    lineLimit: 160,
    format: "esm",
    platform: "node",
    target: "node20.15",
    external: ["sharp", "@julusian/jpeg-turbo"],
    define: { "import.meta.url": "moduleUrl" },
    // THIRD-PARTY-LICENSES.txt has them.
    legalComments: "none",
    metafile: true,
    write: false,
    logLevel: "warning",
  };
  const split = { ...options, plugins, entryPoints: [entry], entryNames: "[name]", splitting: true };
  const first = await build(split);
  const before = loadedBefore(first.metafile.inputs, entry);
  const { metafile, outputFiles } = await build({ ...split, plugins: [...plugins, withPartsBefore(before)] });
  await writeAsCommonJs(outputFiles);
  for (const input of Object.keys(metafile.inputs)) {
    inputs.add(input);
    if (!input.startsWith("src/")) continue;
    // What a worker needs for URLs alone, half of its code, is in files of its own.
    for (const [, worker] of readFileSync(input, "utf8").matchAll(WORKER))
      await writeAsCommonJs(
        (await build({ ...split, entryPoints: [join(dirname(input), `${worker}.ts`)] })).outputFiles,
      );
  }
}
await bundle("src/checkpoint/cli/vista-ckpt.ts", [noChildren, connectionsOnly]);
await bundle("src/dataset/cli/vista-data.ts", [noChildren, connectionsOnly]);
await bundle("src/train/cli/vista-train.ts", [connectionsOnly]);

// The script and the style of the HTML report, which are put into each report: run in a browser, so no part of the library.
await build({
  entryPoints: ["src/dataset/report/page/main.ts", "src/dataset/report/page/style.css"],
  outdir: "dist/dataset/report/page",
  bundle: true,
  minify: true,
  format: "iife",
  target: "es2022",
  legalComments: "none",
  logLevel: "warning",
});

const [code] = await typed;
if (code !== 0) process.exit(1);

// The bundled packages are MIT or the like: their notices go with the code.
const packages = new Set();
for (const input of inputs) {
  const match = /^node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(input);
  if (match) packages.add(match[1]);
}
const notices = [...packages].sort().map((name) => {
  const { version, license } = JSON.parse(readFileSync(`node_modules/${name}/package.json`, "utf8"));
  const file = ["LICENSE", "LICENSE.md", "license", "LICENSE.txt"]
    .map((f) => `node_modules/${name}/${f}`)
    .find(existsSync);
  return `${name} ${version} (${license})\n\n${file ? readFileSync(file, "utf8").trim() : "no license text in the package"}\n`;
});
writeFileSync("dist/THIRD-PARTY-LICENSES.txt", notices.join(`\n${"-".repeat(80)}\n\n`));
