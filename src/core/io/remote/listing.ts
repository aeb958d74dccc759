/** The pages of a listing of S3 or of the hub. */
import { VistaError } from "../../errors.js";
import { interruptSignal } from "../interrupt.js";
import {
  type Answer,
  ask,
  LIMITS,
  MAX_UNASKED,
  Retry,
  refusal,
  type Target,
  unreachable,
  withRetries,
} from "./request.js";

/** The largest number of bytes of one page; real pages have at most 1,000 names. */
const MAX_PAGE = 10_000_000;
/** The largest number of pages of one folder, enough for 100,000 files. */
const MAX_PAGES = 100;

interface Page {
  readonly text: string;
  /** The value of the header `Link`; empty where there is none. */
  readonly link: string;
}

/**
 * Reads a page of a listing.
 *
 * @param number  the number of the page, from 0 on, so that a listing without end is refused
 * @throws VistaError `NOT_FOUND`, `IO`, `FORMAT` for a page that is too long, `UNSUPPORTED` for too many pages, `ABORTED`
 */
export async function readPage(target: Target, number: number): Promise<Page> {
  const { path } = target;
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
      let limit = MAX_PAGE;
      const take = (chunk: Uint8Array) => {
        chunks.push(chunk);
        length += chunk.byteLength;
        return length <= limit;
      };
      const onHead = ({ statusCode }: Answer) => {
        if (statusCode !== 200) limit = MAX_UNASKED;
        return take;
      };
      const { url } = target;
      const { answer, ending } = await ask(url, await target.headers(url), onHead, LIMITS, signal);
      const text = Buffer.concat(chunks).toString("utf8");
      if (answer.statusCode !== 200) throw refusal("the listing", answer, text, target);
      if (ending.kind === "broken") throw new Retry(ending.error);
      if (ending.kind === "more") {
        throw new VistaError("FORMAT", `the listing is longer than ${MAX_PAGE} bytes`, {
          path,
          hint: "Check the endpoint: real ones send 1,000 names at a time.",
        });
      }
      return { text, link: answer.headers.link ?? "" };
    },
    (reason) => unreachable(reason, "the listing could not be read", path),
    LIMITS,
    signal,
  );
}
