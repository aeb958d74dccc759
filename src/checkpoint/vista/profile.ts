/** Which steps between reading and writing a model needs: those of the script that its authors convert it with. */
import type { StateDict } from "../tensor/tensor.js";
import { applyCosmos, type CosmosReport, isCosmos } from "./cosmos.js";
import { applyVista, type VistaOptions, type VistaReport } from "./steps.js";

/**
 * - `vista`: LoRA, prefix and EMA, as Vista's bin_to_st.py.
 * - `gem`: LoRA and prefix, as GEM's bin_to_st.py, which keeps names without the prefix; an EMA is left out.
 * - `cosmos`: `net_ema.` becomes `net.`, as Cosmos' converter does.
 * - `none`: the tensors as they are.
 */
export type Profile = "vista" | "gem" | "cosmos" | "none";
export const PROFILES: readonly Profile[] = ["vista", "gem", "cosmos", "none"];

export interface ProfileResult {
  readonly state: StateDict;
  readonly profile: Profile;
  /** True where nobody asked for it: told by the names, or the default. */
  readonly detected: boolean;
  /** Of `vista` and `gem`. */
  readonly vista?: VistaReport;
  /** Of `cosmos`. */
  readonly cosmos?: CosmosReport;
}

/** `cosmos` where the names can be nothing else; `vista`, which refuses names that are not its own, for everything else. */
export function detectProfile(names: Iterable<string>): Profile {
  return isCosmos(names) ? "cosmos" : "vista";
}

/**
 * Takes the steps of a profile, or of the one that the names tell. No weight is read.
 *
 * @param options  those of Vista's steps; of them `cosmos` heeds `ema`, and `none` none
 * @throws VistaError as {@link applyVista} does, and `INCOMPLETE` or `INCONSISTENT` for `cosmos` alike
 */
export function applyProfile(
  state: StateDict,
  asked: Profile | undefined,
  options: VistaOptions = {},
): ProfileResult {
  const profile = asked ?? detectProfile(state.tensors.keys());
  const about = { profile, detected: asked === undefined };
  if (profile === "none") return { ...about, state };
  if (profile === "cosmos") {
    const { state: converted, report } = applyCosmos(state, options.ema);
    return { ...about, state: converted, cosmos: report };
  }
  const gem = profile === "gem" ? { ema: false, keepUnprefixed: true } : {};
  const { state: converted, report } = applyVista(state, { ...options, ...gem });
  return { ...about, state: converted, vista: report };
}
