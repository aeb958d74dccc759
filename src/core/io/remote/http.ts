/**
 * Ranges of one URL over HTTP. Sources of the rules: RFC 9110 (ranges, redirects, Retry-After); what the Hugging Face hub and S3 do.
 */
import { setTimeout as pause } from "node:timers/promises";
import type { Dispatcher } from "undici";
import { abortedError, VistaError } from "../../errors.js";

/** Requests under way at once, over all files of the process. */
const MAX_REQUESTS = 16;
/** Attempts at one range before it is given up. */
const ATTEMPTS = 6;
/** Milliseconds before the second attempt; doubled for each further one. */
const BACK_OFF_MS = 250;
/** Milliseconds that are waited where a server says so with Retry-After, at most. */
const MAX_WAIT_MS = 30_000;
/** Milliseconds without an answer, or without a further byte of it. */
const SILENCE_MS = 30_000;
const MAX_REDIRECTS = 5;
/** Bytes that are taken of an answer which is not the range that was asked for. */
const MAX_UNASKED = 64 * 1024;

const RETRIED = new Set([408, 425, 429, 500, 502, 503, 504]);

/** Where a file is, and how to ask for it. */
export interface Target {
  /** As the user wrote it, for messages. */
  readonly path: string;
  readonly url: string;
  /** Headers for a request to `url`; they go to no other host. */
  headers(url: string): Promise<Record<string, string>>;
}

/** The answer to a request for a range. */
export interface RangeAnswer {
  readonly bytes: Uint8Array;
  /** Bytes of the whole file. */
  readonly size: number;
}

/** One URL that is read by ranges. All answers must be of one state of the file, told by its ETag and size. */
export class RangeReader {
  readonly #target: Target;
  /** Where the last redirect led, asked directly while that works. */
  #resolved: string | undefined;
  readonly #etags = new Map<string, string>();
  #size: number | undefined;

  constructor(target: Target) {
    this.#target = target;
  }

