/**
 * `s3://bucket/key` on Amazon S3 and servers that speak its protocol. aws4 signs (`sign.ts`); credentials are
 * found as the AWS tools find static ones: the environment, then the profile in `~/.aws`. Where
 * `@aws-sdk/credential-providers` is installed, it is asked too (SSO, roles, containers). Without any, requests are not signed.
 *
 * Source: the S3 API (GetObject with Range, ListObjectsV2), the AWS SDKs' shared configuration files.
 */
import { homedir } from "node:os";
import { join } from "node:path";
import { VistaError } from "../../errors.js";
import type { RemoteEntry } from "../entries.js";
import { readRegular } from "../regular.js";
import { readPage } from "./listing.js";
import { regionIn, type Target } from "./request.js";
import { type Credentials, signedHeaders } from "./sign.js";

interface Settings {
  readonly region: string;
  readonly endpoint: string | undefined;
  /** How a bucket is addressed, `virtual` in the host's name or `path`; `undefined` and anything else is left to us. */
  readonly addressing: string | undefined;
  readonly credentials: Credentials | undefined;
  /** The regions that buckets turned out to be in, by their names. */
  readonly regions: Map<string, string>;
}

export async function s3Target(url: string): Promise<Target> {
  const { bucket, key } = parse(url);
  const settings = await loadSettings();
  return target(url, bucket, `/${encodeKey(key)}`, settings);
}

/** @returns `undefined` where no key begins with this path */
export async function listS3(url: string): Promise<RemoteEntry[] | undefined> {
  const { bucket, key } = parse(url);
  const settings = await loadSettings();
  const prefix = key === "" || key.endsWith("/") ? key : `${key}/`;
  const { XMLParser } = await import("fast-xml-parser");
  const parser = new XMLParser({
    parseTagValue: false,
    // A key may begin or end with a space.
    trimValues: false,
    isArray: (name) => name === "Contents" || name === "CommonPrefixes",
  });
  const entries: RemoteEntry[] = [];
  let token: string | undefined;
  for (let page = 0; ; page++) {
    // Encoded, since XML has no way to write some characters that a key may have.
    const query = new URLSearchParams({ "list-type": "2", delimiter: "/", "encoding-type": "url", prefix });
    if (token !== undefined) query.set("continuation-token", token);
    const { text } = await readPage(target(url, bucket, `/?${encodeQuery(query)}`, settings), page);
    const result = listingIn(text, (xml) => parser.parse(xml));
    if (result === undefined) {
      throw new VistaError("FORMAT", "what the server answers is no listing of S3", {
        path: url,
        hint: "Check the endpoint.",
      });
    }
    for (const key of result.keys)
      if (key !== prefix) entries.push({ name: key.slice(prefix.length), isFolder: false });
    for (const folder of result.folders)
      entries.push({ name: folder.slice(prefix.length, -1), isFolder: true });
    token = result.next;
    if (token === undefined) break;
  }
  return entries.length === 0 ? undefined : entries;
}

interface Listing {
  readonly Contents?: readonly { readonly Key?: unknown }[];
  readonly CommonPrefixes?: readonly { readonly Prefix?: unknown }[];
  /** `url` where the names are encoded; a server may not know how to. */
  readonly EncodingType?: string;
  readonly IsTruncated?: string;
  readonly NextContinuationToken?: string;
}

interface ListingPage {
  readonly keys: readonly string[];
  readonly folders: readonly string[];
  readonly next: string | undefined;
}

/** @returns `undefined` for what is no listing, or one with an entry that has no name */
function listingIn(text: string, parse: (xml: string) => unknown): ListingPage | undefined {
  try {
    const result = (parse(text) as { ListBucketResult?: Listing | "" }).ListBucketResult;
    if (result === undefined) return undefined;
    // An element with nothing in it is an empty text to the parser.
    const { Contents = [], CommonPrefixes = [], ...rest } = result === "" ? {} : result;
    const nameOf = (name: unknown) => {
      if (typeof name !== "string") throw new TypeError("an entry without a name");
      return rest.EncodingType === "url" ? decodeURIComponent(name.replaceAll("+", " ")) : name;
    };
    return {
      keys: Contents.map(({ Key }) => nameOf(Key)),
      folders: CommonPrefixes.map(({ Prefix }) => nameOf(Prefix)),
      next: rest.IsTruncated === "true" ? rest.NextContinuationToken : undefined,
    };
  } catch {
    return undefined;
  }
}

function parse(url: string): { bucket: string; key: string } {
  const [, bucket = "", key = ""] = /^s3:\/\/([^/]*)\/?(.*)$/i.exec(url) ?? [];
  if (!/^[a-z0-9][a-z0-9._-]+$/i.test(bucket))
    throw new VistaError("USAGE", "this is no place in S3", { path: url, hint: "Write s3://bucket/key." });
  if (key.split("/").some((part) => part === "." || part === "..")) {
    // An object may have such a key, but addresses are shortened on their way: another one would come.
    throw new VistaError("USAGE", "a part of the key is a dot or two", {
      path: url,
      hint: "Write it without.",
    });
  }
  return { bucket, key };
}

/**
 * Milliseconds that a signature serves for: ranges are not signed, so all requests for a file may have one. Servers take a date that is up to
 * some minutes old.
 */
const SIGNED_MS = 20_000;

