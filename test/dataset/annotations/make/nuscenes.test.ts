/** nuScenes.json from tables: the rules, one by one, on small sets where the answer is plain; test/peers has random ones. */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { motionAt } from "../../../../src/dataset/annotations/make/can-bus.js";
import {
  type NuScenesAnnotationOptions,
  writeNuScenesAnnotations,
} from "../../../../src/dataset/annotations/make/nuscenes.js";
import { pythonFloat, pythonString } from "../../../../src/dataset/annotations/make/python-json.js";
import { commandOf } from "../../../../src/dataset/annotations/make/records.js";
import { readSceneChoice } from "../../../../src/dataset/annotations/make/source.js";
import type { NuScenesRecord } from "../../../../src/dataset/annotations/nuscenes-rows.js";
import { officialScenes } from "../../../../src/dataset/nuscenes/splits.js";
import { runCli } from "../../../helpers/cli.js";
import { type Row, Sets, type TestSet, VERSION } from "../../nuscenes/set.js";

const sets = new Sets();
/** Scenes 1 (train) and 3 (val) with 6 samples each; the car drives straight on, at 3 m a sample. */
let plain: TestSet;
const STEP = 3;

beforeAll(async () => {
  plain = await sets.make({ sceneNumbers: [1, 3], samples: 6, boxes: 1, files: "none" });
  straighten(plain);
});
afterAll(() => sets.clear());

/** Ego poses along x from the sample's number on, no turn; the lidar looks forward along its y, the camera along its z. */
function straighten(set: TestSet): void {
  const order = new Map<string, number>();
  for (const sample of set.rows("sample")) {
    const before = order.get(sample.prev);
    order.set(sample.token, before === undefined ? 0 : before + 1);
  }
  const at = new Map(
    set.rows("sample_data").map((row) => [row.ego_pose_token, order.get(row.sample_token)!]),
  );
  set.edit("ego_pose", (rows) => {
    for (const row of rows) {
      row.translation = [100 + STEP * at.get(row.token)!, 50, 0];
      row.rotation = [1, 0, 0, 0];
    }
  });
  const channels = new Map(set.rows("sensor").map((row) => [row.token, row.channel]));
  set.edit("calibrated_sensor", (rows) => {
    for (const row of rows) {
      const channel = channels.get(row.sensor_token);
      row.translation = channel === "LIDAR_TOP" ? [0.5, 0, 2] : [1.5, 0, 1.5];
      // A quarter turn about z; and forward, left, up to the camera's z, −x, −y.
      row.rotation = channel === "LIDAR_TOP" ? [Math.SQRT1_2, 0, 0, -Math.SQRT1_2] : [0.5, -0.5, 0.5, -0.5];
      if (channel === "CAM_FRONT")
        row.camera_intrinsic = [
          [1000, 0, 800],
          [0, 1000, 450],
          [0, 0, 1],
        ];
    }
  });
}

async function make(set: TestSet, options: NuScenesAnnotationOptions = {}) {
  const path = set.path("nuScenes.json");
  const result = await writeNuScenesAnnotations(set.root, path, { split: "train", fsync: false, ...options });
  const text = readFileSync(path, "utf8");
  return { result, text, records: JSON.parse(text) as NuScenesRecord[] };
}

function monitor(set: TestSet, scene: number): string {
  return set.path("can_bus", `scene-000${scene}_vehicle_monitor.json`);
}

/** Rows of a channel in the order of time. */
function chainOf(rows: Row[], channel: string): Row[] {
  return rows
    .filter((row) => row.filename.includes(`/${channel}/`))
    .sort((a, b) => a.timestamp - b.timestamp);
}