  /**
   * Bytes `[start, end)`, fewer where the file ends before.
   * @throws VistaError `NOT_FOUND`, `IO` (refused, unreachable, no answer), `UNSUPPORTED` (a server without ranges),
   *   `INCONSISTENT` (the file has changed), `ABORTED`
   */
  async read(start: number, end: number, signal: AbortSignal | undefined): Promise<RangeAnswer> {
    const parts: Uint8Array[] = [];
    let got = 0;
    for (let attempt = 1; ; attempt++) {
      let wait: number | undefined;
      try {
        const { bytes, size, complete } = await withTurn(() => this.#once(start + got, end, signal));
        this.#checkSize(size);
        if (bytes.byteLength > 0) {
          parts.push(bytes);
          got += bytes.byteLength;
          // What has come is kept; an attempt that brought little counts against the server.
          if (!complete && bytes.byteLength >= MAX_UNASKED) attempt = 0;
        }
        if (complete || start + got >= Math.min(end, size)) return { bytes: joined(parts, got), size };
        if (attempt >= ATTEMPTS)
          throw new Retry(new Error(`the answers break off, after ${got} bytes in all`));
      } catch (error) {
        if (signal?.aborted) throw abortedError(signal);
        if (!(error instanceof Retry) || attempt >= ATTEMPTS)
          throw this.#given(error, start + got, end, attempt);
        wait = error.wait;
      }
      const delay = wait ?? BACK_OFF_MS * 2 ** Math.min(attempt, 7) * (0.5 + Math.random());
      await pause(Math.min(delay, MAX_WAIT_MS), undefined, signal === undefined ? {} : { signal }).catch(
        () => {
          throw abortedError(signal);
        },
      );
    }
  }

  async #once(
    start: number,
    end: number,
    signal: AbortSignal | undefined,
  ): Promise<{ bytes: Uint8Array; size: number; complete: boolean }> {
    const { answer, url } = await this.#follow(start, end, signal);
    const { statusCode, headers, body } = answer;
    if (statusCode === 416) {
      body.destroy();
      const size = /\/(\d+)$/.exec(text(headers["content-range"]))?.[1];
      if (size !== undefined && start >= Number(size))
        return { bytes: new Uint8Array(0), size: Number(size), complete: true };
      throw this.#refused(statusCode, start, end);
    }
    if (statusCode !== 206 && statusCode !== 200) {
      body.destroy();
      const wait = retryAfter(text(headers["retry-after"]));
      if (RETRIED.has(statusCode)) throw new Retry(this.#refused(statusCode, start, end), wait);
      throw this.#refused(statusCode, start, end);
    }
    this.#checkEtag(url, text(headers["x-linked-etag"]) || text(headers.etag));
    const range = rangeOf(text(headers["content-range"]));
    if (statusCode === 200 || range?.first !== start) {
      const bytes = await receive(body, MAX_UNASKED + 1, signal);
      // A file this small has come whole; of others not one byte more is taken.
      if (statusCode === 200 && bytes.complete && bytes.bytes.byteLength <= MAX_UNASKED) {
        const whole = bytes.bytes;
        return { bytes: whole.subarray(start, end), size: whole.byteLength, complete: true };
      }
      throw new VistaError(
        "UNSUPPORTED",
        `the server answers a request for bytes ${start} to ${end} with ${statusCode === 200 ? "the whole file" : `another range (${text(headers["content-range"])})`}`,
        {
          path: this.#target.path,
          hint: "It cannot be read by ranges: download the file, or use another server.",
        },
      );
    }
    const { size } = range;
    const wanted = Math.min(end, size) - start;
    const { bytes } = await receive(body, wanted, signal);
    return { bytes, size, complete: bytes.byteLength === wanted };
  }

  /** Asks, and follows redirects; headers with credentials go to the first host only. */
  async #follow(
    start: number,
    end: number,
    signal: AbortSignal | undefined,
  ): Promise<{ answer: Dispatcher.ResponseData; url: string }> {
    let url = this.#resolved ?? this.#target.url;
    for (let hops = 0; hops <= MAX_REDIRECTS; hops++) {
      const own = new URL(url).origin === new URL(this.#target.url).origin;
      const answer = await ask(
        url,
        {
          ...(own ? await this.#target.headers(url) : {}),
          range: `bytes=${start}-${end - 1}`,
          "accept-encoding": "identity",
          "user-agent": "vista-ckpt",
        },
        signal,
      );
      const { statusCode, headers, body } = answer;
      if (statusCode >= 300 && statusCode < 400 && headers.location !== undefined) {
        body.destroy();
        url = new URL(text(headers.location), url).href;
        continue;
      }
      // A redirect is good for some minutes: once it is not, the first address gives a new one.
      if (
        url === this.#resolved &&
        url !== this.#target.url &&
        [400, 401, 403, 404, 410].includes(statusCode)
      ) {
        body.destroy();
        this.#resolved = undefined;
        url = this.#target.url;
        continue;
      }
      if (statusCode < 400) this.#resolved = url;
      return { answer, url };
    }
    throw new VistaError("IO", `more than ${MAX_REDIRECTS} redirects`, { path: this.#target.path });
  }

  #checkSize(size: number): void {
    this.#size ??= size;
    if (this.#size === size) return;
    throw this.#changed(`it had ${this.#size} bytes and now has ${size}`);
  }

  /** By host: the hub and the store behind it may name one file in two ways. */
  #checkEtag(url: string, etag: string): void {
    if (etag === "") return;
    const { host } = new URL(url);
    const known = this.#etags.get(host);
    if (known === undefined) this.#etags.set(host, etag);
    else if (known !== etag) throw this.#changed(`its ETag was ${known} and now is ${etag}`);
  }

  #changed(what: string): VistaError {
    return new VistaError("INCONSISTENT", `the file has changed while it was being read: ${what}`, {
      path: this.#target.path,
      hint: "Run again when nothing writes there.",
    });
  }

  #refused(status: number, start: number, end: number): VistaError {
    const details = { path: this.#target.path, offset: start };
    const asked = `the request for bytes ${start} to ${end} was answered with ${status}`;
    if (status === 404 || status === 410)
      return new VistaError("NOT_FOUND", asked, { ...details, hint: "Check the URL." });
    if (status === 401 || status === 403) {
      const hint =
        "Check the URL and the credentials (HF_TOKEN for the hub; AWS_ACCESS_KEY_ID, AWS_PROFILE … for S3).";
      return new VistaError("IO", asked, { ...details, hint });
    }
    return new VistaError("IO", asked, { ...details, hint: "Run again later, or download the file first." });
  }

  #given(error: unknown, start: number, end: number, attempts: number): unknown {
    const reason = error instanceof Retry ? error.reason : error;
    if (reason instanceof VistaError) return reason;
    const { message, code } = reason as NodeJS.ErrnoException;
    return new VistaError(
      "IO",
      `bytes ${start} to ${end} could not be read, ${attempts} attempts: ${code ?? ""} ${message}`.replace(
        / {2,}/g,
        " ",
      ),
      { path: this.#target.path, cause: reason, hint: "Check the network, HTTPS_PROXY and the URL." },
    );
  }
}

/** An answer that another attempt may better. */
class Retry extends Error {
  readonly reason: unknown;
  readonly wait: number | undefined;
  constructor(reason: unknown, wait?: number) {
    super("to be tried again");
    this.reason = reason;
    this.wait = wait;
  }
}

/** @throws Retry where no answer came */
async function ask(
  url: string,
  headers: Record<string, string>,
  signal: AbortSignal | undefined,
): Promise<Dispatcher.ResponseData> {
  const { request } = await import("undici");
  try {
    const answer = await request(url, {
      method: "GET",
      headers,
      dispatcher: await dispatcher(url),
      headersTimeout: SILENCE_MS,
      bodyTimeout: SILENCE_MS,
      ...(signal === undefined ? {} : { signal }),
    });
    // A body that is dropped half way says so in an event that nobody else listens to.
    answer.body.on("error", () => {});
    return answer;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // A name that does not exist and a certificate that is not trusted stay so; what has no code is a fault of ours.
    if (
      code === undefined ||
      code === "ENOTFOUND" ||
      code === "ERR_INVALID_URL" ||
      // A redirect to what is not HTTP, headers beyond all measure, and what is no HTTP at all.
      /CERT|SELF_SIGNED|^UND_ERR_INVALID_ARG$|^UND_ERR_HEADERS_OVERFLOW$|^HPE_/.test(code)
    )
      throw error;
    throw new Retry(error);
  }
}

/** What a Content-Range says; `undefined` where it is none that can be true. */
function rangeOf(value: string): { first: number; size: number } | undefined {
  const [first, last, size] = (/^bytes (\d+)-(\d+)\/(\d+)$/.exec(value) ?? []).slice(1).map(Number);
  if (first === undefined || last === undefined || size === undefined) return undefined;
  return first <= last && last < size && Number.isSafeInteger(size) ? { first, size } : undefined;
}

/** Pools of connections: under "" that without a proxy. */
const pools = new Map<string, Dispatcher>();

/** The connections for a URL: through HTTPS_PROXY, HTTP_PROXY and NO_PROXY where they are set. */
async function dispatcher(url: string): Promise<Dispatcher> {
  const { getProxyForUrl } = await import("proxy-from-env");
  const proxy = getProxyForUrl(url);
  let pool = pools.get(proxy);
  if (pool === undefined) {
    const { Agent, ProxyAgent } = await import("undici");
    const options = { connect: { timeout: SILENCE_MS }, connections: MAX_REQUESTS };
    pool = proxy === "" ? new Agent(options) : new ProxyAgent({ uri: proxy, ...options });
    pools.set(proxy, pool);
  }
  return pool;
}

/** At most `limit` bytes of a body: fewer where it ends or breaks off before, which `complete` tells apart. */
async function receive(
  body: Dispatcher.ResponseData["body"],
  limit: number,
  signal: AbortSignal | undefined,
): Promise<{ bytes: Uint8Array; complete: boolean }> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  let complete = false;
  try {
    for await (const chunk of body as AsyncIterable<Uint8Array>) {
      chunks.push(chunk.subarray(0, limit - length));
      length += Math.min(chunk.byteLength, limit - length);
      if (length >= limit) break;
    }
    complete = true;
  } catch (error) {
    if (signal?.aborted) throw abortedError(signal);
    if (length === 0) throw new Retry(error);
  } finally {
    body.destroy();
  }
  return { bytes: joined(chunks, length), complete };
}

function joined(parts: readonly Uint8Array[], length: number): Uint8Array {
  if (parts.length === 1) return parts[0]!;
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.byteLength;
  }
  return bytes;
}

