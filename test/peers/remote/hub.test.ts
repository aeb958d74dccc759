/**
 * The hub, played by a small server: huggingface_hub itself lists and downloads from it, so that what is tested against it is how
 * the hub answers. The files lie on a second host that refuses tokens, as the hub's stores do.
 */
import { cpSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import { runCli } from "../../helpers/cli.js";
import { type RangeServer, startServer } from "../../helpers/range-server.js";
import { FIXTURES, temporaryFolder } from "../../helpers/state.js";
import { runPython } from "../python.js";

const root = temporaryFolder();
const place = "zero/vista-phase2";
let hub: RangeServer;
let store: RangeServer;
const env: Record<string, string> = {};

beforeAll(async () => {
  mkdirSync(join(root, "runs"));
  cpSync(join(FIXTURES, place), join(root, "runs", place), { recursive: true });
  cpSync(join(FIXTURES, "dcp/2d-2x2ranks"), join(root, "runs/dcp à b"), { recursive: true });
  hub = await startServer(root);
  store = await startServer(join(root, "runs"));
  hub.redirectTo = store.url;
  hub.pageSize = 2;
  store.refuseTokens = true;
  const { HTTP_PROXY, HTTPS_PROXY, http_proxy, https_proxy, ...rest } = process.env as Record<string, string>;
  Object.assign(env, rest, { HF_ENDPOINT: hub.url, HF_TOKEN: "hf_secret", NO_PROXY: "*" });
});
afterAll(async () => {
  await hub.close();
  await store.close();
});
beforeEach(() => {
  hub.asked.length = 0;
  store.asked.length = 0;
});

it("huggingface_hub lists and downloads from this server", async () => {
  const script = `
import json, os, sys
os.environ.update(HF_ENDPOINT=sys.argv[1], HF_TOKEN="hf_secret", HF_HOME=sys.argv[2], HF_HUB_DISABLE_XET="1", NO_PROXY="*", no_proxy="*")
from huggingface_hub import HfApi, hf_hub_download
api = HfApi()
names = sorted(entry.path for entry in api.list_repo_tree("owner/name", "${place}/checkpoint"))
path = hf_hub_download("owner/name", "${place}/latest")
print(json.dumps([names, open(path).read()]))
`;
  const said = await runPython("zero", ["-c", script, hub.url, temporaryFolder()]);
  const [names, latest] = JSON.parse(said.trim().split("\n").at(-1)!) as [string[], string];
  expect(names).toEqual(
    [
      "mp_rank_00_model_states.pt",
      "zero_pp_rank_0_mp_rank_00_optim_states.pt",
      "zero_pp_rank_1_mp_rank_00_optim_states.pt",
    ].map((name) => `${place}/checkpoint/${name}`),
  );
  expect(latest).toBe(readFileSync(join(root, "runs", place, "latest"), "utf8"));
  expect(hub.asked.filter(({ path }) => path.includes("/tree/")).length).toBe(2);
});

it.each([
  ["merge", place],
  ["to-st", place],
  ["to-st", "dcp à b", "--raw"],
])("%s hf://owner/name/%s %s", async (command, folder, ...more) => {
  const outputs = [join(temporaryFolder(), "a.safetensors"), join(temporaryFolder(), "b.safetensors")];
  for (const [i, input] of [join(root, "runs", folder), `hf://owner/name/${folder}`].entries()) {
    const { code, stderr } = await runCli("vista-ckpt", [command, input, ...more, "-o", outputs[i]!], {
      env,
    });
    expect([code, code === 0 ? "" : stderr]).toEqual([0, ""]);
  }
  const [a, b] = outputs.map((path) => readFileSync(path));
  expect(b!.equals(a!)).toBe(true);
  // Each file is asked for at the hub once, with the token; its bytes come from the store, without.
  const files = hub.asked.filter(({ path }) => path.includes("/resolve/")).map(({ path }) => path);
  const found = files.filter((path) => store.asked.some((one) => path.endsWith(one.path)));
  expect(new Set(found).size).toBe(found.length);
  expect(new Set(hub.asked.map(({ authorization }) => authorization))).toEqual(new Set(["Bearer hf_secret"]));
  expect(new Set(store.asked.map(({ authorization }) => authorization))).toEqual(new Set([undefined]));
  expect(store.asked.length).toBeGreaterThan(3);
});
