/**
 * One planted fault for each rule, which must be found under that rule and in that place with nothing beside it; and for
 * each a near miss, which is no fault.
 */
import {
  appendFileSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { NUSCENES_RULES } from "../../../src/dataset/nuscenes/check/rules.js";
import { brief, findingsOf, picture, type Row, Sets, type TestSet, VERSION } from "./set.js";

const sets = new Sets();
let clean: TestSet;
let labelled: TestSet;

beforeAll(async () => {
  clean = await sets.make();
  labelled = await sets.make({ lidarseg: true, seed: 5 });
});
afterAll(() => sets.clear());

const table = (name: string) => `${VERSION}/${name}.json`;

interface Case {
  rule: keyof typeof NUSCENES_RULES;
  /** What is planted. */
  name: string;
  /** Starts from a set with lidar labels. */
  labels?: boolean;
  /** @returns path and record of the one finding that is expected */
  plant(set: TestSet): string | Promise<string>;
  /** Plants something close to the fault that is allowed. */
  near?(set: TestSet): unknown;
}

const middle = (rows: Row[]) => rows.find((row) => row.prev !== "" && row.next !== "")!;
/** A row that is a chain by itself. */
const lone = (rows: Row[]) => rows.find((row) => row.prev === "" && row.next === "")!;
const byToken = (rows: Row[], token: string) => rows.find((row) => row.token === token)!;
const files = (set: TestSet, folder: string) => readdirSync(set.path(folder)).sort();
const tokenOf = (set: TestSet, filename: string) =>
  `sample_data ${set.rows("sample_data").find((row) => row.filename === filename)!.token}`;
/** The point cloud that a label file of lidarseg is of. */
const cloudOf = (set: TestSet, label: string): string =>
  byToken(set.rows("sample_data"), label.replace("_lidarseg.bin", "")).filename;
const camera = "samples/CAM_FRONT";
const cameraFile = (set: TestSet) => `${camera}/${files(set, camera)[1]}`;

const CASES: Case[] = [
  {
    rule: "missing-table",
    name: "a table is not there",
    plant: (set) => {
      rmSync(set.path(table("attribute")));
      return table("attribute");
    },
    // image_annotations.json is a table of the devkit's own; nobody needs it.
    near: (set) => writeFileSync(set.path(table("image_annotations")), "[]"),
  },
  {
    rule: "unreadable-table",
    name: "a table is a folder",
    plant: (set) => {
      rmSync(set.path(table("visibility")));
      mkdirSync(set.path(table("visibility")));
      return table("visibility");
    },
    // A table on another disk.
    near: (set) => moveAndLink(set, table("visibility")),
  },
  ...["log", "lidarseg", "image_annotations"].map(
    (name): Case => ({
      rule: "unreadable-table",
      name: `${name}.json is there and cannot be looked at`,
      labels: true,
      plant: (set) => {
        rmSync(set.path(table(name)), { force: true });
        symlinkSync(`${name}.json`, set.path(table(name)));
        return table(name);
      },
    }),
  ),
  {
    rule: "empty-table",
    name: "no ego pose at all",
    plant: (set) => {
      set.edit("ego_pose", () => []);
      return table("ego_pose");
    },
    // As in the test version.
    near: (set) => {
      set.edit("instance", () => []);
      set.edit("sample_annotation", () => []);
    },
  },
  {
    rule: "empty-table",
    name: "boxes without a single instance",
    plant: (set) => {
      set.edit("instance", () => []);
      return table("instance");
    },
  },
  {
    rule: "empty-table",
    name: "instances without a single box",
    plant: (set) => {
      set.edit("sample_annotation", () => []);
      return table("sample_annotation");
    },
  },
  {
    rule: "empty-table",
    name: "no categories, but instances",
    plant: (set) => {
      set.edit("category", () => []);
      return table("category");
    },
  },
  {
    rule: "bad-json",
    name: "a table is cut off",
    plant: (set) => {
      truncateSync(set.path(table("ego_pose")), 5000);
      return `${table("ego_pose")}`;
    },
    near: (set) => appendFileSync(set.path(table("ego_pose")), "\r\n \t\n"),
  },
  {
    rule: "bad-json",
    name: "the table of boxes in pictures, which the devkit makes and loads, is cut off",
    plant: (set) => {
      writeFileSync(set.path(table("image_annotations")), '[{"sample_annotation_token": "a"},\n{"attr');
      return table("image_annotations");
    },
    near: (set) =>
      writeFileSync(set.path(table("image_annotations")), '[{"bbox_corners": [1.5, NaN]}, {}]\r\n'),
  },
  {
    rule: "wrong-type",
    name: "a sensor without a name, under which the devkit would have all its frames",
    plant: (set) => {
      let token = "";
      set.edit("sensor", (rows) => {
        const row = rows.find(({ channel }) => channel === "LIDAR_TOP")!;
        token = row.token;
        row.channel = "";
      });
      return `${table("sensor")} ${token}`;
    },
  },
  {
    rule: "wrong-type",
    name: "a number is a string",
    plant: (set) => {
      let token = "";
      set.edit("sample_annotation", (rows) => {
        token = rows[3]!.token;
        rows[3]!.num_lidar_pts = "12";
      });
      return `${table("sample_annotation")} ${token}`;
    },
    // Fields that the schema does not know, and numbers without a fraction.
    near: (set) =>
      set.edit("sample_annotation", (rows) => {
        rows[3]!.velocity = [1, 2];
        rows[4]!.translation = [1, 2, 3];
      }),
  },
  ...["ego_pose", "sample_annotation", "calibrated_sensor"].map(
    (name): Case => ({
      rule: "wrong-type",
      name: `a rotation of zeros in ${name}, of which annos makes no record`,
      plant: (set) => {
        let token = "";
        set.edit(name, (rows) => {
          token = rows[3]!.token;
          rows[3]!.rotation = [0, 0, -0, 0];
        });
        return `${table(name)} ${token}`;
      },
      near: (set) =>
        set.edit(name, (rows) => {
          rows[3]!.rotation = [0, 0, 0, 1];
        }),
    }),
  ),
  {
    rule: "wrong-type",
    name: "a number beyond the largest, which reads as infinite",
    plant: (set) => {
      let token = "";
      set.edit("ego_pose", (rows) => {
        token = rows[3]!.token;
        rows[3]!.translation = [0, 4711, 0];
      });
      const path = set.path(table("ego_pose"));
      writeFileSync(path, readFileSync(path, "utf8").replace(/\b4711\b/, "1e999"));
      return `${table("ego_pose")} ${token}`;
    },
  },
  ...[1e308, -10_000_001].map(
    (metres): Case => ({
      rule: "wrong-type",
      name: `an ego pose ${metres} m away`,
      plant: (set) => {
        let token = "";
        set.edit("ego_pose", (rows) => {
          token = rows[3]!.token;
          rows[3]!.translation = [0, metres, 0];
        });
        return `${table("ego_pose")} ${token}`;
      },
      near: (set) =>
        set.edit("ego_pose", (rows) => {
          rows[3]!.translation = [-1e7, 1.5e-5, 9_999_999.5];
        }),
    }),
  ),
  {
    rule: "wrong-type",
    name: "a camera without an intrinsic matrix, of which annos makes no record",
    plant: (set) => {
      const camera = set.rows("sensor").find(({ modality }) => modality === "camera")!;
      let token = "";
      set.edit("calibrated_sensor", (rows) => {
        const row = rows.find(({ sensor_token }) => sensor_token === camera.token)!;
        token = row.token;
        row.camera_intrinsic = [];
      });
      return `${table("calibrated_sensor")} ${token}`;
    },
    near: (set) => {
      const lidar = set.rows("sensor").find(({ modality }) => modality === "lidar")!;
      set.edit("calibrated_sensor", (rows) => {
        rows.find(({ sensor_token }) => sensor_token === lidar.token)!.camera_intrinsic = [];
      });
    },
  },
  {
    rule: "duplicate-token",
    name: "a row is there twice",
    plant: (set) => {
      let token = "";
      set.edit("sample_data", (rows) => {
        token = rows[2]!.token;
        const filename = rows[2]!.filename.replace(/(?=\.)/, "b");
        copyFileSync(set.path(rows[2]!.filename), set.path(filename));
        return [...rows, { ...rows[2]!, filename }];
      });
      return `${table("sample_data")} ${token}`;
    },
    // Tokens are unique within a table only: an ego pose has that of its frame.
    near: (set) => set.edit("sensor", (rows) => renameToken(set, rows)),
  },
  {
    rule: "dangling-token",
    name: "an ego pose is missing",
    plant: (set) => {
      let token = "";
      set.edit("ego_pose", (rows) => {
        token = rows[7]!.token;
        return rows.filter((_, i) => i !== 7);
      });
      return `${table("sample_data")} ${token}`;
    },
    // A box need not say how visible it is.
    near: (set) =>
      set.edit("sample_annotation", (rows) => {
        for (const row of rows) row.visibility_token = "";
      }),
  },
  {
    rule: "dangling-token",
    name: "a sweep's row is gone: both its neighbours name it",
    plant: (set) => {
      let token = "";
      set.edit("sample_data", (rows) => {
        const gone = rows.find((row) => !row.is_key_frame && row.prev !== "" && row.next !== "")!;
        rmSync(set.path(gone.filename));
        token = gone.next;
        return rows.filter((row) => row !== gone);
      });
      return `${table("sample_data")} ${token}`;
    },
  },
  {
    rule: "chain-asymmetric",
    name: "prev names the row before the last",
    plant: (set) => {
      let token = "";
      set.edit("sample", (rows) => {
        const row = rows.find((each) => each.next === "")!;
        token = row.token;
        row.prev = byToken(rows, row.prev).prev;
      });
      return `${table("sample")} ${token}`;
    },
    near: (set) => set.edit("sample", (rows) => rows.reverse()),
  },
  {
    rule: "chain-crosses",
    name: "next leads into another scene",
    plant: (set) => {
      let token = "";
      set.edit("sample", (rows) => {
        const row = middle(rows);
        token = row.token;
        row.next = rows.find((each) => each.scene_token !== row.scene_token)!.token;
      });
      return `${table("sample")} ${token}`;
    },
    // Scenes may lie mixed in the table.
    near: (set) => set.edit("sample", (rows) => rows.sort((a, b) => (a.token < b.token ? -1 : 1))),
  },
  {
    rule: "chain-crosses",
    name: "a sample names another scene",
    plant: (set) => stray(set, "sample", "scene_token", middle),
  },
  {
    rule: "chain-crosses",
    name: "the first sample of a scene names another scene",
    plant: (set) => stray(set, "sample", "scene_token", (rows) => rows.find((row) => row.prev === "")!),
  },
  {
    rule: "chain-crosses",
    name: "a key frame names a sample of another scene",
    plant: (set) =>
      strayInScene(
        set,
        "sample_data",
        (rows) => rows.find((row) => row.is_key_frame && row.prev !== "" && row.next !== "")!,
      ),
  },
  {
    rule: "chain-crosses",
    name: "a sweep names a sample of another scene",
    plant: (set) =>
      strayInScene(
        set,
        "sample_data",
        (rows) => rows.find((row) => !row.is_key_frame && row.prev !== "" && row.next !== "")!,
      ),
  },
  {
    rule: "chain-crosses",
    name: "the only box of an instance names another instance",
    plant: (set) => stray(set, "sample_annotation", "instance_token", lone),
  },
  {
    rule: "chain-crosses",
    name: "a box names another instance",
    plant: (set) => stray(set, "sample_annotation", "instance_token", middle),
  },
  {
    rule: "chain-crosses",
    name: "a box names a sample of another scene",
    plant: (set) => strayInScene(set, "sample_annotation", middle),
  },
  {
    rule: "chain-cycle",
    name: "last and first of a scene name each other",
    plant: (set) => {
      let token = "";
      set.edit("sample", (rows) => {
        const first = rows.find((row) => row.prev === "")!;
        const last = rows.find((row) => row.next === "" && row.scene_token === first.scene_token)!;
        first.prev = last.token;
        last.next = first.token;
        token = first.token;
      });
      return `${table("sample")} ${token}`;
    },
    // A chain may run backwards through the file.
    near: (set) => set.edit("sample_data", (rows) => rows.reverse()),
  },
  {
    rule: "chain-split",
    name: "a chain is cut on both sides",
    plant: (set) => {
      let token = "";
      set.edit("sample_data", (rows) => {
        const row = middle(rows);
        byToken(rows, row.prev).next = "";
        row.prev = "";
        token = row.token;
      });
      return `${table("sample_data")} ${token}`;
    },
    // A sweep that was never recorded: its neighbours name each other.
    near: (set) => dropSweep(set, "CAM_FRONT"),
  },
  {
    rule: "chain-time",
    name: "a frame is older than the one before it",
    plant: (set) => {
      let token = "";
      set.edit("sample_data", (rows) => {
        const row = rows.find((each) => !each.is_key_frame && each.prev !== "" && each.next !== "")!;
        row.timestamp -= 200_000;
        token = row.token;
      });
      return `${table("sample_data")} ${token}`;
    },
    // A microsecond after the one before, and a long way before the next.
    near: (set) =>
      set.edit("sample_data", (rows) => {
        const row = rows.find((each) => !each.is_key_frame && each.prev !== "" && each.next !== "")!;
        row.timestamp = byToken(rows, row.prev).timestamp + 1;
      }),
  },
  {
    rule: "chain-time",
    name: "times in milliseconds, which are not what CAN bus messages are looked for by",
    plant: (set) => {
      rmSync(set.path("can_bus"), { recursive: true });
      mkdirSync(set.path("can_bus"));
      set.edit("scene", (rows) => rows.map((row, i) => ({ ...row, name: `tokyo-${i}` })));
      for (const name of ["sample", "sample_data", "ego_pose"])
        set.edit(name, (rows) => {
          for (const row of rows) row.timestamp = Math.round(row.timestamp / 1000);
        });
      return table("sample");
    },
    // Times of one's own, from 0 on, at 10 Hz: a fifth of those of the set.
    near: (set) => {
      const start = Math.min(...set.rows("sample_data").map((row) => row.timestamp));
      const own = (time: number) => Math.round((time - start) / 5);
      for (const name of ["sample", "sample_data", "ego_pose"])
        set.edit(name, (rows) => {
          for (const row of rows) row.timestamp = own(row.timestamp);
        });
      for (const name of ["scene-0061", "scene-0103"]) {
        const path = set.path(`can_bus/${name}_vehicle_monitor.json`);
        const messages = JSON.parse(readFileSync(path, "utf8")) as Row[];
        writeFileSync(path, JSON.stringify(messages.map((row) => ({ ...row, utime: own(row.utime) }))));
      }
    },
  },
  {
    rule: "wrong-first-last",
    name: "first_sample_token names the second sample",
    plant: (set) => {
      let token = "";
      set.edit("scene", (rows) => {
        const row = rows[0]!;
        token = row.token;
        row.first_sample_token = byToken(set.rows("sample"), row.first_sample_token).next;
      });
      return `${table("scene")} ${token}`;
    },
    near: (set) => set.edit("scene", (rows) => rows.reverse()),
  },
  {
    rule: "wrong-count",
    name: "nbr_annotations is one too many",
    plant: (set) => {
      let token = "";
      set.edit("instance", (rows) => {
        token = rows[1]!.token;
        rows[1]!.nbr_annotations++;
      });
      return `${table("instance")} ${token}`;
    },
    // One annotation fewer, and counted so.
    near: (set) => {
      const annotations = set.rows("sample_annotation");
      const last = annotations.find((row) => row.prev !== "" && row.next === "")!;
      set.edit("sample_annotation", (rows) => {
        byToken(rows, last.prev).next = "";
        rows.splice(
          rows.findIndex((row) => row.token === last.token),
          1,
        );
      });
      set.edit("instance", (rows) => {
        const instance = byToken(rows, last.instance_token);
        instance.nbr_annotations--;
        instance.last_annotation_token = last.prev;
      });
    },
  },
  {
    rule: "wrong-sensor",
    name: "a camera's frame is calibrated as the lidar",
    plant: (set) => {
      let token = "";
      set.edit("sample_data", (rows) => {
        const row = rows.find((each) => each.filename.startsWith("sweeps/CAM"))!;
        token = row.token;
        row.calibrated_sensor_token = rows.find((each) =>
          each.filename.includes("LIDAR"),
        )!.calibrated_sensor_token;
      });
      return `${table("sample_data")} ${token}`;
    },
    // The same sensor as calibrated for another scene.
    near: (set) =>
      set.edit("sample_data", (rows) => {
        const tokens = new Set(
          rows.filter((each) => each.filename.includes("CAM")).map((each) => each.calibrated_sensor_token),
        );
        rows.find((each) => each.filename.includes("CAM"))!.calibrated_sensor_token = [...tokens].at(-1);
      }),
  },
  {
    rule: "keyframe-missing",
    name: "a key frame is no key frame any more",
    plant: (set) => {
      let sample = "";
      set.edit("sample_data", (rows) => {
        const row = rows.find((each) => each.is_key_frame)!;
        row.is_key_frame = false;
        sample = row.sample_token;
      });
      return `${table("sample_data")} sample ${sample}`;
    },
    // Sensors differ in their number of sweeps.
    near: (set) => dropSweep(set, "RADAR_FRONT"),
  },
  {
    rule: "keyframe-missing",
    name: "not one frame of a camera is a key frame",
    plant: (set) => {
      set.edit("sample_data", (rows) => {
        for (const row of rows) if (row.filename.includes("CAM_FRONT")) row.is_key_frame = false;
      });
      return table("sample_data");
    },
    // Tables without a sensor that Vista does not need, which sensor.json still names.
    near: (set) => {
      set.edit("sample_data", (rows) => rows.filter(({ filename }) => !filename.includes("RADAR")));
      for (const folder of ["samples", "sweeps"])
        rmSync(set.path(folder, "RADAR_FRONT"), { recursive: true });
    },
  },
  {
    rule: "keyframe-missing",
    name: "tables without a frame of the camera that Vista trains on",
    plant: (set) => {
      set.edit("sample_data", (rows) => rows.filter(({ filename }) => !filename.includes("CAM_FRONT")));
      for (const folder of ["samples", "sweeps"]) rmSync(set.path(folder, "CAM_FRONT"), { recursive: true });
      return table("sample_data");
    },
  },
  {
    rule: "keyframe-missing",
    name: "the camera has a name of its own",
    plant: (set) => {
      set.edit("sensor", (rows) => {
        rows.find(({ channel }) => channel === "CAM_FRONT")!.channel = "cam_front";
      });
      return table("sample_data");
    },
  },
  {
    rule: "keyframe-duplicate",
    name: "a sweep is a key frame",
    plant: (set) => {
      let token = "";
      set.edit("sample_data", (rows) => {
        const row = rows.findLast((each) => !each.is_key_frame)!;
        row.is_key_frame = true;
        token = row.token;
      });
      return `${table("sample_data")} ${token}`;
    },
    // A sweep right behind a key frame.
    near: (set) =>
      set.edit("sample_data", (rows) => {
        const row = rows.find(
          (each) => !each.is_key_frame && each.prev !== "" && byToken(rows, each.prev).is_key_frame,
        )!;
        row.timestamp = byToken(rows, row.prev).timestamp + 1;
      }),
  },
  {
    rule: "keyframe-duplicate",
    name: "a key frame names the next sample, which has one",
    plant: (set) => {
      let token = "";
      const samples = set.rows("sample");
      set.edit("sample_data", (rows) => {
        const row = rows.find((each) => each.is_key_frame && each.prev !== "" && each.next !== "")!;
        row.sample_token = byToken(samples, row.sample_token).next;
        token = row.token;
      });
      return `${table("sample_data")} ${token}`;
    },
  },
  {
    rule: "pose-time",
    name: "a frame has the ego pose of the next key frame",
    plant: (set) => {
      let token = "";
      set.edit("sample_data", (rows) => {
        const keys = rows.filter((each) => each.is_key_frame && each.filename.includes("CAM_FRONT"));
        keys[0]!.ego_pose_token = keys[1]!.ego_pose_token;
        token = keys[0]!.token;
      });
      return `${table("sample_data")} ${token}`;
    },
    // The pose of the next frame of the lidar, 50 ms later, as in a set with fewer poses than frames.
    near: (set) =>
      set.edit("sample_data", (rows) => {
        const row = rows.find((each) => each.filename.includes("LIDAR") && each.next !== "")!;
        row.ego_pose_token = byToken(rows, row.next).ego_pose_token;
      }),
  },
  {
    rule: "pose-time",
    name: "an ego pose has a time of its own",
    plant: (set) => {
      const row = set.rows("sample_data").find((each) => each.is_key_frame)!;
      set.edit("ego_pose", (poses) => {
        byToken(poses, row.ego_pose_token).timestamp -= 300_001;
      });
      return `${table("sample_data")} ${row.token}`;
    },
    near: (set) => {
      const row = set.rows("sample_data").find((each) => each.is_key_frame)!;
      set.edit("ego_pose", (poses) => {
        byToken(poses, row.ego_pose_token).timestamp -= 300_000;
      });
    },
  },
  {
    rule: "keyframe-time",
    name: "a sample's key frame is half a second off",
    plant: (set) => {
      let token = "";
      set.edit("sample_data", (rows) => {
        const row = rows.find((each) => each.is_key_frame && each.next === "")!;
        row.timestamp += 400_000;
        token = row.token;
      });
      return `${table("sample_data")} ${token}`;
    },
    // Half of the half second between two samples, and no more.
    near: (set) =>
      set.edit("sample_data", (rows) => {
        const row = rows.find((each) => each.is_key_frame && each.next === "")!;
        row.timestamp = byToken(set.rows("sample"), row.sample_token).timestamp + 250_000;
      }),
  },
  {
    rule: "log-without-map",
    name: "a log is taken out of its map",
    plant: (set) => {
      let token = "";
      set.edit("map", (rows) => {
        const row = rows.find((each) => each.log_tokens.length > 0)!;
        token = row.log_tokens.pop();
      });
      return `${table("log")} ${token}`;
    },
    // A log in two maps.
    near: (set) =>
      set.edit("map", (rows) => {
        const row = rows.find((each) => each.log_tokens.length > 0)!;
        rows.find((each) => each !== row)!.log_tokens.push(row.log_tokens[0]);
      }),
  },
  {
    rule: "map-log-elsewhere",
    name: "a map lists a log of another split",
    plant: (set) => {
      set.edit("map", (rows) => void rows[0]!.log_tokens.push("e".repeat(32)));
      return `${table("map")}`;
    },
    // A log that changes its map.
    near: (set) =>
      set.edit("map", (rows) => {
        const row = rows.find((each) => each.log_tokens.length > 0)!;
        rows.find((each) => each !== row)!.log_tokens.push(row.log_tokens.pop());
      }),
  },
  {
    rule: "missing-map",
    name: "a map image is not there",
    plant: (set) => {
      const name = files(set, "maps")[0]!;
      rmSync(set.path("maps", name));
      return `maps/${name}`;
    },
    // The map expansion lies beside the masks.
    near: (set) => {
      mkdirSync(set.path("maps", "expansion"));
      writeFileSync(set.path("maps", "expansion", "boston-seaport.json"), "{}");
    },
  },
  {
    rule: "bad-map",
    name: "a map image is text",
    plant: (set) => {
      const name = files(set, "maps")[0]!;
      writeFileSync(set.path("maps", name), "404: not found");
      return `maps/${name}`;
    },
    // Another picture of the same kind.
    near: (set) => {
      const [one, two] = files(set, "maps");
      copyFileSync(set.path("maps", two!), set.path("maps", one!));
    },
  },
  {
    rule: "duplicate-file",
    name: "two rows name one file",
    plant: (set) => {
      let token = "";
      set.edit("sample_data", (rows) => {
        const two = rows.filter((each) => each.filename.startsWith("sweeps/CAM_FRONT"));
        rmSync(set.path(two[1]!.filename));
        two[1]!.filename = two[0]!.filename;
        token = two[1]!.token;
      });
      return `${table("sample_data")} ${token}`;
    },
    // Names that differ in one letter.
    near: (set) =>
      set.edit("sample_data", (rows) => {
        const two = rows.filter((each) => each.filename.startsWith("sweeps/CAM_FRONT/"));
        const name = two[0]!.filename.replace(/.jpg$/, "x.jpg");
        renameSync(set.path(two[1]!.filename), set.path(name));
        two[1]!.filename = name;
      }),
  },
  {
    rule: "missing-file",
    name: "one frame is not there",
    plant: (set) => {
      const name = cameraFile(set);
      rmSync(set.path(name));
      return `${name} ${tokenOf(set, name)}`;
    },
    // A frame on another disk.
    near: (set) => moveAndLink(set, cameraFile(set)),
  },
  ...["samples/CAM_FRONT", "sweeps/LIDAR_TOP"].map(
    (folder): Case => ({
      rule: "missing-file",
      name: `a link that leads nowhere in ${folder}, in the place of a file`,
      plant: (set) => {
        const name = `${folder}/${files(set, folder)[0]}`;
        rmSync(set.path(name));
        symlinkSync("/nowhere/at/all", set.path(name));
        return `${name} ${tokenOf(set, name)}`;
      },
    }),
  ),
  {
    rule: "missing-file",
    name: "a folder of links that all lead nowhere, as on a disk that is not mounted",
    plant: (set) => {
      for (const name of files(set, "sweeps/CAM_FRONT")) {
        rmSync(set.path("sweeps/CAM_FRONT", name));
        symlinkSync(`/nowhere/at/all/${name}`, set.path("sweeps/CAM_FRONT", name));
      }
      return "sweeps/CAM_FRONT";
    },
    // Links to what is there.
    near: (set) => {
      for (const name of files(set, "sweeps/CAM_FRONT")) moveAndLink(set, `sweeps/CAM_FRONT/${name}`);
    },
  },
  {
    rule: "missing-file",
    name: "a row whose filename names no file",
    plant: (set) => {
      let token = "";
      set.edit("sample_data", (rows) => {
        const row = rows.find(({ filename }) => filename.startsWith("sweeps/CAM_FRONT/"))!;
        rmSync(set.path(row.filename));
        row.filename = "sweeps/CAM_FRONT/";
        token = row.token;
      });
      return `${table("sample_data")} ${token}`;
    },
    // Other spellings of the same paths, one of them for a part of a folder only, and one from the root of the disk.
    near: (set) =>
      set.edit("sample_data", (rows) => {
        const spell: Record<string, (name: string) => string> = {
          "sweeps/CAM": (name) => `./${name}`,
          "sweeps/LID": (name) => name.replace("/", "//"),
          "sweeps/RAD": (name) => `samples/../${name}`,
          "samples/LI": (name) => set.path(name),
        };
        for (const [i, row] of rows.entries()) {
          const { filename } = row;
          const other = spell[filename.slice(0, 10)];
          if (other !== undefined && (i % 2 === 0 || !filename.includes("CAM")))
            row.filename = other(filename);
        }
      }),
  },
  {
    rule: "missing-file",
    name: "a label that is a link to nowhere",
    labels: true,
    plant: (set) => {
      const name = `lidarseg/${VERSION}/${files(set, `lidarseg/${VERSION}`)[1]}`;
      rmSync(set.path(name));
      symlinkSync("/nowhere/at/all", set.path(name));
      return name;
    },
    near: (set) => moveAndLink(set, `lidarseg/${VERSION}`),
  },
  {
    rule: "channel-absent",
    name: "the radar was never downloaded",
    plant: (set) => {
      rmSync(set.path("sweeps/RADAR_FRONT"), { recursive: true });
      return "sweeps/RADAR_FRONT";
    },
    // A sensor's folder on another disk.
    near: (set) => moveAndLink(set, "sweeps/RADAR_FRONT"),
  },
  {
    rule: "surplus-file",
    name: "a file that no row names",
    plant: async (set) => {
      writeFileSync(set.path(camera, "n015__CAM_FRONT__1.jpg"), await picture());
      return `${camera}/n015__CAM_FRONT__1.jpg`;
    },
    near: (set) => {
      writeFileSync(set.path("LICENSE"), "text");
      writeFileSync(set.path(camera, ".DS_Store"), "text");
      // What a notebook and a storage box leave beside the sensors' folders.
      for (const folder of ["samples/.ipynb_checkpoints", "sweeps/@eaDir", "samples/lost+found"]) {
        mkdirSync(set.path(folder));
        writeFileSync(set.path(folder, "n015__CAM_FRONT__1.jpg"), "text");
      }
    },
  },
  {
    rule: "empty-file",
    name: "a picture of 0 bytes",
    plant: (set) => {
      const name = cameraFile(set);
      truncateSync(set.path(name), 0);
      return `${name} ${tokenOf(set, name)}`;
    },
    // A point cloud of a single point.
    near: (set) => truncateSync(set.path(`samples/LIDAR_TOP/${files(set, "samples/LIDAR_TOP")[0]}`), 20),
  },
  {
    rule: "empty-file",
    name: "a label of 0 bytes",
    labels: true,
    plant: (set) => {
      const name = `lidarseg/${VERSION}/${files(set, `lidarseg/${VERSION}`)[1]}`;
      truncateSync(set.path(name), 0);
      return name;
    },
    // The label of a single point.
    near: (set) => {
      const label = files(set, `lidarseg/${VERSION}`)[1]!;
      truncateSync(set.path(`lidarseg/${VERSION}/${label}`), 1);
      truncateSync(set.path(cloudOf(set, label)), 20);
    },
  },
  // A link in a circle stands for all that is there and cannot be looked at; permissions do not stop root.
  ...["sweeps/RADAR_FRONT", "samples/CAM_FRONT", "can_bus", `lidarseg/${VERSION}`].map(
    (folder): Case => ({
      rule: "unreadable-file",
      name: `${folder} is there and cannot be listed`,
      labels: true,
      plant: (set) => {
        rmSync(set.path(folder), { recursive: true });
        symlinkSync(set.path(folder), set.path(folder));
        return folder;
      },
    }),
  ),
  {
    rule: "unreadable-file",
    name: "a file name that is a folder",
    plant: (set) => {
      const name = `samples/LIDAR_TOP/${files(set, "samples/LIDAR_TOP")[0]}`;
      rmSync(set.path(name));
      mkdirSync(set.path(name));
      return `${name} ${tokenOf(set, name)}`;
    },
    near: (set) => moveAndLink(set, `samples/LIDAR_TOP/${files(set, "samples/LIDAR_TOP")[0]}`),
  },
  {
    rule: "not-an-image",
    name: "a picture is an error page",
    plant: (set) => {
      const name = cameraFile(set);
      writeFileSync(set.path(name), "<html>quota exceeded</html>");
      return `${name} ${tokenOf(set, name)}`;
    },
    // A JPEG of another make: progressive.
    near: async (set) => {
      const name = set.path(cameraFile(set));
      writeFileSync(name, await sharp(readFileSync(name)).jpeg({ progressive: true }).toBuffer());
    },
  },
  {
    rule: "truncated-image",
    name: "a picture lacks its last bytes",
    plant: (set) => {
      const name = cameraFile(set);
      truncateSync(set.path(name), readFileSync(set.path(name)).length - 10);
      return `${name} ${tokenOf(set, name)}`;
    },
    // Bytes after the end marker are harmless.
    near: (set) => appendFileSync(set.path(cameraFile(set)), Buffer.alloc(16)),
  },
  {
    rule: "truncated-image",
    name: "a picture ends within its headers",
    plant: (set) => {
      const name = cameraFile(set);
      truncateSync(set.path(name), 100);
      return `${name} ${tokenOf(set, name)}`;
    },
  },
  {
    rule: "wrong-image-size",
    name: "a picture was resized",
    plant: async (set) => {
      const name = cameraFile(set);
      writeFileSync(set.path(name), await picture(80, 45));
      return `${name} ${tokenOf(set, name)}`;
    },
    // Compressed anew, at the same size.
    near: async (set) => writeFileSync(set.path(cameraFile(set)), await picture()),
  },
  {
    rule: "bad-point-cloud",
    name: "a sweep of the lidar is cut off",
    plant: (set) => {
      const name = `sweeps/LIDAR_TOP/${files(set, "sweeps/LIDAR_TOP")[0]}`;
      truncateSync(set.path(name), 41);
      return `${name} ${tokenOf(set, name)}`;
    },
    near: (set) => truncateSync(set.path(`sweeps/LIDAR_TOP/${files(set, "sweeps/LIDAR_TOP")[0]}`), 40),
  },
  ...[7, 9].map(
    (labels): Case => ({
      rule: "bad-point-cloud",
      name: `${labels} labels of 8 points`,
      labels: true,
      plant: (set) => {
        const name = `lidarseg/${VERSION}/${files(set, `lidarseg/${VERSION}`)[1]}`;
        writeFileSync(set.path(name), Buffer.alloc(labels));
        return name;
      },
      // With as many points in the cloud.
      near: (set) => {
        const label = files(set, `lidarseg/${VERSION}`)[1]!;
        writeFileSync(set.path(`lidarseg/${VERSION}`, label), Buffer.alloc(labels));
        writeFileSync(set.path(cloudOf(set, label)), Buffer.alloc(20 * labels));
      },
    }),
  ),
  {
    rule: "bad-point-cloud",
    name: "a sweep of the lidar under another name that the devkit reads is cut off",
    plant: (set) => {
      const file = `sweeps/LIDAR_TOP/${files(set, "sweeps/LIDAR_TOP")[0]!}`;
      const other = file.replace(".pcd.bin", ".bin");
      renameSync(set.path(file), set.path(other));
      truncateSync(set.path(other), 30);
      set.edit("sample_data", (rows) => {
        rows.find(({ filename }) => filename === file)!.filename = other;
      });
      return `${other} ${tokenOf(set, other)}`;
    },
  },
  {
    rule: "truncated-image",
    name: "a picture of the format image/jpeg lacks its last bytes",
    plant: (set) => {
      const file = cameraFile(set);
      truncateSync(set.path(file), readFileSync(set.path(file)).length - 10);
      set.edit("sample_data", (rows) => {
        for (const row of rows) if (row.filename.includes("CAM_FRONT")) row.fileformat = "image/jpeg";
      });
      return `${file} ${tokenOf(set, file)}`;
    },
  },
  {
    rule: "bad-point-cloud",
    name: "a radar file ends within its header",
    plant: (set) => {
      const name = `samples/RADAR_FRONT/${files(set, "samples/RADAR_FRONT")[0]}`;
      truncateSync(set.path(name), 60);
      return `${name} ${tokenOf(set, name)}`;
    },
  },
  {
    rule: "bad-point-cloud",
    name: "a radar file lacks its last byte",
    plant: (set) => {
      const name = `samples/RADAR_FRONT/${files(set, "samples/RADAR_FRONT")[0]}`;
      writeFileSync(set.path(name), radarFile(125).subarray(0, -1));
      return `${name} ${tokenOf(set, name)}`;
    },
    // Whole, with a byte more; and without a point.
    near: (set) => {
      const [one, two] = files(set, "samples/RADAR_FRONT").map((file) =>
        set.path("samples/RADAR_FRONT", file),
      );
      writeFileSync(one!, Buffer.concat([radarFile(125), Buffer.alloc(1)]));
      writeFileSync(two!, radarFile(0));
    },
  },
  {
    rule: "labels-unlisted",
    name: "a label file that no row names",
    labels: true,
    plant: (set) => {
      writeFileSync(set.path("lidarseg", VERSION, "0_lidarseg.bin"), "x");
      return `lidarseg/${VERSION}/0_lidarseg.bin`;
    },
    near: (set) => writeFileSync(set.path("lidarseg", VERSION, "README.md"), "x"),
  },
  {
    rule: "labels-unlisted",
    name: "a label file beside a table without a row",
    labels: true,
    plant: (set) => {
      set.edit("lidarseg", () => []);
      const [kept, ...others] = files(set, `lidarseg/${VERSION}`);
      for (const file of others) rmSync(set.path("lidarseg", VERSION, file));
      return `lidarseg/${VERSION}/${kept}`;
    },
    // A table without a row, and a folder without a file.
    near: (set) => {
      set.edit("lidarseg", () => []);
      for (const file of files(set, `lidarseg/${VERSION}`)) rmSync(set.path("lidarseg", VERSION, file));
    },
  },
  {
    rule: "missing-file",
    name: "a table of labels without a row, and no folder for them",
    labels: true,
    plant: (set) => {
      set.edit("lidarseg", () => []);
      rmSync(set.path("lidarseg"), { recursive: true });
      return `lidarseg/${VERSION}`;
    },
  },
  {
    rule: "missing-file",
    name: "labels in another folder than the one that the devkit counts",
    labels: true,
    plant: (set) => {
      renameSync(set.path("lidarseg", VERSION), set.path("lidarseg/other"));
      mkdirSync(set.path("lidarseg", VERSION));
      set.edit("lidarseg", (rows) => {
        for (const row of rows) row.filename = row.filename.replace(VERSION, "other");
      });
      return `lidarseg/${VERSION}`;
    },
    // The same folder, spelled otherwise.
    near: (set) =>
      set.edit("lidarseg", (rows) => {
        for (const row of rows) row.filename = `./${row.filename.replace("/", "//")}`;
      }),
  },
  {
    rule: "missing-file",
    name: "a label without the name of a file",
    labels: true,
    plant: (set) => {
      let token = "";
      set.edit("lidarseg", (rows) => {
        rmSync(set.path(rows[2]!.filename));
        rows[2]!.filename = "";
        token = rows[2]!.token;
      });
      return `${table("lidarseg")} ${token}`;
    },
  },
  {
    rule: "missing-file",
    name: "a label in a folder that is not there, which is not counted elsewhere as well",
    labels: true,
    plant: (set) => {
      let file = "";
      set.edit("lidarseg", (rows) => {
        rmSync(set.path(rows[1]!.filename));
        rows[1]!.filename = rows[1]!.filename.replace("lidarseg/", "lidarsee/");
        file = rows[1]!.filename;
      });
      return file;
    },
  },
  {
    rule: "duplicate-file",
    name: "two labels name one file",
    labels: true,
    plant: (set) => {
      let token = "";
      set.edit("lidarseg", (rows) => {
        rmSync(set.path(rows[1]!.filename));
        rows[1]!.filename = rows[0]!.filename;
        token = rows[1]!.token;
      });
      return `${table("lidarseg")} ${token}`;
    },
  },
  {
    rule: "category-index",
    name: "a category that the devkit has no colour for",
    labels: true,
    plant: (set) => {
      let token = "";
      set.edit("category", (rows) => {
        rows[4]!.name = "vehicle.spaceship";
        token = rows[4]!.token;
      });
      return `${table("category")} ${token}`;
    },
    // Without labels, the devkit asks for no colour.
    near: (set) => {
      set.edit("category", (rows) => {
        rows[4]!.name = "vehicle.spaceship";
      });
      rmSync(set.path(table("lidarseg")));
    },
  },
  {
    rule: "missing-map",
    name: "a map without the name of an image",
    plant: (set) => {
      set.edit("map", (rows) => {
        rows[0]!.filename = "";
      });
      return `${table("map")} ${set.rows("map")[0]!.token}`;
    },
  },
  {
    rule: "wrong-type",
    name: "the time of a sample is NaN, as pandas writes it: its key frames are not far from it",
    plant: (set) => {
      const { token, timestamp } = set.rows("sample")[1]!;
      const text = readFileSync(set.path(table("sample")), "utf8");
      writeFileSync(set.path(table("sample")), text.replace(`"timestamp": ${timestamp}`, '"timestamp": NaN'));
      return `${table("sample")} ${token}`;
    },
  },
  {
    rule: "wrong-type",
    name: "an intrinsic matrix with NaN, which is not an empty one as well",
    plant: (set) => {
      const { token } = set.rows("calibrated_sensor").find((row) => row.camera_intrinsic.length > 0)!;
      const text = readFileSync(set.path(table("calibrated_sensor")), "utf8");
      const changed = text.replace(/("camera_intrinsic": \[\s*\[\s*)[-\d.]+/, "$1NaN");
      writeFileSync(set.path(table("calibrated_sensor")), changed);
      return `${table("calibrated_sensor")} ${token}`;
    },
  },
  {
    rule: "category-index",
    name: "a category has no label index",
    labels: true,
    plant: (set) => {
      let token = "";
      set.edit("category", (rows) => {
        token = rows[4]!.token;
        delete rows[4]!.index;
      });
      return `${table("category")} ${token}`;
    },
    near: (set) => set.edit("category", (rows) => rows.reverse()),
  },
  {
    rule: "can-bus-damaged",
    name: "a CAN bus file is cut off",
    plant: (set) => {
      truncateSync(set.path("can_bus/scene-0061_vehicle_monitor.json"), 100);
      return "can_bus/scene-0061_vehicle_monitor.json scene-0061";
    },
    near: (set) => writeFileSync(set.path("can_bus/scene-0061_route.json"), "[]"),
  },
  {
    rule: "can-bus-damaged",
    name: "a speed is larger than any number",
    plant: (set) => {
      writeFileSync(
        set.path("can_bus/scene-0061_vehicle_monitor.json"),
        '[{"utime": 1, "vehicle_speed": 1e999, "steering": 0}]',
      );
      return "can_bus/scene-0061_vehicle_monitor.json scene-0061";
    },
  },
  {
    rule: "can-bus-damaged",
    name: "the file of another scene",
    plant: (set) => {
      const [one, other] = ["scene-0061", "scene-0103"].map((name) =>
        set.path(`can_bus/${name}_vehicle_monitor.json`),
      );
      copyFileSync(other!, one!);
      return "can_bus/scene-0061_vehicle_monitor.json scene-0061";
    },
    // Messages from just before and long after the scene as well.
    near: (set) => {
      const path = set.path("can_bus/scene-0061_vehicle_monitor.json");
      const messages = JSON.parse(readFileSync(path, "utf8")) as Row[];
      const [first, last] = [messages[0]!, messages.at(-1)!];
      const more = [
        { ...first, utime: first.utime - 9e6 },
        ...messages,
        { ...last, utime: last.utime + 9e9 },
      ];
      writeFileSync(path, JSON.stringify(more));
    },
  },
  {
    rule: "can-bus-damaged",
    name: "the file of a scene with a name of its own",
    plant: (set) => {
      renameScene(set, "tokyo-1");
      writeFileSync(set.path("can_bus/tokyo-1_vehicle_monitor.json"), "{}");
      return "can_bus/tokyo-1_vehicle_monitor.json tokyo-1";
    },
    // Such a scene without messages, and one with some.
    near: (set) => {
      renameScene(set, "tokyo-1");
      rmSync(set.path("can_bus/scene-0103_vehicle_monitor.json"));
      set.edit("scene", (rows) => {
        rows[1]!.name = "tokyo-2";
      });
    },
  },
  {
    rule: "can-bus-damaged",
    name: "messages out of order, of which the wrong ones would be taken",
    plant: (set) => {
      const path = set.path("can_bus/scene-0061_vehicle_monitor.json");
      const messages = JSON.parse(readFileSync(path, "utf8")) as Row[];
      messages.push({ ...messages[0], utime: messages[0]!.utime - 1e6 });
      writeFileSync(path, JSON.stringify(messages));
      return "can_bus/scene-0061_vehicle_monitor.json scene-0061";
    },
    // A message twice, and two that change places.
    near: (set) => {
      const path = set.path("can_bus/scene-0061_vehicle_monitor.json");
      const messages = JSON.parse(readFileSync(path, "utf8")) as Row[];
      messages.splice(1, 2, messages[2]!, messages[2]!, messages[1]!);
      writeFileSync(path, JSON.stringify(messages));
    },
  },
  {
    rule: "can-bus-missing",
    name: "a scene's vehicle_monitor is not there",
    plant: (set) => {
      rmSync(set.path("can_bus/scene-0103_vehicle_monitor.json"));
      return "can_bus/scene-0103_vehicle_monitor.json scene-0103";
    },
  },
  {
    rule: "can-bus-missing",
    name: "a scene's vehicle_monitor has no messages",
    plant: (set) => {
      writeFileSync(set.path("can_bus/scene-0103_vehicle_monitor.json"), "[]");
      return "can_bus/scene-0103_vehicle_monitor.json scene-0103";
    },
    // A single message is one.
    near: (set) => {
      const path = set.path("can_bus/scene-0103_vehicle_monitor.json");
      const [first] = JSON.parse(readFileSync(path, "utf8")) as unknown[];
      writeFileSync(path, JSON.stringify([first]));
    },
  },
  {
    rule: "can-bus-absent",
    name: "no CAN bus folder",
    plant: (set) => {
      rmSync(set.path("can_bus"), { recursive: true });
      return "can_bus";
    },
    near: (set) => moveAndLink(set, "can_bus"),
  },
  {
    rule: "can-bus-none",
    name: "a scene that is known to have no CAN bus messages",
    plant: (set) => {
      set.edit("scene", (rows) => {
        rows[0]!.name = "scene-0161";
      });
      return table("scene");
    },
    // The scene before those.
    near: (set) => renameScene(set, "scene-0160"),
  },
  {
    rule: "known-scene",
    name: "a scene with known pose errors",
    plant: (set) => {
      for (const message of ["vehicle_monitor"]) {
        const from = set.path(`can_bus/scene-0061_${message}.json`);
        writeFileSync(set.path(`can_bus/scene-0499_${message}.json`), readFileSync(from));
      }
      set.edit("scene", (rows) => {
        rows[0]!.name = "scene-0499";
      });
      return `${table("scene")} scene-0499`;
    },
    near: (set) => renameScene(set, "scene-0498"),
  },
];

/** Puts a file or folder elsewhere, with a symbolic link in its place. */
function moveAndLink(set: TestSet, name: string): void {
  const elsewhere = join(mkdtempSync(join(tmpdir(), "elsewhere-")), "it");
  renameSync(set.path(name), elsewhere);
  symlinkSync(elsewhere, set.path(name));
}

/** Makes a row name another target than its neighbours do. @returns where that is found */
function stray(set: TestSet, name: string, field: string, pick: (rows: Row[]) => Row): string {
  let token = "";
  set.edit(name, (rows) => {
    const row = pick(rows);
    token = row.token;
    row[field] = rows.find((each) => each[field] !== row[field])![field];
  });
  return `${table(name)} ${token}`;
}

/** Makes a row name the sample at the same place of another scene. */
function strayInScene(set: TestSet, name: string, pick: (rows: Row[]) => Row): string {
  const samples = set.rows("sample");
  const scenes = [...new Set(samples.map((row) => row.scene_token))];
  const ordered = scenes.map((scene) =>
    samples.filter((row) => row.scene_token === scene).sort((a, b) => a.timestamp - b.timestamp),
  );
  let token = "";
  set.edit(name, (rows) => {
    const row = pick(rows);
    token = row.token;
    const own = ordered.findIndex((list) => list.some((each) => each.token === row.sample_token));
    const place = ordered[own]!.findIndex((each) => each.token === row.sample_token);
    row.sample_token = ordered[1 - own]![place]!.token;
  });
  return `${table(name)} ${token}`;
}

/** A radar file as nuScenes has them: 18 fields, 43 bytes a point. */
function radarFile(points: number): Buffer {
  const sizes = [4, 4, 4, 1, 2, 4, 4, 4, 4, 4, 1, 1, 1, 1, 1, 1, 1, 1];
  const header = [
    "# .PCD v0.7 - Point Cloud Data file format",
    "VERSION 0.7",
    "FIELDS x y z dyn_prop id rcs vx vy vx_comp vy_comp is_quality_valid ambig_state x_rms y_rms invalid_state pdh0 vx_rms vy_rms",
    `SIZE ${sizes.join(" ")}`,
    "TYPE F F F I I F F F F F I I I I I I I I",
    `COUNT ${sizes.map(() => 1).join(" ")}`,
    `WIDTH ${points}`,
    "HEIGHT 1",
    "VIEWPOINT 0 0 0 1 0 0 0",
    `POINTS ${points}`,
    "DATA binary\n",
  ];
  return Buffer.concat([Buffer.from(header.join("\n")), Buffer.alloc(points * 43, 1)]);
}

/** Takes a sweep out of its chain, row and file. */
function dropSweep(set: TestSet, channel: string): void {
  set.edit("sample_data", (rows) => {
    const at = rows.findIndex(
      (row) => row.filename.startsWith(`sweeps/${channel}/`) && row.prev !== "" && row.next !== "",
    );
    const row = rows[at]!;
    byToken(rows, row.prev).next = row.next;
    byToken(rows, row.next).prev = row.prev;
    rows.splice(at, 1);
    rmSync(set.path(row.filename));
  });
}

/** Renames the first scene, its CAN bus files with it. */
function renameScene(set: TestSet, name: string): void {
  for (const file of files(set, "can_bus")) {
    if (file.startsWith("scene-0061_"))
      renameSync(set.path("can_bus", file), set.path("can_bus", file.replace("scene-0061", name)));
  }
  set.edit("scene", (rows) => {
    rows[0]!.name = name;
  });
}

/** Gives the radar's row of `sensor` the token of a row of another table. */
function renameToken(set: TestSet, rows: Row[]): void {
  const token = set.rows("category")[0]!.token;
  const old = rows.at(-1)!.token;
  rows.at(-1)!.token = token;
  set.edit("calibrated_sensor", (calibrated) => {
    for (const row of calibrated) if (row.sensor_token === old) row.sensor_token = token;
  });
}

it("every rule has a near miss", () => {
  const without = Object.keys(NUSCENES_RULES).filter(
    (rule) => !CASES.some((each) => each.rule === rule && each.near),
  );
  expect(without).toEqual([]);
});

it("every rule has a case", () => {
  expect([...new Set(CASES.map((each) => each.rule))].sort()).toEqual(Object.keys(NUSCENES_RULES).sort());
});

it("a value that is an object with a toString of its own is of a wrong type, wherever it stands", async () => {
  const set = sets.copy(clean);
  const odd = JSON.parse('{"toString": 1, "valueOf": null}');
  const names = [
    "sensor",
    "sample",
    "scene",
    "log",
    "map",
    "calibrated_sensor",
    "category",
    "instance",
    "sample_data",
    "ego_pose",
  ];
  for (const name of names) {
    set.edit(name, (rows) => {
      for (const [at, field] of Object.keys(rows[0]!).entries())
        rows[at % rows.length]![field] = at % 2 === 0 ? odd : [odd, [odd]];
    });
  }
  const { findings } = await findingsOf(set.root);
  const wrong = findings.filter(({ rule }) => rule === "nuscenes/wrong-type").map(({ path }) => path);
  expect(new Set(wrong)).toEqual(new Set(names.map(table)));
});

it("names with backslashes are missing pictures, whatever the other sensors' files are", async () => {
  const set = sets.copy(clean);
  set.edit("sample_data", (rows) => {
    for (const row of rows) row.filename = row.filename.replaceAll("/", "\\");
  });
  const { findings } = await findingsOf(set.root);
  const errors = findings.filter(({ severity }) => severity === "error");
  expect(errors.map(({ rule, path, count }) => [rule, path, count])).toEqual([
    ["nuscenes/missing-file", ".", set.rows("sample_data").length],
  ]);
});

it("a folder in the place of a file is found at the level of names, too", async () => {
  const set = sets.copy(clean);
  const name = cameraFile(set);
  rmSync(set.path(name));
  mkdirSync(set.path(name));
  const { findings } = await findingsOf(set.root, { images: "names" });
  expect(findings.map(brief)).toEqual([`unreadable-file ${name} ${tokenOf(set, name)}`]);
});

it("files that are not there, or of no known kind, are not said to have been looked at", async () => {
  const set = sets.copy(clean);
  rmSync(set.path(cameraFile(set)));
  rmSync(set.path("sweeps/LIDAR_TOP", files(set, "sweeps/LIDAR_TOP")[0]!));
  set.edit("sample_data", (rows) => {
    for (const row of rows.filter(({ filename }) => filename.startsWith("sweeps/RADAR_FRONT/"))) {
      const other = row.filename.replace(/\.pcd$/, ".npy");
      renameSync(set.path(row.filename), set.path(other));
      row.filename = other;
    }
  });
  const rows = set.rows("sample_data");
  const [cameras, radar] = ["CAM_FRONT/", "sweeps/RADAR_FRONT"].map(
    (part) => rows.filter(({ filename }) => filename.includes(part)).length,
  );
  const { summary } = await findingsOf(set.root, { sample: Number.POSITIVE_INFINITY });
  const clouds = rows.length - cameras! - 1;
  expect(summary.coverage.slice(-2)).toEqual([
    { what: "point clouds (headers)", checked: clouds - radar!, total: clouds },
    { what: "pictures (headers)", checked: cameras! - 1, total: cameras! - 1 },
  ]);
});

it("a clean set has no findings", async () => {
  expect((await findingsOf(clean.root, { sample: Number.POSITIVE_INFINITY })).findings.map(brief)).toEqual(
    [],
  );
  expect((await findingsOf(labelled.root)).findings.map(brief)).toEqual([]);
});

describe.each(CASES)("$rule", (each) => {
  const start = () => sets.copy(each.labels ? labelled : clean);

  it(`finds it: ${each.name}`, async () => {
    const set = start();
    const place = await each.plant(set);
    const { findings } = await findingsOf(set.root);
    expect(findings.map(brief)).toEqual([`${each.rule} ${place}`]);
    expect(findings[0]!.severity).toBe(NUSCENES_RULES[each.rule].severity);
  });

  if (each.near !== undefined) {
    it("lets a near miss pass", async () => {
      const set = start();
      await each.near!(set);
      expect((await findingsOf(set.root)).findings.map(brief)).toEqual([]);
    });
  }
});
