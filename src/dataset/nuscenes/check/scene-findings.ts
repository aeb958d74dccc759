/**
 * Findings about scenes, logs and maps: the small tables are compared with what Vista and the devkit need of them.
 */
import type { Finding } from "../../finding.js";
import { SCENE_QUIRKS } from "../read/schema.js";
import { rowOf } from "../read/tables.js";
import type { Names } from "./names.js";
import { finding } from "./rules.js";

/** Returns the number in a name such as `scene-0061`; undefined for names of another form. */
export function sceneNumber(name: unknown): number | undefined {
  const match = typeof name === "string" ? /^scene-(\d{4})$/.exec(name) : null;
  return match === null ? undefined : Number(match[1]);
}

export function* sceneFindings(names: Names): Generator<Finding> {
  const { log, map, scene } = names.tables.small;
  if (log !== undefined && map?.complete) {
    const tokens = map.values.flatMap((row) => (Array.isArray(row.log_tokens) ? row.log_tokens : []));
    const mapped = new Set<unknown>(tokens.filter((token) => typeof token === "string"));
    for (const [row, values] of log.values.entries()) {
      if (log.exclude[row] === 1 || mapped.has(values.token)) continue;
      const text = `no map lists ${String(values.logfile)} in its log_tokens`;
      yield finding("log-without-map", names.path("log"), text, names.place("log", row));
    }
    const elsewhere = [...mapped].filter((token) => rowOf(log, token) === -1);
    if (log.complete && elsewhere.length > 0) {
      const text = `${elsewhere.length} of ${mapped.size} logs in log_tokens are not in log.json, "${String(elsewhere[0])}" the first`;
      yield finding("map-log-elsewhere", names.path("map"), text, { count: elsewhere.length });
    }
  }
  for (const values of scene?.values ?? []) {
    const quirk = SCENE_QUIRKS.get(sceneNumber(values.name) ?? -1);
    if (quirk === undefined) continue;
    yield finding("known-scene", names.path("scene"), quirk, { record: String(values.name) });
  }
}
