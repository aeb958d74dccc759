/**
 * The GET requests over HTTP: connections, proxies, time-outs, and when to try again. The sources of the rules are RFC 9110 and,
 * for the environment variables of proxies, curl.
 */
import timers from "node:timers/promises";
import type { Dispatcher } from "undici";
import { abortedError, throwIfAborted, VistaError } from "../../errors.js";

/** The largest number of requests that are under way at once, over all files of the process. */
const MAX_REQUESTS = 16;

/** The limits of a request; tests set shorter times. */
export interface Limits {
  /** The number of attempts that bring nothing, one after the other, before a request is given up. */
  readonly attempts: number;
  /** The least pause before the second attempt in milliseconds; chance may triple it, and each attempt doubles it. */
  readonly backOff: number;
  /** The longest pause in milliseconds, even where a server asks for a longer one with Retry-After. */
  readonly longestWait: number;
  /** The milliseconds without an answer, or without a further byte of it, after which an attempt has failed. */
  readonly silence: number;
  /** The milliseconds in each of which an attempt must bring `floorBytes`. */
  readonly floorTime: number;
  readonly floorBytes: number;
}

export const LIMITS: Limits = {
  attempts: 6,
  backOff: 250,
  longestWait: 30_000,
  silence: 30_000,
  floorTime: 30_000,
  floorBytes: 16 * 1024,
};

/** The place of a file or a listing, and how to ask for it. */
export interface Target {
  /** The place as the user wrote it, without a password, for messages. */
  readonly path: string;
  /** The URL to ask. It may become another one after a call of {@link seen} or {@link corrected}. */
  readonly url: string;
  /** A text that stays the same where the URL does not; the URL itself where it is `undefined`. */
  readonly key?: string;
  /** The sentence that says what to do where the credentials are refused; {@link CREDENTIALS_HINT} where it is `undefined`. */
  readonly credentialsHint?: string | undefined;
  /** Returns the headers for a request to `url`; they go to no other host. */
  headers(url: string): Promise<Record<string, string>>;
  /** Takes note of an answer of the URL's own host. */
  seen?(answer: Answer): void;
  /** Takes note of a refusal and its body. @returns whether {@link url} and {@link headers} have learnt from a refusal */
  corrected?(answer: Answer, body: string): boolean;
}

/** Returns a text that is another one where the process has changed the variables that hold endpoints and credentials. */
export function environmentKey(): string {
  // The values of all others are not asked for: each is a call of the system.
  const names = Object.keys(process.env).filter((name) => /^(?:AWS_|HF_|HUGGING_FACE_)/.test(name));
  return JSON.stringify(names.map((name) => [name, process.env[name]]));
}

/** A failure after which another attempt may succeed. */
export class Retry extends Error {
  constructor(
    readonly reason: unknown,
    /** The milliseconds for which the server wants to be left alone. */
    readonly wait?: number,
  ) {
    super("to be tried again");
  }
}

/** A function to call when an attempt has brought something: the failed attempts before it no longer count. */
export type Progress = () => unknown;

/**
 * Calls `attempt` until it no longer throws {@link Retry}, with growing pauses.
 *
 * @param given  makes the error to throw of what `attempt` threw, or of the reason of the last Retry
 * @throws VistaError `ABORTED`, and what `given` returns
 */
export async function withRetries<Result>(
  attempt: (progress: Progress) => Promise<Result>,
  given: (reason: unknown, attempts: number) => unknown,
  { attempts, backOff, longestWait }: Limits,
  signal: AbortSignal | undefined,
): Promise<Result> {
  for (let number = 1; ; number++) {
    try {
      return await withTurn(() => attempt(() => (number = 0)));
    } catch (error) {
      if (signal?.aborted) throw abortedError(signal);
      if (!(error instanceof Retry)) throw given(error, number);
      if (number >= attempts) throw given(error.reason, number);
      // An attempt that has brought something does not count, but the pause behind it is no shorter than the first.
      const wait = error.wait ?? backOff * 2 ** Math.max(number, 1) * (0.5 + Math.random());
      await timers.setTimeout(Math.min(wait, longestWait), undefined, { signal }).catch(() => {
        throw abortedError(signal);
      });
    }
  }
}

/** Returns a VistaError as it is; for any other reason, an error that says `what` failed and why. */
export function unreachable(reason: unknown, what: string, path: string): unknown {
  if (reason instanceof VistaError) return reason;
  const { message, code } = reason as NodeJS.ErrnoException;
  const reasonText = code === undefined || message.includes(code) ? message : `${code} ${message}`;
  return new VistaError("IO", `${what}: ${reasonText}`, {
    path,
    cause: reason,
    hint: "Check the network, HTTPS_PROXY and the URL.",
  });
}

