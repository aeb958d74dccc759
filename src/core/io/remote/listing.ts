/** Pages of a listing, of S3 or of the hub. */
import { VistaError } from "../../errors.js";
import { interruptSignal } from "../interrupt.js";
import {
  type Answer,
  ask,
  CREDENTIALS_HINT,
  LIMITS,
  Retry,
  refusal,
  type Target,
  unreachable,
  withRetries,
} from "./request.js";

/** Bytes of one page: real ones have at most 1,000 names. */
const MAX_PAGE = 10_000_000;
/** Pages of one folder: 100,000 files. */
const MAX_PAGES = 100;

export interface Page {
  readonly text: string;
  /** The header `Link`. */
  readonly link: string;
}

/**
 * A page of a listing.
 *
 * @param number  of the page, from 0 on: a listing without end is refused
 * @throws VistaError `NOT_FOUND`, `IO`, `FORMAT` for one beyond all measure, `UNSUPPORTED` for too many pages, `ABORTED`
 */
export async function readPage(target: Target, number: number): Promise<Page> {
  const { path, url } = target;
  if (number >= MAX_PAGES) {
    throw new VistaError("UNSUPPORTED", `the folder has more than ${MAX_PAGES} pages of files`, {
      path,
      hint: "Name a folder below it.",
    });
  }
  const signal = interruptSignal();
  return withRetries(
    async () => {
      const chunks: Uint8Array[] = [];
      let length = 0;
      const take = (chunk: Uint8Array) => {
        chunks.push(chunk);
        length += chunk.byteLength;
        return length <= MAX_PAGE;
      };
      const onHead = (answer: Answer) => {
        const { statusCode } = answer;
        if (statusCode !== 200) throw refusal(answer, listingRefused(statusCode, path));
        return take;
      };
      const { answer, ending } = await ask(url, await target.headers(url), onHead, LIMITS, signal);
      if (ending.kind === "broken") throw new Retry(ending.error);
      if (ending.kind === "more") {
        throw new VistaError("FORMAT", `the listing is longer than ${MAX_PAGE} bytes`, {
          path,
          hint: "Check the endpoint: real ones send 1,000 names at a time.",
        });
      }
      return { text: Buffer.concat(chunks).toString("utf8"), link: answer.headers.link ?? "" };
    },
    (reason) => unreachable(reason, "the listing could not be read", path),
    LIMITS,
    signal,
  );
}

function listingRefused(status: number, path: string): VistaError {
  const code = status === 404 ? "NOT_FOUND" : "IO";
  return new VistaError(code, `the listing was answered with ${status}`, { path, hint: CREDENTIALS_HINT });
}
