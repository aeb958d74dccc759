/** The place of the data: a Vista root with `data/nuscenes` and `data/YouTube`, or one of the sets by itself. */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { VistaError } from "../../core/errors.js";
import { findOpenDvRoot, type OpenDvRoot } from "../opendv/root.js";

export interface LocatedData {
  opendv?: {
    found: OpenDvRoot;
    /** The folder that Vista's loader joins folder names to. */
    dataRoot: string;
  };
  nuscenes?: { root: string; version: string };
}

const VERSIONS = ["v1.0-trainval", "v1.0-mini", "v1.0-test"];

/**
 * Finds the data sets in a folder.
 *
 * @throws VistaError `NOT_FOUND` where there is neither set
 */
export function locateData(root: string): LocatedData {
  if (!existsSync(root)) throw new VistaError("NOT_FOUND", "no such folder", { path: root });
  const located: LocatedData = {};
  const youtube = join(root, "data", "YouTube");
  const dataRoot = existsSync(youtube) ? youtube : root;
  const version = versionIn(root);
  const nested = join(root, "data", "nuscenes");
  if (version !== undefined) located.nuscenes = { root, version };
  else if (versionIn(nested) !== undefined) {
    located.nuscenes = { root: nested, version: versionIn(nested)! };
  }
  // A nuScenes root is not searched, because its folders of images have no frames by number.
  const found = existsSync(dataRoot) && version === undefined ? findOpenDvRoot(dataRoot) : undefined;
  if (found !== undefined) {
    located.opendv = { found, dataRoot: dataRoot === root ? found.root : dataRoot };
  }
  if (located.opendv === undefined && located.nuscenes === undefined) {
    throw new VistaError("NOT_FOUND", "neither nuScenes nor OpenDV-YouTube is here", {
      path: root,
      hint: "Name a Vista root (with data/nuscenes or data/YouTube), or the folder of one of the sets.",
    });
  }
  return located;
}

function versionIn(root: string): string | undefined {
  let names: string[];
  try {
    names = readdirSync(root);
  } catch {
    return undefined;
  }
  return VERSIONS.find((version) => names.includes(version));
}
