#!/usr/bin/env bash
# Packs the package, lints what would be published, installs it into an empty folder and uses it there: every command,
# the import, and its types.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

npm pack --silent --pack-destination "$work" >/dev/null
tarball=$(ls "$work"/*.tgz)
npx publint run "$tarball" --strict
# ESM only: that a CommonJS require() cannot load it on older Node is meant.
npx attw "$tarball" --profile esm-only

mkdir "$work/app"
cd "$work/app"
npm init --yes >/dev/null
npm install --silent --no-fund --no-audit "$tarball"
npx --no-install vista-ckpt merge "$root/fixtures/zero/vista-phase2" -o merged.bin
for command in vista-ckpt vista-data vista-train; do
  test "$(npx --no-install "$command" --version)" = "$(node -p "require('$root/package.json').version")"
done
cat >app.mjs <<'JS'
import { openTorchFile } from "vista-ckpt";
const state = await openTorchFile("merged.bin");
console.log(`imported: ${state.tensors.size} tensors`);
await state.close();
JS
node app.mjs
cat >app.mts <<'TS'
import { openTorchFile, type StateDict } from "vista-ckpt";
const state: StateDict = await openTorchFile("merged.bin");
// @ts-expect-error: a path is a string
await openTorchFile(1);
await state.close();
TS
# The types use those of Node, as every Node project has them.
"$root/node_modules/.bin/tsc" --noEmit --strict --target es2023 --module nodenext --moduleResolution nodenext \
  --typeRoots "$root/node_modules/@types" --types node app.mts
echo "the package installs, runs, imports and type-checks"
