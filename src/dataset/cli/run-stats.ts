/** The work of `vista-data stats`, once its options are read. */

import { formatCount, plural } from "../../core/cli/format.js";
import { expandInputs } from "../../core/cli/inputs.js";
import type { PrintOptions } from "../../core/cli/options.js";
import { printResult } from "../../core/cli/print.js";
import type { CommandContext } from "../../core/cli/program.js";
import { runWithProgress } from "../../core/cli/progress.js";
import { compareText } from "../../core/text.js";
import { type AnnotationStats, collectStats, type DataStats } from "../stats/stats.js";

export interface StatsCommandOptions extends PrintOptions {
  annos?: string[];
  index?: string;
}

export async function runStats(
  root: string,
  options: StatsCommandOptions,
  context: CommandContext,
): Promise<void> {
  const { index } = options;
  const annos = await expandInputs(options.annos ?? []);
  const stats = await runWithProgress(options.quiet, context.signal, (run) =>
    collectStats(root, { ...run, annos, index }),
  );
  printResult(options, { command: "stats", ...stats }, describe(stats));
}

function describe(stats: DataStats): string[] {
  const blocks: string[][] = [];
  const { opendv, nuscenes } = stats;
  if (opendv !== undefined) {
    blocks.push([
      "OpenDV-YouTube",
      row("videos", formatCount(opendv.videos)),
      row("frames", `${formatCount(opendv.frames)}, ${hours(opendv.hours)} at 10 Hz`),
      row("clips of 25 frames", formatCount(opendv.clips)),
      row("runs without a gap", formatCount(opendv.runs)),
      ...groups("by split", opendv.splits),
      ...groups("by subset", opendv.subsets),
      ...groups("by country", opendv.countries),
    ]);
  }
  if (nuscenes !== undefined) {
    blocks.push([
      `nuScenes ${nuscenes.version}`,
      row("scenes", formatCount(nuscenes.scenes)),
      row("CAM_FRONT images", `${formatCount(nuscenes.images)}, ${hours(nuscenes.hours)} at 12 Hz`),
      row("key frames", formatCount(nuscenes.keyFrames)),
      row("clips of 25 frames", `${formatCount(nuscenes.clips)}, one a key frame`),
      ...Object.entries(nuscenes.locations)
        .sort(([a], [b]) => compareText(a, b))
        .map(([place, scenes]) => row(`  ${place}`, plural(scenes, "scene"))),
    ]);
  }
  for (const annotation of stats.annotations) blocks.push(annotationBlock(annotation));
  for (const { path, clips, folders } of stats.youtube) {
    blocks.push([path, row("clips", formatCount(clips)), row("video folders", formatCount(folders))]);
  }
  return blocks.flatMap((block, i) => (i === 0 ? block : ["", ...block]));
}

function annotationBlock(stats: AnnotationStats): string[] {
  const usable = stats.records - stats.unusable;
  const share = (count: number) =>
    `${formatCount(count)} (${usable === 0 ? "0" : ((100 * count) / usable).toFixed(1)} %)`;
  const { commands, modes, speed } = stats;
  const lines = [
    stats.path,
    row("records", formatCount(stats.records)),
    ...(stats.unusable > 0 ? [row("of the wrong shape", formatCount(stats.unusable))] : []),
    ...Object.entries(commands).map(([name, count]) => row(`  command ${name}`, share(count))),
    ...Object.entries(modes).map(([name, count]) => row(`  has ${name}`, share(count))),
    row("samples, turns × 5", formatCount(stats.balanced)),
    row("and complete ones × 2", formatCount(stats.resampled)),
  ];
  if (speed !== undefined) {
    const [min, median, mean, max] = [speed.min, speed.median, speed.mean, speed.max].map((value) =>
      value.toFixed(1),
    );
    lines.push(row("speed, km/h", `${min} to ${max}, median ${median}, mean ${mean}`));
  }
  return lines;
}

function groups(title: string, group: Record<string, { videos: number; hours: number }>): string[] {
  const entries = Object.entries(group).sort(([, a], [, b]) => b.hours - a.hours);
  return [
    `  ${title}`,
    ...entries.map(([name, { videos, hours: time }]) =>
      row(`    ${name}`, `${plural(videos, "video")}, ${hours(time)}`),
    ),
  ];
}

function hours(value: number): string {
  return `${value < 10 ? value.toFixed(2) : formatCount(value)} h`;
}

function row(name: string, value: string): string {
  return `  ${name.padEnd(28)}${value}`;
}
