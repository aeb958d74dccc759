/** Other people's safetensors readers in JavaScript. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, join } from "node:path";
import { parseSafetensorsMetadata } from "@huggingface/hub";

interface SafeTensor {
  metadata: Map<string, { dtype: string; shape: number[]; data_offsets: [number, number] }>;
  getTensor(name: string): Uint8Array;
}

// The package has no types, and its CommonJS file is the one that Node can load.
const { SafeTensor } = createRequire(import.meta.url)("safetensors") as {
  SafeTensor: new (bytes: Uint8Array) => SafeTensor;
};

/** The npm package `safetensors`; it reads files without metadata only. */
export function readWithSafetensorsPackage(path: string): SafeTensor {
  // A copy: the package looks at the whole buffer behind an array.
  return new SafeTensor(Uint8Array.from(readFileSync(path)));
}

/** huggingface.js's reader of headers, on a folder that plays the hub. */
export function readWithHuggingFace(path: string) {
  return parseSafetensorsMetadata({
    repo: "local/model",
    path: basename(path),
    fetch: async (input, init) => {
      const url = new URL(input instanceof Request ? input.url : input);
      const bytes = readFileSync(join(dirname(path), decodeURIComponent(basename(url.pathname))));
      const range = /^bytes=(\d+)-(\d+)$/.exec(new Headers(init?.headers).get("range") ?? "");
      const part = range === null ? bytes : bytes.subarray(Number(range[1]), Number(range[2]) + 1);
      const headers: Record<string, string> = { "content-length": String(part.length), etag: '"1"' };
      if (range !== null) headers["content-range"] = `bytes ${range[1]}-${range[2]}/${bytes.length}`;
      return new Response(new Uint8Array(part), { status: range === null ? 200 : 206, headers });
    },
  });
}
