/** Checkpoints at URLs, from a server that counts: the same bytes as from the disk, and few of them. */
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished, vi } from "vitest";
import { runCli } from "../../helpers/cli.js";
import { copyFolder } from "../../helpers/copy.js";
import { changedDcp, fields } from "../../helpers/dcp-metadata.js";
import { skipPauses } from "../../helpers/pauses.js";
import { type RangeServer, startServer } from "../../helpers/range-server.js";
import { FIXTURES, temporaryFolder } from "../../helpers/state.js";
import { type Fake, FakeTensor, writeFakeCheckpoint } from "../../helpers/torch-file.js";

const root = temporaryFolder();
/** A bucket with fixtures, which is a repository of the hub and a folder of a web server as well. */
const bucket = join(root, "runs");
let server: RangeServer;
let cdn: RangeServer;

beforeAll(async () => {
  mkdirSync(join(bucket, "sharded"), { recursive: true });
  for (const name of ["vista-phase2", "stage2-fp32-3ranks-groups", "stage3-fp32-3ranks-frozen"])
    copyFolder(join(FIXTURES, "zero", name), join(bucket, name));
  copyFolder(join(FIXTURES, "dcp/2d-2x2ranks"), join(bucket, "dcp"));
  const sharded = ["to-st", join(bucket, "vista-phase2"), "--raw", "--max-shard-size", "100kB"];
  expect((await runCli("vista-ckpt", [...sharded, "-o", join(bucket, "sharded/m.safetensors")])).code).toBe(
    0,
  );
  const merged = ["merge", join(bucket, "vista-phase2"), "-o", join(bucket, "merged.bin")];
  expect((await runCli("vista-ckpt", merged)).code).toBe(0);
  server = await startServer(root);
  cdn = await startServer(bucket);
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await server.close();
  await cdn.close();
});
beforeEach(() => {
  cdn.refuseTokens = true;
  server.pageSize = 2;
  for (const one of [server, cdn]) {
    one.asked.length = 0;
    one.fault = () => undefined;
    one.redirectTo = undefined;
  }
  vi.stubEnv("AWS_ENDPOINT_URL", server.url);
  vi.stubEnv("AWS_ACCESS_KEY_ID", "key");
  vi.stubEnv("AWS_SECRET_ACCESS_KEY", "secret");
  vi.stubEnv("HF_ENDPOINT", server.url);
  vi.stubEnv("HF_TOKEN", "hf_secret");
});

/** Bytes of the pickle of a torch file: from its start to its first STOP that the next record follows. */
function pickleBytes(path: string): number {
  const bytes = readFileSync(path);
  return bytes.indexOf("PK\x03\x04", 4, "latin1");
}

/** Bytes and requests by the last part of the path. */
function totals(of: RangeServer): { bytes: number; requests: number } {
  return { bytes: of.asked.reduce((sum, { bytes }) => sum + bytes, 0), requests: of.asked.length };
}

/** Runs a command on the disk and on a URL; both outputs. */
async function both(args: (input: string) => string[], local: string, url: string, output: string) {
  const folder = temporaryFolder();
  const outputs = [join(folder, `local${output}`), join(folder, `remote${output}`)];
  const runs = [];
  for (const [i, input] of [local, url].entries())
    runs.push(await runCli("vista-ckpt", [...args(input), "-o", outputs[i]!]));
  // But for the time that it took.
  const said = runs.map(({ stderr }) => stderr.replaceAll(url, local).replace(/, [\d.]+ s$/gm, ""));
  expect(said[1]).toBe(said[0]);
  expect(runs.map(({ code }) => code)).toEqual([0, 0]);
  return outputs.map((path) => readFileSync(path));
}

