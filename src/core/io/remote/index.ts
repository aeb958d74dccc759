/** The one door to what lies behind a URL. This module and those that it needs are loaded when the first URL is given. */
import { isVistaError, VistaError } from "../../errors.js";
import type { Entry, PlaceKind } from "../entries.js";
import { keyOf, RemoteFile } from "./file.js";
import { hubTarget, listHub } from "./hub.js";
import { CREDENTIALS_HINT, type Target } from "./request.js";
import { listS3, s3Target } from "./s3.js";

/** Opens the file at a URL. @throws VistaError as {@link UrlRanges.read} does; `USAGE` for what cannot be a URL */
export async function openRemote(url: string): Promise<RemoteFile> {
  return RemoteFile.openUrl(await targetOf(url));
}

/**
 * The listings of a moment ago, by their folders. A folder is looked at for one kind of checkpoint after the other; with a
 * request for each kind, that would be ten round trips before the first file is opened.
 */
const listings = new Map<
  string,
  { readonly entries: Promise<Entry[] | undefined>; readonly until: number }
>();
const LISTED_MS = 2_000;

/** Tells what is at a URL: a file where its first bytes can be read, and a folder where there is a listing of it. */
export async function lookAtRemote(url: string): Promise<PlaceKind> {
  const listed = await listedAs(url);
  if (listed === "nothing") throw nothingThere(url);
  if (listed !== "folder" && !isRoot(url)) {
    try {
      // A file that is opened again within a moment costs no second request.
      const file = await openRemote(url);
      await file.close();
      return { isFile: true, isFolder: false, size: file.size };
    } catch (error) {
      // A folder of S3 or the hub is no object of its own, so "not found" may mean that this is a folder.
      if (!(isVistaError(error) && error.code === "NOT_FOUND" && /^(?:s3|hf):/i.test(url))) throw error;
    }
  }
  if ((await listing(url)) === undefined) throw nothingThere(url);
  return { isFile: false, isFolder: true, size: 0 };
}

function nothingThere(url: string): VistaError {
  return new VistaError("NOT_FOUND", "there is no file and no folder of this name", {
    path: url,
    hint: CREDENTIALS_HINT,
  });
}

/**
 * Tells what a listing of a moment ago says of this name. It may be that of the folder above, or one further up which shows that
 * the folder above does not exist.
 *
 * @returns `undefined` where no listing says anything
 */
async function listedAs(url: string): Promise<"nothing" | "file" | "folder" | undefined> {
  if (isRoot(url) || !hasListings(url)) return undefined;
  const end = url.lastIndexOf("/");
  const folder = url.slice(0, end);
  // A URL without an owner or a bucket is refused as it was written, not by what is left of it.
  if (/^\w+:\/*$/.test(folder)) return undefined;
  const known = listings.get(await listingKey(folder));
  if (known === undefined || known.until < Date.now()) {
    return (await listedAs(folder)) === "nothing" ? "nothing" : undefined;
  }
  // A server that refuses the listing may give the file all the same.
  const entries = await known.entries.catch(() => "refused" as const);
  if (entries === "refused") return undefined;
  const same = entries?.filter(({ name }) => name === url.slice(end + 1)) ?? [];
  if (same.length === 0) return "nothing";
  // A key of S3 may be both a file and a folder.
  return same.every(({ isFolder }) => isFolder) ? "folder" : "file";
}

/** Lists a folder. @throws VistaError `UNSUPPORTED` for a web server, which has no listings, and a name that no path leads to */
export async function listRemote(url: string): Promise<Entry[]> {
  const entries = await listing(url);
  if (entries === undefined)
    throw new VistaError("NOT_FOUND", "there is no folder of this name", { path: url });
  const odd = entries.find(({ name }) => name === "" || name === "." || name === ".." || /[/\0]/.test(name));
  if (odd !== undefined) {
    const what = `it holds a name that no path leads to: ${JSON.stringify(odd.name)}`;
    throw new VistaError("UNSUPPORTED", what, {
      path: url,
      hint: "Rename that key (two slashes in a row, or a part that is a dot), or name a file.",
    });
  }
  return entries;
}

/** Tells whether a URL names a whole bucket or repository, or is written as a folder is, with a slash at its end. */
function isRoot(url: string): boolean {
  return /\/$|^s3:\/\/[^/]+$|^hf:\/\/(?:(?:datasets|spaces)\/)?[^/]+\/[^/]+$/i.test(url);
}

async function listing(url: string): Promise<Entry[] | undefined> {
  if (!hasListings(url)) {
    throw new VistaError("UNSUPPORTED", "a web server does not say which files are in a folder", {
      path: url,
      hint: "Give a file; of a sharded checkpoint, its *.index.json.",
    });
  }
  const key = await listingKey(url);
  const known = listings.get(key);
  if (known !== undefined && known.until > Date.now()) return known.entries;
  const entries = /^s3:/i.test(url) ? listS3(url) : listHub(url);
  for (const [old, { until }] of listings) if (until < Date.now()) listings.delete(old);
  listings.set(key, { entries, until: Date.now() + LISTED_MS });
  // A failure is not kept, since whoever asks again may have set what was missing.
  entries.catch(() => listings.delete(key));
  return entries;
}

function hasListings(url: string): boolean {
  return /^(?:s3|hf):/i.test(url);
}

/** Returns the key of a folder's listing. It is made from the address, since the endpoint may change within a process. */
async function listingKey(folder: string): Promise<string> {
  return keyOf(await targetOf(folder.replace(/(?<=[^:/])\/+$/, "")));
}

async function targetOf(url: string): Promise<Target> {
  if (/^s3:/i.test(url)) return s3Target(url);
  if (/^hf:/i.test(url)) return hubTarget(url);
  if (!URL.canParse(url))
    throw new VistaError("USAGE", "this is no URL", {
      path: url,
      hint: "Write https://HOST/PATH, hf://OWNER/REPOSITORY/FILE or s3://BUCKET/KEY.",
    });
  const { username, password, href } = new URL(url);
  if (username === "" && password === "") return { path: url, url: href, headers: async () => ({}) };
  const plain = new URL(href);
  plain.username = "";
  plain.password = "";
  let login: string;
  try {
    login = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  } catch {
    throw new VistaError("USAGE", "a % in the user or the password is followed by no two digits", {
      path: plain.href,
      hint: "Write %25 for a % there.",
    });
  }
  // The path has no user and no password, since messages must not show them.
  const secret = Buffer.from(login).toString("base64");
  return { path: plain.href, url: plain.href, headers: async () => ({ authorization: `Basic ${secret}` }) };
}