export const CREDENTIALS_HINT =
  "Check the URL and the credentials (HF_TOKEN for the hub; AWS_ACCESS_KEY_ID, AWS_PROFILE … for S3).";

const RETRIED = new Set([408, 425, 429, 500, 502, 503, 504]);
/** The largest number of bytes that are taken of an answer that is not what was asked for. */
export const MAX_UNASKED = 64 * 1024;

/**
 * Returns what to throw for a refusal: an error that says why, or a {@link Retry} where another attempt may succeed.
 *
 * @param what  the thing that was asked for, such as `the listing`
 * @param body  the body of the answer, since stores such as S3 say there what is wrong
 * @param offset  the position in the file, where a range of one was asked for
 */
export function refusal(
  what: string,
  answer: Answer,
  body: string,
  target: Target,
  offset?: number,
): unknown {
  const { statusCode, headers } = answer;
  // The hub has a header for the reason, S3 gives it in the body: `ExpiredToken`.
  const reason = headers["x-error-code"] ?? /<Code>([^<]*)<\/Code>/.exec(body)?.[1] ?? "";
  const code = /^\w{1,60}$/.exec(reason)?.[0];
  const missing = statusCode === 404 || statusCode === 410;
  let hint = missing ? "Check the URL." : "Run again later, or download the file first.";
  const region = regionIn(answer, body);
  if (code === "InvalidObjectState") hint = "The object is archived: restore it first.";
  // These two codes are those of Alibaba and Tencent.
  else if (/^(?:SecondLevel|PathStyle)DomainForbidden$/.test(code ?? ""))
    hint =
      "It wants the bucket in the host's name: set addressing_style = virtual under s3 in ~/.aws/config.";
  else if (region !== undefined) hint = `The bucket is in another region: set AWS_REGION=${region}.`;
  else if (statusCode === 401 || statusCode === 403 || code?.endsWith("Token")) {
    hint = target.path.includes("?")
      ? "A signed URL is good for a limited time: get a new one, or check the credentials."
      : (target.credentialsHint ?? CREDENTIALS_HINT);
  }
  const why = code === undefined ? "" : ` (${code})`;
  const said = `${what} was answered with ${statusCode}${why}`;
  const error = new VistaError(missing ? "NOT_FOUND" : "IO", said, { path: target.path, offset, hint });
  if (target.corrected?.(answer, body) === true) return new Retry(error, 0);
  return RETRIED.has(statusCode) ? new Retry(error, retryAfter(headers["retry-after"])) : error;
}

/** Returns the region that a bucket is in, where a refusal of S3 says that it was looked for in another one. */
export function regionIn({ statusCode, headers }: Answer, body: string): string | undefined {
  if (statusCode !== 301 && statusCode !== 400) return undefined;
  const region = headers["x-amz-bucket-region"] ?? /<Region>([^<]*)<\/Region>/.exec(body)?.[1];
  return /^[a-z0-9-]{1,40}$/.exec(region ?? "")?.[0];
}

/** Returns the milliseconds that Retry-After asks for, whose value is a number of seconds or a date. */
function retryAfter(value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  const seconds = Number(value);
  const wait = Number.isFinite(seconds) ? seconds * 1000 : Date.parse(value) - Date.now();
  return Number.isFinite(wait) && wait >= 0 ? wait : undefined;
}

export interface Answer {
  readonly statusCode: number;
  /** The values by name in lower case; where several have one name, the first. */
  readonly headers: Readonly<Record<string, string | undefined>>;
}

/** A function that gets the bytes of a body as they come. It returns false when there were more than it wants. */
export type Taker = (chunk: Uint8Array) => boolean;

export type Ending =
  | { readonly kind: "whole" }
  /** Nobody wanted the body. */
  | { readonly kind: "dropped" }
  /** More bytes came than were wanted. */
  | { readonly kind: "more" }
  | { readonly kind: "broken"; readonly error: unknown };

interface Exchanged {
  readonly answer: Answer;
  readonly ending: Ending;
}

/**
 * Sends one request, without another attempt.
 *
 * @param onHead  gets the head of the answer and returns the function that takes its body, `undefined` for none
 * @throws Retry where no answer came, the system's error where none ever will, VistaError `ABORTED`, what `onHead` throws
 */
export async function ask(
  url: string,
  headers: Record<string, string>,
  onHead: (answer: Answer) => Taker | undefined,
  limits: Limits,
  signal: AbortSignal | undefined,
): Promise<Exchanged> {
  const { origin, pathname, search } = new URL(url);
  const pool = await dispatcher(url);
  throwIfAborted(signal);
  return new Promise((resolve, reject) => {
    const all = { ...headers, "accept-encoding": "identity", "user-agent": "vista-ckpt" };
    const patience = { headersTimeout: limits.silence, bodyTimeout: limits.silence };
    const request = { origin, path: pathname + search, method: "GET" as const, headers: all, ...patience };
    pool.dispatch(request, new Exchange(onHead, limits, signal, resolve, reject));
  });
}

