/** `checkOpenDv`, which compares an OpenDV-YouTube root with its list of videos and with itself. */
import { sep } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { fromSystem, isVistaError, rethrowExhausted, throwIfAborted, VistaError } from "../../core/errors.js";
import { sizeOf } from "../../core/io/regular.js";
import { remember } from "../../core/maps.js";
import { sum } from "../../core/sum.js";
import { plural } from "../../core/text.js";
import { Turns } from "../../core/turns.js";
import type { Check, CheckOptions, CheckSummary, Finding } from "../finding.js";
import { knownScans, readIndex, stampOf } from "../frame-index/build.js";
import { checkImage, type ImageLevel } from "../images/check.js";
import { isFirst, ownOf, requireCheckOptions } from "../options.js";
import { joinPath, pathFrom } from "../paths.js";
import { boundsOf, choosePictures, unseenAt } from "../sample.js";
import { folderFindings, loaderFinding } from "./folder.js";
import { type FolderScan, scanFolder } from "./folder-listing.js";
import { imageFindings } from "./images.js";
import { byVideoId, expectedFrames, type Meta, readMeta } from "./meta.js";
import {
  describeLayout,
  type FrameLayout,
  frameName,
  layoutKey,
  loaderReads,
  OPENDV_LAYOUT,
} from "./names.js";
import { findOpenDvRoot, type OpenDvRoot, type VideoFolder } from "./root.js";
import { finding } from "./rules.js";
import { countFrames, findGaps, framesOf, type Runs } from "./runs.js";
import { inTime, pickFrames, spreadFrames } from "./sample.js";
import { listFindings, metaFileFindings, type NamedMeta, twiceFindings } from "./set.js";

/** The options of {@link checkOpenDv}. */
export interface OpenDvCheckOptions extends CheckOptions {
  /** The path of the list of videos (CSV or JSON). The default is the one in `meta/` beside or within the root. */
  meta?: string | undefined;
  /** The path of an index file: folders that have not changed since it was made are not listed again. */
  index?: string | undefined;
}

/** The number of folders that are listed first to see how the set names its frames. */
const PROBES = 15;
const MAX_POINTS = 3000;

/**
 * Checks an OpenDV-YouTube root: its folder, the one above it (as Vista has `data/YouTube`), or the folders of videos themselves.
 * The iteration throws `NOT_FOUND` where there is no such set.
 */
export function checkOpenDv(root: string, options: OpenDvCheckOptions = {}): Check {
  const summary: CheckSummary = {
    kind: "opendv",
    title: "OpenDV-YouTube",
    root,
    coverage: [],
    interrupted: true,
  };
  return { summary, [Symbol.asyncIterator]: () => run(summary, options) };
}

/** Yields the findings, with paths from the root that was given, because the set itself may be a folder in it. */
async function* run(summary: CheckSummary, options: OpenDvCheckOptions): AsyncGenerator<Finding> {
  requireCheckOptions(options);
  const found = findOpenDvRoot(summary.root);
  if (found === undefined) {
    throw new VistaError("NOT_FOUND", "no OpenDV-YouTube frames here", {
      path: summary.root,
      hint: "Name the folder that holds full_images, val_images or videos.",
    });
  }
  const prefix = pathFrom(summary.root, found.root);
  const full = (path: string) => joinPath(prefix, path);
  const { onMissing } = options;
  const missing = onMissing && ((one: Finding) => onMissing({ ...one, path: full(one.path) }));
  const check = new OpenDvRun(found, summary, { ...options, onMissing: missing });
  for await (const one of check.findings()) yield { ...one, path: full(one.path) };
  summary.samples = choosePictures(check.samples.map(full));
}

/** The frames of a folder under their usual names. */
interface Frames {
  folder: VideoFolder;
  runs: Runs;
  layout: FrameLayout;
}

class OpenDvRun {
  /** The paths of sound images. */
  readonly samples: string[] = [];
  readonly #level: ImageLevel;
  readonly #folders = { what: "video folders", checked: 0, total: 0 };
  readonly #names = { what: "frames (names)", checked: 0, total: 0 };
  readonly #fileSizes = { what: "frames (sizes)", checked: 0, total: 0 };
  readonly #images;
  /** The folders whose images are still to be opened. */
  readonly #toOpen: Frames[] = [];
  readonly #scans = new Map<string, FolderScan>();
  readonly #framesPerVideo: { label: string; value: number }[] = [];
  readonly #missingPerVideo: { label: string; value: number }[] = [];
  readonly #sizes = new Map<string, number>();
  #known: ReturnType<typeof knownScans> | undefined;
  readonly #turns = new Turns();

