/** What a long call reports while it runs. */
export interface Progress {
  /** What is being done, in a word or two: `merge`, `check images` … */
  phase: string;
  done: number;
  /** Missing where the total is not known yet. */
  total?: number;
  unit: "boxes" | "bytes" | "files" | "folders" | "rows" | "images" | "steps";
}

/** Options that every long-running function of this package takes. */
export interface RunOptions {
  /** Abort to stop within a second; the call then throws a `VistaError` with code `ABORTED` and leaves no partial output. */
  signal?: AbortSignal;
  /** Called often (several times a second): keep it cheap. */
  onProgress?: (progress: Progress) => void;
}

/** The same options for a step of a larger call: its progress goes by the name of that call. */
export function inPhase<T extends RunOptions>(options: T, phase: string): T {
  const { onProgress } = options;
  if (onProgress === undefined) return options;
  return { ...options, onProgress: (progress: Progress) => onProgress({ ...progress, phase }) };
}
