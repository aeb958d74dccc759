/**
 * The one error class of the package. Everything a user can cause (a bad file, a missing folder, wrong usage)
 * is a {@link VistaError} with a stable code; anything else that escapes is a bug of this package.
 *
 * A message is one line: it says what is wrong and where, with the numbers that show it. `hint` says what to do about it.
 */

/** The stable codes of errors. `docs/errors.md` has a line for each; a test keeps the two in step. */
export const ERROR_CODES = {
  USAGE: "wrong usage",
  NOT_FOUND: "a file or folder is missing",
  WRONG_KIND: "a folder where a file is needed, or the reverse",
  /** The output exists and overwriting was not asked for. */
  EXISTS: "the output already exists",
  IO: "the operating system refused",
  NO_SPACE: "not enough disk space",
  TRUNCATED: "a file is shorter than it says",
  CHECKSUM: "bytes do not match their checksum",
  FORMAT: "a file breaks a rule of its format",
  PICKLE: "a pickle is malformed or beyond the limits",
  UNSUPPORTED: "a known format that is not supported",
  INCONSISTENT: "files of one checkpoint contradict one another",
  AMBIGUOUS: "several candidates where one is needed",
  INCOMPLETE: "tensors would be lost",
  /** The caller's `signal` was aborted, or Ctrl-C was pressed. */
  ABORTED: "stopped on request",
} as const;

/** A stable code of an error, for programs to decide on. */
export type ErrorCode = keyof typeof ERROR_CODES;

/** The place in the input that an error is about. All parts are optional; the most general comes first. */
export interface Where {
  /** The file or folder, as the user would write it. */
  path?: string | undefined;
  /** The record of a zip, the tensor of a safetensors file, the row of a table … */
  record?: string | undefined;
  /** The byte offset, in the record if one is named and otherwise in the file. */
  offset?: number | undefined;
}

/** The largest number of characters of a record's or a tensor's name in a message; the longest name of Vista has 120. */
const MAX_RECORD = 300;

/** The largest number of characters of the text that says what is wrong; our longest has some 900. */
const MAX_WHAT = 2000;

/** A name from a file that is too long to be read: the sentence around it stays whole. */
const LONG_NAME = new RegExp(`[^\\s"',:;/()[\\]{}…]{${MAX_RECORD + 1},}`, "g");

/** An error that a user can cause: it says what is wrong and where, and where possible what to do about it. */
export class VistaError extends Error {
  override readonly name = "VistaError";
  readonly code: ErrorCode;
  /** The text that says what is wrong, with the numbers but without the place. */
  readonly what: string;
  readonly where: Where;
  /** The sentence that says what to do about it; `undefined` where nothing useful can be said. */
  readonly hint: string | undefined;

  /**
   * @param code  the stable code, see {@link ERROR_CODES}
   * @param what  what is wrong, with the numbers but without the place
   * @param details  where it is, what to do about it, and the error that caused this one
   */
  constructor(
    code: ErrorCode,
    what: string,
    details: Where & { hint?: string | undefined; cause?: unknown } = {},
  ) {
    const { path, record, offset, hint, cause } = details;
    const where: Where = {};
    if (path !== undefined) where.path = withoutSecrets(path);
    if (record !== undefined) where.record = shorten(record, MAX_RECORD);
    if (offset !== undefined) where.offset = offset;
    const shown = sentence(what);
    super(describe(shown, where), cause === undefined ? undefined : { cause });
    this.code = code;
    this.what = shown;
    this.where = where;
    this.hint = hint === undefined ? undefined : withoutSecrets(hint);
  }
}

/** Returns a text in one line in which neither a long name nor anything else hides the end of the sentence. */
function sentence(text: string): string {
  const whole = oneLine(text).replace(LONG_NAME, (name) => shorten(name, MAX_RECORD));
  const end = whole.length > MAX_WHAT ? ` ${whole.slice(-MAX_WHAT / 4)}` : "";
  return oneLine(`${shorten(whole, MAX_WHAT)}${end}`);
}

/** Returns `path: record: at byte N: what`, in one line whatever the parts contain. */
function describe(what: string, where: Where): string {
  const at = where.offset === undefined ? undefined : `at byte ${where.offset}`;
  return oneLine([where.path, where.record, at, what].filter((part) => part !== undefined).join(": "));
}

