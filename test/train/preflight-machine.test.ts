/** What the preflight says of GPUs and Python packages, from answers of nvidia-smi: recorded ones (nvidia-smi.ts), and others in the same form. */
import { fileURLToPath } from "node:url";
import { beforeAll, expect, test } from "vitest";
import { readGpus, visibleGpus } from "../../src/train/preflight/nvidia.js";
import { makeCheckout, PINNED, temporaryFolder } from "./checkout.js";
import { EIGHT, ENDPOINT, H100, node, type Preflight, preflightOf } from "./found.js";
import { RECORDINGS } from "./nvidia-smi.js";

const folder = await temporaryFolder();
beforeAll(async () => {
  await makeCheckout(folder);
});
const found: Preflight = (...args) => preflightOf(folder, ...args);

test.each<[string, Parameters<typeof node>[0], Record<string, string>, string[]]>([
  ["eight H100", {}, {}, []],
  ["missing", { "nvidia-smi": { outcome: "missing" } }, {}, ["note gpu-unknown"]],
  [
    "no driver",
    {
      "nvidia-smi": {
        code: 9,
        stdout:
          "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that the latest NVIDIA driver is installed and running.\n",
      },
    },
    {},
    ["note gpu-unknown"],
  ],
  ["no NVML", { "nvidia-smi": { code: 12 } }, {}, ["note gpu-unknown"]],
  ["hangs", { "nvidia-smi": { outcome: "timeout" } }, {}, ["warning gpu-unknown"]],
  ["no devices", { "nvidia-smi": { stdout: "No devices were found\n" } }, {}, ["error gpu-count"]],
  ["four", { "nvidia-smi": { stdout: EIGHT.split("\n").slice(0, 4).join("\n") } }, {}, ["error gpu-count"]],
  ["four visible", {}, { CUDA_VISIBLE_DEVICES: "0,1,2,3" }, ["error gpu-count"]],
  [
    "A100 80 GB without MIG mode",
    {
      "nvidia-smi": {
        stdout: Array.from({ length: 8 }, (_, i) =>
          H100(i, { name: "NVIDIA A100-SXM4-80GB", total: "81920", free: "81038", mig: "[N/A]" }),
        ).join("\n"),
      },
    },
    {},
    [],
  ],
  [
    "A100 40 GB",
    {
      "nvidia-smi": {
        stdout: Array.from({ length: 8 }, (_, i) =>
          H100(i, { name: "NVIDIA A100-SXM4-40GB", total: "40960", free: "40330" }),
        ).join("\n"),
      },
    },
    {},
    ["error gpu-memory"],
  ],
  [
    "MIG",
    {
      "nvidia-smi": {
        stdout: Array.from({ length: 8 }, (_, i) =>
          H100(i, { mig: "Enabled", total: "[N/A]", free: "[N/A]" }),
        ).join("\n"),
      },
    },
    {},
    ["error gpu-mig"],
  ],
  [
    "one in use, one with an error",
    {
      "nvidia-smi": {
        stdout: [
          H100(0, { free: "1200" }),
          H100(1, { total: "[Unknown Error]", free: "[Unknown Error]" }),
          ...EIGHT.split("\n").slice(2),
        ].join("\n"),
      },
    },
    {},
    ["warning gpu-busy"],
  ],
])("GPUs: %s", async (_, answers, env, codes) => {
  expect((await found("phase1", { nodes: 1, rdzvEndpoint: ENDPOINT }, node(answers, env))).codes).toEqual(
    codes,
  );
});

