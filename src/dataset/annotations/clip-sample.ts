/** The clips whose frames the quick form of the check looks for, where listing every folder would take too long. */
import { mix } from "../sample.js";
import type { Clip, ClipFolder } from "./clip.js";

/** Folders whose last clip is looked at: OpenDV-YouTube has about 2,000. */
const MAX_FOLDERS = 20_000;

export interface ChosenClip {
  clip: Clip;
  index: number;
  offset: number;
  /** One of those chosen at random: all its frames are looked for, not the last one alone. */
  random: boolean;
  /** The last clip of its folder. */
  last: boolean;
}

/**
 * Chooses, of the clips it is offered one by one, a number at random, each with the same chance (reservoir sampling), and of
 * each folder the clip that starts last: where a folder is missing or too short, that one shows it.
 */
export class ClipSample {
  /** Chosen clips whose frames were looked for, and how many of them lack some. */
  looked = 0;
  missing = 0;
  /** Folders whose last clip was looked at. */
  ends = 0;
  /** Take whatever is offered: it was chosen before. */
  takeAll = false;
  /** Clips to choose from. */
  offered = 0;
  readonly #clips: ChosenClip[] = [];
  readonly #last = new Map<ClipFolder, ChosenClip>();

  /** @param size  clips chosen at random */
  constructor(
    private readonly size: number,
    private readonly seed: number,
  ) {}

  offer(clip: Clip, index: number, offset: number): void {
    const last = this.#last.get(clip.folder);
    if (last === undefined) {
      if (this.#last.size < MAX_FOLDERS) this.#last.set(clip.folder, chosen(clip, index, offset, false));
    } else if (clip.first + clip.length > last.clip.first + last.clip.length) {
      Object.assign(last.clip, clip);
      Object.assign(last, { index, offset });
    }
    const number = this.offered++;
    if (this.takeAll || this.#clips.length < this.size) {
      this.#clips.push(chosen(clip, index, offset, true));
      return;
    }
    const at = Math.floor((mix(this.seed, number) / 2 ** 32) * (number + 1));
    if (at < this.size) this.#clips[at] = chosen(clip, index, offset, true);
  }

  /** The random ones first, so that a bound on the time falls on the others. */
  chosen(): ChosenClip[] {
    const last = new Map([...this.#last.values()].map((each) => [each.offset, each]));
    const random = this.#clips.map((each) => ({ ...each, last: last.delete(each.offset) }));
    return [...random, ...last.values()];
  }
}

function chosen(clip: Clip, index: number, offset: number, random: boolean): ChosenClip {
  return { clip: { ...clip }, index, offset, random, last: !random };
}