/** Returns the message of an error without the parts of its place that `known` says anyway. */
export function messageWithin({ what, where }: VistaError, known: Where): string {
  const rest: Where = { ...where };
  if (known.path !== undefined && where.path === withoutSecrets(known.path)) delete rest.path;
  if (known.record !== undefined && where.record === shorten(known.record, MAX_RECORD)) delete rest.record;
  return describe(what, rest);
}

/**
 * The characters that must not reach a terminal or a log as they are: control characters and escapes (Cc), characters without a
 * shape, among them those that turn the direction of text (Cf), breaks of lines and paragraphs (Zl, Zp), and halves of surrogate
 * pairs (Cs).
 */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;

/**
 * The parts of a URL: its scheme, a user before the host, the host and path, and a query. Punctuation that ends the sentence
 * around a URL is no part of its query.
 */
const URL_PARTS = /\b(https?:\/\/)(?:[^\s/?#"\\]*@)?([^\s?#"\\]*)([?#](?:[^\s"\\]*[^\s"\\:;,.)])?)?/gi;

/**
 * Returns what may be shown of a text with URLs in it. The query of a URL may be a signature, a credential or a token, so it is
 * shown as `https://host/file?…`; a user and a password before the host are left out.
 */
export function withoutSecrets(text: string): string {
  if (!text.includes("://")) return text;
  return text.replace(URL_PARTS, (_, scheme: string, rest: string, query: string | undefined) => {
    return `${scheme}${rest}${query === undefined ? "" : "?…"}`;
  });
}

/**
 * Makes one harmless line of a text that may come from an untrusted file: whatever a terminal would act on is escaped, secrets of
 * URLs are left out, and the text is cut beyond `max` characters.
 */
export function oneLine(text: string, max = Number.POSITIVE_INFINITY): string {
  return shorten(withoutSecrets(text), max).replace(UNPRINTABLE, (char) => {
    return `\\u${char.codePointAt(0)!.toString(16).padStart(4, "0")}`;
  });
}

/** What {@link shorten} puts behind the beginning of a text: a text that was shortened before stays as it is. */
const SHORTENED = /… \(\d{1,10} characters\)$/;

/** Returns a text as it is, or the beginning of a long one and how long it is. */
export function shorten(text: string, max: number): string {
  if (text.length <= max || text.replace(SHORTENED, "").length <= max) return text;
  return `${text.slice(0, max)}… (${text.length} characters)`;
}

/** Returns the first few of a list of names and how many more there are, for messages. */
export function firstNames(names: readonly string[], count = 3): string {
  const more = names.length > count ? ` … and ${names.length - count} more` : "";
  const shown = names.slice(0, count).map((name) => shorten(name, MAX_RECORD));
  return `${shown.join(", ")}${more}`;
}

/** Tells whether something is an error of this package, whichever copy of the package threw it. */
export function isVistaError(error: unknown): error is VistaError {
  return error instanceof Error && error.name === "VistaError" && "code" in error;
}

/**
 * Tells whether something is an error of the system (a file that is not there, no permission), as opposed to a bug. A path with
 * a NUL counts too, although Node refuses it before it asks the system: a name from a file may have a NUL, and then it names
 * nothing that could be there.
 */
export function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  if (!(error instanceof Error)) return false;
  return (error as NodeJS.ErrnoException).syscall !== undefined || isNulInPath(error);
}

/** Tells whether an error is Node's refusal of a path with a NUL character. */
export function isNulInPath(error: unknown): boolean {
  if (!(error instanceof TypeError) || !("code" in error)) return false;
  return error.code === "ERR_INVALID_ARG_VALUE" && error.message.includes("null bytes");
}

const SYSTEM_ERRORS: Record<string, [ErrorCode, string, string | undefined]> = {
  ENOENT: ["NOT_FOUND", "no such file or folder", undefined],
  ENOTDIR: ["WRONG_KIND", "a part of this path is not a folder", undefined],
  EISDIR: ["WRONG_KIND", "is a folder where a file is needed", undefined],
  // No system has this code: core/io/regular.ts makes it up.
  ENOTREG: ["WRONG_KIND", "is not a regular file but a pipe, a socket or a device", undefined],
  EACCES: ["IO", "permission denied", "Check the permissions of the file and of the folders above it."],
  EPERM: ["IO", "operation not permitted", "Check the owner and the permissions."],
  EROFS: ["IO", "the file system is read-only", "Choose an output on a writable file system."],
  ENOSPC: ["NO_SPACE", "no space left on the device", "Free some space or choose another output."],
  EDQUOT: ["NO_SPACE", "the disk quota is used up", "Free some space or choose another output."],
  EFBIG: ["IO", "the file is too large for this file system or limit", "Choose another output folder."],
  EMFILE: ["IO", "too many open files", "Raise the limit with `ulimit -n`."],
  ENFILE: ["IO", "too many open files on this machine", "Close other programs and run again."],
  ENOMEM: ["IO", "out of memory", "Close other programs and run again."],
  ELOOP: ["IO", "too many symbolic links in this path", undefined],
  ENAMETOOLONG: ["IO", "the name is too long for this file system", undefined],
  EIO: ["IO", "input/output error of the device", "Check the disk or the mount; copy the file elsewhere."],
};

const EXHAUSTED = new Set(["EMFILE", "ENFILE", "ENOMEM"]);

/**
 * Throws an error again by which this process or machine has run out of something: it says nothing about the file, so that nobody
 * may take the file for damaged or missing.
 */
export function rethrowExhausted(error: unknown): void {
  if (isSystemError(error) && error.code !== undefined && EXHAUSTED.has(error.code)) throw error;
}

/** Answers an error of ours with undefined, for a `catch` where something else tells of it; every other error is thrown again. */
export function asUndefined(error: unknown): undefined {
  if (!isVistaError(error)) throw error;
}

/** Returns a handler for a promise that answers an error with `value`, unless it is one of {@link rethrowExhausted}. */
export function orElse<Value>(value: Value): (error: unknown) => Value {
  return (error) => {
    rethrowExhausted(error);
    return value;
  };
}

/** The way out for a URL in the place of a local path, and for one of another kind, such as gs://. */
const OF_URLS = "Of URLs, vista-ckpt alone reads those with https://, http://, hf:// and s3://.";

/** Tells whether a path is written as URLs are, of whatever kind. */
export function isUrl(path: string): boolean {
  return /^[a-z][a-z\d+.-]+:\/\//i.test(path);
}

/**
 * Turns an error of Node's file system into a {@link VistaError} that names the file. An error that is a VistaError already, or
 * that the system did not cause, comes back as it is.
 *
 * @param doing  what failed, as the words after "cannot": `open the run`
 */
export function fromSystem(error: unknown, path: string, doing: string): unknown {
  if (isVistaError(error)) return error;
  if (isNulInPath(error)) {
    const what = `cannot ${doing}: no path contains a NUL character`;
    return new VistaError("NOT_FOUND", what, { path, cause: error });
  }
  if (!isSystemError(error) || error.code === undefined) return error;
  const [kind, what, hint] = SYSTEM_ERRORS[error.code] ?? ["IO" as const, error.message, undefined];
  const ofUrl = kind === "NOT_FOUND" && isUrl(path) ? OF_URLS : undefined;
  return new VistaError(kind, `cannot ${doing}: ${what}`, { path, cause: error, hint: ofUrl ?? hint });
}

/**
 * Returns a handler that throws what {@link fromSystem} makes of an error, for a `catch` such as
 * `await stat(path).catch(cannot("open the run", path))`.
 */
export function cannot(doing: string, path: string): (error: unknown) => never {
  return (error) => {
    throw fromSystem(error, path, doing);
  };
}

/** The beginning of the messages of {@link fromReader}; the fuzzer looks for it, since every such case is a bug to be mended. */
export const UNFORESEEN = "reading it failed in a way that was not foreseen";

/**
 * Turns what nobody foresaw inside a reader (a stack that overflows, a length that no array has) into an error that names the
 * file.
 */
export function fromReader(error: unknown, path: string): unknown {
  if (isVistaError(error) || isSystemError(error)) return error;
  const message = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return new VistaError("FORMAT", `${UNFORESEEN}: ${message}`, {
    path,
    cause: error,
    hint: "The file is probably damaged; run again with --debug and report it.",
  });
}

/** Returns the error for a file that ends before it should. */
export function incompleteFile(what: string, where: Where): VistaError {
  return new VistaError("TRUNCATED", what, { ...where, hint: "The file is incomplete: copy it again." });
}

/** Returns the error for a file that breaks a rule of its format. */
export function damagedFile(what: string, where: Where): VistaError {
  return new VistaError("FORMAT", what, { ...where, hint: "The file is damaged: copy it again." });
}

export function abortedError(signal: AbortSignal | undefined): VistaError {
  return new VistaError("ABORTED", "stopped on request", { cause: signal?.reason });
}

export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw abortedError(signal);
}
