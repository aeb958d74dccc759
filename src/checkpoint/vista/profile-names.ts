/** The profiles that `to-st --profile` takes, apart from their steps, which are loaded when one is taken. */

/**
 * A profile, which stands for the steps of one script:
 * - `vista`: LoRA, prefix and EMA, as in Vista's bin_to_st.py.
 * - `gem`: LoRA and prefix, as in GEM's bin_to_st.py, which keeps names without the prefix; an EMA is left out.
 * - `cosmos`: `net_ema.` becomes `net.`, as in Cosmos' converter.
 * - `none`: the tensors stay as they are.
 */
export type Profile = "vista" | "gem" | "cosmos" | "none";
export const PROFILES: readonly Profile[] = ["vista", "gem", "cosmos", "none"];