describe("the rules", () => {
  it("on a straight road: frames, trajectory, command, speed, angle and goal are what one sees", async () => {
    const { records, result } = await make(sets.copy(plain));
    const front = chainOf(plain.rows("sample_data"), "CAM_FRONT");
    const scene = plain.rows("scene").find((row) => row.name === "scene-0001")!;
    const own = front.filter((row) => {
      const sample = plain.rows("sample").find(({ token }) => token === row.sample_token)!;
      return sample.scene_token === scene.token;
    });
    expect(records).toHaveLength(2);
    const messages = JSON.parse(readFileSync(monitor(plain, 1), "utf8")) as Row[];
    for (const [i, record] of records.entries()) {
      expect(record.frames).toEqual(own.slice(6 * i, 6 * i + 25).map((row) => row.filename));
      expect(record.traj.map((value) => Math.round(value * 1e9) / 1e9 + 0)).toEqual([
        0, 0, 0, 3, 0, 6, 0, 9, 0, 12,
      ]);
      expect(record.cmd).toBe(3);
      // 12 m on, 1 m behind the camera's own place in the car, half a metre above it.
      expect(record.z).toBeCloseTo(11, 9);
      expect(record.goal[0]).toBeCloseTo(800, 9);
      expect(record.goal[1]).toBeCloseTo(450 - (1000 * 0.5) / 11, 9);
      expect(record.speed).toHaveLength(5);
      expect(messages.map((message) => message.vehicle_speed)).toEqual(expect.arrayContaining(record.speed));
    }
    expect(result).toMatchObject({
      version: VERSION, records: 2, scenes: 1, scenesWanted: 700, samples: 6,
      skipped: { endOfScene: 4, chainTooShort: 0, noKeyFrame: 0 },
      commands: { right: 0, left: 0, stop: 0, forward: 2 }, speeds: 2, goals: 2,
      noCanBus: { scenes: [], records: 0 }, repeatedKeyFrames: 0,
    }); // biome-ignore format: one fact each
  });

  it.each([
    [2, 50, 1], [1.999999, 50, 3], [-2, 50, 0], [-1.999999, 50, 3], [0, 2, 2], [0, 2.000001, 3], [0, -5, 2], [2, 0, 1],
  ])("%d m to the left and %d m forward is command %i", (left, forward, command) => {
    expect(commandOf(left, forward)).toBe(command);
  }); // biome-ignore format: a table

  it("the message of a sample is at the first local minimum; of two as near, the first", async () => {
    const set = sets.copy(plain);
    const scene = set.rows("scene").find((row) => row.name === "scene-0001")!;
    const times = set
      .rows("sample")
      .filter((row) => row.scene_token === scene.token)
      .map((row) => row.timestamp)
      .sort();
    const message = (utime: number, i: number) => ({ utime, vehicle_speed: i, steering: -i });
    // 100 ms off, 100 ms off on the other side (no nearer), then exact: nobody comes that far for the first sample.
    const utimes = [times[0] - 100_000, times[0] + 100_000, times[0], ...times.slice(1)];
    writeFileSync(monitor(set, 1), JSON.stringify(utimes.map(message)));
    const { records } = await make(set);
    // For later samples the way leads over message 1, and stops there since message 2 is further away.
    expect(records[0]!.speed).toEqual([0, 1, 1, 1, 1]);
    expect(records[0]!.angle.map((value) => value + 0)).toEqual([0, -1, -1, -1, -1]);
  });

  it("records stand in the order of scene tokens and times, whatever the tables' order", async () => {
    const set = sets.copy(plain);
    set.edit("sample", (rows) => rows.reverse());
    set.edit("scene", (rows) => rows.reverse());
    const { records } = await make(set, { split: "all" });
    const scenes = [...set.rows("scene")].sort((a, b) => (a.token < b.token ? -1 : 1));
    const samples = new Map(set.rows("sample").map((row) => [row.token, row]));
    const data = new Map(set.rows("sample_data").map((row) => [row.filename, row]));
    const found = records.map(({ frames }) => samples.get(data.get(frames[0]!)!.sample_token)!);
    expect(found.map((row) => row.scene_token)).toEqual(scenes.flatMap((row) => [row.token, row.token]));
    expect(found[0]!.timestamp).toBeLessThan(found[1]!.timestamp);
    expect(found[2]!.timestamp).toBeLessThan(found[3]!.timestamp);
  });

  it("another clip and another number of samples: as many frames and points", async () => {
    const { records, result } = await make(sets.copy(plain), {
      clip: 13,
      keyFrames: 3,
      split: ["scene-0003"],
      force: true,
    });
    expect(records).toHaveLength(4);
    for (const { frames, traj, speed } of records)
      expect([frames.length, traj.length, speed.length]).toEqual([13, 6, 3]);
    expect(result.skipped.endOfScene).toBe(2);
  });

  it("a sample starts no record where its key frame, or one on the way, is none, or the chain ends", async () => {
    const set = sets.copy(plain);
    set.edit("sample_data", (rows) => {
      // The last frame of the scene, which is the second record's 25th.
      const front = chainIn(set, "CAM_FRONT", rows);
      const last = front.at(-1)!;
      front.at(-2)!.next = "";
      return rows.filter((row) => row !== last);
    });
    const { result } = await make(set, { split: "all" });
    expect(result).toMatchObject({ records: 3, skipped: { endOfScene: 8, chainTooShort: 1, noKeyFrame: 0 } });
    set.edit("sample_data", (rows) => {
      chainOf(rows, "CAM_FRONT").find((row) => row.is_key_frame)!.is_key_frame = false;
    });
    expect((await make(set, { split: "all", force: true })).result).toMatchObject({
      records: 2, skipped: { endOfScene: 8, chainTooShort: 1, noKeyFrame: 1 },
    }); // biome-ignore format: short
  });

  it.each([
    ["no folder", (set: TestSet) => rmSync(set.path("can_bus"), { recursive: true })],
    ["no file", (set: TestSet) => rmSync(monitor(set, 1))],
    ["no message", (set: TestSet) => writeFileSync(monitor(set, 1), "[]")],
  ])("without CAN bus (%s) speed and angle are empty, and the scene is counted", async (_, change) => {
    const set = sets.copy(plain);
    change(set);
    const { records, result } = await make(set);
    for (const { speed, angle } of records) expect([speed, angle]).toEqual([[], []]);
    expect(result.noCanBus).toEqual({ scenes: ["scene-0001"], records: 2 });
    expect(result.speeds).toBe(0);
  });

  it("of two key frames of one sensor the last row counts, as in the devkit, and that is told", async () => {
    const set = sets.copy(plain);
    set.edit("sample_data", (rows) => {
      const front = chainOf(rows, "CAM_FRONT");
      front[1]!.is_key_frame = true;
      front[1]!.sample_token = front[0]!.sample_token;
      return [...rows.filter((row) => row !== front[1]), front[1]!];
    });
    const { result } = await make(set, { split: "all" });
    expect(result).toMatchObject({ repeatedKeyFrames: 1, records: 3, skipped: { noKeyFrame: 1 } });
  });
});

