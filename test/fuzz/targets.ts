import { checkpointTargets } from "./checkpoints.js";
import { dataTargets } from "./data.js";
import type { Target } from "./target.js";

/** Every format. @param fixtures  the folder fixtures/ */
export function allTargets(fixtures: string): Target[] {
  return [...checkpointTargets(fixtures), ...dataTargets(fixtures)];
}
