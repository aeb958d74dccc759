/** GPUs of this node against what the recipe wants. */
import { readGpus, visibleGpus } from "../nvidia.js";
import { finding, type TrainFinding } from "../rules.js";
import type { CheckContext } from "./context.js";

/**
 * What the documentation's 80 GB are in nvidia-smi's MiB, with room for the few hundred that drivers keep: an A100
 * reports 81,920 and an H100 81,559.
 */
const FULL_MEMORY_MIB = 79_000;
/** The resolution they are asked for, in pixels. */
const FULL_PIXELS = 576 * 1024;
/** A GPU with less than this share free is in use. */
const FREE_SHARE = 0.8;

export async function checkGpus({ plan, system, facts }: CheckContext): Promise<TrainFinding[]> {
  // The nodes of a Slurm job are not this one.
  if (plan.slurm !== undefined) return [];
  const report = await readGpus(system);
  if (!report.known) {
    const special = report.broken
      ? {
          severity: "warning" as const,
          fix: "Mend its driver (a new one needs a restart) before training here.",
        }
      : {};
    return [finding("gpuUnknown", `nothing is known of the GPUs: ${report.reason}`, special)];
  }
  const visible = plan.env.CUDA_VISIBLE_DEVICES ?? system.env.CUDA_VISIBLE_DEVICES;
  if (/\bMIG-/.test(visible ?? "")) {
    // Such devices are not in nvidia-smi's list of GPUs.
    return [finding("gpuMig", `CUDA_VISIBLE_DEVICES names a slice of a GPU: ${visible}`)];
  }
  const gpus = visibleGpus(report.gpus, visible);
  const found: TrainFinding[] = [];
  const mig = gpus.filter((gpu) => gpu.mig);
  const whole = gpus.filter((gpu) => !gpu.mig);
  if (mig.length > 0) {
    const message = `MIG is on for GPU ${mig.map((gpu) => gpu.index).join(", ")} (${mig[0]!.name})`;
    const enough = whole.length >= plan.gpus;
    const ids = whole.slice(0, plan.gpus).map((gpu) => gpu.index);
    found.push(
      enough
        ? finding("gpuMig", `${message}, and CUDA sees it beside the others`, {
            severity: "warning",
            fix: `Leave it out: --env CUDA_VISIBLE_DEVICES=${ids.join(",")}`,
          })
        : finding("gpuMig", message),
    );
  } else if (gpus.length < plan.gpus) {
    const hidden = report.gpus.length - gpus.length;
    found.push(
      finding(
        "gpuCount",
        `${plan.gpus} GPUs wanted on this node, ${gpus.length} found${hidden > 0 ? ` (CUDA_VISIBLE_DEVICES hides ${hidden})` : ""}`,
      ),
    );
  }
  const used = whole.slice(0, plan.gpus);
  for (const { index, fault } of used) {
    if (fault !== undefined) found.push(finding("gpuFault", `nvidia-smi says of GPU ${index}: ${fault}`));
  }
  const pixels = (facts?.height ?? 0) * (facts?.width ?? 0);
  const small = used.filter((gpu) => gpu.totalMiB !== undefined && gpu.totalMiB < FULL_MEMORY_MIB);
  if (pixels >= FULL_PIXELS && small.length > 0) {
    const gpu = small[0]!;
    found.push(
      finding(
        "gpuMemory",
        `GPU ${small.map((g) => g.index).join(", ")} (${gpu.name}) has ${gpu.totalMiB} MiB for ${facts?.height}x${facts?.width}`,
      ),
    );
  }
  for (const gpu of used) {
    if (gpu.totalMiB === undefined || gpu.freeMiB === undefined) continue;
    if (gpu.freeMiB < gpu.totalMiB * FREE_SHARE) {
      found.push(finding("gpuBusy", `GPU ${gpu.index} has ${gpu.freeMiB} of ${gpu.totalMiB} MiB free`));
    }
  }
  return found;
}
