/** The job script of docs/data-on-slurm.md, run by a real Slurm on this machine. */
import { readFileSync, rmSync, truncateSync } from "node:fs";
import { readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, it } from "vitest";
import { Sets, type TestSet } from "../../dataset/nuscenes/set.js";
import { runCli } from "../../helpers/cli.js";
import { startSlurm, type TestSlurm } from "../slurm/slurm.js";

const BIN = fileURLToPath(new URL("../../../bin/vista-data.js", import.meta.url));
const PAGE = fileURLToPath(new URL("../../../docs/data-on-slurm.md", import.meta.url));

const sets = new Sets();
let set: TestSet;
let slurm: TestSlurm;

beforeAll(async () => {
  set = await sets.make();
  const pictures = (await readdir(set.path("sweeps/CAM_FRONT"))).sort();
  rmSync(set.path("sweeps/CAM_FRONT", pictures[0]!));
  for (const name of pictures.slice(2, 5)) truncateSync(set.path("sweeps/CAM_FRONT", name), 700);
  set.edit("scene", (rows) => {
    rows[0]!.nbr_samples += 1;
  });
  slurm = await startSlurm(2, 26917);
});
afterAll(async () => {
  await slurm?.stop();
  sets.clear();
});

/** The page's script with the one folder and the one command that are other people's. */
function script(): string {
  const page = readFileSync(PAGE, "utf8");
  const text = /```bash\n(#!\/bin\/bash\n[\s\S]*?)```/.exec(page)![1]!;
  const changed = text
    .replace("root=/datasets/vista", `root=${set.root}`)
    .replace("srun vista-data", `srun ${process.execPath} ${BIN}`)
    // The pretended nodes have no memory to give.
    .replace(/#SBATCH --mem=.*\n/, "");
  expect(changed).not.toContain("srun vista-data");
  expect(changed).toContain(set.root);
  return changed;
}

it.each(["1-4", "0-2"])("an array %s, merged, says what one run says", async (array) => {
  const file = join(slurm.work, "check.sh");
  await writeFile(file, script());
  const id = (await slurm.exec(["sbatch", "--parsable", `--array=${array}`, file])).trim();
  const [first, last] = array.split("-").map(Number) as [number, number];
  for (let task = first; task <= last; task++) {
    expect(await slurm.waitForJob(`${id}_${task}`)).toMatchObject({ state: "COMPLETED", exitCode: "0:0" });
  }
  const folder = join(slurm.work, `reports-${id}`);
  const reports = (await readdir(folder)).map((name) => join(folder, name));
  expect(reports).toHaveLength(last - first + 1);
  const merged = await runCli("vista-data", ["merge-reports", ...reports, "--json"]);
  const whole = await runCli("vista-data", ["check", set.root, "--decode", "--json"]);
  expect(JSON.parse(whole.stdout).counts).toEqual({ error: 5, warning: 0, note: 0 });
  expect(merged.stdout).toBe(whole.stdout);
  expect(merged.code).toBe(1);
});
