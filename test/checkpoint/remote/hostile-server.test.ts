/** Servers that lie, and names that lead elsewhere. */
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { saveCheckpoint } from "../../../src/checkpoint/save.js";
import { StateDict } from "../../../src/checkpoint/tensor/tensor.js";
import { tensorFrom } from "../../../src/checkpoint/tensor/typed-array.js";
import { insideFolder } from "../../../src/core/io/inside-folder.js";
import { joinPlace, parentPlace } from "../../../src/core/io/places.js";
import { runCli } from "../../helpers/cli.js";
import { startServer } from "../../helpers/range-server.js";
import { FIXTURES, temporaryFolder } from "../../helpers/state.js";
import { FakeTensor, torchZip } from "../../helpers/torch-file.js";

let server: Server | undefined;
afterEach(() => {
  server?.closeAllConnections();
  server?.close();
  server = undefined;
});

const asked: string[] = [];

async function serve(
  answer: (request: IncomingMessage, response: ServerResponse) => unknown,
): Promise<string> {
  asked.length = 0;
  server = createServer((request, response) => {
    asked.push(request.url!);
    answer(request, response);
  });
  await new Promise<void>((resolve) => server!.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function refusal(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await runCli("vista-ckpt", args);
  expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
  expect(stderr.split("\n").length).toBe(2);
  return stderr;
}

describe("answers that cannot be true are refused in one line, at once", () => {
  it.each([
    "bytes 0-99/50",
    "bytes 0-65535/99999999999999999999",
    "bytes 5-3/100",
    "bytes 0-0/0",
    "bytes 10-20/100",
    "bytes */100",
    "lies",
  ])("Content-Range: %s", async (range) => {
    const url = await serve((_, response) => {
      response.writeHead(206, { "content-range": range });
      response.end(Buffer.alloc(100));
    });
    expect(await refusal("inspect", `${url}/a.bin`)).toMatch(/with another range \(/);
    expect(asked.length).toBe(1);
  });

  it("a redirect that leads round", async () => {
    const url = await serve((_, response) => response.writeHead(302, { location: "/again" }).end());
    expect(await refusal("inspect", `${url}/a.bin`)).toMatch(/more than 5 redirects/);
    expect(asked.length).toBe(6);
  });

  it("a redirect to what is not HTTP", async () => {
    const url = await serve((_, response) =>
      response.writeHead(302, { location: "file:///etc/passwd" }).end(),
    );
    await refusal("inspect", `${url}/a.bin`);
    expect(asked.length).toBe(1);
  });

  it("headers without measure", async () => {
    const url = await serve((_, response) => {
      response.writeHead(206, { "content-range": "bytes 0-0/1", x: "y".repeat(1_000_000) }).end();
    });
    await refusal("inspect", `${url}/a.bin`);
    expect(asked.length).toBe(1);
  });

  it("a body without end: no more is taken than was asked for", async () => {
    let sent = 0;
    const url = await serve((_, response) => {
      response.writeHead(206, { "content-range": "bytes 0-65535/65536" });
      const more = () => {
        while (!response.destroyed && response.write(Buffer.alloc(65536))) sent += 65536;
      };
      response.on("drain", more);
      more();
    });
    await refusal("inspect", `${url}/a.bin`);
    expect(sent).toBeLessThan(32 * 2 ** 20);
  });
});

describe("listings", () => {
  const s3 = async (answer: string) => {
    const url = await serve((request, response) => {
      if (request.url!.includes("list-type=2")) response.end(answer);
      else response.writeHead(404).end();
    });
    const env = {
      AWS_ENDPOINT_URL: url,
      AWS_ACCESS_KEY_ID: "k",
      AWS_SECRET_ACCESS_KEY: "s",
    };
    return async (...args: string[]) => runCli("vista-ckpt", args, { env });
  };

  it.each(["", "..", "."])("a folder in S3 named %j does not lead scan in circles", async (name) => {
    const run = await s3(
      `<ListBucketResult><CommonPrefixes><Prefix>x/${name}/</Prefix></CommonPrefixes></ListBucketResult>`,
    );
    const { code, stderr } = await run("scan", "s3://bucket/x");
    expect(code).not.toBe(0);
    expect(stderr).toMatch(/a name that no path leads to/);
  });

  it.each([
    "",
    "no XML",
    "<a><b></a>",
    "<Error><Code>x</Code></Error>",
    "<ListBucketResult><Contents/></ListBucketResult>",
    "<ListBucketResult><Contents><Key><a>1</a></Key></Contents></ListBucketResult>",
    "<ListBucketResult><CommonPrefixes><Prefix/></CommonPrefixes><Contents></ListBucketResult>",
    '<!DOCTYPE x [<!ENTITY a "b">]><ListBucketResult><Contents><Key>&a;&a;</Key></Contents></ListBucketResult>',
    "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
  ])("what is no listing of S3: %j", async (answer) => {
    const { code, stdout, stderr } = await (await s3(answer))("merge", "s3://bucket/x");
    expect({ code, stdout, lines: stderr.split("\n").length }).toEqual({ code: 1, stdout: "", lines: 2 });
    expect(stderr).not.toMatch(/internal error/);
  });

  it.each(["", "x", "{}", "[null]", "[1]", '[{"type":"file"}]', '[{"type":"file","path":[]}]'])(
    "what is no listing of the hub: %j",
    async (answer) => {
      const url = await serve((request, response) => {
        if (request.url!.startsWith("/api/"))
          response.writeHead(200, { link: '<http://[>; rel="next"' }).end(answer);
        else response.writeHead(404).end();
      });
      const env = { ...process.env, HF_ENDPOINT: url } as Record<string, string>;
      const { code, stdout, stderr } = await runCli("vista-ckpt", ["merge", "hf://o/n/x"], { env });
      expect({ code, stdout, lines: stderr.split("\n").length }).toEqual({ code: 1, stdout: "", lines: 2 });
      expect(stderr).toMatch(/what the hub answers is no listing/);
    },
  );

  it("the hub's link to another host is followed at its own, and so is the token", async () => {
    const url = await serve((request, response) => {
      if (!request.url!.startsWith("/api/")) response.writeHead(404).end();
      else if (request.url!.includes("cursor")) response.end('[{"type":"file","path":"x/b"}]');
      else
        response
          .writeHead(200, {
            link: '<https://elsewhere.invalid/api/models/o/n/tree/main/x?cursor=2>; rel="next"',
          })
          .end('[{"type":"file","path":"x/a"}]');
    });
    const env = { ...process.env, HF_ENDPOINT: url } as Record<string, string>;
    await runCli("vista-ckpt", ["inspect", "hf://o/n/x"], { env });
    expect(asked).toContain("/api/models/o/n/tree/main/x?cursor=2");
  });

  it("pages without end are an error and not a part of the folder", async () => {
    const page =
      "<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken><Contents><Key>x/a</Key></Contents></ListBucketResult>";
    const run = await s3(page);
    const { code, stderr } = await run("merge", "s3://bucket/x");
    expect(code).toBe(1);
    expect(stderr).toMatch(/more than 100 pages/);
  });
});

describe("scan of URLs", () => {
  it("looks at every file of a folder in S3, and finds what is in it", async () => {
    const root = temporaryFolder();
    mkdirSync(join(root, "bucket/x/deep"), { recursive: true });
    const file = torchZip(new Map([["a", new FakeTensor([1])]]));
    writeFileSync(join(root, "bucket/x/good.pt"), file);
    writeFileSync(join(root, "bucket/x/deep/bad.pkl"), "cposix\nsystem\n(S'x'\ntR.");
    const one = await startServer(root);
    const env = {
      AWS_ENDPOINT_URL: one.url,
      AWS_ACCESS_KEY_ID: "k",
      AWS_SECRET_ACCESS_KEY: "s",
    };
    try {
      const run = (path: string) => runCli("vista-ckpt", ["scan", path, "--json"], { env });
      const folder = await run("s3://bucket/x");
      expect(folder.code).toBe(1);
      expect(folder.stdout).toContain("posix");
      expect(folder.stdout).toContain("s3://bucket/x/good.pt");
      expect((await run("s3://bucket/x/good.pt")).code).toBe(0);
    } finally {
      await one.close();
    }
  });
});

describe("names and queries", () => {
  it("two dots in any spelling do not lead out of a folder, and no name begins a query", () => {
    const folder = "https://host/a/b";
    expect(insideFolder(folder, "../x")).toBeUndefined();
    for (const name of ["%2e%2e/x", ".%2E/x", "x?y", "x#y", "a\\..\\..\\x"]) {
      const place = insideFolder(folder, name);
      if (place === undefined) continue;
      const { pathname, search, hash } = new URL(place);
      expect([name, pathname.startsWith("/a/b/"), search, hash]).toEqual([name, true, "", ""]);
    }
  });

  it("a query is that of all files beside an index", () => {
    const folder = parentPlace("https://host/a/m.safetensors.index.json?sig=x%2F");
    expect(joinPlace(folder, "m-1.safetensors")).toBe("https://host/a/m-1.safetensors?sig=x%2F");
    expect(joinPlace("s3://b/k?x", "y")).toBe("s3://b/k?x/y");
  });
});

describe("an index behind redirects", () => {
  it("names shards beside where it was asked for, not beside where it lies", async () => {
    const root = temporaryFolder();
    const zero = join(FIXTURES, "zero/vista-phase2");
    const local = join(root, "m.safetensors");
    const run = await runCli("vista-ckpt", [
      "to-st",
      zero,
      "--raw",
      "--max-shard-size",
      "100kB",
      "-o",
      local,
    ]);
    expect(run.code).toBe(0);
    // As on the hub and behind a signed store: what lies there has names of its own, and an address is good for one of them.
    const names = readdirSync(root);
    mkdirSync(join(root, "blobs"));
    for (const [i, name] of names.entries()) cpSync(join(root, name), join(root, "blobs", `b${i}`));
    const blobs = await startServer(root);
    const url = await serve((request, response) => {
      const i = names.indexOf(request.url!.replace("/deep/", ""));
      if (i < 0) response.writeHead(404).end();
      else response.writeHead(302, { location: `${blobs.url}/blobs/b${i}?sig=${i}` }).end();
    });
    try {
      const index = names.find((name) => name.endsWith(".index.json"))!;
      const { code, stdout, stderr } = await runCli("vista-ckpt", [
        "diff",
        `${url}/deep/${index}`,
        join(root, index),
      ]);
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
      expect(stdout).toMatch(/^equal: [\d,]+ tensors the same/);
      expect(asked.length).toBe(names.length);
    } finally {
      await blobs.close();
    }
  });
});

describe("places that no request may be made of", () => {
  it.each(["s3://bucket/a/../b.bin", "s3://bucket/./b.bin", "s3://bucket/.."])(
    "%s: another key would come",
    async (place) => {
      const url = await serve((_, response) => response.writeHead(404).end());
      const { code, stderr } = await runCli("vista-ckpt", ["inspect", place], {
        env: { AWS_ENDPOINT_URL: url, AWS_ACCESS_KEY_ID: "key", AWS_SECRET_ACCESS_KEY: "secret" },
      });
      expect([code, asked.length]).toEqual([2, 0]);
      expect(stderr).toMatch(/a part of the key is a dot or two/);
    },
  );

  it("a user with a lone %", async () => {
    const { code, stderr } = await runCli("vista-ckpt", ["inspect", "http://us%zzer:geheim@localhost/a.bin"]);
    expect([code, stderr.split("\n").length]).toEqual([2, 2]);
    expect(stderr).toMatch(/http:\/\/localhost\/a\.bin: a % in the user or the password/);
  });
});

it("a password without a user is sent and not shown", async () => {
  const sent: unknown[] = [];
  const url = await serve(({ headers }, response) => {
    sent.push(headers.authorization);
    response.writeHead(401).end();
  });
  const stderr = await refusal("inspect", `${url.replace("//", "//:geheim@")}/a.bin`);
  expect(stderr).not.toContain("geheim");
  expect(sent).toEqual([`Basic ${Buffer.from(":geheim").toString("base64")}`]);
});

describe("revisions of the hub", () => {
  const path = async (place: string) => {
    const url = await serve((_, response) => response.writeHead(404).end("[]"));
    const { code, stderr } = await runCli("vista-ckpt", ["inspect", place], { env: { HF_ENDPOINT: url } });
    expect([code, stderr.split("\n").length]).toEqual([code === 2 ? 2 : 1, 2]);
    return asked[0];
  };
  it.each([
    ["hf://o/n@v1/a.bin", "/o/n/resolve/v1/a.bin"],
    ["hf://o/n@refs/pr/12/a.bin", "/o/n/resolve/refs%2Fpr%2F12/a.bin"],
    [
      "hf://datasets/o/n@refs/convert/parquet/d/a.bin",
      "/datasets/o/n/resolve/refs%2Fconvert%2Fparquet/d/a.bin",
    ],
    ["hf://o/n@feature%2Fx/a.bin", "/o/n/resolve/feature%2Fx/a.bin"],
  ])("%s", async (place, expected) => {
    expect(await path(place)).toBe(expected);
  });

  it.each(["hf://o/n@%/a.bin", "hf://o/n@/a.bin", "hf://o/n/../../p/q/a.bin"])(
    "%s is no place, and nothing is asked",
    async (place) => {
      expect(await path(place)).toBeUndefined();
    },
  );

  it.each(["hf://nobody", "hf://", "s3://", "s3:///key"])(
    "%s is no place, and named as it was written",
    async (place) => {
      const { code, stderr } = await runCli("vista-ckpt", ["inspect", place]);
      expect([code, stderr]).toEqual([2, expect.stringContaining(`vista-ckpt: ${place}: this is no place `)]);
    },
  );
});

describe("a branch of the hub that moves while it is read", () => {
  /** Two commits of one folder with other weights; `main` becomes the second after some requests. */
  async function moving(after: number): Promise<string> {
    const root = temporaryFolder();
    const commits = ["a".repeat(40), "b".repeat(40)];
    for (const [i, commit] of commits.entries()) {
      const tensors = Array.from(
        { length: 12 },
        (_, n) => [`t${n}`, tensorFrom(new Float32Array(3000).fill(10 * i + n), [3000])] as const,
      );
      mkdirSync(join(root, commit, "m"), { recursive: true });
      const output = join(root, commit, "m/m.safetensors");
      await saveCheckpoint(new StateDict(tensors), output, { fsync: false, maxShardSize: 24_000 });
    }
    moved = root;
    return serve((request, response): unknown => {
      const main = commits[asked.length > after ? 1 : 0]!;
      const [, tree, revision = "", path = ""] =
        /^\/(?:api\/models\/)?o\/n\/(tree|resolve|revision)\/([^/]+)\/?(.*)$/.exec(request.url!) ?? [];
      const commit = revision === "main" ? main : revision;
      if (tree === "revision") return response.end(JSON.stringify({ sha: commit }));
      const place = join(root, commit, path);
      const file = existsSync(place) && statSync(place).isFile() ? readFileSync(place) : undefined;
      if (tree === "tree") {
        const list = readdirSync(place).map((name) => ({ type: "file", path: `${path}/${name}` }));
        return response.end(JSON.stringify(list));
      }
      const head = { "x-repo-commit": commit, etag: `"${commit}${path}"` };
      if (file === undefined) return response.writeHead(404, head).end();
      const [from, to] = /bytes=(\d+)-(\d+)/.exec(request.headers.range!)!.slice(1).map(Number) as [
        number,
        number,
      ];
      const part = file.subarray(from, to + 1);
      const range = `bytes ${from}-${from + part.length - 1}/${file.length}`;
      return response.writeHead(206, { ...head, "content-range": range }).end(part);
    });
  }
  let moved: string;

  it.each([
    [1, "hf://o/n/m"],
    [1, "hf://o/n/m/"],
    [2, "hf://o/n/m"],
    [4, "hf://o/n/m"],
    [1, "hf://o/n/m/m.safetensors.index.json"],
  ])("after request %d, %s: all files are of the first commit", async (after, place) => {
    const env = { HF_ENDPOINT: await moving(after) };
    const output = join(temporaryFolder(), "x.safetensors");
    const { code, stderr } = await runCli("vista-ckpt", ["to-st", place, "--raw", "-o", output], { env });
    expect([code, stderr]).toEqual([0, ""]);
    expect(asked.filter((url) => url.includes("/main/")).length).toBeLessThanOrEqual(1);
    const same = await runCli("vista-ckpt", ["diff", output, join(moved, "a".repeat(40), "m")]);
    expect(same.stdout).toMatch(/^equal: 12 tensors/);
    expect(asked.length).toBeGreaterThan(after);
  });
});

describe("keys of S3 with characters that XML, forms and addresses give a meaning", () => {
  it("are listed and read", async () => {
    const root = temporaryFolder();
    const name = "a b+c%20&<é>\u0001 ?#";
    const odd = "m+1%41 &amp;\u0002.safetensors";
    const folder = join(root, "runs", name);
    mkdirSync(folder, { recursive: true });
    const state = new StateDict([["t", tensorFrom(new Float32Array([1, 2]), [2])]]);
    for (const file of ["model.safetensors", odd])
      await saveCheckpoint(state, join(folder, file), { fsync: false });
    const own = await startServer(root);
    try {
      const env = { AWS_ENDPOINT_URL: own.url, AWS_ACCESS_KEY_ID: "k", AWS_SECRET_ACCESS_KEY: "s" };
      const place = `s3://runs/${name}`;
      for (const input of [place, `${place}/${odd}`]) {
        const { code, stderr } = await runCli("vista-ckpt", ["verify", input], { env });
        expect([input, code, stderr]).toEqual([input, 0, ""]);
      }
      const { stdout } = await runCli("vista-ckpt", ["scan", place, "--json"], { env });
      expect(stdout).toContain(JSON.stringify(odd).slice(1, -1));
      expect(stdout).toContain('/model.safetensors"');
    } finally {
      await own.close();
    }
  });
});