/**
 * A request and its answer, as undici reports it. The bytes go straight from the memory that they came in to where they belong: a
 * stream between the two would take as much time again.
 */
class Exchange implements Dispatcher.DispatchHandlers {
  #abort: (error?: Error) => void = () => {};
  #answer: Answer | undefined;
  #take: Taker | undefined;
  #look: NodeJS.Timeout | undefined;
  #sinceLook = 0;

  constructor(
    private readonly onHead: (answer: Answer) => Taker | undefined,
    private readonly limits: Limits,
    private readonly signal: AbortSignal | undefined,
    private readonly resolve: (result: Exchanged) => void,
    private readonly reject: (error: unknown) => void,
  ) {
    signal?.addEventListener("abort", this.#stop);
  }

  onConnect(abort: (error?: Error) => void): void {
    this.#abort = abort;
    if (this.signal?.aborted) this.#stop();
  }

  onHeaders(statusCode: number, raw: Buffer[]): boolean {
    if (statusCode < 200) return true;
    const headers: Record<string, string> = {};
    for (let i = raw.length - 2; i >= 0; i -= 2)
      headers[raw[i]!.toString("latin1").toLowerCase()] = raw[i + 1]!.toString("latin1");
    this.#answer = { statusCode, headers };
    try {
      this.#take = this.onHead(this.#answer);
    } catch (error) {
      this.#fail(error);
      return true;
    }
    if (this.#take === undefined) this.#end({ kind: "dropped" });
    else this.#look = setInterval(() => this.#checkRate(), this.limits.floorTime);
    return true;
  }

  onData(chunk: Buffer): boolean {
    this.#sinceLook += chunk.byteLength;
    if (this.#take?.(chunk) === false) this.#end({ kind: "more" });
    return true;
  }

  onComplete(): void {
    this.#end({ kind: "whole" });
  }

  onError(error: Error): void {
    if (this.#answer !== undefined) this.#end({ kind: "broken", error });
    else this.#fail(isLasting(error) ? error : new Retry(error));
  }

  /** Ends the exchange. Its connection serves again where the body came to its end, and is closed where it did not. */
  #end(ending: Ending): void {
    this.#settled();
    this.resolve({ answer: this.#answer!, ending });
    if (ending.kind !== "whole") this.#abort();
  }

  #fail(error: unknown): void {
    this.#settled();
    this.reject(error);
    this.#abort();
  }

  readonly #stop = () => this.#fail(abortedError(this.signal));

  #settled(): void {
    clearInterval(this.#look);
    this.signal?.removeEventListener("abort", this.#stop);
  }

  #checkRate(): void {
    const { floorBytes, floorTime } = this.limits;
    const came = this.#sinceLook;
    this.#sinceLook = 0;
    if (came >= floorBytes) return;
    const rate = ((came / floorTime) * 1000).toFixed(0);
    const error = new Error(`only ${came} bytes came in ${floorTime / 1000} s (${rate} a second)`);
    this.#end({ kind: "broken", error });
  }
}

/** Tells whether another attempt would fail too: a host does not exist, a certificate is not trusted, the answer is no HTTP. */
function isLasting(error: unknown): boolean {
  const { code, message } = error as NodeJS.ErrnoException;
  // A proxy refuses the tunnel, which undici tells by the text alone.
  if (/^Proxy response \(4(?!08|25|29)\d\d\)/.test(message)) return true;
  // An error without a code is a fault of ours.
  if (code === undefined || code === "ENOTFOUND" || code === "ERR_INVALID_URL") return true;
  if (/^UND_ERR_(?:INVALID_ARG|HEADERS_OVERFLOW|PRX_TLS)$/.test(code)) return true;
  return /CERT|SELF_SIGNED|^UNABLE_TO_VERIFY|^ERR_SSL_|^HPE_/.test(code);
}

/** The pools of connections by the address of their proxy; the pool without a proxy is under "". */
const pools = new Map<string, Dispatcher>();

/** Returns the connections for a URL: through a proxy where HTTPS_PROXY, HTTP_PROXY and NO_PROXY say so. */
async function dispatcher(url: string): Promise<Dispatcher> {
  const { getProxyForUrl } = await import("proxy-from-env");
  const proxy = getProxyForUrl(url);
  let pool = pools.get(proxy);
  if (pool === undefined) {
    const { Agent, ProxyAgent } = await import("undici");
    const options = { connect: { timeout: LIMITS.silence }, connections: MAX_REQUESTS };
    // As with curl, only https gets a tunnel: many proxies allow none to other ports.
    pool = proxy === "" ? new Agent(options) : new ProxyAgent({ uri: proxy, proxyTunnel: false, ...options });
    pools.set(proxy, pool);
  }
  return pool;
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