// What phase 1 (8 GPUs, full resolution) and the debug recipe (1 GPU) are told.
test.each<[keyof typeof RECORDINGS, string[], string[], string]>([
  ["titanX", ["error gpu-memory", ...Array(7).fill("warning gpu-busy")], ["error gpu-memory"], "12206 MiB"],
  ["migOnHost", ["error gpu-mig"], ["error gpu-mig"], "MIG is on for GPU 0"],
  ["migOnOne", ["error gpu-mig"], ["warning gpu-mig"], "CUDA_VISIBLE_DEVICES=1"],
  ["migInContainer", ["error gpu-mig"], ["error gpu-mig"], "NVIDIA A100-SXM4-80GB"],
  ["unifiedMemory", ["error gpu-count"], [], ""],
  ["noDriver", ["note gpu-unknown"], ["note gpu-unknown"], "no driver"],
  ["noLibrary", ["note gpu-unknown"], ["note gpu-unknown"], "no NVML library"],
  ["otherDriver", ["warning gpu-unknown"], ["warning gpu-unknown"], "Driver/library version mismatch"],
  ["unknownError", ["warning gpu-unknown"], ["warning gpu-unknown"], "exit code 255: Failed to init"],
  ["noSupportedGpu", ["error gpu-count"], ["error gpu-count"], "0 found"],
  ["noDevices", ["error gpu-count"], ["error gpu-count"], "0 found"],
  ["noHandle", ["warning gpu-unknown"], ["warning gpu-unknown"], "0000:0B:00.0"],
  ["damagedInfoRom", ["error gpu-count", "error gpu-memory"], ["error gpu-memory"], "16280 MiB"],
])("GPUs, as recorded: %s", async (name, eight, one, text) => {
  const system = node({ "nvidia-smi": RECORDINGS[name].answer });
  expect((await found("phase1", { nodes: 1, rdzvEndpoint: ENDPOINT }, system)).codes).toEqual(eight);
  const debug = await found("debug", {}, system);
  expect(debug.codes).toEqual(one);
  expect(debug.text).toContain(text);
});

test.each(["GPU is lost", "GPU requires reset"])("a GPU of which the driver says: %s", async (words) => {
  const bad = H100(0, { free: `[${words}]`, total: `[${words}]`, mig: `[${words}]` });
  const system = node({ "nvidia-smi": { stdout: [bad, ...EIGHT.split("\n").slice(1)].join("\n") } });
  const result = await found("debug", {}, system);
  expect(result.codes).toEqual(["error gpu-fault"]);
  expect(result.text).toContain(`GPU 0: ${words}`);
  // Another one will do.
  expect((await found("debug", { env: { CUDA_VISIBLE_DEVICES: "3" } }, system)).codes).toEqual([]);
});

test("slices of GPUs that CUDA_VISIBLE_DEVICES names, in the shell or by --env", async () => {
  const slice = "MIG-feb88891-0321-5fef-9c87-d4af3b54259e";
  const system = node({ "nvidia-smi": RECORDINGS.migOnHost.answer }, { CUDA_VISIBLE_DEVICES: slice });
  expect((await found("debug", {}, system)).codes).toEqual(["error gpu-mig"]);
  expect((await found("debug", { env: { CUDA_VISIBLE_DEVICES: slice } })).codes).toEqual(["error gpu-mig"]);
  // --env comes after the shell.
  const mended = node({}, { CUDA_VISIBLE_DEVICES: slice });
  expect((await found("debug", { env: { CUDA_VISIBLE_DEVICES: "0" } }, mended)).codes).toEqual([]);
});

test("an answer that is no list at all", async () => {
  const result = await found("debug", {}, node({ "nvidia-smi": { stdout: "please use the queue\n" } }));
  expect(result.codes).toEqual(["note gpu-unknown"]);
  expect(result.text).toContain("please use the queue");
});

test("smaller GPUs do for the low resolution; Slurm's nodes are not this one", async () => {
  const small = { "nvidia-smi": { stdout: EIGHT.replaceAll("81559", "24576").replaceAll("81084", "24000") } };
  const finetune = fileURLToPath(new URL("../../fixtures/zero/vista-phase1", import.meta.url));
  expect((await found("phase2-stage1", { finetune }, node(small))).codes).toEqual([]);
  const none = node({ "nvidia-smi": { outcome: "missing" }, sbatch: {} });
  expect((await found("phase1", { slurm: { sbatch: {} } }, none)).codes).toEqual([]);
  expect((await found("phase1", { slurm: { sbatch: {} } }, node())).codes).toEqual(["error sbatch-missing"]);
});

