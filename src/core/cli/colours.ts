/** Whether what a command prints has colours: one rule for the three programs. */
import pc from "picocolors";

/**
 * `NO_COLOR` (not empty) switches colours off, then `FORCE_COLOR` on (`0` and `false`: off), then `TERM=dumb` off; else a
 * terminal has them. Source of the first two: no-color.org and force-color.org.
 */
export function wantsColours(env: NodeJS.ProcessEnv, isTerminal: boolean): boolean {
  const { NO_COLOR, FORCE_COLOR, TERM } = env;
  if (NO_COLOR !== undefined && NO_COLOR !== "") return false;
  if (FORCE_COLOR !== undefined && FORCE_COLOR !== "") return FORCE_COLOR !== "0" && FORCE_COLOR !== "false";
  return TERM !== "dumb" && isTerminal;
}

/** The colours of what goes to stdout; each is the text itself where there are none. */
export const colours = pc.createColors(wantsColours(process.env, process.stdout.isTTY === true));
