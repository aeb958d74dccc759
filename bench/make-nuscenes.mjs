/**
 * Makes a valid nuScenes v1.0 set of any size, the same for the same options: all 13 tables with right keys, chains and
 * counts, key frames at 2 Hz and sweeps in between, and (if asked for) the files they name.
 *
 * From the shell: node bench/make-nuscenes.mjs FOLDER [--scenes 10] [--samples 40] [--boxes 30] [--version v1.0-mini]
 *   [--files none|sparse|small] [--seed 0] [--lidarseg] [--no-can-bus] [--width 1600 --height 900]
 */
import { closeSync, mkdirSync, openSync, truncateSync, writeFileSync, writeSync } from "node:fs";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";

const CAMERAS = [
  "CAM_FRONT",
  "CAM_FRONT_RIGHT",
  "CAM_BACK_RIGHT",
  "CAM_BACK",
  "CAM_BACK_LEFT",
  "CAM_FRONT_LEFT",
];
const RADARS = [
  "RADAR_FRONT",
  "RADAR_FRONT_LEFT",
  "RADAR_FRONT_RIGHT",
  "RADAR_BACK_LEFT",
  "RADAR_BACK_RIGHT",
];
export const CHANNELS = [...CAMERAS, "LIDAR_TOP", ...RADARS];

/** Frames between two key frames: cameras at 12 Hz, the lidar at 20 Hz, radars at about 13 Hz. */
const PER_INTERVAL = { camera: 6, lidar: 10, radar: 6.5 };
const EXTENSION = { camera: "jpg", lidar: "pcd.bin", radar: "pcd" };
const FILE_FORMAT = { camera: "jpg", lidar: "pcd", radar: "pcd" };

const CATEGORIES = [
  "human.pedestrian.adult", "human.pedestrian.child", "human.pedestrian.wheelchair", "human.pedestrian.stroller",
  "human.pedestrian.personal_mobility", "human.pedestrian.police_officer", "human.pedestrian.construction_worker",
  "animal", "vehicle.car", "vehicle.motorcycle", "vehicle.bicycle", "vehicle.bus.bendy", "vehicle.bus.rigid",
  "vehicle.truck", "vehicle.construction", "vehicle.emergency.ambulance", "vehicle.emergency.police",
  "vehicle.trailer", "movable_object.barrier", "movable_object.trafficcone", "movable_object.pushable_pullable",
  "movable_object.debris", "static_object.bicycle_rack",
]; // biome-ignore format: a list of names
const LIDARSEG_CATEGORIES = [
  "noise", "flat.driveable_surface", "flat.sidewalk", "flat.terrain", "flat.other", "static.manmade",
  "static.vegetation", "static.other", "vehicle.ego",
]; // biome-ignore format: a list of names
const ATTRIBUTES = [
  "vehicle.moving", "vehicle.stopped", "vehicle.parked", "cycle.with_rider", "cycle.without_rider",
  "pedestrian.sitting_lying_down", "pedestrian.standing", "pedestrian.moving",
]; // biome-ignore format: a list of names
const VISIBILITIES = ["v0-40", "v40-60", "v60-80", "v80-100"];
const LOCATIONS = [
  "singapore-onenorth",
  "singapore-hollandvillage",
  "singapore-queenstown",
  "boston-seaport",
];
const MINI_SCENES = [61, 103, 553, 655, 757, 796, 916, 1077, 1094, 1100];
const NO_CAN_BUS = new Set([
  161, 162, 163, 164, 165, 166, 167, 168, 170, 171, 172, 173, 174, 175, 176, 309, 310, 311, 312, 313, 314,
  419,
]);

