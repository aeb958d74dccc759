/** What vista-data and vista-train read: tables, lists, annotations, indexes, configs, images and reports. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { VistaError } from "../../src/core/errors.js";
import { checkAnnotations } from "../../src/dataset/annotations/check.js";
import { writeInterpolatedTables } from "../../src/dataset/annotations/make/interpolate.js";
import { writeNuScenesAnnotations } from "../../src/dataset/annotations/make/nuscenes.js";
import type { Check } from "../../src/dataset/finding.js";
import { readIndex } from "../../src/dataset/frame-index/build.js";
import type { DatasetIndex } from "../../src/dataset/frame-index/dataset-index.js";
import { encodeIndex } from "../../src/dataset/frame-index/format.js";
import { readLarge } from "../../src/dataset/frame-index/index-task.js";
import { checkImage } from "../../src/dataset/images/check.js";
import { checkNuScenes } from "../../src/dataset/nuscenes/check/check.js";
import { readMeta } from "../../src/dataset/opendv/meta.js";
import { findClip } from "../../src/dataset/preview/clip.js";
import { drawSheet } from "../../src/dataset/preview/sheet.js";
import { toHtml } from "../../src/dataset/report/html.js";
import { mergeReports } from "../../src/dataset/report/merge.js";
import type { Report } from "../../src/dataset/report/report.js";
import { toSarif } from "../../src/dataset/report/sarif.js";
import { formatReport } from "../../src/dataset/report/text.js";
import { collectStats } from "../../src/dataset/stats/stats.js";
import { readVistaConfig } from "../../src/dataset/vista-config.js";
import { readConfigs } from "../../src/train/launch/config.js";
import { trainingFacts } from "../../src/train/launch/facts.js";
import { loadRecipes } from "../../src/train/launch/recipes.js";
import { mutateBytes, mutateJson, mutateJsonFile } from "./mutate.js";
import type { Random } from "./random.js";
import { type Target, Wrong } from "./target.js";

/** @param fixtures  the folder fixtures/ */
export function dataTargets(fixtures: string): Target[] {
  const mini = join(fixtures, "nuscenes/mini");
  const tables = filesIn(join(mini, "v1.0-mini"), "v1.0-mini");
  const canBus = filesIn(join(mini, "can_bus"), "can_bus");
  const picture = readFileSync(join(fixtures, "nuscenes/picture.jpg"));
  const mutateTables = (random: Random) => {
    const files = new Map([...tables, ...canBus]);
    for (let left = random.size(3); left > 0; left--) {
      const [name, bytes] = random.pick([...files]);
      files.set(name, random.chance(0.7) ? mutateJsonText(bytes, random) : mutateBytes(bytes, random));
    }
    return files;
  };
  return [
    {
      name: "tables",
      make: mutateTables,
      run: async (folder) => {
        await drain(checkNuScenes(folder));
        await collectStats(folder);
        return undefined;
      },
    },
    {
      name: "tables-made",
      make: mutateTables,
      // What is made must be JSON. Damage in a row that it needs is refused; other rows may be damaged.
      run: async (folder) => {
        const path = join(folder, "annos.json");
        const options = { fsync: false, split: "all" } as const;
        const ends = [
          await endOf(writeNuScenesAnnotations(folder, path, { ...options, clip: 9, keyFrames: 2 })),
          await endOf(writeInterpolatedTables(folder, join(folder, "interpolated"), options)),
        ];
        const made = readdirSync(folder, { recursive: true, encoding: "utf8" });
        for (const name of made.filter((name) => /^annos.json$|^interpolated.*json$/.test(name)))
          try {
            JSON.parse(readFileSync(join(folder, name), "utf8"));
          } catch {
            throw new Wrong(name);
          }
        return ends.some((end) => end !== undefined)
          ? ends.map((end) => end ?? "made").join(", ")
          : undefined;
      },
    },
    {
      name: "meta",
      make: (random) => {
        const csv = random.chance(0.5);
        const text = csv ? META_CSV : META_JSON;
        const bytes =
          csv || random.chance(0.3) ? mutateBytes(Buffer.from(text), random) : mutateJsonFile(text, random);
        return new Map([[csv ? "meta.csv" : "meta.json", bytes]]);
      },
      run: async (folder) => {
        const [name] = readdirSync(folder);
        const { unreadable, problems } = await readMeta(join(folder, name!));
        return unreadable !== undefined ? "unreadable" : problems.length > 0 ? "problems" : undefined;
      },
    },
    {
      name: "annotations",
      make: (random) => {
        const [name, text] = random.pick(Object.entries(ANNOTATIONS));
        return new Map([[name, mutateAnnotations(text, random)]]);
      },
      run: async (folder, random) => {
        const quick = random.chance(0.3) ? { quick: { records: 5, seconds: 5 } } : {};
        const [name] = readdirSync(join(folder, "annos"));
        await drain(checkAnnotations([join(folder, "annos", name!)], { root: folder, ...quick }));
        await collectStats(folder);
        return undefined;
      },
    },
    {
      name: "language",
      make: (random) => new Map([["10hz_YouTube_val.json", mutateAnnotations(LANGUAGE, random)]]),
      run: async (folder) => {
        const files = [join(folder, "10hz_YouTube_val.json")];
        const found = await readLarge("language", files, files, {});
        for (const { folder: name, runs } of found) {
          const sorted = runs.every((number, i) => i === 0 || number >= runs[i - 1]!);
          if (!sorted) throw new Wrong(`runs of ${name} are in no order: ${runs.join(" ").slice(0, 200)}`);
        }
        return undefined;
      },
    },
    {
      name: "preview",
      make: (random) => {
        const files = new Map<string, Uint8Array>();
        const [name, text] = random.pick(Object.entries(PREVIEWS));
        files.set(name, mutateAnnotations(text, random));
        files.set(PREVIEW_FRAME, random.chance(0.1) ? mutateBytes(picture, random) : picture);
        files.set("val_images/a/b/000000000.jpg", picture);
        return files;
      },
      run: async (folder, random) => {
        const [name] = readdirSync(join(folder, "annos"));
        const clip = findClip(`${join(folder, "annos", name!)}#${random.below(2)}`, { count: 1 });
        const sheet = await drawSheet(clip, { width: 64, height: 32 });
        if (sheet.toString("latin1", 1, 4) !== "PNG") throw new Wrong("a sheet that is no PNG");
        return undefined;
      },
    },
    {
      name: "frame-index",
      make: (random) => new Map([["vista-data.index", mutateIndex(random)]]),
      run: async (folder) => {
        encodeIndex(await readIndex(join(folder, "vista-data.index")));
        return undefined;
      },
    },
    {
      name: "yaml",
      make: (random) => {
        const text = random.pick([CONFIG, RECIPES]);
        return new Map([["x.yaml", mutateYaml(text, random)]]);
      },
      run: async (folder) => {
        const path = join(folder, "x.yaml");
        const errors: unknown[] = [];
        const note = (error: unknown) => errors.push(error);
        await readVistaConfig(path).catch(note);
        await loadRecipes(path).catch(note);
        await readConfigs([path]).then(trainingFacts).catch(note);
        const foreign = errors.find((error) => !(error instanceof Error) || error.name !== "VistaError");
        if (foreign !== undefined) throw foreign;
        if (errors.length === 3) throw errors[0];
        return undefined;
      },
    },
    {
      name: "image",
      make: (random) => new Map([["x.jpg", mutateBytes(random.chance(0.9) ? picture : PNG, random)]]),
      run: async (folder, random) => {
        const { fault, detail } = await checkImage(
          join(folder, "x.jpg"),
          random.chance(0.2) ? "decode" : "headers",
        );
        if (fault !== undefined && detail === undefined) throw new Wrong(`a fault without a word: ${fault}`);
        return fault;
      },
    },
    {
      name: "report",
      make: (random) => new Map([["report.json", mutateJsonFile(REPORT, random)]]),
      run: async (folder) => {
        const path = join(folder, "report.json");
        let report: Report;
        try {
          report = JSON.parse(readFileSync(path, "utf8")) as Report;
        } catch {
          return "no JSON"; // The command's own first step.
        }
        const merged = mergeReports([{ path, report }]);
        JSON.stringify(toSarif(merged));
        formatReport(merged);
        await toHtml(merged);
        return undefined;
      },
    },
  ];
}

