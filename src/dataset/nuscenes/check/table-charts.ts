/** The figures of the tables for the HTML report. */
import type { Chart } from "../../finding.js";
import { stateOf, type Tables } from "../read/load-tables.js";
import { ALL_TABLES, LARGE_TABLES } from "../read/schema.js";
import type { Frames } from "./frames.js";

/** The only channel in these charts, because Vista reads no other. */
const CHANNEL = "CAM_FRONT";

export function tableCharts(tables: Tables, frames: Frames | undefined, version: string): Chart[] {
  const charts: Chart[] = [];
  const loaded = ALL_TABLES.filter((name) => name in tables.small || LARGE_TABLES.includes(name));
  const rows = loaded.map((name) => ({ label: name, value: stateOf(tables, name)?.rows ?? 0 }));
  const title = `Rows of the tables (${version})`;
  charts.push({ kind: "bars", title, unit: "rows", shares: true, points: rows });
  const data = tables.sampleData;
  const scenes = tables.small.scene?.values;
  const channel = frames?.channels.indexOf(CHANNEL) ?? -1;
  if (data === undefined || scenes === undefined || frames === undefined || channel < 0) return charts;

  const count = new Int32Array(scenes.length);
  const from = new Float64Array(scenes.length).fill(Number.POSITIVE_INFINITY);
  const to = new Float64Array(scenes.length).fill(Number.NEGATIVE_INFINITY);
  const gaps = new Map<number, number>();
  for (let row = 0; row < data.rows; row++) {
    const scene = frames.sceneOf(row);
    if (frames.channel[row] !== channel || scene < 0) continue;
    const time = data.time[row]!;
    count[scene]!++;
    from[scene] = Math.min(from[scene]!, time);
    to[scene] = Math.max(to[scene]!, time);
    const next = data.next[row]!;
    if (next < 0) continue;
    const bin = Math.floor((data.time[next]! - time) / 25_000) * 25;
    if (Number.isFinite(bin)) gaps.set(bin, (gaps.get(bin) ?? 0) + 1);
  }
  const perScene = <T>(value: (scene: number) => T) =>
    scenes.map((row, scene) => ({ label: String(row.name), ...value(scene) }));
  charts.push(
    {
      kind: "bars",
      title: `${CHANNEL} frames of each scene (${version})`,
      unit: "frames",
      points: perScene((scene) => ({ value: count[scene]! })),
    },
    {
      kind: "bars",
      title: `Time from one ${CHANNEL} frame to the next (${version}, from)`,
      unit: "frames",
      shares: true,
      points: [...gaps].sort(([a], [b]) => a - b).map(([bin, value]) => ({ label: `${bin} ms`, value })),
    },
    {
      kind: "spans",
      title: `When the scenes were recorded (${version})`,
      unit: "s",
      points: perScene((scene) => ({ from: from[scene]! / 1e6, to: to[scene]! / 1e6 })).filter((point) =>
        Number.isFinite(point.from),
      ),
    },
  );
  return charts;
}
