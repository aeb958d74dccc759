/** Recognition of what a folder holds: nuScenes, OpenDV-YouTube, annotation files, or a Vista root with all of them. */

import { existsSync, statSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { VistaError } from "../core/errors.js";
import { namesIn } from "../core/io/regular.js";
import { nuScenesVersions } from "./nuscenes/read/versions.js";
import { findOpenDvRoot } from "./opendv/root.js";

export type DataKind = "nuscenes" | "opendv" | "annotations";

const KINDS = {
  nuscenes: "nuScenes tables",
  opendv: "OpenDV-YouTube frames",
  annotations: "annotation files",
} as const satisfies Record<DataKind, string>;

/** The paths to check, relative to the root that was given ("" is the root itself). */
export interface DataParts {
  nuscenes?: string;
  opendv?: string;
  annotations: string[];
}

/** The places where Vista's loaders look below the folder they are started in (vwm/data/subsets). */
const VISTA_NUSCENES = "data/nuscenes";
const VISTA_YOUTUBE = "data/YouTube";
const VISTA_ANNOS = "annos";

/**
 * Finds the data sets and annotation files in a folder.
 *
 * @param kind  the only kind to look for, where one is given
 * @throws VistaError `NOT_FOUND` where the root is not there or nothing in it is known, `WRONG_KIND` where it is a file
 */
export async function recognise(root: string, kind?: DataKind): Promise<DataParts> {
  if (!existsSync(root)) throw new VistaError("NOT_FOUND", "no such folder", { path: root });
  if (!statSync(root).isDirectory()) {
    throw new VistaError("WRONG_KIND", "is a file, not a folder", {
      path: root,
      hint: "Name the root of the data set; give annotation files with --annos.",
    });
  }
  const parts: DataParts = { annotations: [] };
  /** The names of the folders one level down that hold nuScenes tables. */
  const below: string[] = [];
  if (kind === undefined || kind === "nuscenes") {
    for (const place of ["", VISTA_NUSCENES]) {
      if (parts.nuscenes === undefined && (await nuScenesVersions(join(root, place))).length > 0) {
        parts.nuscenes = place;
      }
    }
    // A set one level below the root is taken only where there is no doubt which one is meant.
    if (parts.nuscenes === undefined) {
      for (const { name } of await subfolders(root)) {
        if ((await nuScenesVersions(join(root, name))).length > 0) below.push(name);
      }
      if (below.length === 1) [parts.nuscenes] = below as [string];
    }
  }
  if ((kind === undefined || kind === "opendv") && parts.nuscenes !== "") {
    // The place is chosen by its name first, because a Vista root holds other folders too, some of them with pictures.
    const isVistaRoot = existsSync(join(root, VISTA_NUSCENES)) || existsSync(join(root, VISTA_YOUTUBE));
    for (const place of isVistaRoot ? [VISTA_YOUTUBE] : [""]) {
      const found = findOpenDvRoot(join(root, place));
      // Beside a nuScenes set, folders of pictures are OpenDV's only where their names say so.
      const named = found !== undefined && (found.splits.length > 0 || found.videos !== undefined);
      if (found !== undefined && (named || below.length === 0 || isVistaRoot)) parts.opendv = place;
    }
  }
  if (kind === undefined || kind === "annotations") {
    const names = await namesIn(join(root, VISTA_ANNOS));
    parts.annotations = names
      .filter(isAnnotationName)
      .sort()
      .map((name) => `${VISTA_ANNOS}/${name}`);
    if (parts.annotations.length === 0 && kind === "annotations") {
      parts.annotations = (await readdir(root)).filter(isAnnotationName).sort();
    }
  }
  if (parts.nuscenes === undefined && parts.opendv === undefined && parts.annotations.length === 0) {
    const what = kind === undefined ? "no data set that is known here" : `no ${KINDS[kind]} here`;
    let hint =
      kind === "annotations"
        ? `Name a folder with ${VISTA_ANNOS}/nuScenes.json or ${VISTA_ANNOS}/YouTube.json, or the files with --annos.`
        : `Name a nuScenes root (with v1.0-…), an OpenDV-YouTube root (with full_images), or a folder with ${VISTA_NUSCENES}, ${VISTA_YOUTUBE} and ${VISTA_ANNOS}.`;
    if (below.length > 1)
      hint = `There are several nuScenes sets below it: name one of ${below.sort().join(", ")}.`;
    else if (existsSync(join(root, "sample_data.json"))) {
      hint = "These are the tables of one version: name the folder above it.";
    }
    throw new VistaError("NOT_FOUND", what, { path: root, hint });
  }
  return parts;
}

async function subfolders(root: string) {
  const entries = await readdir(root, { withFileTypes: true });
  return entries.filter((entry) => entry.isDirectory() || entry.isSymbolicLink());
}

/** Tells whether a file is named like nuScenes.json, nuScenes_val.json, YouTube.json or a language file of DriveAGI. */
function isAnnotationName(name: string): boolean {
  return /^(nuScenes.*|YouTube.*|10hz_YouTube_.*)\.json$/i.test(name);
}
