/** Chooses the steps between reading and writing that a model needs: those of the script with which its authors convert it. */
import { VistaError } from "../../core/errors.js";
import { requireState, type StateDict } from "../tensor/tensor.js";
import { applyCosmos, type CosmosReport, isCosmos } from "./cosmos.js";
import { PROFILES, type Profile } from "./profile-names.js";
import { applyVista, type VistaOptions, type VistaReport } from "./steps.js";

export interface ProfileResult {
  readonly state: StateDict;
  readonly profile: Profile;
  /** Whether the profile was not asked for, but told by the names or the default. */
  readonly detected: boolean;
  /** The report of `vista` and `gem`. */
  readonly vista?: VistaReport;
  /** The report of `cosmos`. */
  readonly cosmos?: CosmosReport;
}

/**
 * Takes the steps of a profile, or of the one that the names tell. No weight is read.
 *
 * @param options  the options of Vista's steps, of which `cosmos` heeds only `ema`, and `none` none
 * @throws VistaError as {@link applyVista} does; `USAGE` for a profile that does not exist; for `cosmos` `INCOMPLETE` and `INCONSISTENT`
 */
export function applyProfile(
  state: StateDict,
  asked: Profile | undefined,
  options: VistaOptions = {},
): ProfileResult {
  requireState(state);
  // It is Cosmos' where the names can be nothing else. Vista's steps refuse names that are not their own.
  const profile = asked ?? (isCosmos(state.tensors.keys()) ? "cosmos" : "vista");
  if (!PROFILES.includes(profile)) {
    throw new VistaError("USAGE", `there is no profile ${profile}`, { hint: `Give ${PROFILES.join(", ")}.` });
  }
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
