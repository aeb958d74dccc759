/**
 * The places `hf://[datasets/]owner/name[@revision]/path` on the Hugging Face hub.
 *
 * Source: the hub's API (`/api/models/{name}/tree/{revision}/{path}`, `/{name}/resolve/{revision}/{path}`); the names of the
 * environment are those of huggingface_hub. `@huggingface/hub` is not used: of its 3 MB this needs two addresses, and its
 * reader has no retries and no limit on what a server sends (docs/dependencies.md).
 */
import { homedir } from "node:os";
import { join } from "node:path";
import { VistaError } from "../../errors.js";
import { jsonOf } from "../../text.js";
import { type Entry, remoteEntry } from "../entries.js";
import { readRegular } from "../regular.js";
import { readPage } from "./listing.js";
import type { Target } from "./request.js";

interface Place {
  /** The name of the repository: `owner/name`. */
  readonly repository: string;
  readonly kind: "models" | "datasets" | "spaces";
  readonly revision: string;
  /** The path below the repository's root; empty for the root itself. */
  readonly path: string;
}

export function hubTarget(url: string): Target {
  const place = parse(url);
  let commit: string | undefined;
  const address = (revision: string) =>
    `${repositoryAddress(place)}/resolve/${encodeURIComponent(revision)}/${encodePath(place.path)}`;
  return {
    path: url,
    get url() {
      // Every read asks for the address, so the commit stays pinned for the other files of a checkpoint as long as one is read.
      const known = pinned(place);
      commit ??= known;
      return address(commit ?? place.revision);
    },
    key: address(place.revision),
    headers,
    seen: ({ headers }) => {
      commit ??= pin(place, headers["x-repo-commit"]);
    },
  };
}

/** Lists a folder. @returns `undefined` where nothing of this name is there */
export async function listHub(url: string): Promise<Entry[] | undefined> {
  const place = parse(url);
  const { kind, repository, path } = place;
  const api = `${endpoint()}/api/${kind}/${repository}`;
  const revision = pinned(place) ?? (await currentCommit(place, url, api)) ?? place.revision;
  const root = `${api}/tree/${encodeURIComponent(revision)}`;
  let next = path === "" ? root : `${root}/${encodePath(path)}`;
  const entries: Entry[] = [];
  for (let page = 0; ; page++) {
    const answer = await readPage({ path: url, url: next, headers }, page).catch((error: unknown) => {
      if (page === 0 && error instanceof VistaError && error.code === "NOT_FOUND") return undefined;
      throw error;
    });
    if (answer === undefined) return undefined;
    const list = jsonOf(answer.text);
    if (!Array.isArray(list)) throw noListing(url);
    for (const entry of list as ({ type?: unknown; path?: unknown } | null)[]) {
      if (typeof entry?.path !== "string") throw noListing(url);
      const name = entry.path.slice(entry.path.lastIndexOf("/") + 1);
      if (entry.type === "file" || entry.type === "directory")
        entries.push(remoteEntry(name, entry.type === "directory"));
    }
    const link = /<([^>]+)>;\s*rel="next"/.exec(answer.link)?.[1];
    if (link === undefined) return entries;
    if (!URL.canParse(link, next)) throw noListing(url);
    // The next page comes from the same host, whatever host the link names: a mirror may pass on the hub's own links, and the
    // token is for this host only.
    const { pathname, search } = new URL(link, next);
    next = new URL(pathname + search, root).href;
  }
}

/**
 * The commits that revisions stood for when they were first asked for: a branch may move while a checkpoint of several files is
 * being read, and its files must be of one commit. A commit no longer counts when nothing of its revision was opened, listed or
 * read for {@link PINNED_MS} milliseconds, so that a later look finds what is there then.
 */
const pins = new Map<string, { readonly commit: string; until: number }>();
const PINNED_MS = 60_000;
const COMMIT = /^[0-9a-f]{40}$/;

function pinKey(place: Place): string {
  return `${repositoryAddress(place)}@${place.revision}`;
}

