/** The progress that a long call reports while it runs. */
export interface Progress {
  /** The work being done, in a word or two: `merge`, `check images` … */
  phase: string;
  done: number;
  /** The amount of the whole work, in the same unit as `done`; missing where it is not known yet. */
  total?: number;
  unit: "boxes" | "bytes" | "files" | "folders" | "rows" | "images" | "steps";
}

/** Options that every long-running function of this package takes. */
export interface RunOptions {
  /**
   * The signal whose abort stops the call within a second; the call then throws a `VistaError` with code `ABORTED` and leaves no
   * partial output.
   */
  signal?: AbortSignal | undefined;
  /** The function to call with the progress. It is called several times a second, so it should be cheap. */
  onProgress?: ((progress: Progress) => void) | undefined;
}

/** Returns the same options for a step of a larger call: the step's progress goes by the name of that call. */
export function inPhase<T extends RunOptions>(options: T, phase: string): T {
  const { onProgress } = options;
  if (onProgress === undefined) return options;
  return { ...options, onProgress: (progress: Progress) => onProgress({ ...progress, phase }) };
}