/** Rows that a record of scene-0001 needs, damaged or taken away, and what is said. */
const DAMAGE: [name: string, change: (set: TestSet) => unknown, said: RegExp][] = [
  ["a LIDAR_TOP key frame is gone", (set) => set.edit("sample_data", (rows) => drop(rows, "LIDAR_TOP")), /sample\.json: sample \w+: at byte \d+: the sample has no key frame of LIDAR_TOP/],
  ["an ego pose is gone", (set) => set.edit("ego_pose", (rows) => without(rows, keyOf(set, "LIDAR_TOP").ego_pose_token)), /sample_data\.json: sample_data \w+: at byte \d+: ego_pose_token names ego_pose "\w+", which is not there/],
  ["an ego pose has three numbers", (set) => set.edit("ego_pose", (rows) => find(rows, keyOf(set, "LIDAR_TOP").ego_pose_token).rotation.pop()), /ego_pose\.json: ego_pose \w+: at byte \d+: field "rotation" is an array of 3 \(number\), not 4 numbers/],
  ["an ego pose has a fourth place, which is null", (set) => set.edit("ego_pose", (rows) => find(rows, keyOf(set, "LIDAR_TOP").ego_pose_token).translation.push(null)), /ego_pose \w+: at byte \d+: field "translation" is an array of mixed types, not 3 numbers/],
  ["a calibration has a fifth part, which is an object", (set) => set.edit("calibrated_sensor", (rows) => find(rows, keyOf(set, "CAM_FRONT").calibrated_sensor_token).rotation.push({})), /calibrated_sensor \w+: at byte \d+: field "rotation" is an array of mixed types, not 4 numbers/],
  ["an ego pose is no rotation", (set) => set.edit("ego_pose", (rows) => { find(rows, keyOf(set, "CAM_FRONT").ego_pose_token).rotation = [0, 0, 0, 0]; }), /ego_pose.*"rotation" is 0, which is no rotation/],
  ["an ego pose is far away", (set) => set.edit("ego_pose", (rows) => { find(rows, keyOf(set, "LIDAR_TOP").ego_pose_token).translation = [0, 1e308, 0]; }), /ego_pose.*"translation" has 1e\+308 m, beyond 10000 km/],
  ["a file is named by an absolute path", (set) => set.edit("sample_data", (rows) => { find(rows, keyOf(set, "CAM_FRONT").token).filename = "/data/x.jpg"; }), /sample_data \w+: at byte \d+: field "filename" is an absolute path/],
  ["two ego poses have one token", (set) => set.edit("ego_pose", (rows) => [...rows, find(rows, keyOf(set, "CAM_FRONT").ego_pose_token)]), /ego_pose \w+: at byte \d+: two rows have this token/],
  ["the calibration is gone", (set) => set.edit("calibrated_sensor", (rows) => without(rows, keyOf(set, "LIDAR_TOP").calibrated_sensor_token)), /sample_data \w+: at byte \d+: its channel is not known: the calibrated_sensor or its sensor is not there/],
  ["the camera has no intrinsic", (set) => set.edit("calibrated_sensor", (rows) => { find(rows, keyOf(set, "CAM_FRONT").calibrated_sensor_token).camera_intrinsic = []; }), /calibrated_sensor \w+: at byte \d+: field "camera_intrinsic" is empty, but CAM_FRONT is a camera/],
  ["a sweep is gone and the row before still names it", (set) => set.edit("sample_data", (rows) => without(rows, chainIn(set, "CAM_FRONT")[3]!.token)), /sample_data \w+: at byte \d+: next names sample_data "\w+", which is not there/],
  ["next is a number", (set) => set.edit("sample_data", (rows) => { find(rows, chainIn(set, "CAM_FRONT")[3]!.token).next = 5; }), /field "next" is the number 5, not a string/],
  ["a sweep has no file name", (set) => set.edit("sample_data", (rows) => { find(rows, chainIn(set, "CAM_FRONT")[3]!.token).filename = null; }), /field "filename" is null/],
  ["a key frame does not say so", (set) => set.edit("sample_data", (rows) => { find(rows, keyOf(set, "CAM_FRONT").token).is_key_frame = "yes"; }), /field "is_key_frame" is the string "yes", not true or false/],
  ["a key frame does not say of which sample", (set) => set.edit("sample_data", (rows) => { find(rows, keyOf(set, "CAM_FRONT").token).sample_token = 7; }), /field "sample_token" is the number 7/],
  ["a row is no object", (set) => set.edit("sample_data", (rows) => rows.map((row) => (row.token === keyOf(set, "CAM_FRONT").token ? [] : row))), /sample_data\.json: at byte \d+: the row is an array/],
  ["a sample is gone, and not its frames: the trajectory would go on to the one after it", (set) => set.edit("sample", (rows) => without(rows, sampleIn(set, rows, 1).token)), /sample_data \w+: at byte \d+: sample_token names sample "\w+", which is not there/],
  ["a sample has no time", (set) => set.edit("sample", (rows) => { sampleIn(set, rows, 1).timestamp = null; }), /sample \w+: at byte \d+: field "timestamp" is null \(or NaN\), not a time/],
  ["a sample's scene is gone", (set) => set.edit("scene", (rows) => rows.filter((row) => row.name !== "scene-0001")), /scene_token names scene "\w+", which is not there/],
  ["a table is cut off", (set) => truncateSync(set.path(VERSION, "ego_pose.json"), 5000), /ego_pose\.json: at byte 5000: not JSON: the file ends inside row/],
  ["a table is gone", (set) => rmSync(set.path(VERSION, "sensor.json")), /sensor\.json: the table is not there/],
  ["a message has no speed", (set) => messages(set, (list) => { delete list[0]!.vehicle_speed; }), /vehicle_monitor\.json: message 0: "vehicle_speed" is missing/],
  ["a message has no time", (set) => messages(set, (list) => { list[0]!.utime = "noon"; }), /message 0: "utime" is the string "noon", not a number/],
  ["the messages are cut off", (set) => truncateSync(monitor(set, 1), 300), /vehicle_monitor\.json: at byte 300: not JSON: the file ends before its JSON does/],
  ["the messages are no list", (set) => writeFileSync(monitor(set, 1), "{}"), /vehicle_monitor\.json: is an object, not a list of messages/],
]; // biome-ignore format: one case a line

