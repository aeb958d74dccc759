/**
 * The ranges of one URL over HTTP. The sources of the rules are RFC 9110 (ranges, validators, redirects) and what the Hugging
 * Face hub and S3 do.
 */
import { VistaError } from "../../errors.js";
import { plural } from "../../text.js";
import { copyBytes } from "../copy-bytes.js";
import {
  type Answer,
  ask,
  type Ending,
  LIMITS,
  type Limits,
  MAX_UNASKED,
  Retry,
  refusal,
  type Taker,
  type Target,
  unreachable,
  withRetries,
} from "./request.js";

const MAX_REDIRECTS = 5;
/** The number of bytes that an answer must bring so that the failed attempts before it no longer count. */
const PROGRESS = 64 * 1024;

export interface RangeAnswer {
  /** The number of bytes that are there, from the start of the range on. */
  readonly got: number;
  /** The size of the whole file in bytes. */
  readonly size: number;
}

interface PartialAnswer extends RangeAnswer {
  /** The reason why the answer broke off, where it did. */
  readonly broken?: unknown;
}

/** A reader of the ranges of one URL. All answers must show one state of the file, by its size and its ETag or date. */
export class UrlRanges {
  /** The address to which the last redirect led; it is asked directly as long as that works. */
  #resolved: string | undefined;
  readonly #validators = new Map<string, string>();
  #size: number | undefined;

  constructor(
    private readonly target: Target,
    private readonly limits: Limits = LIMITS,
  ) {}

  /**
   * Fills `target` with the bytes from `start` on; there are fewer where the file ends before.
   *
   * @throws VistaError `NOT_FOUND`, `IO` (refused, unreachable, no answer), `UNSUPPORTED` (a server without ranges),
   *   `INCONSISTENT` (the file has changed), `ABORTED`
   */
  async read(target: Uint8Array, start: number, signal: AbortSignal | undefined): Promise<RangeAnswer> {
    const end = start + target.byteLength;
    let got = 0;
    return withRetries(
      async (progress) => {
        for (;;) {
          const answer = await this.#once(target.subarray(got), start + got, signal);
          got += answer.got;
          if (start + got >= Math.min(end, answer.size)) return { got, size: answer.size };
          if (answer.got >= PROGRESS) progress();
          if (answer.broken !== undefined) throw new Retry(answer.broken);
          // A server may give less than it was asked for, but no file can be read where it gives next to nothing.
          if (answer.got < PROGRESS)
            throw new Retry(new Error(`the answers break off, after ${got} bytes in all`));
        }
      },
      (reason, attempts) =>
        unreachable(
          reason,
          `bytes ${start + got} to ${end} could not be read, ${plural(attempts, "attempt")}`,
          this.target.path,
        ),
      this.limits,
      signal,
    );
  }

