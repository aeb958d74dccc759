/** Random distributed checkpoints of the real torch: `to-st --raw` is what torch's converter and `save_file` write. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, it } from "vitest";
import { runCli } from "../../helpers/cli.js";
import { runPython } from "../python.js";

const SCRIPT = fileURLToPath(new URL("random_folders.py", import.meta.url));
/** Another seed tries other folders: PEERS_SEED=7 npm run test:peers -- test/peers/dcp. */
const SEED = process.env.PEERS_SEED ?? "1";
const EACH = Number(process.env.PEERS_COUNT ?? "12");

let folder: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "vista-peers-dcp-"));
  await runPython("zero", [SCRIPT, folder, SEED, String(EACH)]);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it("every random folder of 2, 3 and 4 ranks gives the bytes of dcp_to_torch and save_file", async () => {
  const names = readdirSync(folder).filter((name) => name.endsWith(".json"));
  expect(names.length).toBe(3 * EACH);
  const forms = new Set<string>();
  for (const name of names.map((name) => name.replace(".json", ""))) {
    const [form, mesh, count] = JSON.parse(readFileSync(join(folder, `${name}.json`), "utf8"));
    const ours = join(folder, "ours.safetensors");
    const result = await runCli("vista-ckpt", ["to-st", join(folder, name), "--raw", "--force", "-o", ours]);
    const about = `${name}: ${form}, mesh ${mesh}, ${count} tensors`;
    expect(`${about}: ${result.code} ${result.code === 0 ? "" : result.stderr}`).toBe(`${about}: 0 `);
    const same = readFileSync(ours).equals(readFileSync(join(folder, `${name}.safetensors`)));
    expect([about, same]).toEqual([about, true]);
    forms.add(form);
  }
  if (EACH >= 12) expect([...forms].sort()).toEqual(["flat", "nested", "safetensors"]);
});