describe("a row that a record needs is named when it is damaged, and nothing is written", () => {
  it.each(DAMAGE)("%s", async (_, change, said) => {
    const set = sets.copy(plain);
    change(set);
    await expect(make(set)).rejects.toThrow(said);
    expect(readdirSync(set.root).filter((name) => name.includes("nuScenes.json"))).toEqual([]);
  });

  it("a can_bus that is a link to a disk that is not mounted is not one without messages", async () => {
    const set = sets.copy(plain);
    rmSync(set.path("can_bus"), { recursive: true });
    symlinkSync("/no/such/disk", set.path("can_bus"));
    await expect(make(set)).rejects.toThrow(/can_bus: is a symbolic link that leads nowhere/);
  });

  it("the same damage does not matter in a scene that nobody asked for", async () => {
    for (const [name, change] of DAMAGE) {
      if (/table|scene is gone|is no object/.test(name)) continue;
      const set = sets.copy(plain);
      change(set);
      expect((await make(set, { split: "val" })).records, name).toHaveLength(2);
    }
  });

  it("damage to rows and fields that no record needs does not matter", async () => {
    const set = sets.copy(plain);
    const { text } = await make(set);
    set.edit("sample_data", (rows) => {
      const [radar, front] = [chainOf(rows, "RADAR_FRONT"), chainOf(rows, "CAM_FRONT")];
      for (const row of radar) Object.assign(row, { ego_pose_token: "gone", next: 3, filename: 0 });
      for (const row of front) Object.assign(row, { height: "tall", prev: null, timestamp: "late" });
    });
    writeFileSync(set.path(VERSION, "sample_annotation.json"), "[{");
    for (const table of ["instance", "map", "log", "category"]) rmSync(set.path(VERSION, `${table}.json`));
    messages(set, (list) => list.push({ utime: 9e15 }, { utime: "never" }));
    expect((await make(set, { force: true })).text).toBe(text);
  });
});