describe("the output is that of the local files", () => {
  const zero = "stage2-fp32-3ranks-groups";
  it.each<[string, (input: string) => string[], string, () => string]>([
    ["merge of a folder in S3", (input) => ["merge", input], zero, () => `s3://runs/${zero}`],
    ["merge of Vista's phase 2", (input) => ["merge", input], "vista-phase2", () => "s3://runs/vista-phase2"],
    [
      "merge of stage 3",
      (input) => ["merge", input],
      "stage3-fp32-3ranks-frozen",
      () => "s3://runs/stage3-fp32-3ranks-frozen",
    ],
    ["to-st with LoRA and EMA", (input) => ["to-st", input], "vista-phase2", () => "s3://runs/vista-phase2"],
    [
      "to-st of a file over HTTP",
      (input) => ["to-st", input],
      "merged.bin",
      () => `${server.url}/runs/merged.bin`,
    ],
    [
      "to-st of an index over HTTP",
      (input) => ["to-st", input, "--raw"],
      "sharded/m.safetensors.index.json",
      () => `${server.url}/runs/sharded/m.safetensors.index.json`,
    ],
    ["a folder of the hub", (input) => ["to-st", input, "--raw"], "sharded", () => "hf://owner/name/sharded"],
    ["a ZeRO folder of the hub", (input) => ["merge", input], zero, () => `hf://owner/name/${zero}`],
    [
      "a distributed checkpoint of the hub",
      (input) => ["to-st", input, "--raw"],
      "dcp",
      () => "hf://owner/name@main/dcp",
    ],
    [
      "16 bits of a distributed checkpoint",
      (input) => ["to-st", input, "--raw", "--dtype", "bf16"],
      "dcp",
      () => "s3://runs/dcp",
    ],
  ])("%s", async (_, args, local, url) => {
    server.redirectTo = cdn.url;
    const [a, b] = await both(args, join(bucket, local), url(), ".safetensors");
    expect(b!.equals(a!)).toBe(true);
  });

  /** What a command says of a URL, with the local name and without the time. */
  const said = async (args: string[], url: string, local: string) => {
    const { code, stdout, stderr } = await runCli("vista-ckpt", args);
    const text = `${code}\n${stdout}${stderr}`.replaceAll(url, local);
    return text.replace(/(?:, |"seconds":)[\d.]+(?: s)?/g, "");
  };

  const folders = [zero, "stage3-fp32-3ranks-frozen", "dcp", "sharded"];
  // What is said in which form does not depend on the place.
  const places = [
    ["s3://runs/", []],
    ["hf://owner/name/", ["--json"]],
  ] as const;
  it.each(places.flatMap(([place, more]) => folders.map((name) => [place, name, more] as const)))(
    "inspect, verify, diff and scan of the folder %s%s",
    async (place, name, more) => {
      server.redirectTo = cdn.url;
      const [url, local] = [`${place}${name}`, join(bucket, name)];
      for (const command of ["inspect", "verify", "scan"]) {
        const ours = await said([command, url, ...more], url, local);
        expect([command, ours]).toEqual([command, await said([command, local, ...more], local, local)]);
      }
      const same = await runCli("vista-ckpt", ["diff", url, local]);
      expect([same.code, same.stderr]).toEqual([0, ""]);
    },
  );

  it.each([["reshard", "--ranks", "2"], ["to-universal"]])(
    "%s %s %s: every file of the folder",
    async (...command) => {
      const folder = temporaryFolder();
      const outputs = [join(folder, "local"), join(folder, "remote")];
      for (const [i, input] of [join(bucket, zero), `s3://runs/${zero}`].entries()) {
        const run = await runCli("vista-ckpt", [command[0]!, input, ...command.slice(1), "-o", outputs[i]!]);
        expect([run.code, run.stderr]).toEqual([0, ""]);
      }
      const [a, b] = outputs.map((root) =>
        readdirSync(root, { recursive: true, withFileTypes: true })
          .filter((entry) => entry.isFile())
          .map(({ parentPath, name }) => [
            join(parentPath, name).slice(root.length),
            // As text, which is compared in a fraction of the time.
            readFileSync(join(parentPath, name), "latin1"),
          ])
          .sort(([one], [other]) => (one! < other! ? -1 : 1)),
      );
      expect(a!.length).toBeGreaterThan(2);
      expect(b).toEqual(a);
    },
  );
});

