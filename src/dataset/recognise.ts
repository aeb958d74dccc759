/**
 * The one set of rules by which all commands take a folder for nuScenes, OpenDV-YouTube, annotation files, or a Vista root with
 * all of them.
 */

import { existsSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { fromSystem, isVistaError, VistaError } from "../core/errors.js";
import { entriesIn } from "../core/io/regular.js";
import { compareText } from "../core/text.js";
import { nuScenesVersions } from "./nuscenes/read/versions.js";
import { findOpenDvRoot, loaderRoot, type OpenDvRoot } from "./opendv/root.js";
import { VISTA_PLACES } from "./vista-places.js";

type DataKind = "nuscenes" | "opendv" | "annotations";

const KINDS = {
  nuscenes: "nuScenes tables",
  opendv: "OpenDV-YouTube frames",
  annotations: "annotation files",
} as const satisfies Record<DataKind, string>;

interface NuScenesSet {
  /** Its place below the folder ("" is the folder itself), and its path. */
  place: string;
  root: string;
  /** The versions of the tables, of which there is one at least, in the order of {@link nuScenesVersions}. */
  versions: string[];
}

interface OpenDvSet {
  place: string;
  root: string;
  found: OpenDvRoot;
  /** The folder that Vista's loader joins folder names to. */
  dataRoot: string;
}

/** What is in a folder. */
export interface DataParts {
  nuscenes?: NuScenesSet | undefined;
  opendv?: OpenDvSet | undefined;
  /** The paths of the annotation files, relative to the folder. */
  annotations: string[];
}

interface RecogniseOptions {
  /** The kinds to look for; the default is all. */
  kinds?: readonly DataKind[] | undefined;
  /** The folder of tables that the user named, whatever its name is. */
  version?: string | undefined;
  /** Whether a folder in which nothing is known is no error. */
  orNothing?: boolean;
}

const VISTA_NUSCENES = VISTA_PLACES.NuScenes.data;
const VISTA_YOUTUBE = VISTA_PLACES.YouTube.data;
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
    const path = join(root, place);
    const versions = nuScenesVersions(path, version);
    if (versions.length > 0) return [{ place, root: path, versions }];
  }
  return entriesIn(root)
    .filter((entry) => entry.isDirectory() || entry.isSymbolicLink())
    .map(({ name: place }) => ({ place, root: join(root, place) }))
    .map((set) => ({ ...set, versions: versionsBelow(set.root, version) }))
    .filter(({ versions }) => versions.length > 0)
    .sort((a, b) => compareText(a.place, b.place));
}

/**
 * Finds the frames that a root is, or has for Vista; without those, the ones that Vista's own `data` has, where that is the root.
 *
 * @param isBeside  whether there is nuScenes as well: then folders of pictures are OpenDV's only where their names say so
 */
function openDvSet(root: string, isBeside: boolean): OpenDvSet | undefined {
  // These are looked into for the error alone: a folder that may not be listed is not one without frames.
  for (const place of ["", VISTA_YOUTUBE]) entriesIn(join(root, place), 1);
  // Vista's own folder may have `videos` that are not OpenDV's, and pictures.
  const isVistaRoot = existsSync(join(root, VISTA_NUSCENES));
  for (const place of existsSync(join(root, VISTA_YOUTUBE))
    ? [VISTA_YOUTUBE]
    : ["", basename(VISTA_YOUTUBE)]) {
    const path = join(root, place);
    const found = findOpenDvRoot(path);
    if (found === undefined) continue;
    const isNamed = found.splits.length > 0 || (found.videos !== undefined && !isVistaRoot);
    const isPlain = place === "" && !(isBeside || isVistaRoot);
    if (place !== VISTA_YOUTUBE && !isNamed && !isPlain) continue;
    return { place, root: path, found, dataRoot: place === "" ? loaderRoot(found) : path };
  }
  return undefined;
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

function annotationsIn(folder: string): string[] {
  const names = entriesIn(folder).map(({ name }) => name);
  return names.filter((name) => ANNOTATION_NAME.test(name)).sort();
}

/** The names of files such as nuScenes.json, nuScenes_val.json, YouTube.json, and of the language files of DriveAGI. */
const ANNOTATION_NAME = /^(nuScenes.*|YouTube.*|10hz_YouTube_.*)\.json$/i;
