/**
 * The one set of rules by which all commands take a folder for nuScenes, OpenDV-YouTube, annotation files, or a Vista root with
 * all of them.
 */

import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { fromSystem, isVistaError, VistaError } from "../core/errors.js";
import { entriesIn } from "../core/io/regular.js";
import { compareText } from "../core/text.js";
import { nuScenesVersions } from "./nuscenes/read/versions.js";
import { findOpenDvRoot, loaderRoot, type OpenDvRoot } from "./opendv/root.js";

export type DataKind = "nuscenes" | "opendv" | "annotations";

const KINDS = {
  nuscenes: "nuScenes tables",
  opendv: "OpenDV-YouTube frames",
  annotations: "annotation files",
} as const satisfies Record<DataKind, string>;

interface NuScenesSet {
  place: string;
  /** The versions of the tables, of which there is one at least, in the order of {@link nuScenesVersions}. */
  versions: string[];
}

/** What is in a folder. The places and files are relative to it ("" is the folder itself). */
export interface DataParts {
  nuscenes?: NuScenesSet | undefined;
  opendv?: { place: string; found: OpenDvRoot } | undefined;
  annotations: string[];
}

/** The options of {@link recognise}. */
export interface RecogniseOptions {
  /** The kinds to look for; the default is all. */
  kinds?: readonly DataKind[] | undefined;
  /** The folder of tables that the user named, whatever its name is. */
  version?: string | undefined;
  /** Whether a folder in which nothing is known is no error. */
  orNothing?: boolean;
}

/** The places where Vista's loaders look below the folder they are started in (vwm/data/subsets). */
const VISTA_NUSCENES = "data/nuscenes";
const VISTA_YOUTUBE = "data/YouTube";
const VISTA_ANNOS = "annos";

/** The table that shows a folder to be one of tables, whose root is the folder above. */
const LOOSE_TABLE = "sample_data.json";

/** The number of entries of a folder below the root that are looked at: a nuScenes root has few, a folder of frames many. */
const PROBE = 1000;

/**
 * Finds the data sets and annotation files in a folder.
 *
 * @throws VistaError `NOT_FOUND` where the root is not there or nothing in it is known, `WRONG_KIND` where it is a file, `IO`
 */
export function recognise(root: string, options: RecogniseOptions = {}): DataParts {
  const { kinds = Object.keys(KINDS) as DataKind[], version, orNothing = false } = options;
  requireFolder(root);
  const wants = (kind: DataKind) => kinds.includes(kind);
  const sets = wants("nuscenes") || wants("opendv") ? nuScenesSets(root, version) : [];
  const parts: DataParts = {
    nuscenes: wants("nuscenes") && sets.length === 1 ? sets[0] : undefined,
    annotations: wants("annotations") ? annotationsOf(root, kinds.length === 1) : [],
  };
  // A nuScenes root is not searched, because its folders of images have no frames by number.
  if (wants("opendv") && parts.nuscenes?.place !== "") {
    parts.opendv = openDvSet(root, sets.length > 0 || existsSync(join(root, LOOSE_TABLE)));
  }
  const isKnown = parts.nuscenes !== undefined || parts.opendv !== undefined || parts.annotations.length > 0;
  if (!isKnown && !orNothing) throw nothingKnown(root, kinds, sets);
  return parts;
}

/** Finds the nuScenes set that a root is, or has for Vista; without those, all that lie one level below it, by name. */
function nuScenesSets(root: string, version: string | undefined): NuScenesSet[] {
  for (const place of ["", VISTA_NUSCENES]) {
    const versions = nuScenesVersions(join(root, place), version);
    if (versions.length > 0) return [{ place, versions }];
  }
  return entriesIn(root)
    .filter((entry) => entry.isDirectory() || entry.isSymbolicLink())
    .map(({ name: place }) => ({ place, versions: versionsBelow(join(root, place), version) }))
    .filter(({ versions }) => versions.length > 0)
    .sort((a, b) => compareText(a.place, b.place));
}