/** @param rest  of the address, behind the bucket's */
function target(path: string, bucket: string, rest: string, settings: Settings): Target {
  const { credentials, regions } = settings;
  const regionOf = () => regions.get(bucket) ?? settings.region;
  let signed: { for: string; until: number; headers: Promise<Record<string, string>> } | undefined;
  return {
    path,
    get url() {
      return bucketUrl(bucket, settings, regionOf()) + rest;
    },
    key: bucketUrl(bucket, settings, settings.region) + rest,
    headers: async (address) => {
      if (credentials === undefined) return {};
      const region = regionOf();
      const what = `${region} ${address}`;
      if (signed?.for !== what || signed.until < Date.now()) {
        const headers = signedHeaders(address, credentials, region);
        signed = { for: what, until: Date.now() + SIGNED_MS, headers };
      }
      return signed.headers;
    },
    // As the AWS tools do: whoever names a bucket need not know where it is.
    corrected: (answer, body) => {
      const region = regionIn(answer, body);
      if (region === undefined) return false;
      regions.set(bucket, region);
      // Of several requests under way each is told so.
      return region !== settings.region;
    },
  };
}

/**
 * As the AWS tools have it: with an endpoint of one's own the bucket is in the path, with Amazon's in the host's name, unless the
 * profile says otherwise. Names with dots are in the path too, since a certificate would not fit.
 */
function bucketUrl(bucket: string, { endpoint, addressing }: Settings, region: string): string {
  const own = `https://s3.${region}.amazonaws.com${region.startsWith("cn-") ? ".cn" : ""}`;
  const base = (endpoint ?? own).replace(/\/+$/, "");
  const inPath = addressing === "path" || (endpoint !== undefined && addressing !== "virtual");
  return inPath || bucket.includes(".") ? `${base}/${bucket}` : base.replace("://", `://${bucket}.`);
}

/** As the signature is made over it: all but letters, digits and `-._~`. */
function encodeQuery(query: URLSearchParams): string {
  return query.toString().replaceAll("+", "%20").replaceAll("*", "%2A").replaceAll("%7E", "~");
}

/** The same, but for the slashes. */
function encodeKey(key: string): string {
  return key
    .split("/")
    .map((part) =>
      encodeURIComponent(part).replace(
        /[!'()*]/g,
        (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
      ),
    )
    .join("/");
}

let loaded: { readonly environment: string; readonly settings: Promise<Settings> } | undefined;

/** Read once, and again where the process has changed its environment since. */
function loadSettings(): Promise<Settings> {
  const environment = JSON.stringify(Object.entries(process.env).filter(([name]) => name.startsWith("AWS_")));
  if (loaded?.environment !== environment) loaded = { environment, settings: readSettings() };
  return loaded.settings;
}

async function readSettings(): Promise<Settings> {
  // An empty variable is as good as none, to the AWS tools too.
  const env = Object.fromEntries(Object.entries(process.env).filter(([, value]) => value !== ""));
  const profile = env.AWS_PROFILE ?? env.AWS_DEFAULT_PROFILE ?? "default";
  const folder = join(homedir(), ".aws");
  const ini = await readIni(env.AWS_CONFIG_FILE ?? join(folder, "config"));
  const config = ini.get(profile === "default" ? "default" : `profile ${profile}`);
  const shared = (await readIni(env.AWS_SHARED_CREDENTIALS_FILE ?? join(folder, "credentials"))).get(profile);
  const one = (name: string) => shared?.get(name) ?? config?.get(name);
  const region = env.AWS_REGION ?? env.AWS_DEFAULT_REGION ?? one("region") ?? "us-east-1";
  const services = ini.get(`services ${one("services")}`);
  const endpoint =
    env.AWS_ENDPOINT_URL_S3 ??
    env.AWS_ENDPOINT_URL ??
    services?.get("s3.endpoint_url") ??
    one("s3.endpoint_url") ??
    one("endpoint_url");
  const fixed = {
    accessKeyId: env.AWS_ACCESS_KEY_ID ?? one("aws_access_key_id"),
    secretAccessKey: env.AWS_SECRET_ACCESS_KEY ?? one("aws_secret_access_key"),
    sessionToken: env.AWS_ACCESS_KEY_ID === undefined ? one("aws_session_token") : env.AWS_SESSION_TOKEN,
  };
  const { accessKeyId, secretAccessKey, sessionToken } = fixed;
  const credentials =
    accessKeyId !== undefined && secretAccessKey !== undefined
      ? { accessKeyId, secretAccessKey, sessionToken }
      : await fromProviders();
  return { region, endpoint, addressing: one("s3.addressing_style"), credentials, regions: new Map() };
}

/** Roles, SSO, containers: what the SDK's own chain finds, where it is installed. */
async function fromProviders(): Promise<Credentials | undefined> {
  const name = "@aws-sdk/credential-providers";
  try {
    const sdk = (await import(name)) as { fromNodeProviderChain(): () => Promise<Credentials> };
    return await sdk.fromNodeProviderChain()();
  } catch {
    return undefined;
  }
}

/** Sections of an INI file with their `name = value` lines; of indented ones, the name is that of the line above with theirs: `s3.addressing_style`. */
async function readIni(path: string): Promise<Map<string, Map<string, string>>> {
  const sections = new Map<string, Map<string, string>>();
  const text = await readRegular(path, 1_000_000).catch(() => undefined);
  let current: Map<string, string> | undefined;
  let above = "";
  for (const line of text?.toString("utf8").split(/\r?\n/) ?? []) {
    const section = /^\s*\[\s*(.+?)\s*\]/.exec(line)?.[1];
    const [, indent, name, value] = /^(\s*)([\w-]+)\s*=\s*(.*?)\s*$/.exec(line) ?? [];
    if (section !== undefined) {
      current = sections.get(section) ?? new Map();
      sections.set(section, current);
    } else if (name !== undefined) {
      if (indent === "") above = name;
      current?.set(indent === "" ? name : `${above}.${name}`, value!);
    }
  }
  return sections;
}