describe("few bytes, few requests", () => {
  it("inspect of a safetensors file: at most 2 requests, the header and 64 KiB", async () => {
    const name = readdirSync(join(bucket, "sharded")).find((file) => file.endsWith(".safetensors"))!;
    expect((await runCli("vista-ckpt", ["inspect", `${server.url}/runs/sharded/${name}`])).code).toBe(0);
    const header = 8 + Number(readFileSync(join(bucket, "sharded", name)).readBigUInt64LE(0));
    const { bytes, requests } = totals(server);
    expect(requests).toBeLessThanOrEqual(2);
    expect(bytes).toBeLessThanOrEqual(header + 64 * 1024);
  });

  it("inspect of an index: one request a shard, where the header is no longer than the first request", async () => {
    const folder = join(bucket, "many");
    mkdirSync(folder);
    const args = ["to-st", join(bucket, "vista-phase2"), "--raw", "--max-shard-size", "20kB"];
    expect((await runCli("vista-ckpt", [...args, "-o", join(folder, "m.safetensors")])).code).toBe(0);
    const shards = readdirSync(folder).filter((name) => name.endsWith(".safetensors")).length;
    expect(shards).toBeGreaterThan(8);
    server.asked.length = 0;
    const index = `${server.url}/runs/many/m.safetensors.index.json`;
    expect((await runCli("vista-ckpt", ["inspect", index])).code).toBe(0);
    expect(server.asked.filter(({ path }) => path.endsWith(".safetensors")).length).toBe(shards);
    expect(server.asked.length).toBeLessThanOrEqual(shards + 2);
  });

  it("inspect of a ZeRO folder: at most 5 requests a file, its pickles and 128 KiB a file", async () => {
    // Under a name of its own: what was read a moment ago is not asked for again.
    symlinkSync("vista-phase2", join(bucket, "never-read"));
    expect((await runCli("vista-ckpt", ["inspect", "s3://runs/never-read"])).code).toBe(0);
    const files = new Map<string, { requests: number; bytes: number }>();
    for (const { path, bytes } of server.asked.filter(({ path }) => path.endsWith(".pt"))) {
      const entry = files.get(path) ?? { requests: 0, bytes: 0 };
      files.set(path, { requests: entry.requests + 1, bytes: entry.bytes + bytes });
    }
    expect(files.size).toBe(3);
    for (const [path, { requests, bytes }] of files) {
      expect([path, requests <= 5]).toEqual([path, true]);
      expect([path, bytes <= pickleBytes(join(root, path)) + 128 * 1024]).toEqual([path, true]);
    }
  });

  it.each(["s3://runs", "hf://owner/name"])(
    "a folder is listed once, and the files of others are not asked for: %s",
    async (place) => {
      const name = place.startsWith("s3") ? "listed-once" : "listed-once-too";
      symlinkSync("vista-phase2", join(bucket, name));
      expect((await runCli("vista-ckpt", ["inspect", `${place}/${name}`])).code).toBe(0);
      const asked = server.asked.filter(({ path }) => !path.endsWith(".pt")).map(({ path }) => path);
      // The path itself as a file, its listing, latest, the listing of the tag; of the hub, the commit before and a second page.
      expect([asked, asked.length <= (place.startsWith("s3") ? 4 : 6)]).toEqual([asked, true]);
    },
  );

  it("what a folder did not hold a moment ago is found when it is there", async () => {
    const folder = join(bucket, "growing");
    mkdirSync(folder);
    const place = "s3://runs/growing";
    vi.useFakeTimers({ toFake: ["Date"] });
    onTestFinished(() => {
      vi.useRealTimers();
    });
    cpSync(join(bucket, "merged.bin"), join(folder, "a.bin"));
    expect((await runCli("vista-ckpt", ["scan", place])).stdout).toContain("clean: 1 file");
    cpSync(join(bucket, "merged.bin"), join(folder, "b.bin"));
    expect((await runCli("vista-ckpt", ["scan", place])).stdout).toContain("clean: 1 file");
    vi.setSystemTime(Date.now() + 2100);
    expect((await runCli("vista-ckpt", ["scan", `${place}/b.bin`])).code).toBe(0);
    expect((await runCli("vista-ckpt", ["scan", place])).stdout).toContain("clean: 2 files");
  });

  it("a distributed checkpoint of large boxes: each takes two small requests to find and one for its data", async () => {
    const apart = 300_000;
    let items = 0;
    const made = changedDcp((metadata, folder) => {
      const files = new Map<string, Buffer[]>();
      for (const info of metadata.storage.values()) {
        const place = fields(info);
        const [file, offset, length] = ["relative_path", "offset", "length"].map((name) => place.get(name));
        const list = files.get(file as string) ?? [];
        files.set(file as string, list);
        place.set("offset", list.length * apart);
        const item = readFileSync(join(folder, file as string)).subarray(
          Number(offset),
          Number(offset) + Number(length),
        );
        list.push(Buffer.concat([item, Buffer.alloc(apart - item.length)]));
        items++;
      }
      for (const [file, list] of files) writeFileSync(join(folder, file), Buffer.concat(list));
    });
    copyFolder(made, join(bucket, "apart"));
    const output = join(temporaryFolder(), "x.safetensors");
    const args = ["to-st", "s3://runs/apart", "--raw", "-o", output];
    expect((await runCli("vista-ckpt", args)).code).toBe(0);
    const data = server.asked.filter(({ path }) => path.endsWith(".distcp"));
    expect(data.length).toBeLessThanOrEqual(3 * items + 4);
    const bytes = data.reduce((sum, { bytes }) => sum + bytes, 0);
    // The first 64 KiB of each of the four files, and 4 KiB at each end of a box.
    expect(bytes).toBeLessThanOrEqual(statSync(output).size + 4 * 64 * 1024 + items * 2 * 4096);
    expect((await runCli("vista-ckpt", ["diff", output, join(bucket, "dcp")])).stdout).toMatch(
      /^state dicts equal: 9 tensors/m,
    );
  });

  it("merge and to-st move what the output needs, not the optimizer's moments", async () => {
    // So large that one moment more, or a tenth of the weights twice, is beyond what each file may have besides.
    const numel = 4_000_000;
    const each = numel / 2;
    const floats = (seed: number) => {
      const values = new Float32Array(each);
      for (let i = 0; i < each; i += 100) values[i] = i + seed;
      return new Uint8Array(values.buffer);
    };
    const zeros = new Uint8Array(4 * each);
    const moment = () => new FakeTensor(zeros.subarray(0), [each]);
    writeFakeCheckpoint(join(bucket, "large"), {
      stage: 2,
      partitions: [0, 1].map((rank) => [new FakeTensor(floats(rank), [each])]),
      paramShapes: [{ a: [250, 10_001], b: [numel - 2_500_250] }],
      shard: () => ({
        base_optimizer_state: new Map<Fake, Fake>([
          [
            "state",
            new Map([
              [
                0,
                new Map<Fake, Fake>([
                  ["step", 1],
                  ["exp_avg", moment()],
                  ["exp_avg_sq", moment()],
                ]),
              ],
            ]),
          ],
          [
            "param_groups",
            [
              new Map<Fake, Fake>([
                ["lr", 0.1],
                ["params", [0]],
              ]),
            ],
          ],
        ]),
      }),
    });
    const shards = readdirSync(join(bucket, "large/global_step1"));
    expect(shards).toHaveLength(3);
    for (const [command, ...more] of [["merge"], ["to-st", "--raw"]]) {
      server.asked.length = 0;
      const [a, b] = await both(
        (input) => [command!, input, ...more],
        join(bucket, "large"),
        "s3://runs/large",
        ".safetensors",
      );
      expect(b!.equals(a!)).toBe(true);
      expect(b!.length).toBeGreaterThan(4 * numel);
      expect(totals(server).bytes).toBeLessThanOrEqual(1.02 * b!.length + shards.length * 2 ** 18);
    }
    rmSync(join(bucket, "large"), { recursive: true });
  });
});

