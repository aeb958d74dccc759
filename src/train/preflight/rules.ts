/** The rules of the preflight: one place for their codes, and for what they tell people. */
import { oneLine } from "../../core/errors.js";
import type { Severity } from "../../dataset/finding.js";

/** A rule of the preflight. Its code, such as `train/no-rendezvous`, is stable; docs/rules-train.md has a line for each. */
export interface TrainRule {
  severity: Severity;
  /** The sentence that says what happens if it is not seen to. */
  why: string;
  /** The sentence that says the way out. */
  fix: string;
}

function rule(severity: Severity, why: string, fix: string): TrainRule {
  return { severity, why, fix };
}

/** The rules by their codes, without `train/`, one topic after the other. */
// biome-ignore format: one rule a line
export const RULES = {
  checkout: rule("error", "train.py is started in the folder of the Vista checkout.", "Run in a Vista checkout, or name one with --vista DIR."),
  "no-rendezvous": rule("error", "Each node would wait at its own address for the others: torchrun hangs, for about 20 minutes, without a word.", "Give the same --rdzv-endpoint HOST:PORT on all nodes, or --node-rank and --master-addr, or use --slurm."),
  "rendezvous-host": rule("error", "The nodes meet at this address; one that does not know it waits for ever.", "Use an address that every node can resolve, an IP address for instance."),
  "port-busy": rule("error", "torchrun opens this port on the first node.", "Choose another port, or end the program that holds it (`ss -ltnp`)."),
  "host-name": rule("warning", "torchrun has the workers connect to the first node by its own name (pytorch#150532), and they fail.", "Use numbers, --node-rank 0 --master-addr 127.0.0.1 on one node, or add the name to /etc/hosts on all nodes."),
  "pet-variable": rule("warning", "torchrun takes every PET_* variable as the default of an option, whatever the command line does not say.", "Unset it, unless a job controller of yours set it on purpose."),
  "unknown-flag": rule("error", "train.py hands what it does not know to OmegaConf, which takes anything: the flag would have no effect.", "Correct the name; settings of the config are written dotted.key=value, without dashes."),
  "flag-value": rule("error", "train.py ends with a usage message, on every node and after the wait in the queue.", "Correct the value. A setting of the config right behind a flag for yes or no is taken for its value: write yes or no between them."),
  "unknown-key": rule("warning", "A misspelt key is added to the config and has no effect, or stops train.py when the model is made.", "Compare it with the config; ignore this rule if the key is meant to be new."),
  "text-flag": rule("error", 'train.py hands the value of such a flag to Lightning as text, "5" and not 5, which stops when training begins.', "Set it in the config instead: lightning.trainer.NAME=VALUE"),
  "set-twice": rule("error", "The last one wins in train.py, and torchrun would be told something else.", "Use the option of vista-train of the same name instead."),
  "config-missing": rule("error", "train.py reads it before anything else.", "Check --base; paths are relative to this folder or to the Vista checkout."),
  "config-folder": rule("error", "train.py names the run after the path below a folder `configs` and stops if there is none.", "Move the config below a folder named `configs`, or give the run a --name."),
  "config-value": rule("error", "train.py stops at such a value, most often after the model was made, or does something else with it.", "Correct it in the config, or among the words after --."),
  strategy: rule("error", "Merging, resuming and the memory figures of the documentation are for DeepSpeed ZeRO stage 2; stage 3 loses the weights that are not trained.", "Set `lightning.trainer.strategy: deepspeed_stage_2`, or ignore this rule if you know what follows from it."),
  "late-checkpoint": rule("note", "Checkpoints are saved at the end of an epoch: stopping at the documented number of steps would leave none.", "Let it run to the end of the epoch, or save by steps: -- lightning.modelcheckpoint.params.every_n_epochs=null lightning.modelcheckpoint.params.every_n_train_steps=5000"),
  resume: rule("error", "train.py goes on from `checkpoints/last*.ckpt` of the run and with the configs it saved there.", "See `vista-train status RUN` for what can be resumed."),
  "resume-ranks": rule("error", 'Each GPU reads the shard that it saved: DeepSpeed stops with "used a DP world size of N but the current world size is M".', "Add --reshard, or go on with as many GPUs as saved it (--nodes, --gpus)."),
  "resume-and-name": rule("error", "train.py refuses both: a resumed run keeps its folder.", "Drop --name; to go on in a new folder, give --resume one checkpoint (…/checkpoints/last.ckpt) and --name."),
  "resume-recipe": rule("error", "A run goes on with the configs that it saved, whatever recipe is named: this would train the same phase again.", "Name the recipe of the run; the phase that follows it is a new run: --finetune RUN."),
  "resume-config": rule("warning", "One checkpoint goes on with the config of the recipe, not with the one that its run saved: what was changed for that run is lost.", "Say it again after --, or give the saved configs by --base, if the checkpoint is meant to go on as it was."),
  "last-checkpoint": rule("warning", "train.py takes the last*.ckpt whose entry has the newest time; a copy of the run may have other times.", "Name the checkpoint that is meant by its path, or give it the newest time: touch RUN/checkpoints/NAME"),
  "last-link": rule("warning", "Lightning saves the next `last` over what the link leads to: that checkpoint is then a later one, under its old name.", "Put a copy in the place of the link, or give --resume the checkpoint itself, which goes on in a new run folder."),
  "run-exists": rule("error", "A second run would write among the files of the first.", "Choose another --name, or go on with that run: --resume."),
  logdir: rule("error", "Training would stop at its first epoch's end, when the first checkpoint is written.", "Choose a folder you may write to with --logdir."),
  "disk-space": rule("error", "Each epoch leaves a checkpoint of its own beside `last`, and train.py never deletes one: training stops when the disk is full.", "Free some space, choose another --logdir, or save less often: -- lightning.modelcheckpoint.params.every_n_epochs=5"),
  "svd-missing": rule("error", "The recipe starts from Stable Video Diffusion.", "Download svd_xt.safetensors from huggingface.co/stabilityai/stable-video-diffusion-img2vid-xt into ckpts."),
  "svd-damaged": rule("error", "Loading would fail on every GPU, minutes after the start.", "Download svd_xt.safetensors again."),
  "finetune-needed": rule("error", "Without it train.py starts from SVD again, in silence, and the phase before was for nothing.", "Give --finetune: the run folder of the phase before, one of its checkpoints, or its merged pytorch_model.bin."),
  "finetune-missing": rule("error", "If the path does not exist, train.py loads svd_xt.safetensors instead, in silence.", "Correct the path."),
  "finetune-format": rule("error", "train.py goes by the end of the name: .bin, .safetensors or .ckpt, and stops at all others.", "Rename or convert the file."),
  "finetune-recipe": rule("warning", "The phases build on one another: the weights of another one have learned something else.", "Name the run of the phase before, if this is not meant."),
  "finetune-damaged": rule("error", "Loading would fail on every GPU, minutes after the start.", "Copy or merge it again; `vista-ckpt merge` checks every shard."),
  "finetune-keys": rule("error", "train.py loads with strict=False: what it does not recognise is left out and those weights stay random.", "Merge the checkpoint folder with `vista-ckpt merge`, which keeps the names that train.py expects."),
  "finetune-incomplete": rule("warning", "zero_to_fp32.py leaves out the weights that phase 2 does not train; train.py goes on without them.", "Merge the checkpoint folder with `vista-ckpt merge`, which recovers them."),
  "stray-weights": rule("warning", "train.py takes ckpts/pytorch_model.bin by default, even for a recipe that starts from SVD; this launch passes an empty --finetune, so that it does not.", "Move the file away, or say --finetune ckpts/pytorch_model.bin if you mean to start from it."),
  "data-missing": rule("error", "The data set class stops on every GPU after the model was loaded.", "Link the data set to that place, or edit data_root in vwm/data/subsets."),
  "data-faulty": rule("error", "Vista's sampler swallows every error of a sample and tries another: if all are bad, training never starts and prints nothing.", "Run `vista-data check` on it for the whole list."),
  "unknown-subset": rule("error", "vwm/data/dataset.py maps names of subsets to classes and stops at a name it does not know.", "Correct `data.params.subsets`, or add the class."),
  "gpu-count": rule("error", "The processes without a GPU stop, and the others with them.", "Lower --gpus, or take a node with enough of them."),
  "gpu-memory": rule("error", "The documentation asks for 80 GB at 576x1024.", "Use GPUs of 80 GB, or a lower resolution: -- data.params.target_height=320 data.params.target_width=576"),
  "gpu-mig": rule("error", "A slice of a GPU has a part of its memory, and NCCL does not connect slices.", "Switch MIG off (`nvidia-smi -mig 0`, as root), or take other GPUs."),
  "gpu-fault": rule("error", "The driver has given this GPU up: no process can use it.", "Reset it (`nvidia-smi --gpu-reset`, as root), restart the node, or take another one."),
  "gpu-busy": rule("warning", "Training needs nearly all of the memory.", "See who uses it with `nvidia-smi`."),
  "gpu-unknown": rule("note", "Login nodes often have no GPU and no driver.", "Run the check again on a node that trains, if you want to be sure."),
  "python-missing": rule("error", "The training is started with it.", "Activate Vista's environment first, or name its interpreter with --python (or --torchrun)."),
  "package-missing": rule("error", "train.py imports it at the start.", "Install Vista's requirements.txt into this environment, or name another interpreter with --python."),
  "lightning-version": rule("error", "Lightning 2.1 and later refuse --num_nodes as train.py passes it (pytorch-lightning#18598), and name weights differently in checkpoints; before 2.0 train.py has no --resume_from_checkpoint.", "Install the version that Vista pins: pip install pytorch-lightning==2.0.1"),
  "deepspeed-version": rule("error", "This DeepSpeed cannot be imported beside the other packages.", "Install the versions that Vista pins: pip install deepspeed==0.10.1 'torch==2.0.1' 'pydantic<2'"),
  "sbatch-missing": rule("error", "--slurm submits with it.", "Run on a login node of the cluster; --dry-run prints the script anywhere."),
} as const;

export type RuleName = keyof typeof RULES;

/** A finding of the preflight. */
export interface TrainFinding extends TrainRule {
  rule: string;
  /** The line that says what is wrong, with names and numbers. */
  message: string;
}

/** Makes a finding of a rule; `fix` replaces the rule's own where more is known, `severity` where it depends. */
export function finding(
  name: RuleName,
  message: string,
  special: { fix?: string | undefined; severity?: Severity } = {},
): TrainFinding {
  const { severity, why, fix } = RULES[name];
  return {
    rule: `train/${name}`,
    severity: special.severity ?? severity,
    message: oneLine(message),
    why,
    fix: oneLine(special.fix ?? fix),
  };
}

/**
 * Tells whether `selector` names a rule: by its code, the part after `train/`, or the start of that up to a dash
 * (`gpu` names `train/gpu-count` and its sisters).
 */
export function matchesRule(code: string, selector: string): boolean {
  const [own, wanted] = [code, selector].map((name) => name.replace(/^train\//, "")) as [string, string];
  return own === wanted || own.startsWith(`${wanted}-`);
}
