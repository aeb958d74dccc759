/** The listing of one video folder: which frames are there, under which names, and what else lies there. */
import { type Dir, opendirSync } from "node:fs";
import { join } from "node:path";
import { throwIfAborted } from "../../core/errors.js";
import { requireSearchable, sizeOf } from "../../core/io/regular.js";
import { remember } from "../../core/maps.js";
import { compareText } from "../../core/text.js";
import { isBystander } from "../bystanders.js";
import { type FrameLayout, layoutKey, parseFrameName } from "./names.js";
import { FrameSet, framesOf, type Runs } from "./runs.js";

/** The frames that are named in another way than most of their folder. */
export interface OddFrames {
  layout: FrameLayout;
  /** The numbers that the folder also has under its usual names. */
  duplicates: Runs;
  /** The numbers that only these names have. */
  others: Runs;
}

/** The listing of one video folder. */
export interface FolderScan {
  /** The way most frames are named; undefined where there are no frames. */
  layout?: FrameLayout;
  /** The frames under the usual names. */
  runs: Runs;
  /** The frames under other names, with one entry for each way of naming them. */
  odd: OddFrames[];
  /** The names of files that are no frames: the first 20 of them, sorted. */
  strays: string[];
  /** The number of all files that are no frames. */
  strayCount: number;
  /** The names of folders, and of links that are not named like a frame; sorted, and capped like `strays`. */
  folders: string[];
  /**
   * The numbers of links that are named like a frame and lead nowhere, and of what else is no file, with the first of the names;
   * missing where there are none. An index does not keep it.
   */
  broken?: { frames: Runs; first: string };
}

const MAX_STRAYS = 20;
/** The number of entries that the system is asked for at a time. */
const BATCH = 2048;
/** The largest number of ways of naming frames in one folder; names of yet another kind count as strays. */
const MAX_GROUPS = 64;

interface Group {
  layout: FrameLayout;
  frames: FrameSet;
  /** Whether some name starts with a zero that only padding explains. */
  padded: boolean;
}

/**
 * Lists a folder. Memory does not grow with the number of frames (beyond one bit for each).
 *
 * The listing is synchronous: there is one call for a batch of entries, without the price of a promise for each. This is three
 * times as fast as asynchronous listing, and `signal` is looked at between the batches.
 *
 * @throws the system's error where the folder cannot be listed or looked into; VistaError `ABORTED`
 */
export function scanFolder(path: string, signal?: AbortSignal): FolderScan {
  const groups = new Map<string, Group>();
  const strays: string[] = [];
  const folders: string[] = [];
  const broken = new FrameSet();
  let firstBroken: string | undefined;
  let strayCount = 0;
  const stray = (name: string) => {
    strayCount++;
    keepSmallest(strays, name);
  };
  const dir: Dir = opendirSync(path, { bufferSize: BATCH });
  try {
    let last: Group | undefined;
    let entries = 0;
    for (let entry = dir.readSync(); entry !== null; entry = dir.readSync()) {
      if (++entries % BATCH === 0) throwIfAborted(signal);
      const { name } = entry;
      if (entry.isDirectory()) {
        if (!isBystander(name)) keepSmallest(folders, name);
        continue;
      }
      if (!entry.isFile() && sizeOf(join(path, name)) === -1) {
        const lost = parseFrameName(name);
        if (lost !== undefined) {
          broken.add(lost.number);
          if (firstBroken === undefined || name < firstBroken) firstBroken = name;
        } else if (isBystander(name)) continue;
        // A link counts as a folder, also where it leads nowhere, unless it leads to a file.
        else if (entry.isSymbolicLink()) keepSmallest(folders, name);
        else stray(name);
        continue;
      }
      const frame = last === undefined ? -1 : numberIn(name, last.layout);
      if (last !== undefined && frame >= 0) {
        if (name.charCodeAt(last.layout.prefix.length) === 48) last.padded = true;
        last.frames.add(frame);
        continue;
      }
      const parsed = parseFrameName(name);
      if (parsed === undefined) {
        if (!isBystander(name)) stray(name);
        continue;
      }
      const { prefix, digits, number, extension } = parsed;
      const layout = { prefix, width: digits.length, extension };
      const key = layoutKey(layout);
      if (groups.size >= MAX_GROUPS && !groups.has(key)) {
        stray(name);
        continue;
      }
      const group = remember(groups, key, () => ({ layout, frames: new FrameSet(), padded: false }));
      group.frames.add(number);
      if (digits.length === 1) continue;
      if (digits.startsWith("0")) group.padded = true;
      last = group;
    }
  } finally {
    dir.closeSync();
  }
  requireSearchable(path);
  const scan = { ...resolveGroups([...groups.values()]), strays, strayCount, folders };
  return firstBroken === undefined
    ? scan
    : { ...scan, broken: { frames: broken.runs(), first: firstBroken } };
}

