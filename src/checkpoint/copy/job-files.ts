/** The files of a lane's job, from before its reads are planned until it is done. */
import type { SourceFile } from "../../core/io/source.js";
import type { LaneRead } from "./lane.js";
import { giveBack, RemoteRead, readJoined } from "./remote-reads.js";

/** What stands for the descriptor of a file that has none. */
const NO_DESCRIPTOR = -1;

/** Holds files of this machine open for a job, and fetches for it what is elsewhere. */
export class JobFiles {
  readonly #held = new Map<SourceFile, number>();
  readonly #remote: RemoteRead[] = [];
  #block: SharedArrayBuffer | undefined;

  /** @param patience  the milliseconds to wait for a descriptor where the process has none left; by default those of a file */
  constructor(private readonly patience?: number) {}

  /** Returns the descriptor of a file that is held, or has none; `undefined` where {@link hold} is to be asked for it. */
  descriptorOf(file: SourceFile): number | undefined {
    return file.isLocal ? this.#held.get(file) : NO_DESCRIPTOR;
  }

  async hold(file: SourceFile): Promise<number> {
    const fd = await file.hold(this.patience);
    this.#held.set(file, fd);
    return fd;
  }

  /** Takes note of a read, whose bytes {@link fetch} brings where the file is not on this machine. */
  note(file: SourceFile, read: LaneRead): void {
    if (!file.isLocal) this.#remote.push(new RemoteRead(file, read));
  }

  /** Fetches the bytes of all reads that were noted. @returns whether there were any to fetch */
  async fetch(): Promise<boolean> {
    this.#block = await readJoined(this.#remote);
    return this.#block !== undefined;
  }

  release(): void {
    for (const file of this.#held.keys()) file.release();
    this.#held.clear();
    giveBack(this.#block);
  }
}
