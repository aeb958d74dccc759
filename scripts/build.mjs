/**
 * Builds dist/: the library and its types by tsc, then the `vista-ckpt` command again as a bundle. Loading commander, yauzl
 * and forty modules one by one takes longer than merging a small checkpoint; bundled, the command starts in little more
 * time than Node itself. vista-data and vista-train start workers and children by file name and stay as tsc makes them.
 */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = fileURLToPath(new URL("..", import.meta.url));
process.chdir(root);
// A stale file in dist/ would be published.
rmSync("dist", { recursive: true, force: true });
execFileSync("node_modules/.bin/tsc", ["-p", "tsconfig.build.json"], { stdio: "inherit" });

const options = {
  outdir: "dist/checkpoint/cli",
  bundle: true,
  format: "esm",
  platform: "node",
  target: "node20.15",
  external: ["sharp", "undici", "fast-xml-parser", "aws4fetch", "proxy-from-env"],
  // CommonJS packages inside an ES module still call require() for Node's own modules.
  banner: {
    js: 'import { createRequire as makeRequire } from "node:module"; const require = makeRequire(import.meta.url);',
  },
  metafile: true,
  logLevel: "warning",
};
/** commander can start programs as sub-commands; ours are functions, and Node takes 4 ms to load what starts programs. */
const noChildren = {
  name: "no-children",
  setup: ({ onResolve, onLoad }) => {
    onResolve({ filter: /^node:child_process$/ }, () => ({ path: "child_process", namespace: "none" }));
    onLoad({ filter: /.*/, namespace: "none" }, () => ({ contents: "module.exports = {};" }));
  },
};
const { metafile } = await build({
  ...options,
  plugins: [noChildren],
  entryPoints: ["src/checkpoint/cli/vista-ckpt.ts"],
  entryNames: "[name]",
  splitting: true,
});
// The thread that it starts is looked for beside it; of one file, it starts some milliseconds sooner.
await build({ ...options, entryPoints: ["src/checkpoint/copy/lane-worker.ts"], banner: {} });

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

// The bundled packages are MIT or the like: their notices go with the code.
const packages = new Set();
for (const input of Object.keys(metafile.inputs)) {
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
writeFileSync("dist/checkpoint/cli/THIRD-PARTY-LICENSES.txt", notices.join(`\n${"-".repeat(80)}\n\n`));
