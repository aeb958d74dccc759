/** The places that the loader of each subset reads by default, below the folder that Vista is started in (vwm/data/subsets). */
export const VISTA_PLACES = {
  NuScenes: { data: "data/nuscenes", annotations: "annos/nuScenes.json" },
  YouTube: { data: "data/YouTube", annotations: "annos/YouTube.json" },
} as const;

/** The same places by the names that a config has for subsets, some of which are none. */
export const SUBSETS: ReadonlyMap<string, { data: string; annotations: string }> = new Map(
  Object.entries(VISTA_PLACES),
);
