import type { FileHandle } from "node:fs/promises";
import { throwIfAborted } from "../../../core/errors.js";

/** The number of characters that are written at once. */
const BLOCK = 4 << 20;

/** A long text that goes into a file in blocks. The caller adds to `text`, and flushes it when it is full and at its end. */
export class TextBlocks {
  text = "";
  /** The number of bytes written so far. */
  bytes = 0;

  constructor(
    private readonly file: FileHandle,
    private readonly signal: AbortSignal | undefined,
  ) {}

  get isFull(): boolean {
    return this.text.length > BLOCK;
  }

  /** @throws the system's error, VistaError `ABORTED` */
  async flush(): Promise<void> {
    throwIfAborted(this.signal);
    const block = Buffer.from(this.text);
    await this.file.writeFile(block);
    this.bytes += block.length;
    this.text = "";
  }
}
