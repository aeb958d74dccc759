/** Sets for the peer tests of annotation files: valid tables, of which everything that rules depend on is random. */
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { officialScenes } from "../../../src/dataset/nuscenes/splits.js";
import type { Row, Sets, TestSet } from "../../dataset/nuscenes/set.js";

/** Numbers from 0 to 1, the same for the same seed. */
export function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/**
 * A set with random poses, calibrations and intrinsics; sweeps left out, so that key frames come early; key frames that are
 * none by their flag; scenes of 1 to 12 samples from two splits; scenes without CAN bus, and messages out of order.
 */
export async function randomSet(sets: Sets, seed: number): Promise<TestSet> {
  const random = randomFrom(seed);
  const numbers = [...officialScenes("train"), ...officialScenes("val")]
    .map((name) => ({ number: Number(name.slice(-4)), key: random() }))
    .sort((a, b) => a.key - b.key)
    .slice(0, 8)
    .map(({ number }) => number);
  const set = await sets.make({ sceneNumbers: numbers, samples: 12, boxes: 3, seed, files: "none" });
  const uniform = (size: number) => (random() * 2 - 1) * size;
  const rotation = () => {
    const q = [uniform(1), uniform(1), uniform(1), uniform(1)];
    // Some are not of length 1: pyquaternion makes them so.
    const length = random() < 0.2 ? 1 : Math.hypot(...q);
    return q.map((part) => part / length);
  };
  shortenScenes(set, random);
  set.edit("calibrated_sensor", (rows) => {
    for (const row of rows) {
      row.translation = [uniform(2), uniform(2), uniform(2)];
      row.rotation = rotation();
      if (row.camera_intrinsic.length > 0) {
        const focal = 1000 + random() * 500;
        row.camera_intrinsic = [
          [focal, uniform(2), 800 + uniform(50)],
          [0, focal + uniform(20), 450 + uniform(50)],
          [0, 0, 1],
        ];
      }
    }
  });
  set.edit("ego_pose", (rows) => {
    // Near one another in half of the scenes, so that all commands occur.
    for (const row of rows) {
      const size = random() < 0.5 ? 3 : 500;
      row.translation = [1200 + uniform(size), 900 + uniform(size), uniform(2)];
      row.rotation = rotation();
    }
  });
  set.edit("sample_data", (rows) => dropAndShift(rows, random));
  for (const number of numbers) changeCanBus(set, number, random);
  return set;
}

/** Boxes anywhere and turned anyhow; those of some instances hardly move, where slerp goes straight. */
export function moveBoxes(set: TestSet, seed: number): void {
  const random = randomFrom(seed);
  const uniform = (size: number) => (random() * 2 - 1) * size;
  set.edit("sample_annotation", (rows) => {
    for (const row of rows) {
      const still = Number.parseInt(row.instance_token.slice(0, 2), 16) % 3 === 0;
      row.translation = [1200 + uniform(30), 900 + uniform(30), uniform(2)];
      row.rotation = still
        ? [1, uniform(0.01), uniform(0.01), uniform(0.01)]
        : [uniform(1), uniform(1), uniform(1), uniform(1)];
    }
  });
}

/** Cuts scenes off after some samples, as scenes shorter than a clip are. */
function shortenScenes(set: TestSet, random: () => number): void {
  const gone = new Set<string>();
  set.edit("scene", (scenes) => {
    const samples = new Map(set.rows("sample").map((row) => [row.token, row]));
    for (const scene of scenes) {
      let left = 1 + Math.floor(random() * 12);
      for (let at = scene.first_sample_token; at !== ""; at = samples.get(at)!.next) {
        if (left-- > 0) scene.last_sample_token = at;
        else gone.add(at);
      }
    }
  });
  const kept = (rows: Row[], key: string) => {
    const left = rows.filter((row) => !gone.has(row[key]));
    const tokens = new Set(left.map((row) => row.token));
    for (const row of left) {
      if (!tokens.has(row.next)) row.next = "";
      if (!tokens.has(row.prev)) row.prev = "";
    }
    return left;
  };
  set.edit("sample", (rows) => kept(rows, "token"));
  set.edit("sample_data", (rows) => kept(rows, "sample_token"));
  set.edit("sample_annotation", (rows) => kept(rows, "sample_token"));
  const first = new Map<string, string>();
  set.edit("sample_annotation", (rows) => {
    for (const row of rows) first.set(row.instance_token, row.token);
  });
  set.edit("instance", (rows) => rows.filter((row) => first.has(row.token)));
}

/** Leaves out some sweeps and some of CAM_FRONT's key frames, and takes the flag from others. */
function dropAndShift(rows: Row[], random: () => number): Row[] {
  const byToken = new Map(rows.map((row) => [row.token, row]));
  const kept = rows.filter((row) => {
    const front = row.filename.includes("/CAM_FRONT/");
    // Without the last frame of a scene, a chain is too short that fits otherwise.
    const chance = !front ? 0.02 : row.next === "" ? 0.5 : row.is_key_frame ? 0.01 : 0.004;
    if ((!row.is_key_frame || front) && random() < chance) {
      const [before, after] = [byToken.get(row.prev), byToken.get(row.next)];
      if (before !== undefined) before.next = row.next;
      if (after !== undefined) after.prev = row.prev;
      return false;
    }
    if (front && row.is_key_frame && random() < 0.01) row.is_key_frame = false;
    return true;
  });
  return kept
    .map((row) => ({ row, key: random() }))
    .sort((a, b) => a.key - b.key)
    .map(({ row }) => row);
}

function changeCanBus(set: TestSet, number: number, random: () => number): void {
  const path = set.path("can_bus", `scene-${String(number).padStart(4, "0")}_vehicle_monitor.json`);
  if (!existsSync(path)) return;
  const choice = random();
  if (choice < 0.2) rmSync(path);
  else if (choice < 0.3) writeFileSync(path, "[]");
  else {
    const messages = JSON.parse(readFileSync(path, "utf8")) as Row[];
    for (const message of messages) {
      message.utime += Math.floor((random() * 2 - 1) * (choice < 0.6 ? 700_000 : 50_000));
      message.vehicle_speed = Math.round(random() * 6000) / 100;
      message.steering = (random() * 2 - 1) * 400;
    }
    writeFileSync(path, JSON.stringify(messages));
  }
}
