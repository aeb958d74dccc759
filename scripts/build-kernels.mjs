/**
 * Assembles src/checkpoint/tensor/kernels.wat into src/checkpoint/tensor/kernels-code.ts, which is committed: run it after every change there. A test
 * says when it was forgotten.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import wabt from "wabt";

const path = (name) => fileURLToPath(new URL(`../src/checkpoint/tensor/${name}`, import.meta.url));

/** The module's bytes. */
export async function assemble() {
  const tool = await wabt();
  const parsed = tool.parseWat("kernels.wat", readFileSync(path("kernels.wat"), "utf8"), { simd: true });
  return parsed.toBinary({}).buffer;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const code = Buffer.from(await assemble()).toString("base64");
  const lines = code.match(/.{1,100}/g).map((line) => `  "${line}"`);
  writeFileSync(
    path("kernels-code.ts"),
    `/** kernels.wat, assembled by scripts/build-kernels.mjs. */\nexport const KERNELS =\n${lines.join(" +\n")};\n`,
  );
}
