/**
 * The one error class of the package. Everything a user can cause (a bad file, a missing folder, wrong usage)
 * is a {@link VistaError} with a stable code; anything else that escapes is a bug of ours.
 *
 * A message is one line: what is wrong, where, the numbers that show it. `hint` says what to do about it.
 */

/** Stable codes. `docs/errors.md` has a line for each; a test keeps the two in step. */
export const ERROR_CODES = {
  /** The command line or an option of a call is wrong. */
  USAGE: "wrong usage",
  /** A file or folder that must be there is not. */
  NOT_FOUND: "a file or folder is missing",
  /** Something exists, but is a folder where a file is needed, or the other way round. */
  WRONG_KIND: "a folder where a file is needed, or the reverse",
  /** The output exists and overwriting was not asked for. */
  EXISTS: "the output already exists",
  /** The operating system refused: permissions, a read-only file system, a full disk, an I/O error. */
  IO: "the operating system refused",
  /** Not enough room for the output. */
  NO_SPACE: "not enough disk space",
  /** A file ends before its own records say it should. */
  TRUNCATED: "a file is shorter than it says",
  /** The bytes do not match their checksum. */
  CHECKSUM: "bytes do not match their checksum",
  /** A file breaks a rule of its format. */
  FORMAT: "a file breaks a rule of its format",
  /** A pickle breaks the format, or asks for more than the limits allow. */
  PICKLE: "a pickle is malformed or beyond the limits",
  /** The format is fine, but this kind of it is not supported (the message has the way out). */
  UNSUPPORTED: "a known format that is not supported",
  /** Files of one checkpoint contradict one another. */
  INCONSISTENT: "files of one checkpoint contradict one another",
  /** Several things match where one is needed. */
  AMBIGUOUS: "several candidates where one is needed",
  /** Tensors would be lost or cannot be recovered. */
  INCOMPLETE: "tensors would be lost",
  /** The caller's `signal` was aborted, or Ctrl-C was pressed. */
  ABORTED: "stopped on request",
} as const;

export type ErrorCode = keyof typeof ERROR_CODES;

/** Where in the input the error is; all parts optional, most general first. */
export interface Where {
  /** File or folder, as the user would write it. */
  path?: string;
  /** Record of a zip, tensor of a safetensors file, row of a table … */
  record?: string;
  /** Byte offset, in the record if one is named, else in the file. */
  offset?: number;
}

/** Characters of a record's or a tensor's name in messages; the longest of Vista's has 120. */
const MAX_RECORD = 300;

/** Characters of what is wrong; the longest message of ours has some 900. */
const MAX_WHAT = 2000;

export class VistaError extends Error {
  override readonly name = "VistaError";
  readonly code: ErrorCode;
  readonly where: Where;
  /** What to do about it, as a sentence; `undefined` where nothing useful can be said. */
  readonly hint: string | undefined;

  /**
   * @param code  stable code, see {@link ERROR_CODES}
   * @param what  what is wrong, with the numbers, without the place
   * @param details  where it is, what to do, and the error that caused this one
   */
  constructor(code: ErrorCode, what: string, details: Where & { hint?: string; cause?: unknown } = {}) {
    const { path, record, offset, hint, cause } = details;
    const where: Where = {};
    if (path !== undefined) where.path = withoutSecrets(path);
    if (record !== undefined) where.record = shorten(record, MAX_RECORD);
    if (offset !== undefined) where.offset = offset;
    super(describe(what, where), cause === undefined ? undefined : { cause });
    this.code = code;
    this.where = where;
    this.hint = hint === undefined ? undefined : withoutSecrets(hint);
  }
}

/** `path: record: at byte N: what`, in one line whatever the parts contain. */
function describe(what: string, where: Where): string {
  const parts: string[] = [];
  if (where.path !== undefined) parts.push(where.path);
  if (where.record !== undefined) parts.push(where.record);
  if (where.offset !== undefined) parts.push(`at byte ${where.offset}`);
  parts.push(shorten(what, MAX_WHAT));
  return oneLine(parts.join(": "));
}

/**
 * What must not reach a terminal or a log as it is: control characters and escapes (Cc), characters without a shape, among
 * them those that turn the direction of text (Cf), breaks of lines and paragraphs (Zl, Zp), halves of pairs (Cs).
 */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;

