/**
 * One GET over HTTP: connections, proxies, time-outs, and when to try again. Sources of the rules: RFC 9110; curl for the
 * environment of proxies.
 */
import { setTimeout as pause } from "node:timers/promises";
import type { Dispatcher } from "undici";
import { abortedError, throwIfAborted, VistaError } from "../../errors.js";

/** Requests under way at once, over all files of the process. */
const MAX_REQUESTS = 16;

/** What is waited for and how long; tests have shorter ones. */
export interface Limits {
  /** Attempts that bring nothing, one after the other, before a request is given up. */
  readonly attempts: number;
  /** Milliseconds before the second attempt; doubled for each further one. */
  readonly backOff: number;
  /** Milliseconds that are waited where a server says so with Retry-After, at most. */
  readonly longestWait: number;
  /** Milliseconds without an answer, or without a further byte of it. */
  readonly silence: number;
  /** An attempt must bring `floorBytes` in each `floorTime` milliseconds. */
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

/** Where a file or a listing is, and how to ask for it. */
export interface Target {
  /** As the user wrote it, for messages. */
  readonly path: string;
  /** It may become another, more exact one once {@link seen} was called. */
  readonly url: string;
  /** What stays the same, where the URL does not. Default: the URL. */
  readonly key?: string;
  /** Headers for a request to `url`; they go to no other host. */
  headers(url: string): Promise<Record<string, string>>;
  /** Is told each answer of the URL's own host. */
  seen?(answer: Answer): void;
  /** Is told a refusal, with what its body says. @returns whether {@link url} and {@link headers} have learnt from one */
  corrected?(answer: Answer, body: string): boolean;
}

/** A failure that another attempt may better. */
export class Retry extends Error {
  constructor(
    readonly reason: unknown,
    /** Milliseconds that the server wants to be left alone. */
    readonly wait?: number,
  ) {
    super("to be tried again");
  }
}

/** What is called to say that an attempt brought something: those before it are forgotten. */
export type Progress = () => void;

/**
 * Calls `attempt` until it does not throw {@link Retry}, with growing pauses.
 *
 * @throws VistaError `ABORTED`, what `attempt` throws, and what `given` makes of the last Retry
 */
export async function withRetries<Result>(
  attempt: (progress: Progress) => Promise<Result>,
  given: (reason: unknown, attempts: number) => unknown,
  { attempts, backOff, longestWait }: Limits,
  signal: AbortSignal | undefined,
): Promise<Result> {
  for (let number = 1; ; number++) {
    try {
      return await withTurn(() =>
        attempt(() => {
          number = 0;
        }),
      );
    } catch (error) {
      if (signal?.aborted) throw abortedError(signal);
      if (!(error instanceof Retry)) throw given(error, number);
      if (number >= attempts) throw given(error.reason, number);
      const wait = error.wait ?? backOff * 2 ** number * (0.5 + Math.random());
      await pause(Math.min(wait, longestWait), undefined, signal === undefined ? {} : { signal }).catch(
        () => {
          throw abortedError(signal);
        },
      );
    }
  }
}

/** @returns what a VistaError is as it is; of anything else, an error that names what was asked for */
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
/** Bytes that are taken of an answer which is not what was asked for. */
export const MAX_UNASKED = 64 * 1024;

/**
 * What is thrown for an answer that is none: an error that says why, or a {@link Retry} where another attempt may better it.
 *
 * @param what  was asked for: `the listing`
 * @param body  of the answer: stores such as S3 say there what is wrong
 */
export function refusal(
  what: string,
  answer: Answer,
  body: string,
  target: Target,
  offset?: number,
): unknown {
  const { statusCode, headers } = answer;
  const code = /^\w{1,60}$/.exec(headers["x-error-code"] ?? reasonIn(body) ?? "")?.[0];
  const missing = statusCode === 404 || statusCode === 410;
  let hint = missing ? "Check the URL." : "Run again later, or download the file first.";
  const region = regionIn(answer, body);
  if (code === "InvalidObjectState") hint = "The object is archived: restore it first.";
  // Of Alibaba and Tencent.
  else if (/^(?:SecondLevel|PathStyle)DomainForbidden$/.test(code ?? ""))
    hint =
      "It wants the bucket in the host's name: set addressing_style = virtual under s3 in ~/.aws/config.";
  else if (region !== undefined) hint = `The bucket is in another region: set AWS_REGION=${region}.`;
  else if (statusCode === 401 || statusCode === 403 || code?.endsWith("Token")) {
    hint = target.path.includes("?")
      ? "A signed URL is good for a limited time: get a new one, or check the credentials."
      : CREDENTIALS_HINT;
  }
  const why = code === undefined ? "" : ` (${code})`;
  const error = new VistaError(
    missing ? "NOT_FOUND" : "IO",
    `${what} was answered with ${statusCode}${why}`,
    {
      path: target.path,
      ...(offset === undefined ? {} : { offset }),
      hint,
    },
  );
  if (target.corrected?.(answer, body) === true) return new Retry(error, 0);
  return RETRIED.has(statusCode) ? new Retry(error, retryAfter(headers["retry-after"])) : error;
}

/** What a refusal of S3 gives as the reason: `ExpiredToken`. */
function reasonIn(body: string): string | undefined {
  return /<Code>([^<]*)<\/Code>/.exec(body)?.[1];
}

/** The region that a bucket is in, where a refusal of S3 says that it was looked for in another. */
export function regionIn({ statusCode, headers }: Answer, body: string): string | undefined {
  if (statusCode !== 301 && statusCode !== 400) return undefined;
  const region = headers["x-amz-bucket-region"] ?? /<Region>([^<]*)<\/Region>/.exec(body)?.[1];
  return /^[a-z0-9-]{1,40}$/.exec(region ?? "")?.[0];
}

/** Milliseconds: the header has seconds or a date. */
function retryAfter(value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  const seconds = Number(value);
  const wait = Number.isFinite(seconds) ? seconds * 1000 : Date.parse(value) - Date.now();
  return Number.isFinite(wait) && wait >= 0 ? wait : undefined;
}

/** The head of an answer. */
export interface Answer {
  readonly statusCode: number;
  /** By name in small letters; of several with one name the first. */
  readonly headers: Readonly<Record<string, string | undefined>>;
}

/** What becomes of a body: is given the bytes as they come, and says false where those were more than it wants. */
export type Taker = (chunk: Uint8Array) => boolean;

/** How a body ended. */
export type Ending =
  | { readonly kind: "whole" }
  /** Nobody wanted it. */
  | { readonly kind: "dropped" }
  /** More came than was wanted. */
  | { readonly kind: "more" }
  | { readonly kind: "broken"; readonly error: unknown };

/**
 * Asks once.
 *
 * @param onHead  is given the head of the answer and says who takes its body; `undefined` for nobody
 * @throws Retry where no answer came, the system's error where none ever will, VistaError `ABORTED`, what `onHead` throws
 */
export async function ask(
  url: string,
  headers: Record<string, string>,
  onHead: (answer: Answer) => Taker | undefined,
  limits: Limits,
  signal: AbortSignal | undefined,
): Promise<{ answer: Answer; ending: Ending }> {
  const { origin, pathname, search } = new URL(url);
  const pool = await dispatcher(url);
  throwIfAborted(signal);
  return new Promise((resolve, reject) => {
    const exchange = new Exchange(onHead, limits, signal, resolve, reject);
    const all = { ...headers, "accept-encoding": "identity", "user-agent": "vista-ckpt" };
    const { silence } = limits;
    pool.dispatch(
      {
        origin,
        path: pathname + search,
        method: "GET",
        headers: all,
        headersTimeout: silence,
        bodyTimeout: silence,
      },
      exchange,
    );
  });
}

/**
 * One request and its answer, as undici tells of it. Bytes go where they belong from the memory that they came in: as a stream
 * they would cost as much time again.
 */
class Exchange implements Dispatcher.DispatchHandlers {
  readonly #onHead: (answer: Answer) => Taker | undefined;
  readonly #resolve: (result: { answer: Answer; ending: Ending }) => void;
  readonly #reject: (error: unknown) => void;
  #abort: (error?: Error) => void = () => {};
  #answer: Answer | undefined;
  #take: Taker | undefined;
  #look: NodeJS.Timeout | undefined;
  #sinceLook = 0;

