/** The check of this node's GPUs against what the recipe wants. */
import { readGpus, visibleGpus } from "../nvidia.js";
import { finding, type TrainFinding } from "../rules.js";
import type { CheckContext } from "./context.js";

/**
 * The documentation's 80 GB in the MiB of nvidia-smi, with room for the few hundred that drivers keep: an A100
 * reports 81,920 and an H100 81,559.
 */
const FULL_MEMORY_MIB = 79_000;
/** The resolution for which the documentation asks for 80 GB, in pixels. */
const FULL_PIXELS = 576 * 1024;
/** The share of free memory below which a GPU counts as in use. */
const FREE_SHARE = 0.8;

export async function* checkGpus({ plan, system, facts }: CheckContext): AsyncGenerator<TrainFinding> {
  // The nodes of a Slurm job are not this one.
  if (plan.slurm !== undefined) return;
  const report = await readGpus(system);
  if (!report.known) {
    const what = `nothing is known of the GPUs: ${report.reason}`;
    const fix = "Mend its driver (a new one needs a restart) before training here.";
    yield finding("gpu-unknown", what, report.broken ? { severity: "warning", fix } : {});
    return;
  }
  const visible = plan.env.CUDA_VISIBLE_DEVICES ?? system.env.CUDA_VISIBLE_DEVICES;
  if (/\bMIG-/.test(visible ?? "")) {
    // Such devices are not in nvidia-smi's list of GPUs.
    yield finding("gpu-mig", `CUDA_VISIBLE_DEVICES names a slice of a GPU: ${visible}`);
    return;
  }
  const gpus = visibleGpus(report.gpus, visible);
  const mig = gpus.filter((gpu) => gpu.mig);
  const whole = gpus.filter((gpu) => !gpu.mig);
  if (mig.length > 0) {
    const message = `MIG is on for GPU ${mig.map((gpu) => gpu.index).join(", ")} (${mig[0]!.name})`;
    const ids = whole.slice(0, plan.gpus).map((gpu) => gpu.index);
    const fix = `Leave it out: --env CUDA_VISIBLE_DEVICES=${ids.join(",")}`;
    if (whole.length < plan.gpus) yield finding("gpu-mig", message);
    else
      yield finding("gpu-mig", `${message}, and CUDA sees it beside the others`, {
        severity: "warning",
        fix,
      });
  } else if (gpus.length < plan.gpus) {
    const hidden = report.gpus.length - gpus.length;
    const hides = hidden > 0 ? ` (CUDA_VISIBLE_DEVICES hides ${hidden})` : "";
    yield finding("gpu-count", `${plan.gpus} GPUs wanted on this node, ${gpus.length} found${hides}`);
  }
  const used = whole.slice(0, plan.gpus);
  for (const { index, fault } of used) {
    if (fault !== undefined) yield finding("gpu-fault", `nvidia-smi says of GPU ${index}: ${fault}`);
  }
  const pixels = (facts?.height ?? 0) * (facts?.width ?? 0);
  const small = used.filter(({ totalMiB = FULL_MEMORY_MIB }) => totalMiB < FULL_MEMORY_MIB);
  if (pixels >= FULL_PIXELS && small.length > 0) {
    const { name, totalMiB } = small[0]!;
    const which = `GPU ${small.map(({ index }) => index).join(", ")} (${name})`;
    yield finding("gpu-memory", `${which} has ${totalMiB} MiB for ${facts?.height}x${facts?.width}`);
  }
  for (const { index, totalMiB, freeMiB } of used) {
    if (totalMiB === undefined || freeMiB === undefined || freeMiB >= totalMiB * FREE_SHARE) continue;
    yield finding("gpu-busy", `GPU ${index} has ${freeMiB} of ${totalMiB} MiB free`);
  }
}
