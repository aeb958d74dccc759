import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { checkNuScenes } from "../../../src/dataset/index.js";

const FIXTURE = "fixtures/nuscenes/mini";

const filesOf = (folder: string) =>
  readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => statSync(join(folder, name)).isFile())
    .sort();

it("the fixture is what its script makes, byte for byte", () => {
  const folder = mkdtempSync(join(tmpdir(), "vista-fixture-"));
  try {
    execFileSync(process.execPath, ["fixtures/make/nuscenes.mjs", folder]);
    expect(filesOf(folder)).toEqual(filesOf(FIXTURE));
    for (const name of filesOf(folder)) {
      expect(readFileSync(join(folder, name)).equals(readFileSync(join(FIXTURE, name))), name).toBe(true);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

it("checkNuScenes: no findings, and a summary of all it looked at", async () => {
  const check = checkNuScenes(FIXTURE, { images: "decode" });
  for await (const finding of check) expect.fail(`${finding.rule}: ${finding.message}`);
  const { charts, samples, ...rest } = check.summary;
  expect(rest).toEqual({
    kind: "nuscenes",
    title: "nuScenes v1.0-mini",
    root: FIXTURE,
    coverage: [
      { what: "table rows", checked: 278, total: 278 },
      { what: "scenes' CAN bus files (vehicle_monitor)", checked: 2, total: 2 },
      { what: "files (by listing)", checked: 100, total: 100 },
      { what: "files (sizes)", checked: 100, total: 100 },
      { what: "point clouds (headers)", checked: 62, total: 62 },
      { what: "pictures (decode)", checked: 38, total: 38 },
    ],
    sampled: [],
    unseen: [],
    interrupted: false,
  });
  expect(samples).toHaveLength(24);
  expect(charts!.map((chart) => chart.title)).toContain("CAM_FRONT frames of each scene (v1.0-mini)");
});

it("stops when it is told to, and says how far it came", async () => {
  const controller = new AbortController();
  const check = checkNuScenes(FIXTURE, {
    signal: controller.signal,
    onProgress: ({ phase }) => {
      if (phase === "look at pictures") controller.abort();
    },
  });
  const all = (async () => {
    for await (const _ of check);
  })();
  await expect(all).rejects.toMatchObject({ code: "ABORTED" });
  expect(check.summary.interrupted).toBe(true);
  expect(check.summary.coverage.at(-1)).toMatchObject({ what: "pictures (headers)", checked: 1 });
});

it("a root without a version says so", async () => {
  const all = (async () => {
    for await (const _ of checkNuScenes("fixtures"));
  })();
  await expect(all).rejects.toMatchObject({ code: "NOT_FOUND" });
});
