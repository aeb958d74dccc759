import { type Command, InvalidArgumentError, Option } from "commander";
import { collectList, JSON_OBJECT, QUIET, wholeNumber } from "../../core/cli/options.js";
import { type CommandContext, later } from "../../core/cli/program.js";
import type { Shard } from "../finding.js";

const count = wholeNumber();

export function addCheckCommand(program: Command, context: CommandContext): void {
  program
    .command("check")
    .description("check a data set and say everything that is wrong with it")
    .argument("[root]", "nuScenes, OpenDV-YouTube, or a folder with data/nuscenes, data/YouTube, annos", ".")
    .addOption(new Option("--kind <kind>", "check this only").choices(["nuscenes", "opendv", "annotations"]))
    .option("--version <version>", "only this version of nuScenes, v1.0-mini say")
    .option(
      "--annos <files>",
      "annotation files to check, beside those in annos/; repeated, or with commas",
      collectList,
    )
    .option(
      "--quick",
      "annotation files only: as many records as 20 s allow, the frames of some (--sample, default: 400)",
    )
    .option("--tables-only", "tables of nuScenes and annotation files: look at no other file")
    .addOption(
      new Option("--images <level>", "how closely images are looked at (default: headers)").choices([
        "names",
        "headers",
        "decode",
      ]),
    )
    .option("--decode", "the same as --images decode")
    .option(
      "--sample <n>",
      "open at most so many pictures and point clouds each, or `all` (default: what --budget allows; all with --decode)",
      parseSample,
    )
    .option(
      "--budget <time>",
      "open pictures and point clouds for at most so long, 60s or 10m say (default: 60s for headers without --sample)",
      parseBudget,
    )
    .option("--seed <n>", "which images a sample takes", count, 0)
    .option("--config <file>", "a config of Vista's: what would training do with this data")
    .option("--ignore <rules>", "leave out findings of these rules; repeated, or with commas", collectList)
    .option("--max-findings <n>", "list at most so many findings of a rule, count the others", count, 10_000)
    .option(...JSON_OBJECT)
    .option("--ndjson <file>", "write every finding, however many, one JSON object a line")
    .option("--sarif <file>", "write a SARIF file, one result for each rule and folder")
    .option("--report <file>", "write an HTML report")
    .option(
      "--write-clean <file>",
      "write the annotation file without the records that Vista skips or dies of",
    )
    .option("--list-missing <file>", "write what to fetch again, by archive or video, a file or video a line")
    .option("--force", "replace output files that exist")
    .option("--shard <i/n>", "check part i of n; `slurm` takes both from the job array", parseShard)
    .option("--index <file>", "use this index (vista-data index) for folders that have not changed")
    .option(...QUIET)
    .addHelpText(
      "after",
      `\nExamples:\n  $ vista-data check /data/vista                      all that is there\n  $ vista-data check /data/nuscenes --report report.html\n  $ vista-data check --annos annos/nuScenes.json --quick\n  $ vista-data check --write-clean annos/nuScenes.clean.json --list-missing missing.txt`,
    )
    .action(later(async () => (await import("./run-check.js")).runCheck, context));
}

function parseSample(text: string): number {
  return text === "all" ? Number.POSITIVE_INFINITY : count(text);
}

/** Returns the seconds of a time such as `90s`, `10m` or `2h`. */
function parseBudget(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(s|m|h)$/.exec(text);
  if (match === null) throw new InvalidArgumentError("It must be a time with its unit, like 60s, 10m or 1h.");
  return Number(match[1]) * { s: 1, m: 60, h: 3600 }[match[2] as "s" | "m" | "h"];
}

function parseShard(text: string): Shard {
  if (text === "slurm") return slurmShard(process.env);
  const match = /^(\d+)\/(\d+)$/.exec(text);
  const shard = { index: Number(match?.[1]), count: Number(match?.[2]) };
  if (match === null || shard.index < 1 || shard.index > shard.count) {
    throw new InvalidArgumentError("It must be i/n with 1 ≤ i ≤ n, or slurm.");
  }
  return shard;
}

/**
 * Returns the shard of a task in a Slurm array. A job array may start at any number: `--array=0-15` and `--array=1-16` are both
 * 16 shards.
 */
function slurmShard(env: Readonly<Record<string, string | undefined>>): Shard {
  const number = (name: string) => {
    const text = env[name];
    if (text !== undefined && /^\d+$/.test(text)) return Number(text);
    throw new InvalidArgumentError(`${name} is not set: this is no job of a Slurm array.`);
  };
  const id = number("SLURM_ARRAY_TASK_ID");
  const first = number("SLURM_ARRAY_TASK_MIN");
  const last = number("SLURM_ARRAY_TASK_MAX");
  const count = number("SLURM_ARRAY_TASK_COUNT");
  if (last - first + 1 !== count) {
    throw new InvalidArgumentError(
      `The array ${first} to ${last} has gaps (${count} tasks): use --array=1-n.`,
    );
  }
  return { index: id - first + 1, count };
}