function filesIn(folder: string, below: string): [string, Buffer][] {
  return readdirSync(folder)
    .sort()
    .map((name) => [join(below, name), readFileSync(join(folder, name))]);
}

/** Returns the code of the error that something ends with, or undefined. Another error than a `VistaError` is a fault. */
async function endOf(work: Promise<unknown>): Promise<string | undefined> {
  try {
    await work;
    return undefined;
  } catch (error) {
    if (error instanceof VistaError) return error.code;
    throw error;
  }
}

async function drain(check: Check): Promise<void> {
  for await (const { message } of check) {
    if (/[\p{Cc}\p{Zl}\p{Zp}]/u.test(message))
      throw new Wrong(`unprintable: ${JSON.stringify(message.slice(0, 300))}`);
  }
}

function mutateJsonText(bytes: Uint8Array, random: Random): Buffer {
  try {
    return mutateJsonFile(Buffer.from(bytes).toString("utf8"), random);
  } catch {
    return mutateBytes(bytes, random);
  }
}

const ODD_YAML = [
  "&a [*a, *a]",
  "*missing",
  "<<: *missing",
  "!!binary x",
  "!<tag:x> 1",
  "? [a]\n: b",
  "- - - -",
  "{",
  "'",
  "1e999",
  "~",
  "<<: [1]",
  "{ toString: 1, valueOf: 1 }",
];