  constructor(
    onHead: (answer: Answer) => Taker | undefined,
    private readonly limits: Limits,
    private readonly signal: AbortSignal | undefined,
    resolve: (result: { answer: Answer; ending: Ending }) => void,
    reject: (error: unknown) => void,
  ) {
    this.#onHead = onHead;
    this.#resolve = resolve;
    this.#reject = reject;
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
      this.#take = this.#onHead(this.#answer);
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

  /** Connections serve again where a body came to its end, and are closed where it did not. */
  #end(ending: Ending): void {
    this.#settled();
    this.#resolve({ answer: this.#answer!, ending });
    if (ending.kind !== "whole") this.#abort();
  }

  #fail(error: unknown): void {
    this.#settled();
    this.#reject(error);
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

/** A name that does not exist, a certificate that is not trusted, what is no HTTP: another attempt meets the same. */
function isLasting(error: unknown): boolean {
  const { code, message } = error as NodeJS.ErrnoException;
  // A proxy that refuses the tunnel; undici tells that by the text alone.
  if (/^Proxy response \(4(?!08|25|29)\d\d\)/.test(message)) return true;
  // What has no code is a fault of ours.
  if (code === undefined || code === "ENOTFOUND" || code === "ERR_INVALID_URL") return true;
  if (/^UND_ERR_(?:INVALID_ARG|HEADERS_OVERFLOW|PRX_TLS)$/.test(code)) return true;
  return /CERT|SELF_SIGNED|^UNABLE_TO_VERIFY|^ERR_SSL_|^HPE_/.test(code);
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
    const options = { connect: { timeout: LIMITS.silence }, connections: MAX_REQUESTS };
    // As curl does: a tunnel for https alone; many proxies allow none to other ports.
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