describe("tokens", () => {
  it("go to the hub and not to where it redirects", async () => {
    server.redirectTo = cdn.url;
    expect((await runCli("vista-ckpt", ["inspect", "hf://owner/name/merged.bin"])).code).toBe(0);
    expect(new Set(server.asked.map(({ authorization }) => authorization))).toEqual(
      new Set(["Bearer hf_secret"]),
    );
    expect(new Set(cdn.asked.map(({ authorization }) => authorization))).toEqual(new Set([undefined]));
    // Later ranges go straight to the second host.
    expect(server.asked.length).toBe(1);
    expect(cdn.asked.length).toBeGreaterThan(1);
  });

  it("sign requests to S3", async () => {
    expect((await runCli("vista-ckpt", ["inspect", "s3://runs/merged.bin"])).code).toBe(0);
    for (const { authorization } of server.asked)
      expect(authorization).toMatch(
        /^AWS4-HMAC-SHA256 Credential=key\/\d{8}\/[a-z0-9-]+\/s3\/aws4_request, /,
      );
    // One signature serves all ranges of a file, and no other file.
    server.asked.length = 0;
    const output = join(temporaryFolder(), "x.bin");
    expect((await runCli("vista-ckpt", ["merge", "s3://runs/vista-phase2", "-o", output])).code).toBe(0);
    const files = server.asked.filter(({ path }) => path.endsWith(".pt"));
    const paths = new Set(files.map(({ path }) => path)).size;
    expect(files.length).toBeGreaterThan(paths);
    expect(new Set(files.map(({ path, authorization }) => `${path} ${authorization}`)).size).toBe(paths);
    expect(new Set(files.map(({ authorization }) => authorization)).size).toBe(paths);
  });

  it("a password in a URL is not shown", async () => {
    const url = `${server.url.replace("//", "//user:geheim@")}/runs/none.bin`;
    const { code, stderr } = await runCli("vista-ckpt", ["inspect", url]);
    expect(code).toBe(1);
    expect(stderr).not.toContain("geheim");
  });
});

