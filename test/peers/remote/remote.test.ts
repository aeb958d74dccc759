/** Checkpoints on real servers, S3 by moto and HTTP by nginx, and through a forward proxy: what comes out is what the disk gives. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runCli } from "../../helpers/cli.js";
import { freePort } from "../free-port.js";
import { python } from "../python.js";

const FIXTURES = fileURLToPath(new URL("../../../fixtures/", import.meta.url));
const KEY = { AWS_ACCESS_KEY_ID: "AKIATEST", AWS_SECRET_ACCESS_KEY: "secret", AWS_REGION: "us-east-1" };

let folder: string;
let s3: string;
let http: string;
let proxy: Server;
let proxyUrl: string;
/** What the proxy was asked for: hosts of CONNECT, and URLs. */
const proxied: string[] = [];
const children: ChildProcess[] = [];

async function start(command: string, args: readonly string[], url: string): Promise<void> {
  const child = spawn(command, [...args], { stdio: "ignore" });
  children.push(child);
  for (let i = 0; i < 300; i++) {
    if (
      await fetch(url).then(
        () => true,
        () => false,
      )
    )
      return;
    if (child.exitCode !== null) throw new Error(`${command} ended with ${child.exitCode}`);
    await sleep(200);
  }
  throw new Error(`${command} does not answer at ${url}`);
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "vista-peers-remote-"));
  const root = join(folder, "root");
  mkdirSync(join(root, "runs"), { recursive: true });
  for (const name of ["zero/vista-phase2", "zero/stage2-fp32-3ranks-groups", "dcp/2d-2x2ranks"])
    cpSync(join(FIXTURES, name), join(root, "runs", name), { recursive: true });
  const sharded = ["to-st", join(root, "runs/zero/vista-phase2"), "--raw", "--max-shard-size", "100kB"];
  mkdirSync(join(root, "runs/sharded"));
  expect(
    (await runCli("vista-ckpt", [...sharded, "-o", join(root, "runs/sharded/m.safetensors")])).code,
  ).toBe(0);
  const [s3Port, httpPort] = [await freePort(), await freePort()];
  s3 = `http://127.0.0.1:${s3Port}`;
  http = `http://127.0.0.1:${httpPort}`;
  await start(python("s3"), ["-m", "moto.server", "-H", "127.0.0.1", "-p", String(s3Port)], s3);
  const config = join(folder, "nginx.conf");
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((name) => `${name}_temp_path ${folder}/${name};`)
    .join(" ");
  writeFileSync(
    config,
    `daemon off; master_process off; pid ${folder}/nginx.pid; error_log ${folder}/error.log; events {}
http { access_log off; ${temporary} server { listen 127.0.0.1:${httpPort}; root ${root}/runs; } }`,
  );
  await start("nginx", ["-c", config, "-p", folder, "-e", join(folder, "error.log")], http);
  const upload = `
import boto3, os, sys
s3 = boto3.client("s3", endpoint_url=sys.argv[1], region_name="us-east-1", aws_access_key_id="AKIATEST", aws_secret_access_key="secret")
s3.create_bucket(Bucket="runs")
root = sys.argv[2]
for place, _, names in os.walk(root):
    for name in names:
        path = os.path.join(place, name)
        s3.upload_file(path, "runs", os.path.relpath(path, root))
for i in range(1001):
    s3.put_object(Bucket="runs", Key=f"zero/vista-phase2/a{i:04}.txt", Body=b"x")
odd = os.path.join(root, "sharded", sorted(n for n in os.listdir(os.path.join(root, "sharded")) if n.endswith(".safetensors"))[0])
s3.upload_file(odd, "runs", "odd/a b+c (1)=é.safetensors")
s3.put_object(Bucket="runs", Key="empty.bin", Body=b"")
print(s3.generate_presigned_url("get_object", Params={"Bucket": "runs", "Key": os.path.relpath(odd, root)}), end="")
`;
  presigned = execFileSync(python("s3"), ["-c", upload, s3, join(root, "runs")], { encoding: "utf8" });
  proxy = createServer((request, response) => {
    // A GET with a whole URL, as for plain HTTP.
    proxied.push(request.url!);
    fetch(request.url!, { headers: request.headers as Record<string, string> }).then(
      async (answer) => {
        const headers = Object.fromEntries(answer.headers);
        response.writeHead(answer.status, headers).end(Buffer.from(await answer.arrayBuffer()));
      },
      () => response.writeHead(502).end(),
    );
  });
  proxy.on("connect", (request, socket, head) => {
    proxied.push(request.url!);
    const [host, port] = request.url!.split(":");
    const upstream = connect(Number(port), host, () => {
      socket.write("HTTP/1.1 200 Connection established\r\n\r\n");
      upstream.write(head);
      upstream.pipe(socket);
      socket.pipe(upstream);
    });
    upstream.on("error", () => socket.destroy());
    socket.on("error", () => upstream.destroy());
  });
  await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  proxyUrl = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
});
let presigned: string;

afterAll(() => {
  for (const child of children) child.kill();
  proxy?.closeAllConnections();
  proxy?.close();
  rmSync(folder, { recursive: true, force: true });
});

async function run(args: readonly string[], env: Record<string, string> = {}) {
  const { HTTP_PROXY, HTTPS_PROXY, http_proxy, https_proxy, ...rest } = process.env as Record<string, string>;
  const result = await runCli("vista-ckpt", args, { env: { ...rest, ...KEY, AWS_ENDPOINT_URL: s3, ...env } });
  expect([args, result.code, result.code === 0 ? "" : result.stderr]).toEqual([args, 0, ""]);
  return result.stdout;
}