/**
 * Returns the number in a name of exactly this layout, or -1. This is the quick way for the many names that are like the one
 * before.
 */
function numberIn(name: string, layout: FrameLayout): number {
  const { prefix, width, extension } = layout;
  const start = prefix.length;
  const end = start + width;
  if (name.length !== end + 1 + extension.length || name.charCodeAt(end) !== 46) return -1;
  let number = 0;
  for (let i = start; i < end; i++) {
    const digit = name.charCodeAt(i) - 48;
    if (digit < 0 || digit > 9) return -1;
    number = number * 10 + digit;
  }
  if (number >= 2 ** 26 || !name.startsWith(prefix) || !name.endsWith(extension)) return -1;
  return number;
}

/** Keeps the {@link MAX_STRAYS} smallest names, sorted, which are the same in whatever order a folder lists them. */
function keepSmallest(names: string[], name: string): void {
  if (names.length === MAX_STRAYS && name >= names[MAX_STRAYS - 1]!) return;
  let at = names.length;
  while (at > 0 && names[at - 1]! > name) at--;
  names.splice(at, 0, name);
  if (names.length > MAX_STRAYS) names.pop();
}

/** Decides which names are the folder's usual ones, and what the others are. */
function resolveGroups(groups: Group[]): Pick<FolderScan, "layout" | "runs" | "odd"> {
  const merged = mergeUnpadded(groups).sort(
    (a, b) => b.frames.size - a.frames.size || compareText(layoutKey(a.layout), layoutKey(b.layout)),
  );
  const usual = merged.shift();
  if (usual === undefined) return { runs: [], odd: [] };
  const odd = merged.map(({ layout, frames }) => {
    const duplicates = new FrameSet();
    const others = new FrameSet();
    for (const frame of framesOf(frames.runs())) (usual.frames.has(frame) ? duplicates : others).add(frame);
    return { layout, duplicates: duplicates.runs(), others: others.runs() };
  });
  return { layout: usual.layout, runs: usual.frames.runs(), odd };
}

/**
 * Joins groups of one prefix and extension that have one layout: `9.jpg` and `10.jpg` (`%d`), or `999999.jpg` and `1000000.jpg`
 * under `%06d`, where a number has outgrown the padding.
 */
function mergeUnpadded(groups: readonly Group[]): Group[] {
  const result: Group[] = groups.filter((group) => group.padded);
  for (const group of groups.filter((group) => !group.padded)) {
    const { prefix, extension, width } = group.layout;
    const alike = (other: Group) => other.layout.prefix === prefix && other.layout.extension === extension;
    const siblings = groups.filter((other) => alike(other) && !other.padded);
    const outgrown = result
      .filter((other) => alike(other) && other.layout.width < width)
      .find((other) => other.frames.has(10 ** other.layout.width - 1));
    if (outgrown !== undefined) {
      addAll(outgrown.frames, group.frames);
    } else if (siblings.length > 1) {
      const joined = result.find((other) => alike(other) && other.layout.width === 0);
      if (joined !== undefined) addAll(joined.frames, group.frames);
      else result.push({ ...group, layout: { prefix, extension, width: 0 } });
    } else {
      result.push(width === 1 ? { ...group, layout: { prefix, extension, width: 0 } } : group);
    }
  }
  return result;
}

function addAll(to: FrameSet, from: FrameSet): void {
  for (const frame of framesOf(from.runs())) to.add(frame);
}