it("times in milliseconds get no speed of another moment: a message half a minute away is refused", () => {
  const utime = 1532402927647951;
  const monitor = {
    path: "can_bus/scene-0061_vehicle_monitor.json",
    messages: [{ utime, vehicle_speed: 9, steering: 2 }],
  };
  expect(motionAt(monitor, utime - 30_000_000)).toEqual({ speed: 9, angle: 2 });
  for (const time of [Math.round(utime / 1000), utime - 30_000_001]) {
    expect(() => motionAt(monitor, time)).toThrow(
      expect.objectContaining({ code: "FORMAT", where: { path: monitor.path, record: "message 0" } }),
    );
  }
});

describe("the file", () => {
  it("is what Python's json.dump(records, file, indent=4) writes, floats with their point", () => {
    expect([0, -0, 25, -3.5, 1e15, 1e16, 123456789.125, 0.0001, 0.00001, -1.5e-7, 1e22].map(pythonFloat)).toEqual([
      "0.0", "-0.0", "25.0", "-3.5", "1000000000000000.0", "1e+16", "123456789.125", "0.0001", "1e-05", "-1.5e-07", "1e+22",
    ]); // biome-ignore format: a table
    expect(pythonString('a"\\é\u007f\n😀')).toBe('"a\\"\\\\\\u00e9\\u007f\\n\\ud83d\\ude00"');
  });

  it("is there when it is whole: refused where one is, and gone after a stop", async () => {
    const set = sets.copy(plain);
    const path = set.path("nuScenes.json");
    writeFileSync(path, "old");
    await expect(make(set)).rejects.toMatchObject({ code: "EXISTS" });
    const controller = new AbortController();
    const stopped = make(set, {
      force: true,
      signal: controller.signal,
      onProgress: ({ phase }) => phase === "make records" && controller.abort(),
      split: "all",
    });
    await expect(stopped).rejects.toMatchObject({ code: "ABORTED" });
    expect(readFileSync(path, "utf8")).toBe("old");
    expect(readdirSync(set.root).filter((name) => name.endsWith(".partial"))).toEqual([]);
    await expect(make(set, { force: true, split: ["scene-0002"] })).rejects.toMatchObject({
      code: "INCOMPLETE",
    });
    expect(readFileSync(path, "utf8")).toBe("old");
  });
});

