/** Clean sets of forms that the other tests do not have: `vista-data check` must find nothing in them. */
import {
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, describe, expect, it } from "vitest";
import { folderOf, makeOpenDv } from "../../../bench/make-opendv.mjs";
import type { Report } from "../../../src/dataset/report/report.js";
import { type CliResult, runCli } from "../../helpers/cli.js";
import { Sets, VERSION } from "../nuscenes/set.js";
import { newFolder, removeFolders } from "../opendv/support.js";

const sets = new Sets();
afterEach(() => sets.clear());
afterAll(removeFolders);

const check = (args: string[]): Promise<CliResult> => runCli("vista-data", ["check", ...args]);

describe("clean sets of other forms", () => {
  const isClean = async (root: string, title: string) => {
    const { stdout, code } = await check([root, "--sample", "all"]);
    expect(stdout.split("\n")[0]).toBe(`${title} in ${root}`);
    expect(stdout).toMatch(/Verdict: all seen.*: clean\./);
    expect(code).toBe(0);
    return stdout;
  };

  it("three versions in one root, the test version without boxes", async () => {
    const options = { lidarseg: true, scenes: 1, samples: 2 };
    const set = await sets.make({ ...options, seed: 1 });
    for (const [seed, version] of [
      [1, "v1.0-trainval"],
      [2, "v1.0-test"],
    ] as const) {
      const other = await sets.make({ ...options, seed, version });
      cpSync(other.root, set.root, { recursive: true });
    }
    const stdout = await isClean(set.root, "nuScenes v1.0-mini, v1.0-trainval, v1.0-test");
    expect(stdout).toMatch(/scenes' CAN bus files \(vehicle_monitor\) +3\n/);
  });

  it("what lies about in a nuScenes root, and its folders on other disks", async () => {
    const set = await sets.make({ lidarseg: true, seed: 3 });
    const beside = [
      "v1.0-trainval_meta.tgz",
      "v1.0-trainval01_blobs.tgz",
      ".v1.0-mini.txt",
      "nuscenes_infos_train.pkl",
      "LICENSE",
      ".DS_Store",
      "samples/.DS_Store",
      "samples/CAM_FRONT/.DS_Store",
      "sweeps/README",
      "v1.0-mini/.DS_Store",
      "maps/expansion/boston-seaport.json",
      "maps/basemap/boston-seaport.png",
      "maps/prediction/prediction_scenes.json",
      "can_bus/README.md",
      "lidarseg/v1.0-mini/.DS_Store",
      "nuscenes_gt_database/a_car_0.bin",
    ];
    for (const name of beside) {
      mkdirSync(join(set.path(name), ".."), { recursive: true });
      writeFileSync(set.path(name), "x");
    }
    const rows = set.rows("lidarseg");
    const panoptic = (token: string) => `panoptic/${VERSION}/${token}_panoptic.npz`;
    mkdirSync(set.path("panoptic", VERSION), { recursive: true });
    for (const { token } of rows) writeFileSync(set.path(panoptic(token)), "x");
    writeFileSync(
      set.path(VERSION, "panoptic.json"),
      JSON.stringify(rows.map((row) => ({ ...row, filename: panoptic(row.token) }))),
    );
    const disk = join(newFolder(), "disk");
    mkdirSync(disk);
    for (const name of ["samples", "sweeps", "maps", VERSION, "can_bus", "lidarseg"]) {
      renameSync(set.path(name), join(disk, name));
      symlinkSync(join(disk, name), set.path(name));
    }
    await isClean(set.root, "nuScenes v1.0-mini");
  });

  it("lines of Windows, escaped slashes, keys in another order, a sensor with letters of its own", async () => {
    const set = await sets.make({ seed: 4, channels: ["CAM_FRONT", "LIDAR_TOP", "CAM_HÖHE_前"] });
    for (const name of readdirSync(set.path(VERSION))) {
      const file = set.path(VERSION, name);
      const rows: Record<string, unknown>[] = JSON.parse(readFileSync(file, "utf8"));
      for (const row of rows) {
        if (typeof row.filename !== "string" || !row.filename.endsWith(".jpg")) continue;
        const capital = row.filename.replace(/jpg$/, "JPG");
        renameSync(set.path(row.filename), set.path(capital));
        row.filename = capital;
      }
      const turned = rows.map((row) => Object.fromEntries(Object.entries(row).reverse()));
      const text = JSON.stringify(turned, null, 4).replaceAll("/", "\\/").replaceAll("\n", "\r\n");
      writeFileSync(file, text);
    }
    await isClean(set.root, "nuScenes v1.0-mini");
  });

  it("DriveAGI's own folder, as its scripts leave it, with disks linked in", async () => {
    const root = join(newFolder(), "opendv");
    const rows = await makeOpenDv(join(root, "OpenDV-YouTube"), { frames: 40, videoFiles: true });
    renameSync(join(root, "OpenDV-YouTube/meta"), join(root, "meta"));
    const wide = {
      video_path: `OpenDV-YouTube/videos/${rows[0]!.youtuber}/${rows[0]!.videoid}.webm`,
      problem: "not 16:9",
      action: "as normal",
      details: "1280.0 x 719.0",
    };
    const beside: Record<string, string> = {
      "vid2img_finished.txt": rows.map((row) => row.videoid).join("\n"),
      "vid2img_exceptions.txt": `${JSON.stringify(wide, null, 4)},\n`,
      "download_exceptions.txt": "\n\nChecking download status...\n",
      "vid2img_output.txt": "",
      "README.md": "x",
      "configs/video2img.json": "{}",
      "utils/__pycache__/download.pyc": "x",
      "OpenDV-YouTube/videos/Road_Film_0/abc.f137.mp4": "x",
      "OpenDV-YouTube/videos/Road_Film_0/abc.webm.part": "x",
      "OpenDV-YouTube/full_images/.DS_Store": "x",
      "OpenDV-YouTube/full_images.tar.gz": "x",
      "OpenDV-YouTube/OpenDV-YouTube-Language/10hz_YouTube_val.json": "[]",
    };
    for (const [name, text] of Object.entries(beside)) {
      mkdirSync(join(root, name, ".."), { recursive: true });
      writeFileSync(join(root, name), text);
    }
    const images = join(root, "OpenDV-YouTube/full_images");
    for (const name of readdirSync(images).filter((name) => !name.startsWith("."))) {
      renameSync(join(images, name), join(root, `disk-of-${name}`));
      symlinkSync(join(root, `disk-of-${name}`), join(images, name));
    }
    // As pandas writes it: columns without a name, bare NaN where a cell is empty, numbers with a fraction beside it.
    const list = rows.map((row) => ({
      ...row,
      area: "@",
      start_discard: 90.5,
      end_discard: 29.5,
      "unnamed: 12": "@",
    }));
    writeFileSync(
      join(root, "meta/OpenDV-YouTube.json"),
      JSON.stringify(list, null, 4).replaceAll('"@"', "NaN").replaceAll("Driving", "\\u8eca\\ud83d\\ude97"),
    );
    await isClean(root, "OpenDV-YouTube, 6 videos, %09d.jpg from 0");
  });

  it("videos side by side, from 1, with other folders and files among them", async () => {
    const root = join(newFolder(), "flat");
    const made = join(newFolder(), "made");
    for (const row of await makeOpenDv(made, { frames: 30, pattern: "%06d.JPG", base: 1 })) {
      mkdirSync(root, { recursive: true });
      renameSync(join(made, folderOf(row)), join(root, row.videoid));
    }
    for (const name of [".cache/000001.jpg", "logs/train.txt", "README.md"]) {
      mkdirSync(join(root, name, ".."), { recursive: true });
      writeFileSync(join(root, name), "x");
    }
    const { stdout } = await check([root, "--json"]);
    const report: Report = JSON.parse(stdout);
    expect(report.findings.map((each) => each.rule)).toEqual(["opendv/meta-missing"]);
    expect(report.parts[0]!.title).toBe("OpenDV-YouTube, 6 videos, %06d.JPG from 1");
  });
});
