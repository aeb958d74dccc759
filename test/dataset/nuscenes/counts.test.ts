/** Beyond those that are kept one by one, faults are counted: a report of 10,000 must not stand for 10,003. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import type { Finding } from "../../../src/dataset/finding.js";
import { FileList, fileFindings } from "../../../src/dataset/nuscenes/check/files.js";
import { Frames, frameFindings } from "../../../src/dataset/nuscenes/check/frames.js";
import type { Names } from "../../../src/dataset/nuscenes/check/names.js";
import { Dictionary } from "../../../src/dataset/nuscenes/read/file-names.js";
import { loadEgoPose, type SampleData } from "../../../src/dataset/nuscenes/read/load.js";
import type { Tables } from "../../../src/dataset/nuscenes/read/load-tables.js";
import { KEEP } from "../../../src/dataset/nuscenes/read/table-state.js";
import { loadSmall } from "../../../src/dataset/nuscenes/read/tables.js";
import { temporaryFolder } from "../../helpers/state.js";

const MORE = 3;

/** The parts of sample_data that these rules look at: rows that all name one file, with one sensor. */
function sampleData(rows: number): SampleData {
  const data = {
    rows,
    file: new Uint32Array(rows * 4),
    folder: new Uint16Array(rows),
    folders: ["samples/CAM_FRONT"],
    form: new Uint16Array(rows),
    forms: [],
    offset: new Float64Array(rows),
    sensor: new Int32Array(rows),
    sample: new Int32Array(rows).fill(-1),
    exclude: new Uint8Array(rows),
    complete: true,
  };
  return data as unknown as SampleData;
}

function counted(findings: readonly Finding[], rule: string): [findings: number, places: number] {
  const own = findings.filter((one) => one.rule === `nuscenes/${rule}`);
  return [own.length, own.reduce((sum, { count = 1 }) => sum + count, 0)];
}

it("rows that share a file with another are all counted", async () => {
  const root = temporaryFolder();
  const table = join(root, "sample_data.json");
  writeFileSync(table, '{"filename": "samples/CAM_FRONT/a.jpg", "token": "t"}');
  const data = sampleData(KEEP + MORE + 1);
  const frames = new Frames(data, { small: {} } as Tables, undefined);
  const list = new FileList("v1.0", { folder: root, sampleData: data } as Tables, frames);
  const summary = { kind: "nuscenes" as const, title: "", root, coverage: [], interrupted: true };
  const findings: Finding[] = [];
  for await (const one of fileFindings(root, [list], summary, false, {})) {
    findings.push(one);
  }
  list.close();
  expect(counted(findings, "duplicate-file")).toEqual([KEEP + 1, KEEP + MORE]);
});

it("rows with the token of another are all kept out of the chains, also those that are only counted", () => {
  const path = join(temporaryFolder(), "ego_pose.json");
  const row = { token: "t", timestamp: 1, rotation: [1, 0, 0, 0], translation: [0, 0, 0] };
  writeFileSync(path, JSON.stringify(Array.from({ length: KEEP + MORE + 1 }, () => row)));
  const { duplicates, exclude } = loadEgoPose({ path }, () => {});
  expect([duplicates.first.length, duplicates.more]).toEqual([KEEP, MORE]);
  expect([exclude[0], exclude.indexOf(0, 1)]).toEqual([0, -1]);
});

it("files in the folder of another sensor are all counted", () => {
  const folder = temporaryFolder();
  const small = (name: "sensor" | "calibrated_sensor", rows: unknown[]) => {
    const path = join(folder, `${name}.json`);
    writeFileSync(path, JSON.stringify(rows));
    return loadSmall(name, path);
  };
  const sensor = small("sensor", [
    { token: "a", channel: "CAM_FRONT", modality: "camera" },
    { token: "b", channel: "CAM_BACK", modality: "camera" },
  ]);
  const numbers = { translation: [0, 0, 0], rotation: [1, 0, 0, 0], camera_intrinsic: [] };
  const calibrated = small("calibrated_sensor", [{ token: "c", sensor_token: "b", ...numbers }]);
  const data = sampleData(KEEP + MORE);
  const tables = { small: { sensor, calibrated_sensor: calibrated }, sampleData: data } as unknown as Tables;
  const names = { tables, path: () => "sample_data.json", place: () => ({}) } as unknown as Names;
  const nothing = {
    wrongTime: new Set<number>(),
    wrongFrameTime: new Set<number>(),
    strays: new Map<number, number>(),
  };
  const frames = new Frames(data, tables, undefined);
  const findings = [...frameFindings(frames, nothing, names)];
  expect(counted(findings, "wrong-sensor")).toEqual([KEEP + 1, KEEP + MORE]);
});

it("more folders than a column can tell apart are an error, not files that nobody looks at", () => {
  const folders = new Dictionary("sample_data.json", "folders of files");
  const id = (name: string) => {
    const bytes = Buffer.from(name);
    return folders.id({ bytes, text: () => name }, 0, bytes.length);
  };
  while (folders.entries.length < 65_534) folders.entries.push({ text: "another", a: 0, b: 0 });
  expect(id("samples/a")).toBe(65_534);
  expect(() => id("samples/b")).toThrow("more than 65535 different folders of files");
  expect(id("samples/a")).toBe(65_534);
});
