/** https through a proxy: a tunnel by CONNECT, a certificate of a CA of one's own (made by openssl), and who sees which secret. */
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import { runCli } from "../../helpers/cli.js";
import { type RangeServer, startServer } from "../../helpers/range-server.js";
import { FIXTURES, temporaryFolder } from "../../helpers/state.js";

const root = temporaryFolder();
const file = join(root, "runs/model.pt");
const ca = join(root, "ca.pem");
let hub: RangeServer;
let store: RangeServer;
let proxy: Server;
let proxyUrl: string;
/** What the proxy was asked, and its answer to it. */
const tunnels: IncomingMessage[] = [];
const whole: string[] = [];
let status = 200;

beforeAll(async () => {
  mkdirSync(join(root, "runs"));
  cpSync(join(FIXTURES, "zero/vista-phase2/checkpoint/mp_rank_00_model_states.pt"), file);
  const openssl = (...args: string[]) => execFileSync("openssl", args, { cwd: root, stdio: "pipe" });
  const key = ["-newkey", "rsa:2048", "-nodes", "-days", "2"];
  openssl("req", "-x509", ...key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test");
  openssl("req", ...key, "-keyout", "own.key", "-out", "own.csr", "-subj", "/CN=127.0.0.1");
  writeFileSync(join(root, "names"), "subjectAltName=IP:127.0.0.1");
  const signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names", "-days", "2"];
  openssl("x509", "-req", "-in", "own.csr", ...signed, "-out", "own.pem");
  const tls = { key: readFileSync(join(root, "own.key")), cert: readFileSync(join(root, "own.pem")) };
  hub = await startServer(root, tls);
  store = await startServer(join(root, "runs"), tls);
  hub.redirectTo = store.url;
  proxy = createServer((request, response) => {
    whole.push(request.url!);
    response.writeHead(502).end();
  });
  proxy.on("connect", (request, socket, head) => {
    tunnels.push(request);
    socket.on("error", () => {});
    if (status !== 200) return socket.end(`HTTP/1.1 ${status} No\r\ncontent-length: 0\r\n\r\n`);
    const [host, port] = request.url!.split(":");
    const upstream = connect(Number(port), host, () => {
      socket.write("HTTP/1.1 200 Connection established\r\n\r\n");
      upstream.write(head);
      upstream.pipe(socket).pipe(upstream);
    });
    upstream.on("error", () => socket.destroy());
    socket.on("error", () => upstream.destroy());
    return socket;
  });
  await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  proxyUrl = `http://me:geheim@127.0.0.1:${(proxy.address() as AddressInfo).port}`;
});
afterAll(async () => {
  await hub.close();
  await store.close();
  proxy.closeAllConnections();
  proxy.close();
});
beforeEach(() => {
  tunnels.length = 0;
  whole.length = 0;
  hub.asked.length = 0;
  store.asked.length = 0;
  status = 200;
});

/** to-st of the file on the hub, or of another place. */
async function convert(more: Record<string, string>, place = "hf://owner/name/model.pt") {
  const names = /^(?:https?|no|all)_proxy$/i;
  const rest = Object.entries(process.env as Record<string, string>).filter(([name]) => !names.test(name));
  const env = {
    ...Object.fromEntries(rest),
    NODE_EXTRA_CA_CERTS: ca,
    HF_ENDPOINT: hub.url,
    HF_TOKEN: "hf_secret",
    HTTPS_PROXY: proxyUrl,
    ...more,
  };
  // The variables of this process must not stand behind those that are left out.
  for (const name of Object.keys(process.env))
    if (names.test(name) && !(name in more)) env[name as "HTTPS_PROXY"] ??= "";
  const output = join(temporaryFolder(), "out.safetensors");
  const args = ["to-st", place, "--raw", "--key", "module", "-o", output];
  const result = await runCli("vista-ckpt", args, { env, process: true });
  return { ...result, output };
}

async function expectSame(output: string): Promise<void> {
  const local = join(temporaryFolder(), "out.safetensors");
  const args = ["to-st", file, "--raw", "--key", "module", "-o", local];
  expect((await runCli("vista-ckpt", args)).code).toBe(0);
  expect(readFileSync(output).equals(readFileSync(local))).toBe(true);
}

const hostOf = (url: string) => new URL(url).host;

it("the bytes are the same; the proxy sees hosts and its own password, the hub its token, the store neither", async () => {
  const { code, stderr, output } = await convert({});
  expect(code, stderr).toBe(0);
  await expectSame(output);
  expect(new Set(tunnels.map(({ url }) => url))).toEqual(new Set([hostOf(hub.url), hostOf(store.url)]));
  expect(whole).toEqual([]);
  for (const { headers } of tunnels) {
    expect(headers["proxy-authorization"]).toBe(`Basic ${Buffer.from("me:geheim").toString("base64")}`);
    expect(JSON.stringify(headers)).not.toContain("hf_secret");
  }
  expect(new Set(hub.asked.map(({ authorization }) => authorization))).toEqual(new Set(["Bearer hf_secret"]));
  expect(new Set(store.asked.map(({ authorization }) => authorization))).toEqual(new Set([undefined]));
  expect(hub.asked.length).toBe(1);
});

it.each(["127.0.0.1", "*", "other.example, 127.0.0.1"])(
  "NO_PROXY=%s: the proxy is not asked",
  async (names) => {
    const { code, stderr, output } = await convert({ NO_PROXY: names });
    expect(code, stderr).toBe(0);
    expect(tunnels.length).toBe(0);
    await expectSame(output);
  },
);

it.each([403, 407])("a proxy that answers %d: one line, without its password", async (answer) => {
  status = answer;
  const { code, stdout, stderr } = await convert({});
  expect({ code, stdout, lines: stderr.split("\n").length }).toEqual({ code: 1, stdout: "", lines: 2 });
  expect(stderr).toMatch(new RegExp(`${answer}.*HTTPS_PROXY`));
  expect(stderr).not.toMatch(/geheim|hf_secret/);
  expect([tunnels.length, hub.asked.length]).toEqual([1, 0]);
});

it("a certificate of a CA that nobody knows: one line, at once", async () => {
  const { code, stderr } = await convert({ NODE_EXTRA_CA_CERTS: "" });
  expect({ code, lines: stderr.split("\n").length, tunnels: tunnels.length }).toEqual({
    code: 1,
    lines: 2,
    tunnels: 1,
  });
  expect(stderr).toMatch(/certificate/i);
});

it("https where plain http is spoken: one line, at once", async () => {
  const place = `${proxyUrl.replace("http:", "https:").replace("me:geheim@", "")}/a.pt`;
  const { code, stderr } = await convert({ NO_PROXY: "*" }, place);
  expect({ code, lines: stderr.split("\n").length }).toEqual({ code: 1, lines: 2 });
});
