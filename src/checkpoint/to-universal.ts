/** A ZeRO checkpoint written as a universal one, which DeepSpeed loads on any number of ranks. */
import type { FileHandle } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { throwIfAborted } from "../core/errors.js";
import { prepareOutputFolder, writeFolderAtomically } from "../core/io/output-folder.js";
import { settleAll } from "../core/io/settle.js";
import type { RunOptions } from "../core/progress.js";
import { writeFiles } from "./copy/sink.js";
import { isCheckpointFolder, outputFile, type ReshardOptions } from "./reshard.js";
import { openZeroOptimizer } from "./zero/optimizer.js";
import { type UniversalFile, universalFiles } from "./zero/universal-files.js";

/** As for resharding, without a number of ranks. */
export interface UniversalOptions extends RunOptions, Omit<ReshardOptions, "ranks"> {}

export interface WrittenUniversal {
  /** The checkpoint folder that was read, and the tag in it. */
  readonly folder: string;
  readonly tag: string;
  /** The new checkpoint folder, and the tag in it that `latest_universal` names. */
  readonly output: string;
  readonly universalTag: string;
  readonly stage: 1 | 2 | 3;
  readonly ranks: number;
  readonly deepspeed: string | undefined;
  readonly globalSteps: number | undefined;
  /** Trained parameters, and their elements. */
  readonly parameters: number;
  readonly elements: number;
  /** States that were written for each beside its weights: `exp_avg`, `exp_avg_sq` … */
  readonly states: readonly string[];
  readonly files: number;
  readonly bytes: number;
}

/** `last.ckpt` → `last-universal.ckpt`, beside it. */
export function defaultUniversalOutput(folder: string): string {
  const path = resolve(folder);
  return join(dirname(path), `${basename(path).replace(/\.ckpt$/, "")}-universal.ckpt`);
}

/**
 * Writes what ds_to_universal.py makes of a ZeRO checkpoint of stage 1, 2 or 3: the whole tensors of every parameter in files of
 * their own. The bytes are streamed: memory does not grow with the model. The original is only read.
 *
 * @param folder  a checkpoint folder (with `latest`), a tag folder, or a run folder with one checkpoint below
 * @param output  the new checkpoint folder, which appears whole or not at all; default {@link defaultUniversalOutput}
 * @throws VistaError `UNSUPPORTED` for what has no such form (tensor and pipeline parallel, mixture of experts, no ZeRO, elastic
 *   checkpoints), `INCONSISTENT`, `EXISTS`, `NO_SPACE`, `IO`, `CHECKSUM`, `ABORTED`, and what reading the files throws
 */
export async function writeUniversal(
  folder: string,
  output: string | undefined,
  options: UniversalOptions = {},
): Promise<WrittenUniversal> {
  const { signal, force = false, fsync = true, verify = true } = options;
  const optimizer = await openZeroOptimizer(folder, { ...options, verify });
  try {
    const { files, groups, models } = optimizer;
    const target = output ?? defaultUniversalOutput(files.folder);
    const universalTag = `${basename(files.tag)}_universal`;
    const planned: UniversalFile[] = [];
    for await (const file of universalFiles(optimizer)) {
      throwIfAborted(signal);
      planned.push(file);
    }
    const bytes = planned.reduce((sum, { length }) => sum + length, 0);
    const outputOptions = { force, fsync, replaceable: isCheckpointFolder, inputs: [files.folder] };
    if (options.dryRun) await prepareOutputFolder(target, 0, outputOptions);
    else {
      await writeFolderAtomically(target, bytes, outputOptions, async (place) => {
        const open = new Set<FileHandle>();
        const latest = { kind: "bytes", bytes: Buffer.from(universalTag) } as const;
        const outputs = [
          ...planned.map(({ name, parts }) => ({ name: join(universalTag, name), parts })),
          // Without a line feed, as ds_to_universal.py writes it.
          { name: "latest_universal", parts: [latest] },
        ].map(({ name, parts }) => outputFile(place, name, target, parts, open));
        try {
          await writeFiles(outputs, options);
        } finally {
          await settleAll([...open].map((handle) => handle.close()));
        }
      });
    }
    const parameters = groups.flatMap((group) => group.parameters);
    return {
      folder: files.folder,
      tag: files.tag,
      output: target,
      universalTag,
      stage: optimizer.stage,
      ranks: optimizer.ranks,
      deepspeed: optimizer.deepspeed,
      globalSteps: models[0]!.globalSteps,
      parameters: parameters.length,
      elements: parameters.reduce((sum, { numel }) => sum + numel, 0),
      states: [...new Set(groups.flatMap((group) => [...group.stateTypes.keys()]))],
      files: planned.length + 1,
      bytes: bytes + universalTag.length,
    };
  } finally {
    await optimizer.close();
  }
}
