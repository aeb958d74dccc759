/** A check, field by field, that a JSON value is a report: reports come from files that anything may have written. */

import { shorten, VistaError } from "../../core/errors.js";
import { isRecord } from "../../core/maps.js";
import { textOf } from "../../core/text.js";
import { SEVERITIES } from "../finding.js";
import { RULES } from "../rules.js";
import type { Report } from "./report.js";

type Shape = (value: unknown) => boolean;

const text: Shape = (value) => typeof value === "string";
const flag: Shape = (value) => typeof value === "boolean";
const number: Shape = (value) => typeof value === "number" && Number.isFinite(value);
const count: Shape = (value) => typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
/** Tells whether a value is the number of a shard, from 1; the largest array of Slurm's default settings has 1,001. */
const shardNumber: Shape = (value) => count(value) && (value as number) >= 1 && (value as number) <= 100_000;
const absent: Shape = (value) => value === undefined;

function oneOf(...values: readonly unknown[]): Shape {
  return (value) => values.includes(value);
}

function either(...shapes: readonly Shape[]): Shape {
  return (value) => shapes.some((shape) => shape(value));
}

const optional = (shape: Shape) => either(absent, shape);

function list(item: Shape): Shape {
  return (value) => Array.isArray(value) && value.every(item);
}

/** Returns the shape of an object whose members all have one shape, whatever their names. */
function members(item: Shape): Shape {
  return (value) => isRecord(value) && Object.values(value).every(item);
}

/** Returns the shape of an object with at least these fields. */
function fields(shapes: Readonly<Record<string, Shape>>): Shape {
  return (value) =>
    isRecord(value) &&
    Object.entries(shapes).every(([name, shape]) =>
      shape(Object.hasOwn(value, name) ? value[name] : undefined),
    );
}

const severity = oneOf(...SEVERITIES);
const rule = oneOf(...RULES.map(({ code }) => code));

const chart = either(
  fields({
    kind: oneOf("bars"),
    title: text,
    unit: text,
    shares: optional(oneOf(true)),
    points: list(fields({ label: text, value: number })),
  }),
  fields({
    kind: oneOf("spans"),
    title: text,
    unit: text,
    points: list(fields({ label: text, from: number, to: number })),
  }),
);

const tally = fields({
  path: text,
  subset: oneOf("NuScenes", "YouTube", "language"),
  records: count,
  unusable: count,
  lost: optional(count),
  stopping: optional(fields({ records: count, first: text })),
});

const part = fields({
  kind: oneOf("nuscenes", "opendv", "annotations"),
  title: text,
  root: text,
  coverage: list(fields({ what: text, checked: count, total: count })),
  sampled: optional(list(text)),
  interrupted: flag,
  charts: optional(list(chart)),
  samples: optional(list(text)),
  annotations: optional(list(tally)),
});

const REPORT: Readonly<Record<string, Shape>> = {
  version: text,
  root: text,
  verdict: oneOf("clean", "clean in part", "errors", "no errors", "interrupted"),
  counts: fields({ error: count, warning: count, note: count }),
  parts: list(part),
  // JSON has no infinity, so that null stands for "all findings".
  options: fields({
    maxFindings: either(count, oneOf(null)),
    ignore: list(text),
    check: members(either(text, number, flag)),
  }),
  shard: optional(fields({ index: shardNumber, count: shardNumber })),
  rules: list(
    fields({
      code: rule,
      severity,
      title: text,
      fix: text,
      findings: count,
      places: count,
      folders: list(fields({ folder: text, findings: count, places: count })),
    }),
  ),
  findings: list(
    fields({
      rule,
      severity,
      path: text,
      message: text,
      record: optional(text),
      offset: optional(count),
      count: optional(count),
    }),
  ),
  ignored: members(count),
};

/**
 * Makes sure that a value is a report.
 *
 * @throws VistaError `FORMAT` for what is no report, or not a whole one, with the field that is wrong
 */
export function checkReport(value: unknown, path: string): asserts value is Report {
  if (!isRecord(value) || value.format !== "vista-data report 1") {
    throw new VistaError("FORMAT", "this is no report of vista-data check --json", { path });
  }
  for (const [name, shape] of Object.entries(REPORT)) {
    if (shape(Object.hasOwn(value, name) ? value[name] : undefined)) continue;
    const shown = shorten(textOf(value[name]), 100);
    throw new VistaError(
      "FORMAT",
      `this is no whole report: \`${name}\` is not what it should be: ${shown}`,
      { path, hint: "Run that shard again." },
    );
  }
}