/** The same command on the disk and on a server: the output's bytes. */
async function same(command: readonly string[], local: string, remote: string, env = {}) {
  const outputs = [join(folder, "local.safetensors"), join(folder, "remote.safetensors")];
  for (const [i, input] of [join(folder, "root/runs", local), remote].entries())
    await run([command[0]!, input, ...command.slice(1), "--force", "-o", outputs[i]!], env);
  const [a, b] = outputs.map((path) => readFileSync(path));
  expect(a!.length).toBeGreaterThan(1000);
  expect(b!.equals(a!)).toBe(true);
}

describe("S3 (moto), signed", () => {
  it.each<[readonly string[], string]>([
    [["merge"], "zero/stage2-fp32-3ranks-groups"],
    [["to-st"], "zero/vista-phase2"],
    [["to-st", "--raw"], "sharded"],
    [["to-st", "--raw"], "dcp/2d-2x2ranks"],
  ])("%s of %s", async (command, place) => {
    await same(command, place, `s3://runs/${place}`);
  });

  it("a listing of more than 1,000 keys is whole: inspect and verify find what stands behind them", async () => {
    const place = "zero/vista-phase2";
    const url = `s3://runs/${place}`;
    const local = await run(["inspect", join(folder, "root/runs", place)]);
    expect((await run(["inspect", url])).replaceAll(url, join(folder, "root/runs", place))).toBe(local);
    expect(await run(["verify", url])).toMatch(/^sound: 3 files/m);
  });

  it("keys with spaces and signs; a presigned URL", async () => {
    expect(await run(["inspect", "s3://runs/odd/a b+c (1)=é.safetensors"])).toContain("tensors");
    expect(await run(["inspect", presigned])).toContain("tensors");
  });

  it("an empty object is said to be empty, in one line", async () => {
    const { code, stderr } = await runCli("vista-ckpt", ["inspect", "s3://runs/empty.bin"], {
      env: { ...(process.env as Record<string, string>), ...KEY, AWS_ENDPOINT_URL: s3 },
    });
    expect([code, stderr.split("\n").length]).toEqual([1, 2]);
  });
});

it("signatures are those that botocore makes of the same requests", async () => {
  const asked: { url: string; headers: Record<string, unknown> }[] = [];
  const server = createServer((request, response) => {
    asked.push({ url: `http://${request.headers.host}${request.url}`, headers: request.headers });
    if (request.url!.includes("list-type=2")) {
      const more = !request.url!.includes("continuation-token");
      const next = more
        ? "<IsTruncated>true</IsTruncated><NextContinuationToken>a+b/c= é</NextContinuationToken>"
        : "";
      response.end(`<ListBucketResult>${next}<Contents><Key>x</Key></Contents></ListBucketResult>`);
    } else response.writeHead(404).end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const env = { ...(process.env as Record<string, string>), ...KEY, NO_PROXY: "*" };
  const places = ["plain.bin", "a b+c (1)=é&'!*~.bin", "%2F%20/..a//b", "ü/日本", "folder/"];
  try {
    for (const [i, place] of places.entries()) {
      const session: Record<string, string> = i % 2 === 0 ? {} : { AWS_SESSION_TOKEN: "token/+=" };
      const more = { AWS_ENDPOINT_URL: i === 0 ? `${endpoint}/base path/` : endpoint, ...session };
      await runCli("vista-ckpt", ["scan", `s3://bucket/${place}`], { env: { ...env, ...more } });
    }
  } finally {
    server.closeAllConnections();
    server.close();
  }
  expect(asked.length).toBeGreaterThan(places.length);
  const script = `
import json, re, sys
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
for one in json.load(sys.stdin):
    sent = one["headers"]
    signed = re.search("SignedHeaders=([^,]+)", sent["authorization"])[1].split(";")
    auth = S3SigV4Auth(Credentials("AKIATEST", "secret"), "s3", "us-east-1")
    request = AWSRequest("GET", one["url"], headers={name: sent[name] for name in signed})
    request.context["timestamp"] = sent["x-amz-date"]
    request.context["payload_signing_enabled"] = False
    text = auth.string_to_sign(request, auth.canonical_request(request))
    expected = auth.signature(text, request)
    print(one["url"], "same" if "Signature=" + expected in sent["authorization"] else repr("DIFFERENT " + auth.canonical_request(request)))
`;
  const said = execFileSync(python("s3"), ["-c", script], { input: JSON.stringify(asked), encoding: "utf8" });
  expect(
    said
      .trim()
      .split("\n")
      .filter((line) => !line.endsWith(" same")),
  ).toEqual([]);
});

describe("HTTP (nginx)", () => {
  it("an index and its shards, and a file", async () => {
    await same(
      ["to-st", "--raw"],
      "sharded/m.safetensors.index.json",
      `${http}/sharded/m.safetensors.index.json`,
    );
    const name = "zero/vista-phase2/checkpoint/mp_rank_00_model_states.pt";
    await same(["to-st", "--raw", "--key", "module"], name, `${http}/${name}`);
  });
});

describe("through a forward proxy", () => {
  it.each(["S3", "HTTP"])("%s: the proxy is asked, and the bytes are the same", async (kind) => {
    proxied.length = 0;
    const remote = kind === "S3" ? "s3://runs/sharded" : `${http}/sharded/m.safetensors.index.json`;
    const local = kind === "S3" ? "sharded" : "sharded/m.safetensors.index.json";
    await same(["to-st", "--raw"], local, remote, { HTTP_PROXY: proxyUrl, NO_PROXY: "", no_proxy: "" });
    expect(proxied.length).toBeGreaterThan(0);
  });
});
