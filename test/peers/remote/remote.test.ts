/** Checkpoints on real servers, S3 by SeaweedFS and moto and HTTP by nginx, and through a forward proxy: what comes out is what the disk gives. */
import { type ChildProcess, execFile, execFileSync, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { request as ask, createServer, type Server } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runCli } from "../../helpers/cli.js";
import { freePort } from "../free-port.js";
import { python } from "../python.js";

const FIXTURES = fileURLToPath(new URL("../../../fixtures/", import.meta.url));
const KEY = { AWS_ACCESS_KEY_ID: "AKIATEST", AWS_SECRET_ACCESS_KEY: "secret", AWS_REGION: "us-east-1" };

const SERVERS = ["SeaweedFS", "moto"] as const;
/** Below it SeaweedFS has a host for each bucket. The proxy finds it; nobody looks the name up. */
const DOMAIN = "s3.example.localhost";

const ODD_KEYS = ["a b+c (1)=é", "100%25", "日本 %20+", "q?x#y&z;'!*~"].map(
  (name) => `odd/${name}.safetensors`,
);

let folder: string;
const s3 = {} as Record<(typeof SERVERS)[number], string>;
const presigned = {} as Record<(typeof SERVERS)[number], string[]>;
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
  // Of random bytes, in more than two parts of the least size that S3 has for one.
  const header = '{"t":{"dtype":"U8","shape":[12000000],"data_offsets":[0,12000000]}}';
  const length = Buffer.from(new BigUint64Array([BigInt(header.length)]).buffer);
  writeFileSync(
    join(root, "runs/parts.safetensors"),
    Buffer.concat([length, Buffer.from(header), randomBytes(12_000_000)]),
  );
  const httpPort = await freePort();
  http = `http://127.0.0.1:${httpPort}`;
  await Promise.all([startMoto(), startSeaweed()]);
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
from boto3.s3.transfer import TransferConfig
from concurrent.futures import ThreadPoolExecutor
s3 = boto3.client("s3", endpoint_url=sys.argv[1], region_name="us-east-1", aws_access_key_id="AKIATEST", aws_secret_access_key="secret")
s3.create_bucket(Bucket="runs")
root = sys.argv[2]
parts = TransferConfig(multipart_threshold=5 << 20, multipart_chunksize=5 << 20)
for place, _, names in os.walk(root):
    for name in names:
        path = os.path.join(place, name)
        s3.upload_file(path, "runs", os.path.relpath(path, root), Config=parts)
assert s3.head_object(Bucket="runs", Key="parts.safetensors")["ETag"].endswith('-3"')
if sys.argv[1] != sys.argv[3]:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: s3.put_object(Bucket="runs", Key=f"zero/vista-phase2/a{i:04}.txt", Body=b"x"), range(1001)))
    assert s3.list_objects_v2(Bucket="runs", Prefix="zero/vista-phase2/")["IsTruncated"]
odd = os.path.join(root, "sharded", sorted(n for n in os.listdir(os.path.join(root, "sharded")) if n.endswith(".safetensors"))[0])
keys = sys.argv[4:]
for key in keys:
    s3.upload_file(odd, "runs", key)
s3.put_object(Bucket="runs", Key="empty.bin", Body=b"")
for key in keys:
    print(s3.generate_presigned_url("get_object", Params={"Bucket": "runs", "Key": key}))
`;
  const run = promisify(execFile);
  await Promise.all(
    SERVERS.map(async (name) => {
      const { stdout } = await run(python("s3"), [
        "-c",
        upload,
        s3[name],
        join(root, "runs"),
        s3.moto,
        ...ODD_KEYS,
      ]);
      presigned[name] = stdout.trim().split("\n");
    }),
  );
  proxy = createServer((request, response) => {
    // A GET with a whole URL, as for plain HTTP.
    proxied.push(request.url!);
    const { hostname, port, pathname, search } = new URL(request.url!);
    const host = hostname.endsWith(DOMAIN) ? "127.0.0.1" : hostname;
    const path = pathname + search;
    ask({ host, port, path, headers: request.headers }, (answer) => {
      response.writeHead(answer.statusCode!, answer.headers);
      answer.pipe(response);
    })
      .on("error", () => response.writeHead(502).end())
      .end();
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
afterAll(() => {
  // SeaweedFS takes its time to say goodbye to itself.
  for (const child of children) child.kill("SIGKILL");
  proxy?.closeAllConnections();
  proxy?.close();
  rmSync(folder, { recursive: true, force: true });
});

async function startMoto(): Promise<void> {
  const port = await freePort();
  s3.moto = `http://127.0.0.1:${port}`;
  await start(python("s3"), ["-m", "moto.server", "-H", "127.0.0.1", "-p", String(port)], s3.moto);
}

async function startSeaweed(): Promise<void> {
  const place = join(folder, "seaweed");
  mkdirSync(place);
  const config = join(folder, "identities.json");
  const credentials = [{ accessKey: KEY.AWS_ACCESS_KEY_ID, secretKey: KEY.AWS_SECRET_ACCESS_KEY }];
  const identity = { name: "test", credentials, actions: ["Admin", "Read", "List", "Write"] };
  writeFileSync(config, JSON.stringify({ identities: [identity] }));
  const ports = new Map<string, number>();
  for (const name of ["s3", "master", "volume", "filer"]) ports.set(name, await freePort());
  s3.SeaweedFS = `http://127.0.0.1:${ports.get("s3")}`;
  const args = [
    ...["server", `-dir=${place}`, "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.telemetry=false"],
    ...["-s3", `-s3.config=${config}`, `-s3.domainName=${DOMAIN}`, "-s3.port.iceberg=0", "-s3.port.lance=0"],
    ...["-volume.max=20", "-master.volumeSizeLimitMB=64"],
    ...["filer", "s3"].map((name) => `-${name}.localSocket=${folder}/${name}.sock`),
    ...[...ports].map(([name, port]) => `-${name}.port=${port}`),
  ];
  await start(join(dirname(python("s3")), "weed"), args, s3.SeaweedFS);
}

