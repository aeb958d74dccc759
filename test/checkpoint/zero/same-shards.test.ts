/** Shards of stage 3 that were copied under the name of another rank: nothing in them says whose they are. */
import { copyFileSync, cpSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { openCheckpoint } from "../../../src/checkpoint/open.js";
import { reshardCheckpoint } from "../../../src/checkpoint/reshard.js";
import { writeUniversal } from "../../../src/checkpoint/to-universal.js";
import { verifyCheckpoint } from "../../../src/checkpoint/verify.js";
import { temporaryFolder } from "../../helpers/state.js";
import { type Fake, FakeTensor, writeFakeCheckpoint } from "../../helpers/torch-file.js";

const FIXTURES = join(import.meta.dirname, "../../../fixtures/zero");
const ofStage3 = readdirSync(FIXTURES).filter(
  // Those with orphans are refused in stage 3.
  (name) => name.includes("stage3") && !name.endsWith("-orphans"),
);

/** Returns the shard of a rank in a folder. */
function shardOf(folder: string, rank: number): string {
  const pattern = new RegExp(`^(?:bf16_)?zero_pp_rank_${rank}_mp_rank_00_optim_states\\.pt$`);
  const names = readdirSync(folder, { recursive: true }) as string[];
  return join(folder, names.find((name) => pattern.test(name.split("/").at(-1)!))!);
}

async function doubts(folder: string): Promise<readonly string[]> {
  await using ckpt = await openCheckpoint(folder);
  return ckpt.zero!.doubts;
}

describe("a shard that is a copy of another rank's", () => {
  it.each(["stage3-fp32-2ranks", "stage3-bf16-2ranks-odd", "deepspeed-0.9.0-stage3-fp32-2ranks"])(
    "%s: merge, reshard and to-universal warn, verify finds a problem",
    async (name) => {
      const folder = join(temporaryFolder(), name);
      cpSync(join(FIXTURES, name), folder, { recursive: true });
      expect(await doubts(folder)).toEqual([]);
      copyFileSync(shardOf(folder, 0), shardOf(folder, 1));
      const text = "the shards of ranks 0 and 1 hold the same weights: one may be a copy of the other";
      expect(await doubts(folder)).toEqual([text]);
      const { problems, warnings } = await verifyCheckpoint(folder);
      expect(problems.map(({ code, what }) => [code, what])).toEqual([["INCONSISTENT", text]]);
      expect(warnings).not.toContain(text);
      const dryRun = true;
      expect((await reshardCheckpoint(folder, undefined, { ranks: 3, dryRun })).warnings).toEqual([text]);
      expect((await writeUniversal(folder, undefined, { dryRun })).warnings).toEqual([text]);
    },
  );

  it("says nothing of the checkpoints as DeepSpeed saved them, those with ranks that hold padding alone too", async () => {
    expect(ofStage3.length).toBeGreaterThan(10);
    for (const name of ofStage3) expect(await doubts(join(FIXTURES, name)), name).toEqual([]);
  });

  it("says nothing of ranks with one number throughout: weights as they are made, and padding", async () => {
    const folder = temporaryFolder();
    const ones = () => new FakeTensor(new Array<number>(300).fill(1));
    const module = new Map<Fake, Fake>([["a", new FakeTensor([])]]);
    writeFakeCheckpoint(folder, {
      stage: 3,
      partitions: [[ones()], [ones()]],
      paramShapes: [{ a: [600] }],
      module,
    });
    expect(await doubts(folder)).toEqual([]);
  });
});

it("verify finds a problem where the copies in module are of another moment", async () => {
  const folder = temporaryFolder();
  const weights = Array.from({ length: 800 }, (_, i) => i / 8);
  const partitions = [weights.slice(0, 400), weights.slice(400)].map((part) => [new FakeTensor(part)]);
  const module = new Map<Fake, Fake>([["a", new FakeTensor(weights.map((weight) => weight + 1))]]);
  writeFakeCheckpoint(folder, { stage: 2, partitions, paramShapes: [{ a: [800] }], module });
  const { problems } = await verifyCheckpoint(folder);
  expect(problems.map(({ code, what }) => [code, what])).toEqual([
    ["INCONSISTENT", expect.stringContaining("the files are of two moments")],
  ]);
});
