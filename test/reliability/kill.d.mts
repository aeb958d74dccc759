export const SCENARIO_NAMES: string[];

export interface KillResult {
  runs: number;
  /** How often the old output, the new one or none was there. */
  old: number;
  new: number;
  absent: number;
  /** Sets of files without what makes them one. */
  withoutSeal: number;
  /** Runs that left hidden files, which the next one cleared. */
  left: number;
  problems: string[];
}

export function randomOf(seed: number): () => number;
export function killRuns(
  name: string,
  options: { runs: number; seed: number; folder: string; onProblem?: (problem: string) => void },
): Promise<KillResult>;
export function killAtEachStep(
  name: string,
  options: { folder: string; onProblem?: (problem: string) => void },
): Promise<KillResult>;