test.each<[string, Record<string, string | null>, string[]]>([
  ["as Vista pins them", {}, []],
  ["newer patch of Lightning", { "pytorch-lightning": "2.0.9.post0" }, []],
  ["Lightning 2.1", { "pytorch-lightning": "2.1.0" }, ["error lightning-version"]],
  ["Lightning 1.9", { "pytorch-lightning": "1.9.5" }, ["error lightning-version"]],
  ["torch 2.4 beside DeepSpeed 0.10.1", { torch: "2.4.0+cu121" }, ["error deepspeed-version"]],
  ["torch 2.3 beside DeepSpeed 0.10.1", { torch: "2.3.1+cu121" }, []],
  ["torch 2.4 beside DeepSpeed 0.14.1", { torch: "2.4.0", deepspeed: "0.14.1" }, []],
  ["DeepSpeed 0.8.1", { deepspeed: "0.8.1" }, ["error deepspeed-version"]],
  ["pydantic 2", { pydantic: "2.5.0" }, ["error deepspeed-version"]],
  ["pydantic 2 beside a newer DeepSpeed", { pydantic: "2.5.0", deepspeed: "0.11.2" }, []],
  ["no DeepSpeed", { deepspeed: null }, ["error package-missing"]],
])("Python packages: %s", async (_, versions, codes) => {
  const system = node({ python: { stdout: JSON.stringify({ ...PINNED, ...versions }) } });
  expect((await found("debug", {}, system)).codes).toEqual(codes);
});

test("Python: missing, broken, and no torchrun", async () => {
  expect((await found("debug", {}, node({ python: { outcome: "missing" } }))).codes).toEqual([
    "error python-missing",
  ]);
  const talking = node({ python: { stdout: `welcome\n${JSON.stringify(PINNED)}\n` } });
  expect((await found("debug", {}, talking)).codes).toEqual([]);
  const broken = node({ python: { code: 1, stderr: "No module named 'encodings'\n" } });
  expect((await found("debug", {}, broken)).codes).toEqual(["error python-missing"]);
  const options = { python: undefined, nodes: 1, rdzvEndpoint: ENDPOINT };
  expect((await found("phase1", options, node({}, { PATH: folder }))).codes).toEqual([
    "error python-missing",
  ]);
});

/** The number of GPUs that torch.cuda of torch 2.13 counts of eight with these values: `_parse_visible_devices` and what follows it. */
const VISIBLE: [string, number][] = [
  ...([
    ["", 0],
    ["0", 1],
    ["0,1", 2],
    ["0,0", 0],
    ["0,1,0", 0],
    ["1,1,2", 0],
    ["-1", 0],
    ["0,-1,1", 1],
  ] as [string, number][]),
  ...([
    ["NoDevFiles", 0],
    ["all", 0],
    ["0, 1", 2],
    ["0 ,1", 2],
    ["00,01", 2],
    ["+1,2", 2],
    ["0x1", 1],
  ] as [string, number][]),
  ...([
    ["1a,2b", 2],
    ["0;1", 1],
    ["8", 0],
    ["0,8,1", 1],
    ["7,6,5,4,3,2,1,0", 8],
    ["0,1,", 2],
    ["0,,1", 1],
  ] as [string, number][]),
  ...([
    [",0", 0],
    ["GPU-0", 0],
    ["GPU-00", 1],
    ["GPU-00,GPU-01", 2],
    ["GPU-00,GPU-00c8", 0],
  ] as [string, number][]),
  ...([
    ["GPU-00,1", 1],
    ["1,GPU-00", 1],
    ["GPU-", 0],
    ["GPU-09,GPU-00", 0],
    ["gpu-00", 0],
    ["1.5", 1],
  ] as [string, number][]),
];

test("CUDA_VISIBLE_DEVICES is read as torch.cuda reads it", async () => {
  const report = await readGpus(node());
  if (!report.known) throw new Error("no GPUs");
  const counted = VISIBLE.map(([value]) => [value, visibleGpus(report.gpus, value).length]);
  expect(counted).toEqual(VISIBLE);
});
