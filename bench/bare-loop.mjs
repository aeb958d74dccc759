/**
 * The floor of any copy with checksums in Node: two threads that read, take the CRC-32 and write, and nothing else. No
 * input is opened, planned or checked, and the output's layout is the input's.
 *
 *   node bench/bare-loop.mjs INPUT OUTPUT
 */
import { closeSync, openSync, readSync, statSync, writeSync } from "node:fs";
import { isMainThread, Worker, workerData } from "node:worker_threads";
import { crc32 } from "../dist/core/io/crc32.js";

const CHUNK = 256 * 1024;
/** Chunks taken at a time. */
const RUN = 8;
const [input, output] = process.argv.slice(2);

function copy(next) {
  const [from, to] = [openSync(input, "r"), openSync(output, "r+")];
  const chunks = Math.ceil(statSync(input).size / CHUNK);
  const buffer = Buffer.allocUnsafeSlow(CHUNK);
  let crc = 0;
  for (;;) {
    const first = Atomics.add(next, 0, RUN);
    if (first >= chunks) return crc;
    for (let i = first; i < Math.min(chunks, first + RUN); i++) {
      const got = readSync(from, buffer, 0, CHUNK, i * CHUNK);
      crc = crc32(buffer.subarray(0, got), crc);
      writeSync(to, buffer, 0, got, i * CHUNK);
    }
  }
}

if (isMainThread) {
  const next = new Int32Array(new SharedArrayBuffer(4));
  closeSync(openSync(output, "w"));
  new Worker(new URL(import.meta.url), { workerData: next, argv: [input, output] });
  copy(next);
} else copy(workerData);
