/** The one rule of the three programs for colours in what a command prints. */
import pc from "picocolors";

/**
 * Tells whether to use colours. The first of these that is set decides: `NO_COLOR` (not empty) switches them off, `FORCE_COLOR`
 * (not empty) switches them on, or off where it is `0` or `false`, and `TERM=dumb` switches them off. Where none is set, a
 * terminal has colours. The first two are defined by no-color.org and force-color.org.
 */
export function wantsColours(env: NodeJS.ProcessEnv, isTerminal: boolean): boolean {
  const { NO_COLOR, FORCE_COLOR, TERM } = env;
  if (NO_COLOR !== undefined && NO_COLOR !== "") return false;
  if (FORCE_COLOR !== undefined && FORCE_COLOR !== "") return FORCE_COLOR !== "0" && FORCE_COLOR !== "false";
  return TERM !== "dumb" && isTerminal;
}

/** The colours of what goes to stdout; where there are none, each function returns its text as it is. */
export const colours = pc.createColors(wantsColours(process.env, process.stdout.isTTY === true));