function pinned(place: Place): string | undefined {
  if (COMMIT.test(place.revision)) return place.revision;
  const known = pins.get(pinKey(place));
  if (known === undefined || known.until < Date.now()) return undefined;
  known.until = Date.now() + PINNED_MS;
  return known.commit;
}

/**
 * Returns the commit from which files of this revision are read from now on.
 * @param commit  the hub's answer, which is not used where it is no commit or where one is known already
 */
function pin(place: Place, commit: unknown): string | undefined {
  const known = pinned(place);
  if (known !== undefined || typeof commit !== "string" || !COMMIT.test(commit)) return known;
  pins.set(pinKey(place), { commit, until: Date.now() + PINNED_MS });
  return commit;
}

/**
 * Asks the hub for the commit of a revision. This is needed where a listing comes first, since that does not say its commit.
 * @returns `undefined` where the server does not say it either
 */
async function currentCommit(place: Place, url: string, api: string): Promise<string | undefined> {
  const address = `${api}/revision/${encodeURIComponent(place.revision)}`;
  try {
    const { text } = await readPage({ path: url, url: address, headers }, 0);
    return pin(place, (jsonOf(text) as { sha?: unknown } | null | undefined)?.sha);
  } catch (error) {
    // A mirror may not know this address, and where there is no such repository, the listing says so.
    if (error instanceof VistaError && error.code === "NOT_FOUND") return undefined;
    throw error;
  }
}

function noListing(url: string): VistaError {
  return new VistaError("FORMAT", "what the hub answers is no listing", {
    path: url,
    hint: "Check HF_ENDPOINT.",
  });
}

function parse(url: string): Place {
  const parts = url.replace(/^hf:\/\//i, "").split("/");
  const kind =
    parts[0] === "datasets" || parts[0] === "spaces" ? (parts.shift() as "datasets" | "spaces") : "models";
  const [owner = "", rest = "", ...path] = parts;
  const at = rest.indexOf("@");
  const name = at < 0 ? rest : rest.slice(0, at);
  // The hub has two kinds of revisions with a slash of its own, and people write these as they are.
  const own = /^refs\/(?:pr\/\d+|convert\/[^/]+)(?=\/|$)/.exec([rest.slice(at + 1), ...path].join("/"))?.[0];
  if (at >= 0 && own !== undefined) path.splice(0, own.split("/").length - 1);
  const revision = at < 0 ? "main" : (own ?? decoded(rest.slice(at + 1)));
  const leadsElsewhere = path.some((part) => part === "." || part === "..");
  if (owner === "" || name === "" || revision === undefined || revision === "" || leadsElsewhere) {
    throw new VistaError("USAGE", "this is no place on the hub", {
      path: url,
      hint: "Write hf://owner/name/path, hf://owner/name@revision/path or hf://datasets/owner/name/path.",
    });
  }
  return {
    repository: `${owner}/${name}`,
    kind,
    revision,
    path: path.join("/").replace(/\/+$/, ""),
  };
}

/** Decodes a revision, in which a slash is written %2F as it is in the hub's own addresses. */
function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

function encodePath(path: string): string {
  return path.split("/").map(encodeURIComponent).join("/");
}

function repositoryAddress({ kind, repository }: Place): string {
  return `${endpoint()}/${kind === "models" ? "" : `${kind}/`}${repository}`;
}

function endpoint(): string {
  return (process.env.HF_ENDPOINT || "https://huggingface.co").replace(/\/+$/, "");
}

async function headers(): Promise<Record<string, string>> {
  const value = await token();
  return value === undefined ? {} : { authorization: `Bearer ${value}` };
}

/** Reads the token: HF_TOKEN, else HUGGING_FACE_HUB_TOKEN, its older name, else the file that `hf auth login` writes. */
async function token(): Promise<string | undefined> {
  const own = process.env.HF_TOKEN?.trim() || process.env.HUGGING_FACE_HUB_TOKEN?.trim();
  if (own) return own;
  const home = process.env.HF_HOME || join(homedir(), ".cache/huggingface");
  const file = process.env.HF_TOKEN_PATH || join(home, "token");
  const text = await readRegular(file, 4096).catch(() => undefined);
  return text?.toString("utf8").trim() || undefined;
}