  constructor(
    private readonly found: OpenDvRoot,
    private readonly summary: CheckSummary,
    private readonly options: OpenDvCheckOptions,
  ) {
    this.#level = options.images ?? "headers";
    this.#images = {
      what: `images (${this.#level === "decode" ? "decoded" : "headers"})`,
      checked: 0,
      total: 0,
    };
    summary.coverage.push(this.#folders, this.#names, this.#fileSizes);
    if (this.#level !== "names") summary.coverage.push(this.#images);
    summary.unseen = unseenAt(this.#level);
  }

  async *findings(): AsyncGenerator<Finding> {
    const { found } = this;
    const { signal, shard, index } = this.options;
    if (index !== undefined) this.#known = knownScans(await readIndex(index));
    const first = isFirst(shard);
    const metas = await this.#readMetas();
    const list = metas.find(({ meta }) => meta.unreadable === undefined && meta.videos.length > 0);
    if (first) yield* this.#setFindings(metas, list);

    const { layout, base } = this.#probe();
    this.summary.title = `OpenDV-YouTube, ${plural(found.folders.length, "video")}, ${describeLayout(layout)} from ${base}`;
    if (first && !loaderReads(layout)) yield loaderFinding(layout, ".", frameName(layout, base));

    const listed = list && byVideoId(list.meta.videos);
    const mine = ownOf(found.folders, shard);
    this.#folders.total = mine.length;
    for (const folder of mine) {
      throwIfAborted(signal);
      if (this.#progress(0)) await nextTurn();
      const scan = this.#scan(folder);
      if (isVistaError(scan)) {
        yield finding("broken-link", folder.path, scan.what);
        continue;
      }
      const video = listed?.get(folder.videoId);
      const skipped = found.skipped.has(folder.videoId);
      const expected = video && expectedFrames(video);
      yield* folderFindings(scan, { path: folder.path, setLayout: layout, base, expected, skipped });
      const frames = countFrames(scan.runs);
      this.#names.checked += frames;
      this.#names.total += frames;
      this.#images.total += frames;
      this.#chartFolder(folder, scan, base);
      if (scan.layout !== undefined) {
        const frames = { folder, runs: scan.runs, layout: scan.layout };
        yield* this.#sizeFindings(frames);
        this.#toOpen.push(frames);
      }
      this.#folders.checked++;
      this.#scans.delete(folder.path);
    }
    if (this.#level !== "names") yield* this.#openImages();
    this.#finish();
  }

  /**
   * Looks at the sizes of all frames of a folder. The calls are synchronous, because a promise for each of 65 million frames
   * costs more.
   */
  async *#sizeFindings({ folder, runs, layout }: Frames): AsyncGenerator<Finding> {
    const { root } = this.found;
    const last = runs[runs.length - 1]!;
    const total = countFrames(runs);
    this.#fileSizes.total += total;
    const before = this.#fileSizes.checked;
    for (const frame of framesOf(runs)) {
      const path = `${folder.path}/${frameName(layout, frame)}`;
      this.#fileSizes.checked++;
      if (sizeOf(`${root}${sep}${path}`) <= 0) {
        const { fault, detail } = await checkImage(`${root}${sep}${path}`, "names");
        const emptyRule = frame === last ? "truncated-last-frame" : "empty-image";
        if (fault !== undefined)
          yield finding(fault === "empty" ? emptyRule : "unreadable-image", path, detail!);
      }
      if (this.#progress((this.#fileSizes.checked - before) / total)) {
        await nextTurn();
        throwIfAborted(this.options.signal);
      }
    }
  }

  /**
   * Opens images of all folders: a sample, or as many as there is time for. Each folder gets its share by its number of frames.
   */
  async *#openImages(): AsyncGenerator<Finding> {
    const { found } = this;
    const { limit, seconds } = boundsOf(this.options);
    const { seed = 0, signal, onProgress } = this.options;
    const onImage = () => {
      const done = ++this.#images.checked;
      onProgress?.({ phase: "open images", done, total: this.#images.total, unit: "images" });
    };
    const quota = Math.floor(limit / Math.max(1, found.folders.length));
    const end = performance.now() + seconds * 1000;
    let left = sum(this.#toOpen, ({ runs }) => countFrames(runs));
    for (const { folder, runs, layout } of this.#toOpen) {
      const now = performance.now();
      const total = countFrames(runs);
      const until = now + ((end - now) * total) / left;
      left -= total;
      const frames = Number.isFinite(seconds)
        ? inTime(spreadFrames(runs, seed, folder.path), quota + 2, until)
        : pickFrames(runs, quota, seed, folder.path);
      const last = runs[runs.length - 1]!;
      const how = { root: found.root, path: folder.path, layout, last, level: this.#level, signal, onImage };
      const { size, sound } = yield* imageFindings(frames, how);
      if (size !== undefined) {
        const label = `${size.width} × ${size.height}`;
        this.#sizes.set(label, (this.#sizes.get(label) ?? 0) + 1);
      }
      if (sound !== undefined) this.samples.push(sound);
    }
  }

  async #readMetas(): Promise<NamedMeta[]> {
    const { found } = this;
    const { meta: named } = this.options;
    const metas: NamedMeta[] = [];
    for (const file of named === undefined ? found.metaFiles : [named]) {
      // One that was found and cannot be read is a finding, one that the user names is an error.
      const meta = await readMeta(file).catch((error: unknown): Meta => {
        if (!isVistaError(error) || named !== undefined) throw error;
        return { videos: [], problems: [], unreadable: { reason: error.what } };
      });
      metas.push({ path: pathFrom(found.root, file), meta });
    }
    return metas;
  }

  *#setFindings(metas: NamedMeta[], list: NamedMeta | undefined): Generator<Finding> {
    const { found } = this;
    if (found.folders.length === 0) {
      yield finding("no-frames", ".", "there is not one folder of frames below this root");
    }
    for (const { path, reason } of found.broken) yield finding("broken-link", path, reason);
    if (metas.length === 0 && !found.broken.some(({ path }) => path.endsWith("meta"))) {
      yield finding("meta-missing", ".", "there is no meta/OpenDV-YouTube.csv or .json");
    }
    yield* metaFileFindings(metas);
    yield* twiceFindings(found, list?.meta);
    if (list !== undefined) yield* listFindings(found, list, this.options.onMissing);
  }

  /**
   * Finds out how most folders name their frames, from a few of them that are spread over the set and are the same in every
   * shard.
   */
  #probe(): { layout: FrameLayout; base: number } {
    const votes = new Map<string, { layout: FrameLayout; count: number }>();
    let ones = 0;
    let zeros = 0;
    const { folders } = this.found;
    const step = Math.max(1, folders.length / PROBES);
    for (let at = 0; at < folders.length; at += step) {
      const folder = folders[Math.floor(at)]!;
      const scan = this.#scan(folder);
      if (isVistaError(scan) || scan.layout === undefined) continue;
      this.#scans.set(folder.path, scan);
      const { layout } = scan;
      remember(votes, layoutKey(layout), () => ({ layout, count: 0 })).count++;
      if (scan.runs[0] === 1) ones++;
      else if (scan.runs[0] === 0) zeros++;
    }
    const [winner] = [...votes.values()].sort((a, b) => b.count - a.count);
    return { layout: winner?.layout ?? OPENDV_LAYOUT, base: ones > zeros ? 1 : 0 };
  }

  #scan(folder: VideoFolder): FolderScan | VistaError {
    const kept = this.#scans.get(folder.path);
    if (kept !== undefined) return kept;
    const absolute = `${this.found.root}${sep}${folder.path}`;
    try {
      const known = this.#known?.(folder.path, stampOf(absolute));
      return known ?? scanFolder(absolute, this.options.signal);
    } catch (error) {
      rethrowExhausted(error);
      const wrapped = fromSystem(error, folder.path, "list the folder");
      if (isVistaError(wrapped) && wrapped.code !== "ABORTED") return wrapped;
      throw error;
    }
  }

  #chartFolder(folder: VideoFolder, scan: FolderScan, base: number): void {
    if (this.#framesPerVideo.length < MAX_POINTS) {
      this.#framesPerVideo.push({ label: folder.path, value: countFrames(scan.runs) });
    }
    const missing = countFrames(findGaps(scan.runs, base));
    if (missing > 0 && this.#missingPerVideo.length < MAX_POINTS) {
      this.#missingPerVideo.push({ label: folder.path, value: missing });
    }
  }

  /** Reports, if it is time to, that so much of the current folder is done. @returns whether it was time */
  #progress(part: number): boolean {
    if (!this.#turns.due()) return false;
    this.options.onProgress?.({
      phase: "check frames",
      done: this.#folders.checked + part,
      total: this.#folders.total,
      unit: "folders",
    });
    return true;
  }

  #finish(): void {
    const summary = this.summary;
    summary.charts = [
      { kind: "bars", title: "Frames per video", unit: "frames", points: this.#framesPerVideo },
      { kind: "bars", title: "Missing frames per video", unit: "frames", points: this.#missingPerVideo },
      {
        kind: "bars",
        title: "Image sizes",
        unit: "videos",
        shares: true,
        points: [...this.#sizes].map(([label, value]) => ({ label, value })),
      },
    ];
    summary.interrupted = false;
  }
}