/** With the keys and the endpoint of `server`. */
function environment(server: (typeof SERVERS)[number] = "moto"): Record<string, string> {
  const { HTTP_PROXY, HTTPS_PROXY, http_proxy, https_proxy, ...rest } = process.env as Record<string, string>;
  return { ...rest, ...KEY, AWS_ENDPOINT_URL: s3[server] };
}

async function run(args: readonly string[], env: Record<string, string> = {}) {
  const result = await runCli("vista-ckpt", args, { env: { ...environment(), ...env } });
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

describe.each(SERVERS)("S3 (%s), signed", (server) => {
  it.each<[readonly string[], string]>([
    [["merge"], "zero/stage2-fp32-3ranks-groups"],
    [["to-st"], "zero/vista-phase2"],
    [["to-st", "--raw"], "sharded"],
    [["to-st", "--raw"], "dcp/2d-2x2ranks"],
    [["to-st", "--raw"], "parts.safetensors"],
  ])("%s of %s", async (command, place) => {
    await same(command, place, `s3://runs/${place}`, environment(server));
  });

  it.each(ODD_KEYS.map((key, i) => [key, i] as const))(
    "a key with signs, by itself and presigned: %s",
    async (key, i) => {
      expect(await run(["inspect", `s3://runs/${key}`], environment(server))).toContain("tensors");
      const { AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, ...unsigned } = environment(server);
      expect(await run(["inspect", presigned[server][i]!], unsigned)).toContain("tensors");
    },
  );

  it("keys with signs in a listing", async () => {
    const said = await run(["scan", "s3://runs/odd"], environment(server));
    for (const key of ODD_KEYS) expect(said).toContain(`s3://runs/${key}: safetensors`);
    expect(said).toContain(`clean: ${ODD_KEYS.length} files`);
  });

  it("what is empty or not there is said in one line", async () => {
    for (const [place, message] of [
      ["s3://runs/empty.bin", /the file is empty/],
      ["s3://runs/none.bin", /there is no file and no folder of this name/],
      ["s3://none/model.bin", /answered with 404 \(NoSuchBucket\)/],
    ] as const) {
      const { code, stderr } = await runCli("vista-ckpt", ["inspect", place], { env: environment(server) });
      expect([code, stderr.split("\n").length]).toEqual([1, 2]);
      expect(stderr).toMatch(message);
    }
  });
});

describe("S3 (SeaweedFS), which checks signatures and is quick with many keys", () => {
  it("a listing of more than 1,000 keys is whole: inspect and verify find what stands behind them", async () => {
    const place = "zero/vista-phase2";
    const url = `s3://runs/${place}`;
    const local = await run(["inspect", join(folder, "root/runs", place)]);
    const env = environment("SeaweedFS");
    expect((await run(["inspect", url], env)).replaceAll(url, join(folder, "root/runs", place))).toBe(local);
    expect(await run(["verify", url], env)).toMatch(/^sound: 3 files/m);
  });

  it.each([
    [{ AWS_SECRET_ACCESS_KEY: "wrong" }, "SignatureDoesNotMatch"],
    [{ AWS_ACCESS_KEY_ID: "AKIANOBODY" }, "InvalidAccessKeyId"],
    // None, then: the AWS tools take an empty variable for that too.
    [{ AWS_ACCESS_KEY_ID: "", AWS_SECRET_ACCESS_KEY: "" }, "AccessDenied"],
  ])("%j", async (wrong, reason) => {
    for (const place of ["s3://runs/parts.safetensors", "s3://runs/sharded/"]) {
      const env = { ...environment("SeaweedFS"), ...wrong };
      const { code, stdout, stderr } = await runCli("vista-ckpt", ["inspect", place], { env });
      expect([code, stdout, stderr.split("\n").length]).toEqual([1, "", 2]);
      expect(stderr).toMatch(
        new RegExp(`answered with 403 \\(${reason}\\)\\. Check the URL and the credentials`),
      );
    }
  });

  it("with the bucket in the host's name, as the profile says", async () => {
    proxied.length = 0;
    const config = join(folder, "config");
    writeFileSync(config, "[default]\ns3 =\n  addressing_style = virtual\n");
    const { port } = new URL(s3.SeaweedFS);
    const place = { AWS_CONFIG_FILE: config, AWS_ENDPOINT_URL: `http://${DOMAIN}:${port}` };
    const env = { ...environment(), ...place, http_proxy: proxyUrl, NO_PROXY: "", no_proxy: "" };
    await same(["to-st", "--raw"], "sharded", "s3://runs/sharded", env);
    for (const key of ODD_KEYS) expect(await run(["inspect", `s3://runs/${key}`], env)).toContain("tensors");
    expect(proxied.length).toBeGreaterThan(0);
    for (const url of proxied) expect(new URL(url).hostname).toBe(`runs.${DOMAIN}`);
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