/** A small generator of random numbers (xorshift128), seeded. */
class Random {
  constructor(seed) {
    this.s = new Uint32Array([0x9e3779b9 ^ seed, 0x243f6a88 + seed, 0xb7e15162, 0x8aed2a6b]);
    for (let i = 0; i < 16; i++) this.word();
  }
  word() {
    const s = this.s;
    let t = s[3];
    t ^= t << 11;
    t ^= t >>> 8;
    s[3] = s[2];
    s[2] = s[1];
    s[1] = s[0];
    s[0] = t ^ s[0] ^ (s[0] >>> 19);
    return s[0];
  }
  /** 0 ≤ x < 1 */
  next() {
    return this.word() / 0x1_0000_0000;
  }
  between(low, high) {
    return low + Math.floor(this.next() * (high - low + 1));
  }
  token() {
    let text = "";
    for (let i = 0; i < 4; i++) text += this.word().toString(16).padStart(8, "0");
    return text;
  }
  shuffle(list) {
    for (let i = list.length - 1; i > 0; i--) {
      const j = this.between(0, i);
      [list[i], list[j]] = [list[j], list[i]];
    }
    return list;
  }
}

/** A table written row by row, one field a line as in the official files. */
class Table {
  #fd;
  #rows = 0;
  #pending = "[";
  constructor(folder, name) {
    mkdirSync(folder, { recursive: true });
    this.#fd = openSync(join(folder, `${name}.json`), "w");
  }
  add(row) {
    this.#pending += `${this.#rows++ === 0 ? "" : ","}\n${formatRow(row)}`;
    if (this.#pending.length > 1 << 20) this.#flush();
  }
  #flush() {
    writeSync(this.#fd, this.#pending);
    this.#pending = "";
  }
  close() {
    this.#pending += "\n]";
    this.#flush();
    closeSync(this.#fd);
    return this.#rows;
  }
}

function formatRow(row) {
  let text = "{";
  for (const key in row) text += `${text === "{" ? "" : ","}\n"${key}": ${formatValue(row[key])}`;
  return `${text}\n}`;
}

function formatValue(value) {
  if (!Array.isArray(value)) return typeof value === "string" ? `"${value}"` : String(value);
  return value.length === 0 ? "[]" : `[\n${value.map(formatValue).join(",\n")}\n]`;
}

function modalityOf(channel) {
  return channel.startsWith("CAM") ? "camera" : channel.startsWith("LIDAR") ? "lidar" : "radar";
}

/**
 * @param {string} root  the folder that gets `v1.0-…`, `samples`, `sweeps`, `maps`, `can_bus`
 * @param {object} options
 *   `scenes`, `samples` (key frames of each scene), `boxes` (annotations of each sample), `version`, `channels`, `seed`,
 *   `files`: `none`, `sparse` (a byte each, which takes no room on the disk) or `small` (the buffer `options.image` for each picture, small point clouds),
 *   `lidarseg`, `canBus`, `width` and `height` (of the pictures, as the tables say), `sceneNumbers`,
 *   `sweeps` (false: key frames only)
 * @returns {Record<string, number>} rows of each table, and `files`
 */
export function makeNuScenes(root, options = {}) {
  const {
    scenes = 10,
    samples = 40,
    boxes = 30,
    version = "v1.0-mini",
    channels = CHANNELS,
    seed = 0,
    files = "none",
    lidarseg = false,
    canBus = true,
    width = 1600,
    height = 900,
    sweeps = true,
    image,
  } = options;
  const sceneNumbers =
    options.sceneNumbers ??
    Array.from({ length: scenes }, (_, i) => (scenes <= MINI_SCENES.length ? MINI_SCENES[i] : i + 1));
  const random = new Random(seed);
  const folder = join(root, version);
  const tables = {};
  const table = (name) => (tables[name] ??= new Table(folder, name));
  let fileCount = 0;
  const lidarTokens = [];

  const made = new Set();
  const writeFile = (name, content) => {
    fileCount++;
    if (files === "none") return;
    const path = join(root, name);
    const parent = dirname(path);
    if (!made.has(parent)) {
      mkdirSync(parent, { recursive: true });
      made.add(parent);
    }
    writeFileSync(path, files === "sparse" ? "" : content);
    if (files === "sparse") truncateSync(path, 1);
  };
  const contents = {
    camera: image ?? "",
    lidar: Buffer.alloc(20 * 8),
    radar:
      "# .PCD v0.7 - Point Cloud Data file format\nVERSION 0.7\nFIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nCOUNT 1 1 1\nWIDTH 0\nHEIGHT 1\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS 0\nDATA binary\n",
  };

  const categories = (lidarseg ? [...CATEGORIES, ...LIDARSEG_CATEGORIES] : CATEGORIES).map((name, i) => {
    const row = { token: random.token(), name, description: `A ${name.split(".").at(-1)}.` };
    // The ids of the official lidarseg labels: noise is 0, the classes with boxes 1 to 23.
    const labelId = i < CATEGORIES.length ? i + 1 : i === CATEGORIES.length ? 0 : i;
    table("category").add(lidarseg ? { ...row, index: labelId } : row);
    return row.token;
  });
  const attributes = ATTRIBUTES.map((name) => {
    const token = random.token();
    table("attribute").add({
      token,
      name,
      description: `The ${name.split(".")[0]} is ${name.split(".")[1]}.`,
    });
    return token;
  });
  for (const [i, level] of VISIBILITIES.entries()) {
    table("visibility").add({
      description: `visibility of whole object is ${level.slice(1)}%`,
      token: `${i + 1}`,
      level,
    });
  }
  const sensors = channels.map((channel) => {
    const token = random.token();
    table("sensor").add({ token, channel, modality: modalityOf(channel) });
    return { token, channel, modality: modalityOf(channel) };
  });

  const instanceTable = table("instance");
  const annotationTable = table("sample_annotation");
  const logs = [];
  const isTest = version.endsWith("-test");

  for (const [sceneIndex, sceneNumber] of sceneNumbers.entries()) {
    const location = LOCATIONS[(sceneIndex >> 1) % LOCATIONS.length];
    // Two scenes share a log, as several do in the official set.
    if (sceneIndex % 2 === 0) {
      const vehicle = location === "boston-seaport" ? "n008" : "n015";
      const day = 1 + (sceneIndex % 28);
      const date = `2018-${vehicle === "n008" ? "08" : "07"}-${String(day).padStart(2, "0")}`;
      const zone = vehicle === "n008" ? "-0400" : "+0800";
      const log = {
        token: random.token(),
        logfile: `${vehicle}-${date}-11-22-${String(sceneIndex % 60).padStart(2, "0")}${zone}`,
        vehicle,
        date_captured: date,
        location,
      };
      table("log").add(log);
      logs.push(log);
    }
    const log = logs.at(-1);
    const sceneToken = random.token();
    let time = 1_532_402_900_000_000 + sceneIndex * 40_000_000 + random.between(0, 999_999);
    const sampleRows = Array.from({ length: samples }, () => {
      const row = { token: random.token(), timestamp: time };
      time += 500_000 + random.between(-50_000, 50_000);
      return row;
    });
    for (const [i, row] of sampleRows.entries()) {
      table("sample").add({
        token: row.token,
        timestamp: row.timestamp,
        prev: sampleRows[i - 1]?.token ?? "",
        next: sampleRows[i + 1]?.token ?? "",
        scene_token: sceneToken,
      });
    }
    table("scene").add({
      token: sceneToken,
      log_token: log.token,
      nbr_samples: samples,
      first_sample_token: sampleRows[0].token,
      last_sample_token: sampleRows.at(-1).token,
      name: `scene-${String(sceneNumber).padStart(4, "0")}`,
      description: "Parked cars, turn right, pedestrians",
    });

    const frames = [];
    for (const [sensorIndex, sensor] of sensors.entries()) {
      const calibrated = random.token();
      const camera = sensor.modality === "camera";
      table("calibrated_sensor").add({
        token: calibrated,
        sensor_token: sensor.token,
        translation: [1.7 + sensorIndex / 100, 0.0159, 1.51],
        rotation: [0.4998015430569128, -0.5030316162024876, 0.4997798114386805, -0.49737083824542755],
        camera_intrinsic: camera ? [[1266.417, 0.0, 816.267], [0.0, 1266.417, 491.507], [0.0, 0.0, 1.0]] : [],
      }); // biome-ignore format: a matrix
      const chain = [];
      const offset = camera
        ? sensorIndex * 7_000 - 40_000
        : sensor.modality === "lidar"
          ? 0
          : random.between(-30_000, 30_000);
      for (let i = 0; i < samples; i++) {
        const start = sampleRows[i].timestamp;
        chain.push({ sample: i, key: true, time: start + offset });
        if (!sweeps || i + 1 === samples) continue;
        const per = PER_INTERVAL[sensor.modality];
        const count = Math.floor(per) + (per % 1 !== 0 && i % 2 === 0 ? 1 : 0);
        const step = (sampleRows[i + 1].timestamp - start) / count;
        // A sweep belongs to the sample that follows it.
        for (let k = 1; k < count; k++)
          chain.push({ sample: i + 1, key: false, time: start + offset + Math.round(step * k) });
      }
      for (const frame of chain) frame.token = random.token();
      for (const [i, frame] of chain.entries()) {
        const filename = `${frame.key ? "samples" : "sweeps"}/${sensor.channel}/${log.logfile}__${sensor.channel}__${frame.time}.${EXTENSION[sensor.modality]}`;
        writeFile(filename, contents[sensor.modality]);
        if (frame.key && sensor.modality === "lidar") lidarTokens.push(frame.token);
        frames.push({
          token: frame.token,
          sample_token: sampleRows[frame.sample].token,
          ego_pose_token: frame.token,
          calibrated_sensor_token: calibrated,
          timestamp: frame.time,
          fileformat: FILE_FORMAT[sensor.modality],
          is_key_frame: frame.key,
          height: camera ? height : 0,
          width: camera ? width : 0,
          filename,
          prev: chain[i - 1]?.token ?? "",
          next: chain[i + 1]?.token ?? "",
        });
      }
    }
    for (const frame of random.shuffle(frames)) table("sample_data").add(frame);
    for (const frame of random.shuffle(frames)) {
      const yaw = random.next() * 3;
      table("ego_pose").add({
        token: frame.token,
        timestamp: frame.timestamp,
        rotation: [Math.cos(yaw), -0.0015811634307974854, 0.013859363182046986, Math.sin(yaw)],
        translation: [400 + random.next() * 1000, 1100 + random.next() * 1000, 0.0],
      });
    }

    if (!isTest) {
      // Every instance is seen in a run of samples of its own length.
      let left = boxes * samples;
      while (left > 0) {
        const length = Math.min(left, random.between(1, samples));
        const start = random.between(0, samples - length);
        left -= length;
        const token = random.token();
        const chain = Array.from({ length }, () => random.token());
        instanceTable.add({
          token,
          category_token: categories[random.between(0, CATEGORIES.length - 1)],
          nbr_annotations: length,
          first_annotation_token: chain[0],
          last_annotation_token: chain.at(-1),
        });
        for (let i = 0; i < length; i++) {
          annotationTable.add({
            token: chain[i],
            sample_token: sampleRows[start + i].token,
            instance_token: token,
            visibility_token: random.between(0, 40) === 0 ? "" : `${random.between(1, 4)}`,
            attribute_tokens: random.between(0, 3) === 0 ? [] : [attributes[random.between(0, 7)]],
            translation: [373.256 + i, 1130.419, 0.8],
            size: [0.621, 0.669, 1.642],
            rotation: [0.9831098797903927, 0.0, 0.0, -0.18301629506281616],
            prev: chain[i - 1] ?? "",
            next: chain[i + 1] ?? "",
            num_lidar_pts: random.between(0, 60),
            num_radar_pts: random.between(0, 3),
          });
        }
      }
    }
    if (canBus && !NO_CAN_BUS.has(sceneNumber)) {
      writeCanBus(join(root, "can_bus"), sceneNumber, sampleRows[0].timestamp, time);
    }
  }

  for (const location of LOCATIONS) {
    const token = random.token();
    table("map").add({
      category: "semantic_prior",
      token,
      filename: `maps/${token}.png`,
      log_tokens: logs.filter((log) => log.location === location).map((log) => log.token),
    });
    mkdirSync(join(root, "maps"), { recursive: true });
    writeFileSync(join(root, "maps", `${token}.png`), PNG);
  }
  if (lidarseg) {
    mkdirSync(join(root, "lidarseg", version), { recursive: true });
    for (const sampleData of lidarTokens) {
      const filename = `lidarseg/${version}/${sampleData}_lidarseg.bin`;
      table("lidarseg").add({ token: sampleData, sample_data_token: sampleData, filename });
      writeFileSync(join(root, filename), Buffer.alloc(8));
    }
  }
  const counts = Object.fromEntries(Object.entries(tables).map(([name, each]) => [name, each.close()]));
  return { ...counts, files: fileCount };
}

/** A picture of one grey pixel. */
const PNG = Buffer.from(
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGOoBwAAgQCA2xA5cwAAAABJRU5ErkJggg==",
  "base64",
);

function writeCanBus(folder, sceneNumber, from, to) {
  mkdirSync(folder, { recursive: true });
  const name = (message) => join(folder, `scene-${String(sceneNumber).padStart(4, "0")}_${message}.json`);
  const each = (step, message) => {
    const list = [];
    for (let utime = from; utime <= to; utime += step) list.push({ utime, ...message(list.length) });
    return JSON.stringify(list);
  };
  writeFileSync(
    name("vehicle_monitor"),
    each(500_000, (i) => ({
      available_distance: 120, battery_level: 80, brake: 0, brake_switch: 1, gear_position: 7, left_signal: 0,
      rear_left_rpm: 210.5, rear_right_rpm: 210.1, right_signal: 0, steering: 3.5 + (i % 7), steering_speed: 0,
      throttle: 30, vehicle_speed: 25.5 + (i % 5), yaw_rate: 0.1,
    })),
  ); // biome-ignore format: one message
  writeFileSync(
    name("steeranglefeedback"),
    each(100_000, () => ({ value: 0.05 })),
  );
  writeFileSync(
    name("pose"),
    each(100_000, () => ({ pos: [400, 1100, 0], vel: [7, 0, 0] })),
  );
  writeFileSync(
    name("ms_imu"),
    each(100_000, () => ({ q: [1, 0, 0, 0] })),
  );
  writeFileSync(
    name("zoesensors"),
    each(500_000, () => ({ brake_sensor: 0.16, steering_sensor: 0.1 })),
  );
  writeFileSync(
    name("zoe_veh_info"),
    each(500_000, () => ({ FL_wheel_speed: 210.5 })),
  );
  writeFileSync(name("route"), "[[400, 1100], [401, 1100]]");
  writeFileSync(name("meta"), "{}");
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      scenes: { type: "string", default: "10" },
      samples: { type: "string", default: "40" },
      boxes: { type: "string", default: "30" },
      version: { type: "string", default: "v1.0-mini" },
      files: { type: "string", default: "none" },
      seed: { type: "string", default: "0" },
      width: { type: "string", default: "1600" },
      height: { type: "string", default: "900" },
      lidarseg: { type: "boolean", default: false },
      "no-can-bus": { type: "boolean", default: false },
      "no-sweeps": { type: "boolean", default: false },
    },
  });
  if (positionals.length !== 1) {
    process.stderr.write("usage: node bench/make-nuscenes.mjs FOLDER [options]\n");
    process.exit(2);
  }
  const width = Number(values.width);
  const height = Number(values.height);
  let image;
  if (values.files === "small") {
    const { default: sharp } = await import("sharp");
    image = await sharp({ create: { width, height, channels: 3, background: "#7f8c99" } })
      .jpeg()
      .toBuffer();
  }
  const counts = makeNuScenes(positionals[0], {
    scenes: Number(values.scenes),
    samples: Number(values.samples),
    boxes: Number(values.boxes),
    version: values.version,
    files: values.files,
    seed: Number(values.seed),
    lidarseg: values.lidarseg,
    canBus: !values["no-can-bus"],
    sweeps: !values["no-sweeps"],
    width,
    height,
    image,
  });
  process.stdout.write(`${JSON.stringify(counts)}\n`);
}
