/** The search for keys that nothing reads: in config files, and in settings of a command line. */
import { isRecord } from "../../../core/maps.js";
import { suggest } from "../../../core/suggest.js";
import { words } from "../../../core/text.js";
import { TRAINER_PARAMETERS } from "../../launch/arguments.js";
import { getPath, splitKey } from "../../launch/config.js";
import { SAMPLER } from "../../launch/facts.js";
import { finding, type TrainFinding } from "../rules.js";

/** The sections of a config to which keys are added on purpose: parameters of Lightning's own classes. */
const OPEN_SECTIONS = ["lightning.callbacks", "lightning.logger", "lightning.strategy"];

/** A section of a config whose keys are known. */
interface Section {
  keys: readonly string[];
  /** Whether they are parameters of a class, and not keys that train.py reads. */
  ofClass?: boolean;
  /** The key of the config that may name another class, and the name there of the one with these parameters. */
  target?: readonly [key: string, name: string | undefined];
}

/** The sections by their keys. Parameters are those of Vista's own classes and of Lightning 2.0.1; a config need not have all. */
const SECTIONS: ReadonlyMap<string, Section> = new Map<string, Section>(
  Object.entries({
    "": { keys: ["model", "data", "lightning"] },
    model: { keys: ["target", "params", "base_learning_rate"] },
    data: { keys: ["target", "params"] },
    lightning: { keys: ["trainer", "modelcheckpoint", "callbacks", "logger", "strategy"] },
    "lightning.modelcheckpoint": { keys: ["target", "params"] },
    "lightning.trainer": { ofClass: true, keys: TRAINER_PARAMETERS },
    "data.params": {
      ofClass: true,
      target: ["data.target", SAMPLER],
      keys: words(`
        batch_size num_workers prefetch_factor shuffle subsets probs samples_per_epoch target_height
        target_width num_frames
      `),
    },
    "model.params": {
      ofClass: true,
      target: ["model.target", "vwm.models.diffusion.DiffusionEngine"],
      keys: words(`
        network_config denoiser_config first_stage_config conditioner_config sampler_config optimizer_config
        scheduler_config loss_fn_config network_wrapper ckpt_path use_ema ema_decay_rate scale_factor
        disable_first_stage_autocast input_key log_keys no_cond_log compile_model
        en_and_decode_n_samples_a_time num_frames slow_spatial_layers train_peft_adapters
        replace_cond_frames fixed_cond_frames
      `),
    },
    "lightning.modelcheckpoint.params": {
      ofClass: true,
      target: ["lightning.modelcheckpoint.target", undefined],
      keys: words(`
        dirpath filename monitor verbose save_last save_top_k save_weights_only mode auto_insert_metric_name
        every_n_train_steps train_time_interval every_n_epochs save_on_train_epoch_end
      `),
    },
  }),
);

/** Looks for keys of the config files that nothing reads, or that the class which they are for does not take. */
export function* unknownKeys(config: Record<string, unknown>): Generator<TrainFinding> {
  for (const [section, { keys: known, ofClass, target }] of SECTIONS) {
    const own = section === "" ? config : getPath(config, section);
    if (!isRecord(own) || (target && getPath(config, target[0]) !== target[1])) continue;
    for (const key of Object.keys(own).filter((name) => !known.includes(name))) {
      const path = section === "" ? key : `${section}.${key}`;
      const close = suggest(
        key,
        known.filter((name) => !Object.hasOwn(own, name)),
      );
      const fix = close === undefined ? undefined : `Did you mean ${path.slice(0, -key.length)}${close}?`;
      const severity = close === undefined ? "warning" : "error";
      const what = `the config has the key ${path}, which ${ofClass ? "is no parameter of its class" : "train.py does not read"}`;
      yield finding("unknown-key", what, { severity, fix });
    }
  }
}

/** Looks whether a setting is one that the config has, or that its section may have. */
export function* unknownKey(key: string, config: Record<string, unknown>): Generator<TrainFinding> {
  if (getPath(config, key) !== undefined) return;
  const parts = splitKey(key);
  const parentKey = parts.slice(0, -1).join(".");
  const own = parts.at(-1)!;
  for (const [section, { keys }] of SECTIONS) {
    // The key is one that the config does not set, or something within one.
    const name = key.startsWith(`${section}.`) ? parts[splitKey(section).length]! : "";
    if (keys.includes(name) && getPath(config, `${section}.${name}`) === undefined) return;
  }
  const parent = parentKey === "" ? config : getPath(config, parentKey);
  // A key with the value null is there too.
  if (isRecord(parent) && Object.hasOwn(parent, own)) return;
  const siblings = isRecord(parent) ? Object.keys(parent) : [];
  const close = suggest(own, [...siblings, ...(SECTIONS.get(parentKey)?.keys ?? [])]);
  if (close !== undefined) {
    const fix = `Did you mean ${[...parts.slice(0, -1), close].join(".")}?`;
    yield finding("unknown-key", `the config has no key ${key}`, { severity: "error", fix });
    return;
  }
  if (OPEN_SECTIONS.some((section) => key.startsWith(`${section}.`))) return;
  if (isRecord(parent)) {
    yield finding("unknown-key", `the config has no key ${key}`);
    return;
  }
  const depth = parts.findIndex((_, i) => getPath(config, parts.slice(0, i + 1).join(".")) === undefined);
  const above = depth === 0 ? config : getPath(config, parts.slice(0, depth).join("."));
  const closeAbove = isRecord(above) ? suggest(parts[depth]!, Object.keys(above)) : undefined;
  const meant = [...parts.slice(0, depth), closeAbove, ...parts.slice(depth + 1)].join(".");
  const fix = closeAbove === undefined ? undefined : `Did you mean ${meant}?`;
  const section = parts.slice(0, depth + 1).join(".");
  yield finding("unknown-key", `the config has no section ${section} (in ${key})`, {
    severity: "error",
    fix,
  });
}
