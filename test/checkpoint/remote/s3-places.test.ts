/** Where a bucket is: its region, its address, and what the profile in `~/.aws` says of both. */
import { writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterEach, expect, it } from "vitest";
import { runCli } from "../../helpers/cli.js";
import { temporaryFolder } from "../../helpers/state.js";

const KEY = { AWS_ACCESS_KEY_ID: "k", AWS_SECRET_ACCESS_KEY: "s", AWS_REGION: "us-east-1" };
const HEADER = '{"t":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}';
const FILE = Buffer.concat([
  Buffer.from(new BigUint64Array([BigInt(HEADER.length)]).buffer),
  Buffer.from(HEADER),
  Buffer.alloc(4),
]);

let server: Server | undefined;
afterEach(() => {
  server?.closeAllConnections();
  server?.close();
});

async function serve(answer: (request: IncomingMessage, response: ServerResponse) => unknown) {
  server = createServer(answer);
  await new Promise<void>((resolve) => server!.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** Answers as S3 does where the signature is not for `region`, else with the file or a listing of it. */
function inRegion(region: string, refuse: (response: ServerResponse) => unknown) {
  let refused = 0;
  const answer = (request: IncomingMessage, response: ServerResponse) => {
    if (!request.headers.authorization?.includes(`/${region}/s3/aws4_request`)) {
      refused++;
      return refuse(response);
    }
    if (request.url!.includes("list-type=2"))
      return response.end(
        "<ListBucketResult><Contents><Key>f/model.safetensors</Key></Contents></ListBucketResult>",
      );
    if (!request.url!.endsWith(".safetensors")) return response.writeHead(404).end();
    return response
      .writeHead(206, { "content-range": `bytes 0-${FILE.length - 1}/${FILE.length}` })
      .end(FILE);
  };
  return { answer, refused: () => refused };
}

it.each<[string, (response: ServerResponse) => unknown]>([
  ["301 with a header", (response) => response.writeHead(301, { "x-amz-bucket-region": "eu-west-3" }).end()],
  [
    "400 with a body",
    (response) =>
      response
        .writeHead(400)
        .end("<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-3</Region></Error>"),
  ],
])("a bucket in another region is asked for there, once: %s", async (_, refuse) => {
  for (const place of ["s3://bucket/f/model.safetensors", "s3://bucket/f/"]) {
    const { answer, refused } = inRegion("eu-west-3", refuse);
    const env = { ...KEY, AWS_ENDPOINT_URL: await serve(answer) };
    const { code, stdout, stderr } = await runCli("vista-ckpt", ["inspect", place], { env });
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).toContain("t  F32 [1]");
    expect(refused()).toBe(1);
    server!.close();
  }
});

it("a server that names another region each time is given up, and one that names no region at once", async () => {
  let asked = 0;
  const url = await serve((_, response) =>
    response.writeHead(400, { "x-amz-bucket-region": `eu-west-${asked++}` }).end(),
  );
  const { code, stderr } = await runCli("vista-ckpt", ["inspect", "s3://bucket/m.safetensors"], {
    env: { ...KEY, AWS_ENDPOINT_URL: url },
  });
  expect([code, asked]).toEqual([1, 6]);
  expect(stderr).toMatch(
    /answered with 400\. The bucket is in another region: set AWS_REGION=eu-west-5\.\n$/,
  );
  server!.close();
  asked = 0;
  const odd = await serve((_, response) => {
    asked++;
    response.writeHead(400, { "x-amz-bucket-region": "evil.example/" }).end();
  });
  await runCli("vista-ckpt", ["inspect", "s3://bucket/m.safetensors"], {
    env: { ...KEY, AWS_ENDPOINT_URL: odd },
  });
  expect(asked).toBe(1);
});

it.each<[string, RegExp]>([
  ["NoSuchBucket", /the listing was answered with 404 \(NoSuchBucket\)\. Check the URL\.\n$/],
  ["AccessDenied", /the listing was answered with 403 \(AccessDenied\)\. Check the URL and the credentials/],
])("a listing that is refused says why: %s", async (reason, message) => {
  const url = await serve((_, response) =>
    response.writeHead(reason === "NoSuchBucket" ? 404 : 403).end(`<Error><Code>${reason}</Code></Error>`),
  );
  const { code, stdout, stderr } = await runCli("vista-ckpt", ["inspect", "s3://bucket/f/"], {
    env: { ...KEY, AWS_ENDPOINT_URL: url },
  });
  expect([code, stdout]).toEqual([1, ""]);
  expect(stderr).toMatch(message);
});

it("a store that wants the bucket in the host's name says so, and the profile puts it there", async () => {
  const hosts: string[] = [];
  const url = await serve((request, response) => {
    hosts.push(new URL(request.url!).host);
    if (hosts.at(-1)!.startsWith("bucket.")) {
      response.writeHead(206, { "content-range": `bytes 0-${FILE.length - 1}/${FILE.length}` }).end(FILE);
    } else response.writeHead(403).end("<Error><Code>SecondLevelDomainForbidden</Code></Error>");
  });
  const config = join(temporaryFolder(), "config");
  // A proxy, so that no name has to be looked up.
  const env = { ...KEY, AWS_CONFIG_FILE: config, http_proxy: url, no_proxy: "", NO_PROXY: "" };
  const run = (text: string) => {
    writeFileSync(config, text);
    // The environment tells when settings are to be read again.
    const own = { ...env, AWS_ENDPOINT_URL: "http://store.invalid", AWS_NUMBER: String(text.length) };
    return runCli("vista-ckpt", ["inspect", "s3://bucket/m.safetensors"], { env: own });
  };
  const { code, stderr } = await run("[default]\n");
  expect(code).toBe(1);
  expect(stderr).toMatch(
    /403 \(SecondLevelDomainForbidden\)\. It wants .* addressing_style = virtual under s3/,
  );
  expect((await run("[default]\ns3 =\n  addressing_style = virtual\n")).code).toBe(0);
  expect(hosts).toEqual(["store.invalid", "bucket.store.invalid"]);
});

it.each([
  [
    "[default]\nservices = own\n[services own]\ns3 =\n    endpoint_url = URL\ndynamodb =\n  endpoint_url = http://no.invalid\n",
  ],
  ["[default]\ns3 =\n  endpoint_url = URL\n  max_concurrent_requests = 20\nregion = us-east-1\n"],
  ["[default]\nendpoint_url = URL\n"],
])("the endpoint is found in the profile: %j", async (text) => {
  const url = await serve((_, response) =>
    response.writeHead(206, { "content-range": `bytes 0-${FILE.length - 1}/${FILE.length}` }).end(FILE),
  );
  const config = join(temporaryFolder(), "config");
  writeFileSync(config, text.replace("URL", url));
  const { code, stderr } = await runCli("vista-ckpt", ["inspect", "s3://bucket/m.safetensors"], {
    env: { ...KEY, AWS_CONFIG_FILE: config },
  });
  expect([code, stderr]).toEqual([0, ""]);
});

it("Amazon's own addresses, in China too", async () => {
  const hosts: string[] = [];
  const url = await serve((_, response) => response.writeHead(500).end());
  server!.on("connect", (request, socket) => {
    hosts.push(request.url!);
    socket.end("HTTP/1.1 403 Forbidden\r\n\r\n");
  });
  for (const region of ["eu-west-3", "cn-north-1"])
    for (const bucket of ["bucket", "with.dots"])
      await runCli("vista-ckpt", ["inspect", `s3://${bucket}/m.safetensors`], {
        env: { ...KEY, AWS_REGION: region, https_proxy: url, no_proxy: "", NO_PROXY: "" },
      });
  expect(hosts).toEqual([
    "bucket.s3.eu-west-3.amazonaws.com:443",
    "s3.eu-west-3.amazonaws.com:443",
    "bucket.s3.cn-north-1.amazonaws.com.cn:443",
    "s3.cn-north-1.amazonaws.com.cn:443",
  ]);
});

it("a refusal of a profile that logs in by SSO names the command that renews an expired login", async () => {
  const endpoint = await serve((_, response) =>
    response.writeHead(403).end("<Error><Code>AccessDenied</Code></Error>"),
  );
  const config = join(temporaryFolder(), "config");
  writeFileSync(
    config,
    "[profile dev]\nsso_session = work\nsso_account_id = 1\n[sso-session work]\nsso_start_url = https://x.awsapps.com/start\n[profile plain]\nregion = us-east-1\n",
  );
  const inspect = (env: Record<string, string>) =>
    runCli("vista-ckpt", ["inspect", "s3://bucket/model.safetensors"], {
      env: {
        AWS_ENDPOINT_URL: endpoint,
        AWS_CONFIG_FILE: config,
        AWS_SHARED_CREDENTIALS_FILE: "/nowhere",
        ...env,
      },
    });
  const login = "Log in with `aws sso login --profile dev`";
  const { code, stderr } = await inspect({ AWS_PROFILE: "dev" });
  expect({ code, says: stderr.includes(login) }).toEqual({ code: 1, says: true });
  // Neither where the credentials are of another kind, nor for another profile.
  expect((await inspect({ AWS_PROFILE: "dev", ...KEY })).stderr).not.toContain("sso login");
  expect((await inspect({ AWS_PROFILE: "plain" })).stderr).toMatch(/403 .*Check the URL and the credentials/);
});
