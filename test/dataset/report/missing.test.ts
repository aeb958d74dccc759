/** `check --list-missing`: every missing, empty or damaged file or video, sorted, by where it comes from. */
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { folderOf, makeOpenDv } from "../../../bench/make-opendv.mjs";
import { MissingList } from "../../../src/dataset/report/missing.js";
import { runCli } from "../../helpers/cli.js";
import { Sets } from "../nuscenes/set.js";
import { newFolder, removeFolders, replace } from "../opendv/support.js";

const sets = new Sets();
afterAll(() => {
  sets.clear();
  removeFolders();
});

it("nuScenes by folder and log, OpenDV by video with its link; what records need besides", async () => {
  const root = newFolder();
  const set = await sets.make();
  mkdirSync(join(root, "data"));
  renameSync(set.root, join(root, "data/nuscenes"));
  const nuscenes = (...parts: string[]) => join(root, "data/nuscenes", ...parts);
  const front = readdirSync(nuscenes("sweeps/CAM_FRONT")).sort();
  rmSync(nuscenes("sweeps/CAM_FRONT", front[2]!));
  truncateSync(nuscenes("sweeps/CAM_FRONT", front[1]!), 0);
  truncateSync(nuscenes("sweeps/CAM_FRONT", front[5]!), 700);
  rmSync(nuscenes("sweeps/LIDAR_TOP"), { recursive: true });
  rmSync(nuscenes("can_bus/scene-0061_vehicle_monitor.json"));

  const rows = await makeOpenDv(join(root, "data/YouTube"), { frames: 40, youtubers: 2, videos: 3, val: 0 });
  const video = (i: number) => join(root, "data/YouTube", folderOf(rows[i]!));
  rmSync(video(0), { recursive: true });
  rmSync(join(video(1), "000000011.jpg"));
  rmSync(join(video(1), "000000012.jpg"));
  replace(join(video(2), "000000005.jpg"), "");

  // A record needs a frame that no table names.
  mkdirSync(join(root, "annos"));
  const frames = Array.from(
    { length: 25 },
    (_, i) => `sweeps/CAM_FRONT/${front[i === 0 ? 2 : 0]!.replace(/\d+\.jpg$/, `${i}.jpg`)}`,
  );
  const record = { frames, traj: Array(10).fill(0), cmd: 3, speed: [], angle: [], z: 1, goal: [1, 1] };
  writeFileSync(join(root, "annos/nuScenes.json"), JSON.stringify([record]));

  const list = join(root, "missing.txt");
  await runCli("vista-data", ["check", root, "--list-missing", list]);
  const text = readFileSync(list, "utf8");
  const sections = text.split("\n\n");
  expect(sections).toHaveLength(3);
  const log = front[0]!.split("__")[0]!;
  const from = (section: string, start: string) => {
    const lines = section.split("\n");
    return lines.slice(lines.findIndex((line) => line.startsWith(start)) + 1).filter((line) => line !== "");
  };
  expect(sections[0]).toMatch(
    /^# vista-data check of .*: all seen, .*\n# To fetch again: 30 files or folders, 3 videos\.$/,
  );
  expect(sections[1]).toMatch(/^## nuScenes in data\/nuscenes: /);
  expect(from(sections[1]!, "# can_bus.zip: 1")[0]).toBe("can_bus/scene-0061_vehicle_monitor.json\tmissing");
  const camera = from(sections[1]!, `# sweeps/CAM_FRONT, log ${log}: 28`);
  expect(camera.slice(0, 28)).toEqual(
    [
      ...frames.map((path) => `${path}\tmissing`),
      `sweeps/CAM_FRONT/${front[1]}\tempty`,
      `sweeps/CAM_FRONT/${front[2]}\tmissing`,
      `sweeps/CAM_FRONT/${front[5]}\tdamaged`,
    ].sort(),
  );
  expect(camera[28]).toBe("# sweeps/LIDAR_TOP: 1");
  expect(camera[29]).toMatch(/^sweeps\/LIDAR_TOP\/\tmissing: the folder is not there \(\d+ in v1\.0-mini\)$/);
  const line = (i: number, what: string) =>
    [rows[i]!.videoid, `data/YouTube/${folderOf(rows[i]!)}`, rows[i]!.link, what].join("\t");
  expect(from(sections[2]!, "## OpenDV-YouTube")).toEqual(
    [line(0, "folder missing"), line(1, "frames missing: 2"), line(2, "pictures empty: 1")].sort((a, b) =>
      a.split("\t")[1]! < b.split("\t")[1]! ? -1 : 1,
    ),
  );
});

it("names every missing file, also where the report counts them as one scene, and every video never downloaded", async () => {
  const set = await sets.make({ samples: 12 });
  const first = set.rows("scene")[0]!.token;
  const samples = new Set(
    set.rows("sample").flatMap((row) => (row.scene_token === first ? [row.token] : [])),
  );
  const scene = set
    .rows("sample_data")
    .filter((row) => samples.has(row.sample_token) && row.filename.startsWith("sweeps/CAM_FRONT/"))
    .map((row) => row.filename.split("/")[2] as string);
  for (const name of scene) rmSync(set.path("sweeps/CAM_FRONT", name));
  const list = join(newFolder(), "missing.txt");
  const { stdout } = await runCli("vista-data", ["check", set.root, "--list-missing", list]);
  expect(stdout).toMatch(/none of the \d+ files of scene-/);
  const named = readFileSync(list, "utf8")
    .split("\n")
    .filter((line) => line.startsWith("sweeps/CAM_FRONT/"));
  expect(scene.length).toBeGreaterThan(10);
  expect(named.map((line) => line.split("\t")[0]!.split("/")[2])).toEqual(scene.sort());

  const opendv = newFolder();
  const rows = await makeOpenDv(opendv, { frames: 30, youtubers: 6, videos: 7, val: 0 });
  const gone = rows.filter((row) => row.youtuber === rows[0]!.youtuber);
  rmSync(join(opendv, folderOf(gone[0]!), ".."), { recursive: true });
  const videos = join(newFolder(), "videos.txt");
  const result = await runCli("vista-data", ["check", opendv, "--list-missing", videos]);
  expect(result.stdout).toContain("opendv/not-downloaded");
  for (const { videoid, link } of gone)
    expect(readFileSync(videos, "utf8")).toContain(
      `${videoid}\tfull_images/Road_Film_0/${videoid}\t${link}\tnever downloaded`,
    );
});

it("says so where nothing is missing; rules that are ignored are left out; names cannot break a line", async () => {
  const set = await sets.make();
  const list = join(newFolder(), "missing.txt");
  expect((await runCli("vista-data", ["check", set.root, "--list-missing", list])).code).toBe(0);
  expect(readFileSync(list, "utf8")).toMatch(/\n# To fetch again: 0 files or folders, 0 videos\.\n$/);
  rmSync(set.path("sweeps/LIDAR_TOP"), { recursive: true });
  await runCli("vista-data", [
    "check",
    set.root,
    "--list-missing",
    list,
    "--force",
    "--ignore",
    "nuscenes/channel-absent",
  ]);
  expect(readFileSync(list, "utf8")).not.toContain("LIDAR_TOP");
  const hostile = new MissingList();
  hostile.add({
    rule: "nuscenes/empty-file",
    severity: "error",
    path: "samples/CAM\n# x\t\u001b[31m.jpg",
    message: "",
  });
  const lines = hostile.text([], new Map()).split("\n");
  expect(lines.filter((line) => line.startsWith("# x"))).toEqual([]);
  expect(lines.join("")).not.toContain("\u001b");
});
