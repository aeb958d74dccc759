/** The charts of the HTML report. Each is a picture of one thing, under a title that says what it shows. */
import { sum } from "../../core/sum.js";
import { formatCount } from "../../core/text.js";
import type { Chart } from "../finding.js";
import { html, type Markup } from "./markup.js";

const WIDTH = 320;
const HEIGHT = 130;
/** The largest number of bars; neighbours share a bar where there are more points than the eye tells apart. */
const MAX_BARS = 160;

type Bars = Extract<Chart, { kind: "bars" }>;
type Spans = Extract<Chart, { kind: "spans" }>;

/** Returns what a chart says, in one line. */
export function headline(chart: Chart): string {
  if (chart.kind === "spans") {
    const { from, to } = ends(chart);
    return `${chart.title}: ${formatCount(chart.points.length)} in all, from ${shown(from, from)} to ${shown(to, from)}`;
  }
  const values = chart.points.map(({ value }) => value);
  const total = sum(values);
  if (chart.shares) {
    const most = chart.points.reduce((a, b) => (b.value > a.value ? b : a));
    const share = most.value * 2 > total ? "most are" : "the largest part is";
    return `${chart.title}: ${share} ${most.label}, ${formatCount(most.value)} of ${formatCount(total)} ${chart.unit}`;
  }
  const sorted = [...values].sort((a, b) => a - b);
  const [least, most] = [sorted[0]!, sorted.at(-1)!];
  if (sorted.length === 1) return `${chart.title}: ${short(most)}, ${chart.points[0]!.label}`;
  if (least === most) return `${chart.title}: ${short(least)} each`;
  const median = sorted[sorted.length >> 1]!;
  return `${chart.title}: ${short(least)} to ${short(most)}, half of them ${short(median)} or more`;
}

/** Returns a figure with its title, and with its numbers for readers who do not see the picture. */
export function figure(chart: Chart): Markup {
  const title = headline(chart);
  const { shapes, labels, rows } = chart.kind === "bars" ? bars(chart) : spans(chart);
  return html`<figure class="card">
<figcaption>${title}</figcaption>
<svg viewBox="0 0 ${WIDTH} ${HEIGHT + 18}" role="img" aria-label="${title}">${shapes}
<line class="axis" x1="0" x2="${WIDTH}" y1="${HEIGHT}" y2="${HEIGHT}"/>
${labels}</svg>
<details><summary>The numbers</summary><table>
${rows.map(([label, value]) => html`<tr><th scope="row">${label}</th><td>${value}</td></tr>\n`)}</table></details>
</figure>`;
}

interface Drawing {
  shapes: Markup[];
  labels: Markup[];
  /** The label of what each shape stands for, and its number. */
  rows: [label: string, value: string][];
}

function bars({ points, unit }: Bars): Drawing {
  const each = Math.ceil(points.length / MAX_BARS);
  const grouped: { label: string; value: number }[] = [];
  for (let i = 0; i < points.length; i += each) {
    const group = points.slice(i, i + each);
    const [first, last] = [group[0]!.label, group.at(-1)!.label];
    grouped.push({
      label: group.length === 1 ? first : `${first} … ${last} (mean)`,
      value: sum(group, ({ value }) => value) / group.length,
    });
  }
  const top = Math.max(...grouped.map(({ value }) => value), 1);
  const step = Math.min(WIDTH / grouped.length, 48);
  const rows = grouped.map(({ label, value }): [string, string] => [label, `${short(value)} ${unit}`]);
  const shapes = grouped.map(({ value }, i) => {
    const height = (value / top) * (HEIGHT - 18);
    const width = Math.max(step - (step > 4 ? 1 : 0), 0.5);
    return bar(i * step, HEIGHT - height, width, height, rows[i]!);
  });
  const end = Math.min(WIDTH, step * grouped.length);
  const labels = [text(0, 11, `${short(top)} ${unit}`), text(0, HEIGHT + 14, points[0]!.label)];
  // Two labels side by side are written only where there is room for both.
  const last = points.at(-1)!.label;
  const room = (points[0]!.label.length + last.length) * 6.5;
  if (points.length > 1 && room < end) labels.push(text(end, HEIGHT + 14, last, "end"));
  return { shapes, labels, rows };
}

function spans(chart: Spans): Drawing {
  const { from, to } = ends(chart);
  const scale = WIDTH / Math.max(to - from, 1e-9);
  const step = HEIGHT / chart.points.length;
  const rows = chart.points.map((point): [string, string] => [
    point.label,
    `${shown(point.from, from)} to ${shown(point.to, from)}, ${short(point.to - point.from)} ${chart.unit}`,
  ]);
  const shapes = chart.points.map((point, i) =>
    bar(
      (point.from - from) * scale,
      i * step,
      Math.max((point.to - point.from) * scale, 1),
      Math.max(step - 1, 0.6),
      rows[i]!,
    ),
  );
  const labels = [text(0, HEIGHT + 14, shown(from, from)), text(WIDTH, HEIGHT + 14, shown(to, from), "end")];
  return { shapes, labels, rows };
}

function bar(x: number, y: number, width: number, height: number, [label, value]: [string, string]): Markup {
  const [left, top, wide, high] = [x, y, width, height].map((side) => side.toFixed(2));
  return html`<rect class="bar" x="${left}" y="${top}" width="${wide}" height="${high}"><title>${label}: ${value}</title></rect>`;
}

function text(x: number, y: number, content: string, anchor = "start"): Markup {
  return html`<text x="${x}" y="${y}" text-anchor="${anchor}">${content}</text>`;
}

function ends({ points }: Spans): { from: number; to: number } {
  return {
    from: Math.min(...points.map((point) => point.from)),
    to: Math.max(...points.map((point) => point.to)),
  };
}

/**
 * Returns seconds since 1970 as a time, and anything else as a number. A chart whose first value is a time has nothing but times.
 */
function shown(value: number, first: number): string {
  const date = new Date(value * 1000);
  const isTime = first > 1e9 && !Number.isNaN(date.getTime());
  return isTime ? date.toISOString().slice(0, 16).replace("T", " ") : short(value);
}

function short(value: number): string {
  const size = Math.abs(value);
  if (size >= 1e6) return `${(value / 1e6).toFixed(1)} M`;
  if (size >= 1e4) return `${(value / 1e3).toFixed(0)} k`;
  return Number.isInteger(value) ? formatCount(value) : String(Math.round(value * 100) / 100);
}
