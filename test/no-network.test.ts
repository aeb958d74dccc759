/** Nothing is sent or fetched but what the user names: by what the sources import, and by commands whose network calls are trapped. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { runCli } from "./helpers/cli.js";
import { temporaryFolder } from "./helpers/state.js";

const ROOT = join(import.meta.dirname, "..");

/**
 * Who may, and what for: URLs that the user gives as inputs; the host and the port of the rendezvous that the user names.
 * `src/core/io/remote` is loaded for the first URL alone.
 */
const ALLOWED = new Map([
  ["src/core/io/remote/request.ts", ["undici", "undici"]],
  ["src/train/launch/system.ts", ["node:dns/promises"]],
  ["src/train/preflight/checks/launch.ts", ["node:dns/promises", "node:net"]],
]);

const NETWORK =
  /["']node:(?:http|https|http2|net|tls|dgram|dns)(?:\/promises)?["']|["']undici["']|(?<![#.\w])fetch\(|\bnew (?:WebSocket|EventSource)\b/g;

it("only the reader of URLs and the checks of a rendezvous import what reaches a network", () => {
  const found = new Map<string, string[]>();
  for (const name of readdirSync(join(ROOT, "src"), { recursive: true, encoding: "utf8" })) {
    if (!name.endsWith(".ts")) continue;
    const uses = [...readFileSync(join(ROOT, "src", name), "utf8").matchAll(NETWORK)].map(([use]) =>
      use.replace(/["']/g, ""),
    );
    if (uses.length > 0) found.set(`src/${name.replaceAll("\\", "/")}`, uses.sort());
  }
  expect(Object.fromEntries(found)).toEqual(Object.fromEntries(ALLOWED));
});

it("commands run with every way to the network trapped", async () => {
  const folder = temporaryFolder();
  const trap = join(folder, "trap.mjs");
  writeFileSync(
    trap,
    `import net from "node:net"; import dns from "node:dns"; import dgram from "node:dgram"; import { syncBuiltinESMExports } from "node:module";
const refuse = (what) => () => { process.stderr.write("NETWORK " + what + "\\n"); process.exit(99); };
net.Socket.prototype.connect = refuse("connect"); net.connect = refuse("connect"); dns.lookup = refuse("lookup");
dns.promises.lookup = refuse("lookup"); dgram.createSocket = refuse("datagram"); globalThis.fetch = refuse("fetch"); syncBuiltinESMExports();
if (process.argv[2] === "try") fetch("http://localhost");`,
  );
  const options = { process: true, env: { NODE_OPTIONS: `--import=${trap}` } };
  const zero = join(ROOT, "fixtures/zero/stage2-fp32-3ranks-groups");
  const merged = await runCli("vista-ckpt", ["merge", zero, join(folder, "x.bin"), "--no-fsync"], options);
  const scanned = await runCli("vista-ckpt", ["scan", zero], options);
  const checked = await runCli(
    "vista-data",
    ["check", "--tables-only", join(ROOT, "fixtures/nuscenes/mini")],
    options,
  );
  for (const { code, stderr } of [merged, scanned, checked]) {
    expect(stderr).not.toContain("NETWORK");
    expect(code).not.toBe(99);
  }
  expect([merged.code, scanned.code]).toEqual([0, 0]);
  // The trap itself works.
  expect((await runCli("vista-ckpt", ["try"], options)).stderr).toContain("NETWORK fetch");
});