describe("splits", () => {
  it("have their numbers of scenes, and no scene twice", () => {
    const sizes = (["train", "val", "test", "mini_train", "mini_val"] as const).map(
      (name) => officialScenes(name).size,
    );
    expect(sizes).toEqual([700, 150, 150, 8, 2]);
    const all = (["train", "val", "test"] as const).flatMap((name) => [...officialScenes(name)]);
    expect(new Set(all).size).toBe(1000);
  });

  it("may be a file of names, with remarks or as JSON", async () => {
    const set = sets.copy(plain);
    const file = set.path("scenes.txt");
    writeFileSync(file, "# mine\nscene-0001  # the first\n\r\nscene-0003\r\n");
    expect(await readSceneChoice(file)).toEqual(["scene-0001", "scene-0003"]);
    for (const mark of ["", "\ufeff"]) {
      writeFileSync(file, `${mark}["scene-0003"]`);
      expect(await readSceneChoice(file)).toEqual(["scene-0003"]);
      writeFileSync(file, `${mark}scene-0003`);
      expect(await readSceneChoice(file)).toEqual(["scene-0003"]);
    }
    expect(await readSceneChoice("mini_val")).toBe("mini_val");
    await expect(readSceneChoice("trian")).rejects.toThrow(/--split trian is neither an official split/);
    writeFileSync(file, "\n");
    await expect(readSceneChoice(file)).rejects.toThrow(/names no scene/);
  });

  it("choose the version that they belong to, and several without one want a name", async () => {
    const set = sets.copy(plain);
    mkdirSync(set.path("v1.0-trainval"));
    for (const name of readdirSync(set.path(VERSION)))
      writeFileSync(set.path("v1.0-trainval", name), readFileSync(set.path(VERSION, name)));
    expect((await make(set)).result.version).toBe("v1.0-trainval");
    await expect(make(set, { force: true, split: "all" })).rejects.toMatchObject({ code: "AMBIGUOUS" });
    const { result } = await make(set, { force: true, split: "all", version: VERSION });
    expect([result.version, result.records]).toEqual([VERSION, 4]);
    await expect(make(set, { force: true, version: "v1.0-other" })).rejects.toMatchObject({
      code: "NOT_FOUND",
    });
  });
});

