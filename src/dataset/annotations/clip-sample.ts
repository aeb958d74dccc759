/** Clips of consecutive frames, and the choice of those whose frames the quick form of the check looks for, where listing every folder would take too long. */
import type { FolderScan } from "../opendv/folder-listing.js";
import type { Split } from "../opendv/meta.js";
import type { FrameLayout } from "../opendv/names.js";
import type { FrameSet } from "../opendv/runs.js";
import { mix } from "../sample.js";
import type { Place } from "./issues.js";

/** The largest number of folders whose last clip is looked at; OpenDV-YouTube has about 2,000 folders. */
const MAX_FOLDERS = 20_000;

/** A clip, as its record gives it, with the layout of the name of its first frame. */
export interface Clip extends FrameLayout {
  folder: ClipFolder;
  first: number;
  /** The number of frames, from `first` on. */
  length: number;
}

/** A folder that records name, and what is known about it. */
export interface ClipFolder {
  name: string;
  split: Split | undefined;
  /** The listing, which is set once a clip's frames were looked for; its `scan` is undefined where the folder is not there. */
  listed?: { scan: FolderScan | undefined };
  /** The first frames of the clips of this file so far. */
  starts: FrameSet;
}

export interface ChosenClip extends Place {
  clip: Clip;
  /** Whether the clip was chosen at random. Then all its frames are looked for, otherwise only the last one. */
  random: boolean;
  /** Whether it is the last clip of its folder. */
  last: boolean;
}

/**
 * A sample of the clips that are offered to it one by one. It takes a number of them at random, each with the same chance
 * (reservoir sampling), and from each folder the clip that ends last: where a folder is missing or too short, that clip shows it.
 */
export class ClipSample {
  /** The number of chosen clips whose frames were looked for; `missing` is the number of those that lack frames. */
  looked = 0;
  missing = 0;
  /** The number of folders whose last clip was looked at. */
  ends = 0;
  /** Whether every clip that is offered is taken, because it was chosen before. */
  takeAll = false;
  offered = 0;
  readonly #clips: ChosenClip[] = [];
  readonly #last = new Map<ClipFolder, ChosenClip>();

  /** @param size  the number of clips to choose at random */
  constructor(
    private readonly size: number,
    private readonly seed: number,
  ) {}

  offer(clip: Clip, place: Place): void {
    const last = this.#last.get(clip.folder);
    if (last === undefined) {
      if (this.#last.size < MAX_FOLDERS) this.#last.set(clip.folder, chosen(clip, place, false));
    } else if (clip.first + clip.length > last.clip.first + last.clip.length) {
      Object.assign(last.clip, clip);
      Object.assign(last, { index: place.index, offset: place.offset });
    }
    const number = this.offered++;
    if (this.takeAll || this.#clips.length < this.size) {
      this.#clips.push(chosen(clip, place, true));
      return;
    }
    const at = Math.floor((mix(this.seed, number) / 2 ** 32) * (number + 1));
    if (at < this.size) this.#clips[at] = chosen(clip, place, true);
  }

  /** Returns the chosen clips. Those chosen at random come first, so that a bound on the time falls on the others. */
  chosen(): ChosenClip[] {
    const last = new Map([...this.#last.values()].map((each) => [each.offset, each]));
    const random = this.#clips.map((each) => ({ ...each, last: last.delete(each.offset) }));
    return [...random, ...last.values()];
  }
}

function chosen(clip: Clip, { index, offset }: Place, random: boolean): ChosenClip {
  return { clip: { ...clip }, index, offset, random, last: !random };
}
