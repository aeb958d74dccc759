/** Chooses which tensors of a saved dict are the model's, and finds their names there. */
import { VistaError } from "../../core/errors.js";
import { mayBeWeight, type OtherTensors } from "../torch/beside.js";
import type { SavedTensor } from "./metadata.js";

/** The entries under which trainers save the model: torch's own `get_state_dict`, Lightning, torchtitan before 2025, others. */
const USUAL_KEYS = ["model", "state_dict", "module", "net", "network", "model_state_dict", "model_state"];

export interface ChosenTensors {
  /** The model's tensors by their names in the entry, in the order of the metadata. */
  readonly chosen: ReadonlyMap<string, SavedTensor>;
  readonly key: string | undefined;
  readonly leftOut: readonly string[];
  /** The other tensors, counted by their entry. */
  readonly others: readonly OtherTensors[];
}

/**
 * Chooses the tensors below `key`. Without one, it takes those at the top of the saved dict or under a usual key, whichever are
 * the most.
 *
 * @throws VistaError `AMBIGUOUS` where two places hold equally many, `FORMAT` where there are none
 */
export function chooseTensors(
  folder: string,
  tensors: readonly SavedTensor[],
  key: string | undefined,
): ChosenTensors {
  const place = key ?? usualPlace(folder, tensors);
  const steps = place === "" ? [] : place.split(".");
  const chosen = new Map<string, SavedTensor>();
  const leftOut: SavedTensor[] = [];
  for (const tensor of tensors) {
    const below = steps.every((step, i) => tensor.path[i] === step) && tensor.path.length > steps.length;
    // At the top only tensors that are there themselves count: an optimizer's states are nested.
    if (!below || (place === "" && tensor.path.length > 1)) leftOut.push(tensor);
    else chosen.set(tensor.path.slice(steps.length).join("."), tensor);
  }
  if (chosen.size === 0) {
    const under = place === "" ? "" : ` under ${JSON.stringify(place)}`;
    throw new VistaError("FORMAT", `no tensors${under} in it; there are ${describe(tensors)}`, {
      path: folder,
      hint: "Name the entry that holds the model with --key.",
    });
  }
  const others = [true, false].flatMap((model) => {
    const such = leftOut.filter((tensor) => mayBeWeight(tensor.path.join("."), tensor) === model);
    return Array.from(countPlaces(such), ([entry, count]): OtherTensors => {
      return { key: entry === "" ? "." : entry, tensors: count, model };
    });
  });
  const paths = leftOut.map(({ path }) => path.join("."));
  return { chosen, key: place === "" ? undefined : place, leftOut: paths, others };
}

function usualPlace(folder: string, tensors: readonly SavedTensor[]): string {
  const counts = countPlaces(tensors);
  const places = ["", ...USUAL_KEYS].filter((place) => counts.has(place));
  places.sort((a, b) => counts.get(b)! - counts.get(a)!);
  const [first, second] = places;
  if (first === undefined) return "";
  if (second !== undefined && counts.get(first) === counts.get(second)) {
    throw new VistaError("AMBIGUOUS", `it holds ${describe(tensors)}`, {
      path: folder,
      hint: "Say which are the model's with --key.",
    });
  }
  return first;
}

/** Counts tensors by the first step of their path, and under "" those that have no other step. */
function countPlaces(tensors: readonly SavedTensor[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { path } of tensors) {
    const place = path.length === 1 ? "" : path[0]!;
    counts.set(place, (counts.get(place) ?? 0) + 1);
  }
  return counts;
}

function describe(tensors: readonly SavedTensor[]): string {
  const parts = [...countPlaces(tensors)].map(
    ([place, count]) => `${count} ${place === "" ? "at its top" : `under ${place}`}`,
  );
  return parts.length === 0 ? "none at all" : `tensors: ${parts.slice(0, 10).join(", ")}`;
}
