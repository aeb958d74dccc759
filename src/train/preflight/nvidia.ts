/** The GPUs of this machine, as nvidia-smi lists them. */
import { oneLine } from "../../core/errors.js";
import type { System } from "../launch/system.js";

export interface Gpu {
  index: string;
  uuid: string;
  name: string;
  /** The memory in MiB; undefined where nvidia-smi gives no number (`[N/A]` under MIG, an error). */
  totalMiB: number | undefined;
  freeMiB: number | undefined;
  mig: boolean;
  /** The words of the driver in place of a value where the GPU cannot be used: `GPU is lost`, `GPU requires reset`. */
  fault: string | undefined;
}

/** The GPUs, or the reason why nothing is known of them; `broken` is true where there is a driver and it fails. */
export type GpuReport = { known: true; gpus: Gpu[] } | { known: false; reason: string; broken: boolean };

const QUERY = "index,uuid,name,memory.total,memory.free,mig.mode.current";

/**
 * The pattern of what nvidia-smi says where there is no GPU: `No devices were found`, or with exit code 255 `Failed to initialize
 * NVML: No supported GPUs were found`.
 */
const NO_GPUS = /\bno (supported )?(devices|gpus) were found\b/i;

/**
 * Asks nvidia-smi. A machine without it, or without a driver, is not an error: login nodes have none. nvidia-smi writes on stdout
 * what it has to say of a failure. test/train/nvidia-smi.ts has recorded answers.
 */
export async function readGpus(system: System): Promise<GpuReport> {
  const result = await system.capture("nvidia-smi", [
    `--query-gpu=${QUERY}`,
    "--format=csv,noheader,nounits",
  ]);
  const unknown = (reason: string, broken = false): GpuReport => ({ known: false, reason, broken });
  if (result.outcome === "missing") return unknown("nvidia-smi is not installed here");
  if (result.outcome === "timeout") return unknown("nvidia-smi did not answer in 30 s", true);
  // Exit code 14, a damaged infoROM, is a warning below the list.
  const gpus = parseGpus(result.stdout);
  if (gpus.length > 0) return { known: true, gpus };
  const text = result.stdout.trim() || result.stderr.trim();
  if (NO_GPUS.test(text)) return { known: true, gpus: [] };
  if (result.code === 9) return unknown("nvidia-smi finds no driver (exit code 9)");
  if (result.code === 12) return unknown("nvidia-smi finds no NVML library (exit code 12)");
  const line = oneLine(text.split("\n")[0]!);
  if (result.code !== 0) return unknown(`nvidia-smi failed with exit code ${result.code}: ${line}`, true);
  return unknown(`nvidia-smi lists no GPU${line === "" ? "" : `, but says: ${line}`}`);
}

/**
 * Reads the list of GPUs.
 *
 * @param csv  lines of index, uuid, name, total MiB, free MiB, MIG mode; others (`No devices were found`) are skipped
 */
function parseGpus(csv: string): Gpu[] {
  const gpus: Gpu[] = [];
  for (const line of csv.split("\n")) {
    const fields = line.split(",").map((field) => field.trim());
    if (fields.length !== 6 || !/^\d+$/.test(fields[0]!)) continue;
    const [index, uuid, name, total, free, mig] = fields as [string, string, string, string, string, string];
    const fault = /\[(GPU [^\]]+)\]/.exec([name, total, free, mig].join())?.[1];
    gpus.push({
      index,
      uuid,
      name,
      totalMiB: size(total),
      freeMiB: size(free),
      mig: mig === "Enabled",
      fault,
    });
  }
  return gpus;
}

function size(text: string): number | undefined {
  return /^\d+$/.test(text) ? Number(text) : undefined;
}

/**
 * Returns the GPUs that CUDA_VISIBLE_DEVICES leaves, all where it is not set: indices, or (the starts of) UUIDs, as torch.cuda reads
 * it. CUDA stops at the first id that it does not know, and takes none where one is named twice.
 */
export function visibleGpus(gpus: readonly Gpu[], visible: string | undefined): Gpu[] {
  if (visible === undefined) return [...gpus];
  const byUuid = visible.startsWith("GPU-");
  const chosen: Gpu[] = [];
  for (const id of visible.split(",")) {
    // As strtoul has it, what stands behind the digits does not count.
    const index = /^\+?\d+/.exec(id.trim())?.[0];
    const matching = gpus.filter((gpu) =>
      byUuid ? id.startsWith("GPU-") && gpu.uuid.startsWith(id) : Number(gpu.index) === Number(index ?? -1),
    );
    if (matching.length !== 1) break;
    if (chosen.includes(matching[0]!)) return [];
    chosen.push(matching[0]!);
  }
  return chosen;
}
