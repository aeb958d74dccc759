/** What is known for a while: the commit of a branch of the hub, the credentials of S3. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { openSource } from "../../../../src/core/io/open-source.js";
import { hubTarget } from "../../../../src/core/io/remote/hub.js";
import { startServer } from "../../../helpers/range-server.js";
import { temporaryFolder } from "../../../helpers/state.js";

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["Date"] });
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllEnvs();
  vi.doUnmock("@aws-sdk/credential-providers");
});

it("as long as one file of a branch is read, the others stay of its commit", () => {
  const commit = "c".repeat(40);
  const first = hubTarget("hf://owner/long/a.safetensors");
  expect(first.url).toContain("/resolve/main/");
  first.seen!({ statusCode: 206, headers: { "x-repo-commit": commit } } as never);
  for (let minute = 0; minute < 10; minute++) {
    vi.advanceTimersByTime(50_000);
    expect(first.url).toContain(`/resolve/${commit}/`);
  }
  expect(hubTarget("hf://owner/long/b.safetensors").url).toContain(`/resolve/${commit}/`);
  vi.advanceTimersByTime(61_000);
  expect(hubTarget("hf://owner/long/b.safetensors").url).toContain("/resolve/main/");
  // What was begun stays what it was.
  expect(first.url).toContain(`/resolve/${commit}/`);
});

it("credentials of the AWS SDK's providers are asked for again, since they expire", async () => {
  let asked = 0;
  vi.doMock("@aws-sdk/credential-providers", () => ({
    fromNodeProviderChain: () => async () => ({ accessKeyId: `key${++asked}`, secretAccessKey: "secret" }),
  }));
  vi.stubEnv("HOME", temporaryFolder());
  vi.stubEnv("AWS_ACCESS_KEY_ID", "");
  vi.stubEnv("AWS_SECRET_ACCESS_KEY", "");
  const { s3Target } = await import("../../../../src/core/io/remote/s3.js");
  const target = await s3Target("s3://bucket/last.ckpt");
  const keyOf = async () => /Credential=(\w+)\//.exec((await target.headers(target.url)).Authorization!)?.[1];
  expect(await keyOf()).toBe("key1");
  expect(await keyOf()).toBe("key1");
  vi.advanceTimersByTime(30_000);
  expect(await keyOf()).toBe("key2");
});

it("what other credentials could read a moment ago is asked for again", async () => {
  const root = temporaryFolder();
  mkdirSync(join(root, "bucket"));
  writeFileSync(join(root, "bucket/x.txt"), "text");
  const server = await startServer(root);
  try {
    vi.stubEnv("AWS_ENDPOINT_URL", server.url);
    const requests = async (key: string) => {
      vi.stubEnv("AWS_ACCESS_KEY_ID", key);
      vi.stubEnv("AWS_SECRET_ACCESS_KEY", "secret");
      const before = server.asked.length;
      await (await openSource("s3://bucket/x.txt")).close();
      return server.asked.length - before;
    };
    expect(await requests("one")).toBe(1);
    expect(await requests("one")).toBe(0);
    expect(await requests("two")).toBe(1);
  } finally {
    await server.close();
  }
});
