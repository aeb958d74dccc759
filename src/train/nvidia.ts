/** GPUs of this machine, as nvidia-smi tells. */
import type { System } from "./system.js";

export interface Gpu {
  index: string;
  uuid: string;
  name: string;
  /** MiB; undefined where nvidia-smi gives no number (`[N/A]` under MIG, an error). */
  totalMiB: number | undefined;
  freeMiB: number | undefined;
  mig: boolean;
}

/** The GPUs, or why nothing is known of them. */
export type GpuReport = { known: true; gpus: Gpu[] } | { known: false; reason: string };

const QUERY = "index,uuid,name,memory.total,memory.free,mig.mode.current";

/** Asks nvidia-smi. A machine without it, or without a driver, is not an error: login nodes have none. */
export async function readGpus(system: System): Promise<GpuReport> {
  const result = await system.capture("nvidia-smi", [
    `--query-gpu=${QUERY}`,
    "--format=csv,noheader,nounits",
  ]);
  if (result.outcome === "missing") return { known: false, reason: "nvidia-smi is not installed here" };
  if (result.outcome === "timeout") return { known: false, reason: "nvidia-smi did not answer in 30 s" };
  if (result.code === 9) return { known: false, reason: "nvidia-smi finds no driver (exit code 9)" };
  if (result.code === 12) return { known: false, reason: "nvidia-smi finds no NVML library (exit code 12)" };
  if (result.code !== 0) {
    const line = result.stderr.trim() || result.stdout.trim();
    return {
      known: false,
      reason: `nvidia-smi failed with exit code ${result.code}: ${line.split("\n")[0]}`,
    };
  }
  return { known: true, gpus: parseGpus(result.stdout) };
}

/** @param csv  lines of index, uuid, name, total MiB, free MiB, MIG mode; others (`No devices were found`) are skipped */
export function parseGpus(csv: string): Gpu[] {
  const gpus: Gpu[] = [];
  for (const line of csv.split("\n")) {
    const fields = line.split(",").map((field) => field.trim());
    if (fields.length !== 6) continue;
    const [index, uuid, name, total, free, mig] = fields as [string, string, string, string, string, string];
    gpus.push({ index, uuid, name, totalMiB: size(total), freeMiB: size(free), mig: mig === "Enabled" });
  }
  return gpus;
}

function size(text: string): number | undefined {
  return /^\d+$/.test(text) ? Number(text) : undefined;
}

/** Those that CUDA_VISIBLE_DEVICES leaves, by index or (the start of) a UUID; all where it is not set. */
export function visibleGpus(gpus: readonly Gpu[], visible: string | undefined): Gpu[] {
  if (visible === undefined) return [...gpus];
  const chosen: Gpu[] = [];
  for (const id of visible.split(",").map((part) => part.trim())) {
    const gpu = gpus.find((g) => g.index === id || (id.startsWith("GPU-") && g.uuid.startsWith(id)));
    // CUDA stops at the first id that it does not know.
    if (gpu === undefined) break;
    chosen.push(gpu);
  }
  return chosen;
}