describe("faults", () => {
  let urls = 0;
  // Another one each time: what was read a moment ago is not asked for again.
  const url = () => `${server.url}/runs/merged.bin?${urls++}`;
  const convert = async (output: string) => runCli("vista-ckpt", ["to-st", url(), "--raw", "-o", output]);

  let local: Promise<Buffer> | undefined;
  /** What the file on the disk gives. */
  const fromLocal = () => {
    local ??= (async () => {
      const output = join(temporaryFolder(), "x.safetensors");
      await runCli("vista-ckpt", ["to-st", join(bucket, "merged.bin"), "--raw", "-o", output]);
      return readFileSync(output);
    })();
    return local;
  };

  it.each(["429", "503", "drop", "short"] as const)(
    "%s every third time: tried again, and right",
    async (fault) => {
      server.fault = (request) => (request % 3 === 1 ? fault : undefined);
      const pauses = skipPauses();
      const output = join(temporaryFolder(), "x.safetensors");
      const { code, stderr } = await convert(output);
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
      expect(readFileSync(output).equals(await fromLocal())).toBe(true);
      expect(pauses.length).toBeGreaterThan(0);
      // The server says with 429 how long it wants to be left alone: not at all. Else each is the first one or longer.
      for (const pause of pauses)
        expect([pause, fault === "429" ? pause === 0 : pause >= 250]).toEqual([pause, true]);
    },
  );

  it.each<[Fault, RegExp]>([
    [
      "ignore-range",
      /the server answers a request for bytes \d+ to \d+ with the whole file.*download the file/,
    ],
    ["other-etag", /the file has changed while it was being read: its ETag was "one" and now is "other"/],
    ["forbidden", /the request for bytes \d+ to \d+ was answered with 403.*credentials/],
  ])("%s in the middle: one line, and nothing is written", async (fault, message) => {
    server.fault = (request) => (request > 1 ? fault : undefined);
    const folder = temporaryFolder();
    const { code, stdout, stderr } = await convert(join(folder, "x.safetensors"));
    expect(stderr).toMatch(message);
    expect(stderr.split("\n").length).toBe(2);
    expect({ code, stdout, left: readdirSync(folder) }).toEqual({ code: 1, stdout: "", left: [] });
  });

  it("verify of records that the server refuses: not checked, and not called damaged", async () => {
    server.fault = (request) => (request > 3 ? "forbidden" : undefined);
    const { code, stdout } = await runCli("vista-ckpt", ["verify", url()]);
    expect(code).toBe(1);
    expect(stdout).toMatch(/^NOT CHECKED: \d+ problems?/m);
    expect(stdout).not.toContain("DAMAGED");
  });

  it("Ctrl-C while a server is silent: at once, and nothing is written", async () => {
    const folder = temporaryFolder();
    let kill: ((signal: NodeJS.Signals) => void) | undefined;
    server.fault = (request) => {
      if (request < 3) return undefined;
      kill?.("SIGINT");
      return "silent";
    };
    const { code, stderr } = await runCli("vista-ckpt", ["to-st", url(), "--raw", "-o", "x.safetensors"], {
      cwd: folder,
      onStart: (send) => {
        kill = send;
      },
    });
    expect({ code, left: readdirSync(folder) }).toEqual({ code: 130, left: [] });
    expect(stderr).toMatch(/^vista-ckpt: interrupted; nothing was written(?:\. Covered: [^\n]+)?\n$/);
  });

  it("what is not there: the URL, the status, what to do", async () => {
    const { code, stderr } = await runCli("vista-ckpt", ["merge", "s3://runs/none"]);
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /^vista-ckpt: s3:\/\/runs\/none: there is no file and no folder of this name\. Check the URL/,
    );
    expect(existsSync("none")).toBe(false);
  });

  it("a folder of a web server", async () => {
    const { code, stderr } = await runCli("vista-ckpt", ["merge", `${server.url}/runs/vista-phase2/`]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/a web server does not say which files are in a folder/);
  });
});

type Fault = Parameters<RangeServer["fault"]> extends never ? never : ReturnType<RangeServer["fault"]>;