function mutateYaml(text: string, random: Random): Buffer {
  const lines = text.split("\n");
  for (let left = random.size(4); left > 0; left--) {
    const at = random.below(lines.length);
    const indent = /^\s*/.exec(lines[at]!)![0];
    const how = random.below(5);
    if (how === 0) lines.splice(at, 1);
    else if (how === 1) lines.splice(at, 0, indent + random.pick(ODD_YAML));
    else if (how === 2) lines[at] = lines[at]!.replace(/:.*/, `: ${random.pick(ODD_YAML)}`);
    else if (how === 3) lines.splice(at, 0, ...Array<string>(random.size(500)).fill(lines[at]!));
    else lines[at] = lines[random.below(lines.length)]!;
  }
  const bytes = Buffer.from(lines.join("\n"));
  return random.chance(0.3) ? mutateBytes(bytes, random, 3) : bytes;
}

function mutateIndex(random: Random): Buffer {
  if (random.chance(0.5)) return mutateBytes(encodeIndex(INDEX()), random);
  try {
    return Buffer.from(encodeIndex(mutateJson(INDEX(), random) as DatasetIndex));
  } catch {
    return mutateBytes(encodeIndex(INDEX()), random);
  }
}

const INDEX = (): DatasetIndex => ({
  opendv: {
    root: "data/YouTube",
    folders: [
      {
        path: "train/author/video",
        split: "train",
        youtuber: "author",
        videoId: "video",
        stamp: [1, 2, 3, 4, 5, 6],
        scan: {
          layout: { prefix: "", width: 9, extension: "jpg" },
          runs: [1, 40, 60, 100],
          odd: [],
          strays: ["notes.txt"],
          strayCount: 1,
          folders: [],
        } as never,
      },
    ],
  },
  nuscenes: {
    root: "data/nuscenes",
    version: "v1.0-mini",
    chains: [
      {
        scene: "scene-0061",
        sceneToken: "a".repeat(32),
        files: ["samples/CAM_FRONT/a.jpg"],
        keyFrames: [true],
      },
    ],
  },
});

const META_CSV = `Video ID,Length,Youtuber,Nation or Area,Start discard,End discard,Split,Mini/Full Set,Video Link
-1,600,Driver,Germany,90,30,Train,Full,https://www.youtube.com/watch?v=abcdefghijk
-2,700,"A, B",Japan,90,30,Val,Mini,https://www.youtube.com/watch?v=lmnopqrstuv
`;

const META_JSON = JSON.stringify([
  {
    videoid: "abcdefghijk",
    length: 600,
    youtuber: "Driver",
    area: "Germany",
    start_discard: 90,
    end_discard: 30,
    split: "Train",
    subset: "Full",
  },
  {
    videoid: "lmnopqrstuv",
    length: 700,
    youtuber: "Other",
    area: "Japan",
    start_discard: 90,
    end_discard: 30,
    split: "Val",
    subset: "Mini",
  },
]);

const PREVIEW_FRAME = "samples/CAM_FRONT/n0__1532402927612460.jpg";