/** @param isBeside  whether there is nuScenes as well: then folders of pictures are OpenDV's only where their names say so */
function openDvSet(root: string, isBeside: boolean): DataParts["opendv"] {
  // These are looked into for the error alone: a folder that may not be listed is not one without frames.
  for (const place of ["", VISTA_YOUTUBE]) entriesIn(join(root, place), 1);
  const place = existsSync(join(root, VISTA_YOUTUBE)) ? VISTA_YOUTUBE : "";
  const found = findOpenDvRoot(join(root, place));
  if (found === undefined) return undefined;
  // Vista's own folder may have `videos` that are not OpenDV's, and pictures.
  const isVistaRoot = existsSync(join(root, VISTA_NUSCENES));
  const isNamed = found.splits.length > 0 || (found.videos !== undefined && !isVistaRoot);
  return place !== "" || isNamed || !(isBeside || isVistaRoot) ? { place, found } : undefined;
}

function annotationsOf(root: string, isOnlyKind: boolean): string[] {
  const usual = annotationsIn(join(root, VISTA_ANNOS)).map((name) => `${VISTA_ANNOS}/${name}`);
  return usual.length === 0 && isOnlyKind ? annotationsIn(root) : usual;
}

function requireFolder(root: string): void {
  try {
    if (statSync(root).isDirectory()) return;
  } catch (error) {
    throw fromSystem(error, root, "look for data");
  }
  throw new VistaError("WRONG_KIND", "is a file, not a folder", {
    path: root,
    hint: "Name the root of the data set; give annotation files with --annos.",
  });
}

/** A folder that nobody named and that may not be listed, such as `lost+found`, is passed over. */
function versionsBelow(folder: string, version: string | undefined): string[] {
  try {
    return nuScenesVersions(folder, version, PROBE);
  } catch (error) {
    if (!isVistaError(error)) throw error;
    return [];
  }
}

function nothingKnown(root: string, kinds: readonly DataKind[], sets: readonly NuScenesSet[]): VistaError {
  const [kind, other] = kinds;
  const known =
    other === undefined ? `no ${KINDS[kind!]} here` : `neither ${KINDS[kind!]} nor ${KINDS[other]} here`;
  const what = kinds.length > 2 ? "no data set that is known here" : known;
  let hint =
    kind === "annotations"
      ? `Name a folder with ${VISTA_ANNOS}/nuScenes.json or ${VISTA_ANNOS}/YouTube.json, or the files with --annos.`
      : `Name a nuScenes root (with v1.0-…), an OpenDV-YouTube root (with full_images), or a folder with ${VISTA_NUSCENES}, ${VISTA_YOUTUBE} and ${VISTA_ANNOS}.`;
  if (kinds.includes("nuscenes") && sets.length > 1) {
    const places = sets.map(({ place }) => place);
    hint = `There are several nuScenes sets below it: name one of ${places.join(", ")}.`;
  } else if (existsSync(join(root, LOOSE_TABLE))) {
    hint = "These are the tables of one version: name the folder above it.";
  }
  return new VistaError("NOT_FOUND", what, { path: root, hint });
}

/** The data sets that are listed frame by frame: for an index, for what is made from it, and for a preview. */
export interface LocatedData {
  opendv?: {
    found: OpenDvRoot;
    /** The folder that Vista's loader joins folder names to. */
    dataRoot: string;
  };
  nuscenes?: { root: string; version: string };
}

/**
 * Finds the data sets in a folder, of nuScenes the version that is trained on where there are several.
 *
 * @throws VistaError as {@link recognise} does
 */
export function locateData(root: string, options: RecogniseOptions = {}): LocatedData {
  const { nuscenes, opendv } = recognise(root, { kinds: ["nuscenes", "opendv"], ...options });
  const located: LocatedData = {};
  if (nuscenes !== undefined) {
    const { place, versions } = nuscenes;
    const version = versions.find((name) => name === "v1.0-trainval") ?? versions[0]!;
    located.nuscenes = { root: join(root, place), version };
  }
  if (opendv !== undefined) {
    const { place, found } = opendv;
    located.opendv = { found, dataRoot: place === "" ? loaderRoot(found) : join(root, place) };
  }
  return located;
}

function annotationsIn(folder: string): string[] {
  const names = entriesIn(folder).map(({ name }) => name);
  return names.filter(isAnnotationName).sort();
}

/** Tells whether a file is named like nuScenes.json, nuScenes_val.json, YouTube.json or a language file of DriveAGI. */
function isAnnotationName(name: string): boolean {
  return /^(nuScenes.*|YouTube.*|10hz_YouTube_.*)\.json$/i.test(name);
}