function text(value: string | string[] | undefined): string {
  return Array.isArray(value) ? (value[0] ?? "") : (value ?? "");
}

/** Milliseconds: the header has seconds or a date. */
function retryAfter(value: string): number | undefined {
  if (value === "") return undefined;
  const seconds = Number(value);
  const wait = Number.isFinite(seconds) ? seconds * 1000 : Date.parse(value) - Date.now();
  return Number.isFinite(wait) && wait >= 0 ? wait : undefined;
}

let running = 0;
const queue: (() => void)[] = [];

async function withTurn<T>(work: () => Promise<T>): Promise<T> {
  if (running >= MAX_REQUESTS) await new Promise<void>((resolve) => queue.push(resolve));
  else running++;
  try {
    return await work();
  } finally {
    const next = queue.shift();
    if (next === undefined) running--;
    else next();
  }
}

/** A small answer that is read whole: a listing. @throws as {@link RangeReader.read} does */
export async function getText(
  target: Target,
  limit: number,
  signal?: AbortSignal,
): Promise<{ text: string; link: string }> {
  for (let attempt = 1; ; attempt++) {
    let wait: number | undefined;
    try {
      return await withTurn(async () => {
        const headers = { ...(await target.headers(target.url)), "user-agent": "vista-ckpt" };
        const answer = await ask(target.url, headers, signal);
        const { statusCode, body } = answer;
        if (statusCode !== 200) {
          body.destroy();
          const hint =
            "Check the URL and the credentials (HF_TOKEN for the hub; AWS_ACCESS_KEY_ID, AWS_PROFILE … for S3).";
          const code = statusCode === 404 ? "NOT_FOUND" : "IO";
          const error = new VistaError(code, `the listing was answered with ${statusCode}`, {
            path: target.path,
            hint,
          });
          if (RETRIED.has(statusCode))
            throw new Retry(error, retryAfter(text(answer.headers["retry-after"])));
          throw error;
        }
        const { bytes, complete } = await receive(body, limit + 1, signal);
        if (!complete) throw new Retry(new Error("the answer broke off"));
        if (bytes.byteLength > limit) {
          throw new VistaError("FORMAT", `the listing is longer than ${limit} bytes`, {
            path: target.path,
            hint: "Check the endpoint: real ones send 1,000 names at a time.",
          });
        }
        return { text: Buffer.from(bytes).toString("utf8"), link: text(answer.headers.link) };
      });
    } catch (error) {
      if (signal?.aborted) throw abortedError(signal);
      if (!(error instanceof Retry) || attempt >= ATTEMPTS) {
        const reason = error instanceof Retry ? error.reason : error;
        if (reason instanceof VistaError) throw reason;
        throw new VistaError("IO", `the listing could not be read: ${(reason as Error).message}`, {
          path: target.path,
          cause: reason,
          hint: "Check the network, HTTPS_PROXY and the URL.",
        });
      }
      wait = error.wait;
    }
    await pause(
      Math.min(wait ?? BACK_OFF_MS * 2 ** attempt, MAX_WAIT_MS),
      undefined,
      signal === undefined ? {} : { signal },
    ).catch(() => {
      throw abortedError(signal);
    });
  }
}