describe("vista-data annos nuscenes", () => {
  it("--force replaces nothing that the file is made from, under no name", async () => {
    const set = sets.copy(plain);
    mkdirSync(set.path("annos"));
    writeFileSync(set.path("scenes.json"), '["scene-0001"]');
    symlinkSync(set.path(VERSION, "log.json"), set.path("annos/link.json"));
    const table = `${VERSION}/sample_data.json`;
    for (const output of [
      table,
      "annos/link.json",
      "can_bus/scene-0003_vehicle_monitor.json",
      "scenes.json",
    ]) {
      const before = readFileSync(set.path(output), "utf8");
      const args = ["annos", "nuscenes", "--split", "scenes.json", "--force", "-o", output];
      const { code, stderr } = await runCli("vista-data", args, { cwd: set.root });
      expect([output, code]).toEqual([output, 2]);
      expect(stderr).toContain(`${output}: the output would take the place of a file that it is made from`);
      expect(readFileSync(set.path(output), "utf8") === before).toBe(true);
    }
    // A file of that name elsewhere, or of another name beside the tables, is none of them.
    for (const output of ["sample_data.json", `${VERSION}/nuScenes.json`]) {
      writeFileSync(set.path(output), "old");
      const args = ["annos", "nuscenes", "--split", "scenes.json", "--force", "-o", output];
      expect((await runCli("vista-data", args, { cwd: set.root })).code).toBe(0);
    }
  });

  it("writes the files that check calls clean, from a Vista root, and says what it made", async () => {
    const set = sets.copy(plain);
    rmSync(monitor(set, 1));
    mkdirSync(set.path("annos"));
    for (const file of JSON.parse((await make(set, { split: "all" })).text).flatMap(
      (one: NuScenesRecord) => one.frames,
    )) {
      mkdirSync(set.path(file, ".."), { recursive: true });
      writeFileSync(set.path(file), "");
    }
    const run = (...args: string[]) =>
      runCli("vista-data", ["annos", "nuscenes", ...args], { cwd: set.root });
    const train = await run();
    expect([train.code, train.stderr]).toEqual([0, ""]);
    expect(train.stdout).toContain("annos/nuScenes.json: 2 records of 25 frames");
    expect(train.stdout).toContain(
      "no record: 4 samples near the end of their scene, 0 with too few frames, 0 without",
    );
    expect(train.stdout).toContain("commands: right 0, left 0, stop 0, forward 2");
    expect(train.stdout).toContain(
      "note: 1 scene without CAN bus messages, 2 records without speed and angle: scene-0001",
    );
    const val = await run("--split", "val", "--json");
    expect(JSON.parse(val.stdout)).toMatchObject({ path: "annos/nuScenes_val.json", records: 2, speeds: 2 });
    const check = await runCli("vista-data", ["check", set.root, "--kind", "annotations"]);
    expect(check.stdout).toMatch(/Verdict: all seen, not looked at: .*: (clean|no errors)/);
    expect(check.code).toBe(0);
    expect((await run()).stderr).toMatch(/already exists/);
    expect([
      (await run("--split", "all")).code,
      (await run("--split", "trian", "-o", "x.json")).code,
    ]).toEqual([2, 2]);
    expect(existsSync(set.path("x.json"))).toBe(false);
  });
});

function messages(set: TestSet, change: (list: Row[]) => unknown): void {
  const list = JSON.parse(readFileSync(monitor(set, 1), "utf8")) as Row[];
  change(list);
  writeFileSync(monitor(set, 1), JSON.stringify(list));
}

function find(rows: Row[], token: string): Row {
  return rows.find((row) => row.token === token)!;
}

function without(rows: Row[], token: string): Row[] {
  return rows.filter((row) => row.token !== token);
}

/** Rows of scene-0001 of a channel, in the order of time. */
function chainIn(set: TestSet, channel: string, rows = set.rows("sample_data")): Row[] {
  const scene = set.rows("scene").find((row) => row.name === "scene-0001")!;
  const samples = new Set(
    set
      .rows("sample")
      .filter((row) => row.scene_token === scene.token)
      .map((row) => row.token),
  );
  return chainOf(rows, channel).filter((row) => samples.has(row.sample_token));
}

/** The key frame of the first sample of scene-0001. */
function keyOf(set: TestSet, channel: string): Row {
  return chainIn(set, channel)[0]!;
}

function sampleIn(set: TestSet, rows: Row[], at: number): Row {
  const scene = set.rows("scene").find((row) => row.name === "scene-0001")!;
  return rows.filter((row) => row.scene_token === scene.token).sort((a, b) => a.timestamp - b.timestamp)[at]!;
}

function drop(rows: Row[], channel: string): Row[] {
  const first = chainOf(rows, channel).find((row) => row.is_key_frame)!;
  return rows.filter((row) => row !== first);
}