/** A URL: its scheme, a user before the host, host and path, a query. What ends a sentence behind it is not the query's. */
const URL_PARTS = /\b(https?:\/\/)(?:[^\s/?#"\\]*@)?([^\s?#"\\]*)([?#](?:[^\s"\\]*[^\s"\\:;,.)])?)?/gi;

/**
 * What may be shown of a text with URLs in it. The query of one may be a signature, a credential or a token, and stands before no
 * reader as it is: `https://host/file?…`; a user and a password before the host are left out.
 */
export function withoutSecrets(text: string): string {
  if (!text.includes("://")) return text;
  return text.replace(URL_PARTS, (_, scheme: string, rest: string, query: string | undefined) => {
    return `${scheme}${rest}${query === undefined ? "" : "?…"}`;
  });
}

/**
 * Names come from untrusted files: one line, nothing in it that a terminal would act on, cut beyond `max` characters. Secrets of
 * URLs are left out.
 */
export function oneLine(text: string, max = Number.POSITIVE_INFINITY): string {
  return shorten(withoutSecrets(text), max).replace(UNPRINTABLE, (char) => {
    return `\\u${char.codePointAt(0)!.toString(16).padStart(4, "0")}`;
  });
}

/** The beginning of a long text, and how long it is. */
export function shorten(text: string, max: number): string {
  if (text.length <= max) return text;
  return `${text.slice(0, max)}… (${text.length} characters)`;
}

/** The first few of a list of names, and how many more there are; for messages. */
export function firstNames(names: readonly string[], count = 3): string {
  const more = names.length > count ? ` … and ${names.length - count} more` : "";
  const shown = names.slice(0, count).map((name) => shorten(name, MAX_RECORD));
  return `${shown.join(", ")}${more}`;
}

/** True for an error of this package, whichever copy of it threw. */
export function isVistaError(error: unknown): error is VistaError {
  return error instanceof Error && error.name === "VistaError" && "code" in error;
}

/**
 * True for an error of the system (a file that is not there, no permission), as opposed to a bug. Node itself refuses a path
 * with a NUL before it asks the system; a name from a file may have one, and then names nothing that could be there.
 */
export function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  if (!(error instanceof Error)) return false;
  return (error as NodeJS.ErrnoException).syscall !== undefined || isNulInPath(error);
}

/** True for Node's refusal of a path with a NUL character. */
export function isNulInPath(error: unknown): boolean {
  if (!(error instanceof TypeError) || !("code" in error)) return false;
  return error.code === "ERR_INVALID_ARG_VALUE" && error.message.includes("null bytes");
}

const SYSTEM_ERRORS: Record<string, [ErrorCode, string, string | undefined]> = {
  ENOENT: ["NOT_FOUND", "no such file or folder", undefined],
  ENOTDIR: ["WRONG_KIND", "a part of this path is not a folder", undefined],
  EISDIR: ["WRONG_KIND", "is a folder where a file is needed", undefined],
  // Ours, of core/io/regular.ts.
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

/**
 * Turns an error of Node's file system into a {@link VistaError} that names the file; an error that is one already, or
 * that the system did not cause, comes back as it is.
 */
export function fromSystem(error: unknown, path: string, doing: string): unknown {
  if (isVistaError(error)) return error;
  if (isNulInPath(error)) {
    return new VistaError("NOT_FOUND", `cannot ${doing}: no path contains a NUL character`, {
      path,
      cause: error,
    });
  }
  if (!isSystemError(error) || error.code === undefined) return error;
  const [kind, what, hint] = SYSTEM_ERRORS[error.code] ?? ["IO" as const, error.message, undefined];
  return new VistaError(kind, `cannot ${doing}: ${what}`, {
    path,
    cause: error,
    hint,
  });
}

/** To catch what the system throws and throw it on by {@link fromSystem}: `await stat(path).catch(cannot("open the run", path))`. */
export function cannot(doing: string, path: string): (error: unknown) => never {
  return (error) => {
    throw fromSystem(error, path, doing);
  };
}

/** How {@link fromReader} begins; the fuzzer looks for it, since every such case is a bug to be mended. */
export const UNFORESEEN = "reading it failed in a way that was not foreseen";

/** Turns what nobody foresaw inside a reader (a stack that overflows, a length that no array has) into an error that names the file. */
export function fromReader(error: unknown, path: string): unknown {
  if (isVistaError(error) || isSystemError(error)) return error;
  const message = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return new VistaError("FORMAT", `${UNFORESEEN}: ${message}`, {
    path,
    cause: error,
    hint: "The file is probably damaged; run again with --debug and report it.",
  });
}

/** The error to throw when `signal` is aborted. */
export function abortedError(signal: AbortSignal | undefined): VistaError {
  return new VistaError("ABORTED", "stopped on request", { cause: signal?.reason });
}

export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw abortedError(signal);
}