  async #once(target: Uint8Array, start: number, signal: AbortSignal | undefined): Promise<PartialAnswer> {
    const end = start + target.byteLength;
    const { url: first } = this.target;
    let url = this.#resolved ?? first;
    for (let hops = 0; hops <= MAX_REDIRECTS; hops++) {
      // The headers may hold credentials, so they go to the first address's host only.
      const own = new URL(url).origin === new URL(first).origin;
      const headers = { ...(own ? await this.target.headers(url) : {}), range: `bytes=${start}-${end - 1}` };
      const body = new Body(target);
      const onHead = (answer: Answer) => {
        if (own) this.target.seen?.(answer);
        return isMove(answer) ? undefined : this.#takerOf(answer, url, body, start);
      };
      let result: Awaited<ReturnType<typeof ask>>;
      try {
        result = await ask(url, headers, onHead, this.limits, signal);
      } catch (error) {
        // A redirect is good for some minutes; after that the first address gives a new one.
        if (!(error instanceof Expired)) throw error;
        this.#resolved = undefined;
        url = first;
        continue;
      }
      const { answer, ending } = result;
      if (isMove(answer)) {
        url = this.#redirected(answer.headers.location, url);
        continue;
      }
      const outcome = this.#outcome(answer, body, start, ending);
      this.#resolved = url === first ? undefined : url;
      return outcome;
    }
    throw new VistaError("IO", `more than ${MAX_REDIRECTS} redirects`, { path: this.target.path });
  }

  /** Returns the function that takes the body, if any. @throws VistaError for an answer that is of no use; Expired */
  #takerOf(answer: Answer, url: string, body: Body, start: number): Taker | undefined {
    const { statusCode, headers } = answer;
    const end = start + body.target.byteLength;
    const range = headers["content-range"];
    if (statusCode === 416 && start >= sizeIn(headers)) return undefined;
    if (statusCode !== 206 && statusCode !== 200) {
      if (url === this.#resolved && url !== this.target.url && EXPIRED.has(statusCode)) throw new Expired();
      // The body is taken too, since stores such as S3 say there what is wrong.
      body.isRefusal = true;
      return body.takeWhole;
    }
    this.#checkValidator(url, headers);
    const encoding = headers["content-encoding"]?.toLowerCase() ?? "identity";
    if (encoding !== "identity")
      throw this.#noRanges(start, end, `bytes that it has compressed (${encoding})`);
    if (statusCode === 200) {
      // A small file may come as a whole; a larger one is refused as soon as its size shows.
      if (Number(headers["content-length"] ?? 0) > MAX_UNASKED)
        throw this.#noRanges(start, end, "the whole file");
      return body.takeWhole;
    }
    const { first, last, size } = rangeOf(range);
    if (first !== start) {
      const what = /\/\*$/.test(range ?? "") ? "a range without the size of the file" : "another range";
      throw this.#noRanges(start, end, `${what} (${range ?? "no Content-Range"})`);
    }
    this.#checkSize(size);
    body.limit = Math.min(end, last + 1) - start;
    return body.take;
  }

  #outcome(answer: Answer, body: Body, start: number, ending: Ending): PartialAnswer {
    const { statusCode, headers } = answer;
    const end = start + body.target.byteLength;
    const text = body.isRefusal ? body.whole.toString("latin1") : "";
    const isBehind = statusCode === 416 && start >= sizeIn(headers, text);
    if (body.isRefusal && !isBehind) {
      const what = `the request for bytes ${start} to ${end}`;
      throw refusal(what, answer, text, this.target, start);
    }
    if (statusCode === 206) {
      const { size } = rangeOf(headers["content-range"]);
      return { got: body.got, size, broken: ending.kind === "broken" ? ending.error : undefined };
    }
    if (ending.kind === "broken") throw new Retry(ending.error);
    if (ending.kind === "more") throw this.#noRanges(start, end, "the whole file");
    // An answer about a range behind the file's end has no bytes, only the size.
    const size = isBehind ? sizeIn(headers, text) : body.whole.length;
    this.#checkSize(size);
    return { got: isBehind ? 0 : body.cut(start), size };
  }

  #redirected(location = "", from: string): string {
    const url = URL.canParse(location, from) ? new URL(location, from) : undefined;
    if (url?.protocol === "https:" || url?.protocol === "http:") return url.href;
    throw new VistaError("IO", "the server redirects to what is no address of HTTP", {
      path: this.target.path,
      hint: "Check the URL.",
    });
  }

  #checkSize(size: number): void {
    this.#size ??= size;
    if (this.#size === size) return;
    throw this.#changed(`it had ${this.#size} bytes and now has ${size}`);
  }

  /**
   * Checks that the file is the same by its ETag, and by its date too where there is no tag or a weak one, which may stay as it
   * is where bytes change. Each host is compared with itself, since the hub and the store behind it may name one file in two
   * ways. Weak tags are compared without their mark, since servers put that on tags of the same file as they please.
   */
  #checkValidator(url: string, headers: Answer["headers"]): void {
    const tag = headers["x-linked-etag"] ?? headers.etag;
    const { host } = new URL(url);
    this.#checkSame("ETag", host, tag?.replace(/^W\//, ""), true);
    const isWeak = tag === undefined || tag.startsWith("W/");
    this.#checkSame("Last-Modified", host, headers["last-modified"], isWeak);
  }

  /** Compares a value with the first one from the host. @param counts  whether another value means that the file has changed */
  #checkSame(name: string, host: string, value: string | undefined, counts: boolean): void {
    if (value === undefined) return;
    const key = `${name} ${host}`;
    const known = this.#validators.get(key);
    if (known === undefined) this.#validators.set(key, value);
    else if (known !== value && counts) throw this.#changed(`its ${name} was ${known} and now is ${value}`);
  }

  #changed(what: string): VistaError {
    return new VistaError("INCONSISTENT", `the file has changed while it was being read: ${what}`, {
      path: this.target.path,
      hint: "Run again when nothing writes there; where servers behind one address disagree on a file that stays, download it first.",
    });
  }

  #noRanges(start: number, end: number, answer: string): VistaError {
    const what = `the server answers a request for bytes ${start} to ${end} with ${answer}`;
    return new VistaError("UNSUPPORTED", what, {
      path: this.target.path,
      hint: "It cannot be read by ranges: download the file, or use another server.",
    });
  }
}

/** The taker of an answer's bytes, which puts them where they belong. */
class Body {
  got = 0;
  /** The number of bytes of the target that are wanted. */
  limit = 0;
  /** The bytes of a file that comes as a whole, or of what a refusal says. */
  whole: Buffer = Buffer.alloc(0);
  isRefusal = false;

  constructor(readonly target: Uint8Array) {}

  readonly take: Taker = (chunk) => {
    const part = chunk.subarray(0, this.limit - this.got);
    copyBytes(part, this.target, this.got);
    this.got += part.byteLength;
    return part.byteLength === chunk.byteLength;
  };

  readonly takeWhole: Taker = (chunk) => {
    if (this.whole.byteLength + chunk.byteLength > MAX_UNASKED) return false;
    this.whole = Buffer.concat([this.whole, chunk]);
    return true;
  };

  /** Copies what belongs into the target from a file that came as a whole. @returns the number of bytes */
  cut(start: number): number {
    const part = this.whole.subarray(start, start + this.target.byteLength);
    this.target.set(part);
    return part.byteLength;
  }
}

/** The error for the address of an earlier redirect that no longer serves. */
class Expired extends Error {}

const EXPIRED = new Set([400, 401, 403, 404, 410]);

function isMove({ statusCode, headers }: Answer): boolean {
  return statusCode >= 300 && statusCode < 400 && headers.location !== undefined;
}

/** Parses a Content-Range; all numbers are NaN where it is none that can be true. */
function rangeOf(value = ""): { first: number; last: number; size: number } {
  const [first = NaN, last = NaN, size = NaN] = (/^bytes (\d+)-(\d+)\/(\d+)$/i.exec(value) ?? [])
    .slice(1)
    .map(Number);
  const possible = first <= last && last < size && Number.isSafeInteger(size);
  return possible ? { first, last, size } : { first: NaN, last: NaN, size: NaN };
}

/** Returns the file's size from an answer about a range that is not there, else NaN: S3 says it in the body, and only there. */
function sizeIn(headers: Answer["headers"], body = ""): number {
  const said = /\/(\d+)$/.exec(headers["content-range"] ?? "") ?? /<ActualObjectSize>(\d+)</.exec(body);
  return Number(said?.[1] ?? NaN);
}
