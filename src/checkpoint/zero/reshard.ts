/** Makes the files of a ZeRO checkpoint for another number of ranks, each with its exact pickle adapted to that number. */
import { basename } from "node:path";
import { remember } from "../../core/maps.js";
import type { FileContent } from "../copy/parts.js";
import { plannedContent } from "../copy/planned-content.js";
import type { TorchFile } from "../torch/file.js";
import { asDict, type PyValue } from "../torch/objects.js";
import type { ExactPickle } from "../torch/rewrite.js";
import { planRewrittenFile } from "../torch/rewrite-file.js";
import { readFrozen } from "./frozen.js";
import type { ZeroOptimizer } from "./optimizer.js";
import { FlatResharding } from "./reshard-flat.js";
import { SplitResharding } from "./reshard-split.js";
import type { ReshardedGroup } from "./reshard-tree.js";
import type { ModelFile, ShardState } from "./states.js";

export interface ReshardedFile {
  readonly name: string;
  /** Plans the content of the file. The plan is not kept, since there are thousands of files. */
  content(): Promise<FileContent>;
}

/** Plans the files of a checkpoint for another number of ranks. @throws VistaError `INCONSISTENT`, `UNSUPPORTED` */
export async function reshardedFiles(
  optimizer: ZeroOptimizer,
  ranks: number,
): Promise<{ files: ReshardedFile[]; groups: readonly ReshardedGroup[] }> {
  const { shards, models, partitions, ranks: from } = optimizer;
  // The contents of their pickles take memory and are read again, exactly, when a file's turn has come. Ranks that are made from
  // one file share it.
  const slims = new Map<TorchFile, TorchFile>();
  const slim = (file: TorchFile) => remember(slims, file, () => file.slim());
  // Of exact pickles only the one that was used last is kept, and only where several ranks are made from one file: with thousands of
  // tensors it has several megabytes. Ranks may share it, since what one rank sets in it the next sets anew.
  let last: { readonly file: TorchFile; readonly pickle: Promise<ExactPickle> } | undefined;
  const exactOf = (file: TorchFile) => {
    if (ranks <= from) return file.exact();
    if (last?.file !== file) last = { file, pickle: file.exact() };
    return last.pickle;
  };
  const asBefore = ranks === from;
  // Where there are more ranks than before, neighbours are made from the same old file, so that it is read once for them.
  // The functions here must not name `optimizer`: what they name stays in memory while the files are written.
  const like = (rank: number) => (ranks > from ? Math.floor((rank * from) / ranks) : rank);
  const files: ReshardedFile[] = [];
  const add = (
    { path, torchFile: whole }: ModelFile | ShardState,
    rank: number,
    set: (tree: PyValue, path: string) => void,
  ) => {
    const name = nameForRank(path, rank);
    const torchFile = slim(whole);
    const plan = async () => {
      const pickle = await exactOf(torchFile);
      // Files of one source share its tree, so nothing may be waited for between setting it and planning the file from it. On as
      // many ranks as before nothing is set, so that not even what lies in the padding changes.
      if (!asBefore) set(pickle.value, path);
      return planRewrittenFile(torchFile, pickle, name);
    };
    files.push({ name, content: () => plannedContent(plan) });
  };
  let resharding: FlatResharding | SplitResharding;
  if (partitions.kind === "flat") {
    resharding = new FlatResharding(partitions, ranks);
    for (const { torchFile } of shards) if (!resharding.learnFrom((await exactOf(torchFile)).value)) break;
  } else {
    const frozen = await readFrozen(models, 3);
    resharding = new SplitResharding(partitions, frozen, from, ranks, optimizer.files.tagFolder);
  }
  const { groups } = resharding;
  for (let rank = 0; rank < (partitions.kind === "flat" ? 1 : ranks); rank++) {
    add(models[like(rank)]!, rank, (tree, path) => {
      const top = asDict(tree)!;
      if (top.has("dp_world_size")) top.set("dp_world_size", ranks);
      resharding.setModelStates(top, rank, path);
    });
  }
  for (let rank = 0; rank < ranks; rank++)
    add(shards[like(rank)]!, rank, (tree, path) => resharding.setShard(tree, rank, path));
  return { files, groups };
}

/**
 * Returns a file's name for another rank: `bf16_zero_pp_rank_7_mp_rank_00_optim_states.pt` for `bf16_zero_pp_rank_0_…`. A name
 * without a rank stays as it is.
 */
function nameForRank(path: string, rank: number): string {
  return basename(path).replace(/(zero_pp_rank_)\d+/, `$1${rank}`);
}
