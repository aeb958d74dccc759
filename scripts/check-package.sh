#!/usr/bin/env bash
# Packs the package, lints what would be published, installs it into an empty folder and uses it there: every command,
# the import, and its types.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Packing builds: where a clone has no dist/, the tarball had none either.
rm -rf dist
npm pack --silent --pack-destination "$work" >/dev/null
tarball=$(ls "$work"/*.tgz)
npx publint run "$tarball" --strict
# ESM only: Node 20.19 and newer take that from require() as well, as app.cjs below shows; attw still warns of older ones.
npx attw "$tarball" --profile node16 --ignore-rules cjs-resolves-to-esm

mkdir "$work/app"
cd "$work/app"
npm init --yes >/dev/null
npm install --no-fund --no-audit "$tarball" >"$work/install.log" 2>&1
if grep -i "npm warn" "$work/install.log"; then
  echo "installing the tarball gives a warning"
  exit 1
fi
echo "installed: $(npm ls --all --parseable | tail -n +2 | wc -l) packages, $(du -sm node_modules | cut -f1) MB"
npx --no-install vista-ckpt merge "$root/fixtures/zero/vista-phase2" -o merged.bin
for command in vista-ckpt vista-data vista-train; do
  test "$(npx --no-install "$command" --version)" = "$(node -p "require('$root/package.json').version")"
done
# The three doors: as a module, by require (Node 20.19 and newer take an ES module there), and their types for both.
cat >app.mjs <<'JS'
import { openCheckpoint } from "vista-ckpt";
import { checkNuScenes } from "vista-ckpt/data";
import { loadRecipes } from "vista-ckpt/train";
const { state } = await openCheckpoint("merged.bin");
console.log(`imported: ${state.tensors.size} tensors, ${typeof checkNuScenes}, ${(await loadRecipes()).size} recipes`);
await state.close();
JS
node app.mjs
cat >app.cjs <<'JS'
for (const door of ["vista-ckpt", "vista-ckpt/data", "vista-ckpt/train"]) {
  if (typeof require(door).VistaError !== "function") throw new Error(`require("${door}") gives no VistaError`);
}
JS
node --no-warnings app.cjs
cat >app.mts <<'TS'
import { openCheckpoint, type StateDict } from "vista-ckpt";
import { checkNuScenes, type Finding } from "vista-ckpt/data";
import { type LaunchPlan, loadRecipes, planLaunch } from "vista-ckpt/train";
const state: StateDict = (await openCheckpoint("merged.bin")).state;
// @ts-expect-error: a path is a string
await openCheckpoint(1);
await state.close();
for await (const finding of checkNuScenes("data/nuscenes")) finding satisfies Finding;
const plan: LaunchPlan = planLaunch((await loadRecipes(undefined)).get("phase1")!, { vista: "Vista" }, ".");
console.log(plan.gpus);
TS
cat >app.cts <<'TS'
import checkpoints = require("vista-ckpt");
import data = require("vista-ckpt/data");
import train = require("vista-ckpt/train");
console.log(checkpoints.openCheckpoint.length, data.RULES.length, train.planLaunch.length);
TS
# The types use those of Node, as every Node project has them.
check() {
  "$root/node_modules/.bin/tsc" --noEmit --strict --target es2023 --typeRoots "$root/node_modules/@types" --types node "$@"
}
check --module nodenext --moduleResolution nodenext app.mts app.cts
check --module preserve --moduleResolution bundler app.mts
# Without optional packages and without scripts, what needs no image works, and what does says what is missing.
mkdir "$work/bare"
cd "$work/bare"
npm init --yes >/dev/null
npm install --silent --no-fund --no-audit --omit=optional --ignore-scripts "$tarball"
npx --no-install vista-ckpt merge "$root/fixtures/zero/vista-phase2" -o merged.bin
cmp merged.bin "$work/app/merged.bin"
npx --no-install vista-data check "$root/fixtures/nuscenes/mini" >bare.txt || test $? -eq 1
grep -qi nuscenes bare.txt
mkdir frames
for i in $(seq -f %09.0f 0 24); do cp "$root/fixtures/nuscenes/picture.jpg" "frames/$i.jpg"; done
if npx --no-install vista-data preview frames -o sheet.png 2>preview.txt; then exit 1; fi
grep -q 'npm install --include=optional sharp' preview.txt
test ! -e sheet.png
echo "installed without optional packages and scripts: merge and check work, preview says what is missing"
echo "the package installs, runs, imports and type-checks"