/** Records as `docs/annotations.md` describes them, in both lengths that the lists of actions have. */
const record = (n: number, frames: string[]) => ({
  frames,
  traj: Array.from({ length: 10 }, (_, i) => i * 0.5),
  cmd: n % 4,
  z: n === 3 ? -1 : 15.5 + n,
  goal: [800.5, 450 + n],
  speed: n === 2 ? [] : [1, 2, 3, 4, 5],
  angle: n === 2 ? [] : [0.1, 0.1, 0.1, 0.1, 0.1],
});
const ANNOTATIONS = {
  "annos/nuScenes.json": JSON.stringify(
    Array.from({ length: 4 }, (_, n) => {
      const time = (i: number) => 1_532_402_927_612_460 + i * 83_000;
      return record(
        n,
        Array.from({ length: 25 }, (_, i) => `samples/CAM_FRONT/n${n}__${time(i)}.jpg`),
      );
    }),
  ),
  "annos/YouTube.json": JSON.stringify(
    Array.from({ length: 4 }, (_, n) => ({
      folder_name: `full_images/author/video${n >> 1}`,
      first_frame: `${String(n).padStart(9, "0")}.jpg`,
    })),
  ),
};
const LANGUAGE = JSON.stringify(
  Array.from({ length: 4 }, (_, n) => ({
    cmd: n,
    blip: "a car drives down a road",
    folder: `val_images/author/video${n >> 1}`,
    first_frame: `${String(n).padStart(9, "0")}.jpg`,
    last_frame: `${String(n + 39).padStart(9, "0")}.jpg`,
  })),
);
const PREVIEWS = {
  "annos/nuScenes.json": JSON.stringify([0, 2].map((n) => record(n, Array<string>(25).fill(PREVIEW_FRAME)))),
  "annos/YouTube.json": JSON.stringify(
    Array(2).fill({ folder_name: "val_images/a/b", first_frame: "000000000.jpg" }),
  ),
};

function mutateAnnotations(text: string, random: Random): Buffer {
  return random.chance(0.6) ? mutateJsonFile(text, random) : mutateBytes(Buffer.from(text), random);
}

const CONFIG = `model:
  base_learning_rate: 1.0e-5
  params:
    num_frames: &num_frames 25
    ckpt_path: ckpts/svd_xt.safetensors
    lora: &lora
      rank: 16
    other:
      <<: *lora
data:
  target: vwm.data.dataset.Sampler
  params:
    batch_size: 1
    num_workers: 16
    subsets:
      - YouTube
      - NuScenes
    probs:
      - 1
      - 1
    samples_per_epoch: 16000
    target_height: 320
    target_width: 576
    num_frames: *num_frames
lightning:
  trainer:
    devices: 0,1
    num_nodes: 16
    max_epochs: 100
`;

const RECIPES = `recipes:
  mine:
    title: my own
    base: configs/training/vista_phase1.yaml
    num_nodes: 2
    n_devices: 8
    args: [--wandb]
    slurm:
      time: 1-00:00:00
      options: {partition: gpu}
`;

/** The smallest PNG: one pixel. */
const PNG = Buffer.from(
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
  "base64",
);

const REPORT = JSON.stringify({
  format: "vista-data report 1",
  version: "0.1.0",
  root: ".",
  verdict: "errors",
  counts: { error: 2, warning: 0, note: 0 },
  parts: [
    {
      kind: "nuscenes",
      title: "nuScenes v1.0-mini",
      root: "data/nuscenes",
      coverage: [{ what: "images", checked: 10, total: 20 }],
      interrupted: false,
      charts: [{ kind: "bars", title: "frames", unit: "frames", points: [{ label: "a", value: 3 }] }],
      samples: ["samples/CAM_FRONT/c.jpg"],
      annotations: [{ path: "annos/nuScenes.json", subset: "NuScenes", records: 3, unusable: 1 }],
      sampled: ["10 of 20 images"],
    },
  ],
  options: { ignore: [], maxFindings: 100, check: { images: "headers", seed: 0 } },
  shard: { index: 1, count: 1 },
  rules: [
    {
      code: "nuscenes/empty-file",
      severity: "error",
      title: "an empty file",
      fix: "fetch it again",
      findings: 2,
      places: 2,
      folders: [{ folder: "samples/CAM_FRONT", findings: 2, places: 2 }],
    },
  ],
  findings: [
    {
      rule: "nuscenes/empty-file",
      severity: "error",
      path: "samples/CAM_FRONT/a.jpg",
      message: "is empty",
      record: "a",
    },
    {
      rule: "nuscenes/empty-file",
      severity: "error",
      path: "samples/CAM_FRONT/b.jpg",
      message: "is empty",
      offset: 5,
    },
  ],
  ignored: { "nuscenes/missing-image": 3 },
});
