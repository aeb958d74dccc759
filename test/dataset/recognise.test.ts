/** The one set of rules by which all commands of vista-data take a folder for a data set. */
import { chmodSync, mkdirSync, symlinkSync, unlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { checkAnnotations } from "../../src/dataset/annotations/check.js";
import { findNuScenes } from "../../src/dataset/annotations/make/source.js";
import { findYouTubeClips } from "../../src/dataset/annotations/make/youtube-sources.js";
import { ValidationScenes } from "../../src/dataset/annotations/val-scenes.js";
import { listing } from "../../src/dataset/nuscenes/check/listing.js";
import { findClip } from "../../src/dataset/preview/clip.js";
import { recognise } from "../../src/dataset/recognise.js";
import { collectStats } from "../../src/dataset/stats/stats.js";
import { temporaryFolder } from "../helpers/state.js";
import { collect } from "./opendv/support.js";

/** Makes a folder of empty files. */
function folderOf(...files: string[]): string {
  const root = temporaryFolder();
  for (const file of files) {
    mkdirSync(dirname(join(root, file)), { recursive: true });
    writeFileSync(join(root, file), file.endsWith(".json") ? "[]" : "");
  }
  return root;
}

const frames = (folder: string) => [0, 1, 2].map((n) => `${folder}/${String(n).padStart(9, "0")}.jpg`);
const tables = (folder: string) => ["sample", "scene", "sample_data"].map((name) => `${folder}/${name}.json`);
const said = (work: () => unknown) => {
  try {
    work();
    return "nothing";
  } catch (error) {
    return (error as Error).message;
  }
};

/** Folders, the place of the nuScenes set that every command takes in them, its versions, and the place of OpenDV's frames. */
const FOLDERS: [string, string[], string | undefined, string[], string | undefined][] = [
  ["a set", tables("v1.0-mini"), "", ["v1.0-mini"], undefined],
  ["a set of one's own", tables("v1.0-tokyo"), "", ["v1.0-tokyo"], undefined],
  ["a Vista root", tables("data/nuscenes/v1.0-test"), "data/nuscenes", ["v1.0-test"], undefined],
  ["one set below", tables("nuscenes/v1.0-mini"), "nuscenes", ["v1.0-mini"], undefined],
  [
    "two versions",
    [...tables("v1.0-trainval"), ...tables("v1.0-mini")],
    "",
    ["v1.0-mini", "v1.0-trainval"],
    undefined,
  ],
  ["an empty version beside", [...tables("v1.0-mini"), "v1.0-trainval/.keep"], "", ["v1.0-mini"], undefined],
  [
    "a version of which one table was unpacked",
    [...tables("v1.0-mini"), "v1.0-trainval/ego_pose.json"],
    "",
    ["v1.0-mini", "v1.0-trainval"],
    undefined,
  ],
  [
    "labels of all versions beside the tables of one",
    [...tables("v1.0-mini"), "v1.0-trainval/lidarseg.json", "v1.0-trainval/category.json"],
    "",
    ["v1.0-mini"],
    undefined,
  ],
  [
    "a file named like a version",
    [...tables("nuscenes/v1.0-mini"), "v1.0-trainval"],
    "nuscenes",
    ["v1.0-mini"],
    undefined,
  ],
  [
    "both sets side by side",
    [...tables("nuscenes/v1.0-mini"), ...frames("full_images/a/b")],
    "nuscenes",
    ["v1.0-mini"],
    "",
  ],
  [
    "pictures beside a set",
    [...tables("nuscenes/v1.0-mini"), ...frames("pictures/b")],
    "nuscenes",
    ["v1.0-mini"],
    undefined,
  ],
  [
    "pictures in a Vista root",
    [...tables("data/nuscenes/v1.0-mini"), ...frames("pictures/b")],
    "data/nuscenes",
    ["v1.0-mini"],
    undefined,
  ],
  [
    "full_images in a Vista root",
    [...tables("data/nuscenes/v1.0-mini"), ...frames("full_images/a/b")],
    "data/nuscenes",
    ["v1.0-mini"],
    "",
  ],
  [
    "Vista's data, named itself",
    [...tables("nuscenes/v1.0-mini"), ...frames("YouTube/full_images/a/b")],
    "nuscenes",
    ["v1.0-mini"],
    "YouTube",
  ],
  [
    "folders of pictures called YouTube, beside nuScenes",
    [...tables("nuscenes/v1.0-mini"), ...frames("YouTube/a")],
    "nuscenes",
    ["v1.0-mini"],
    undefined,
  ],
  [
    "a Vista root with both",
    [...tables("data/nuscenes/v1.0-mini"), ...frames("data/YouTube/full_images/a/b")],
    "data/nuscenes",
    ["v1.0-mini"],
    "data/YouTube",
  ],
];

describe("every command takes the same set in a folder", () => {
  it.each(FOLDERS)("%s", (_, files, place, versions, youtube) => {
    const root = folderOf(...files);
    const { nuscenes, opendv } = recognise(root);
    const path = join(root, place!);
    expect(nuscenes).toEqual({ place, root: path, versions });
    expect(opendv?.place).toBe(youtube);
    expect(opendv?.found.root).toBe(youtube === undefined ? undefined : join(root, youtube));
    const source = findNuScenes(root, undefined, versions.length > 1 ? "train" : "all");
    expect(source).toEqual({ root: path, version: versions.at(-1) });
  });

  it("tables in the root with maps beside them are a nuScenes set in the wrong place, not videos", () => {
    const root = folderOf("sample_data.json", "sample.json", "maps/53992ee3023e5494b90c316c183be829.png");
    expect(() => recognise(root)).toThrow(
      expect.objectContaining({ hint: "These are the tables of one version: name the folder above it." }),
    );
  });

  it("pictures above a set are no frames where only frames are asked for, either", () => {
    const root = folderOf(...tables("nuscenes/v1.0-mini"), ...frames("nuscenes/maps/b"), ...frames("maps/b"));
    expect(said(() => recognise(root, { kinds: ["opendv"] }))).toMatch(/no OpenDV-YouTube frames here$/);
    // A folder of pictures by itself may be one.
    expect(recognise(join(root, "maps"), { kinds: ["opendv"] }).opendv?.place).toBe("");
  });

  it("a file is no folder, an absent one is not there, and tables are not a root: all say the same", async () => {
    const root = folderOf(...tables("v1.0-mini"));
    const file = join(root, "v1.0-mini/scene.json");
    const refusals: [string, RegExp][] = [
      [file, /is a file, not a folder$/],
      [join(root, "no"), /no such file or folder$/],
      [join(root, "v1.0-mini"), / here$/],
    ];
    for (const [path, message] of refusals) {
      const said = expect.objectContaining({
        message: expect.stringMatching(message),
        hint: expect.anything(),
      });
      const alike = path.endsWith("no") ? expect.objectContaining({ code: "NOT_FOUND" }) : said;
      for (const take of [recognise, (at: string) => findNuScenes(at, undefined, "all")]) {
        expect(() => take(path)).toThrow(alike);
      }
      await expect(findYouTubeClips(path)).rejects.toEqual(alike);
    }
    expect(() => recognise(join(root, "v1.0-mini"))).toThrow(
      expect.objectContaining({ hint: "These are the tables of one version: name the folder above it." }),
    );
  });

  it("a version that is named may have any name, for check and for annos", () => {
    const root = folderOf(...tables("interp_12Hz_mini"));
    expect(said(() => recognise(root))).toMatch(/no data set that is known here/);
    const version = "interp_12Hz_mini";
    expect(recognise(root, { version }).nuscenes).toEqual({ place: "", root, versions: [version] });
    expect(findNuScenes(root, version, "train")).toEqual({ root, version });
  });
});

it.each(["", "data/nuscenes", "data/YouTube"])(
  "a folder that cannot be looked into is not an empty one: %j",
  async (place) => {
    const root = folderOf("data/.keep", "annos/nuScenes.json");
    // A link in a circle stands for all that is there and cannot be opened; permissions do not stop root.
    const closed = join(root, place === "" ? "circle" : place);
    symlinkSync(closed, closed);
    const named = place === "" ? closed : root;
    const failure = expect.objectContaining({ code: "IO", where: { path: closed } });
    const commands = [recognise, (at: string) => findNuScenes(at, undefined, "all")];
    // Who looks for nuScenes alone does not look into the other set.
    for (const take of commands.slice(0, place === "data/YouTube" ? 1 : 2)) {
      expect(() => take(named)).toThrow(failure);
    }
    await expect(collectStats(named, { annos: [join(root, "annos/nuScenes.json")] })).rejects.toEqual(
      failure,
    );
  },
);

it.each(["data/nuscenes", "data/YouTube", "annos", "v1.0-trainval"])(
  "a link to a disk that is not mounted is not a set, or a version, that is not there: %s",
  async (place) => {
    const others = place === "v1.0-trainval" ? tables("v1.0-mini") : frames("full_images/a/b");
    const root = folderOf(...others, "data/.keep");
    symlinkSync("/no/such/disk", join(root, place));
    const failure = expect.objectContaining({
      code: "IO",
      what: "is a symbolic link that leads nowhere (a disk that is not mounted?)",
      where: { path: join(root, place) },
    });
    expect(() => recognise(root)).toThrow(failure);
    // A link beside the sets is nobody's matter.
    unlinkSync(join(root, place));
    symlinkSync("/no/such/disk", join(root, "elsewhere"));
    expect(said(() => recognise(root))).toBe("nothing");
  },
);

/** Runs something as a user whom permissions stop, where the tests run as root. */
async function asNobody<T>(work: () => Promise<T>): Promise<T> {
  const isRoot = process.geteuid?.() === 0;
  if (isRoot) process.seteuid?.(65534);
  try {
    return await work();
  } finally {
    if (isRoot) process.seteuid?.(0);
  }
}

it.skipIf(process.platform === "win32")(
  "files in a folder that may be listed but not looked into are none, for every check",
  async () => {
    const frame = (i: number) =>
      `data/nuscenes/samples/CAM_FRONT/n__CAM_FRONT__${1532402927612460 + i * 83_333}.jpg`;
    const images = Array.from({ length: 25 }, (_, i) => frame(i));
    const youtube = Array.from({ length: 25 }, (_, i) => `data/YouTube/v/${String(i).padStart(9, "0")}.jpg`);
    const root = folderOf(...images, ...youtube, "annos/nuScenes.json", "annos/YouTube.json");
    const record = {
      ...{ frames: images.map((path) => path.slice("data/nuscenes/".length)), traj: Array(10).fill(0) },
      ...{ cmd: 3, speed: [1, 1, 1, 1, 1], angle: [1, 1, 1, 1, 1], z: 1, goal: [1, 1] },
    };
    const files = ["nuScenes", "YouTube"].map((name) => join(root, `annos/${name}.json`));
    writeFileSync(files[0]!, JSON.stringify([record]));
    writeFileSync(files[1]!, '[{"folder_name": "v", "first_frame": "000000000.jpg"}]');
    const closed = ["data/nuscenes/samples/CAM_FRONT", "data/YouTube/v"].map((path) => join(root, path));
    const rules = () =>
      asNobody(async () => (await collect(checkAnnotations(files, { root }))).map(({ rule }) => rule));
    for (const folder of [root, dirname(root)]) chmodSync(folder, 0o711);
    expect(await rules()).toEqual([]);
    for (const folder of closed) chmodSync(folder, 0o644);
    try {
      expect(await rules()).toEqual(["annos/frame-missing", "annos/folder-missing"]);
      const said = await asNobody(() => listing(closed[0]!));
      expect(said).toBe("cannot be looked into (EACCES)");
    } finally {
      for (const folder of [...closed, dirname(root)]) chmodSync(folder, 0o700);
    }
  },
);

it("a version that cannot be looked into is not one without tables", () => {
  const root = folderOf(...tables("v1.0-mini"));
  const closed = join(root, "v1.0-trainval");
  symlinkSync(closed, closed);
  const failure = expect.objectContaining({ code: "IO", where: { path: closed } });
  expect(() => recognise(root)).toThrow(failure);
});

it("validation images are known by the tables of any version that is there", () => {
  const root = folderOf("v1.0-trainval/.keep");
  const write = (name: string, rows: unknown[]) => {
    mkdirSync(join(root, "v1.0-mini"), { recursive: true });
    writeFileSync(join(root, "v1.0-mini", `${name}.json`), JSON.stringify(rows));
  };
  write("log", [{ token: "l", logfile: "n015" }]);
  write("sample", [
    { token: "a", timestamp: 1532402927647951 },
    { token: "b", timestamp: 1532402937647951 },
  ]);
  write("scene", [
    { token: "s", name: "scene-0103", log_token: "l", first_sample_token: "a", last_sample_token: "b" },
  ]);
  const image = "samples/CAM_FRONT/n015__CAM_FRONT__1532402930000000.jpg";
  expect(new ValidationScenes(root).sceneOf(image)).toBe("scene-0103");
});

it("a preview finds a sample in whichever version it is", () => {
  const root = folderOf(...tables("v1.0-trainval"), ...tables("v1.0-test"));
  const token = "0123456789abcdef0123456789abcdef";
  const row = {
    ...{ token: "d", sample_token: token, is_key_frame: true, next: "", prev: "", timestamp: 1 },
    ...{ filename: "samples/CAM_FRONT/n015__CAM_FRONT__1532402930000000.jpg", fileformat: "jpg" },
  };
  writeFileSync(join(root, "v1.0-test/sample_data.json"), JSON.stringify([row]));
  expect(findClip(token, { root }).frames).toEqual([join(root, row.filename)]);
  expect(() => findClip(token.replace("0", "f"), { root })).toThrow(
    /no CAM_FRONT key frame of sample f.* in v1\.0-trainval, v1\.0-test/,
  );
});
