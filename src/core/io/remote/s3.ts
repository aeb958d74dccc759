/**
 * The places `s3://bucket/key` on Amazon S3 and servers that speak its protocol. aws4 signs the requests (`sign.ts`). Credentials
 * are found as the AWS tools find static ones: in the environment, then in the profile in `~/.aws`. Where there are none and
 * `@aws-sdk/credential-providers` is installed, it is asked too (SSO, roles, containers). Without any, requests are not signed.
 *
 * Source: the S3 API (GetObject with Range, ListObjectsV2), the AWS SDKs' shared configuration files.
 */
import { homedir } from "node:os";
import { join } from "node:path";
import { VistaError } from "../../errors.js";
import { remember } from "../../maps.js";
import { quote } from "../../text.js";
import { type Entry, remoteEntry } from "../entries.js";
import { readRegular } from "../regular.js";
import { readPage } from "./listing.js";
import { environmentKey, regionIn, type Target } from "./request.js";
import { type Credentials, signedHeaders } from "./sign.js";

interface Settings {
  readonly region: string;
  readonly endpoint: string | undefined;
  /** The way a bucket is addressed: `virtual` in the host's name, `path` in the path; with any other value we choose. */
  readonly addressing: string | undefined;
  /** Returns the credentials that are good now, if there are any. */
  readonly credentials: () => Promise<Credentials | undefined>;
  /** The sentence that says how to log in, for a profile of the single sign-on (SSO). */
  readonly loginHint: string | undefined;
  /** The regions that buckets turned out to be in, by the names of the buckets. */
  readonly regions: Map<string, string>;
}

export async function s3Target(url: string): Promise<Target> {
  const { bucket, key } = parse(url);
  const settings = await loadSettings();
  return target(url, bucket, `/${encodeKey(key)}`, settings);
}

/** Lists a folder. @returns `undefined` where no key lies below this path */
export async function listS3(url: string): Promise<Entry[] | undefined> {
  const { bucket, key } = parse(url);
  const settings = await loadSettings();
  const prefix = key === "" || key.endsWith("/") ? key : `${key}/`;
  const { XMLParser } = await import("fast-xml-parser");
  const parser = new XMLParser({
    parseTagValue: false,
    // Texts are not trimmed, since a key may begin or end with a space.
    trimValues: false,
    isArray: (name) => name === "Contents" || name === "CommonPrefixes",
  });
  const entries: Entry[] = [];
  let token: string | undefined;
  for (let page = 0; ; page++) {
    // The names are to come encoded, since XML has no way to write some characters that a key may have.
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
      if (key !== prefix) entries.push(remoteEntry(key.slice(prefix.length), false));
    for (const folder of result.folders) entries.push(remoteEntry(folder.slice(prefix.length, -1), true));
    token = result.next;
    if (token === undefined) break;
  }
  return entries.length === 0 ? undefined : entries;
}

interface Listing {
  readonly Contents?: readonly { readonly Key?: unknown }[];
  readonly CommonPrefixes?: readonly { readonly Prefix?: unknown }[];
  /** The encoding of the names: `url`, or nothing where the server does not know how to encode them. */
  readonly EncodingType?: string;
  readonly IsTruncated?: string;
  readonly NextContinuationToken?: string;
}

interface ListingPage {
  readonly keys: readonly string[];
  readonly folders: readonly string[];
  readonly next: string | undefined;
}

/** Parses a page of a listing. @returns `undefined` for what is no listing, or a listing with an entry that has no name */
function listingIn(text: string, parse: (xml: string) => unknown): ListingPage | undefined {
  try {
    const result = (parse(text) as { ListBucketResult?: Listing | "" }).ListBucketResult;
    if (result === undefined) return undefined;
    // The parser makes an empty text of an element with nothing in it.
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
    // An object may have such a key, but its address would be shortened on the way and lead to another object.
    throw new VistaError("USAGE", "a part of the key is a dot or two", {
      path: url,
      hint: "Write it without.",
    });
  }
  return { bucket, key };
}

/**
 * The milliseconds that a signature serves for. Ranges are not signed, so all requests for a file may share one, and servers
 * accept a date that is up to some minutes old.
 */
const SIGNED_MS = 20_000;

/** Makes the target of a file or a listing. @param rest  the part of the address behind that of the bucket */
function target(path: string, bucket: string, rest: string, settings: Settings): Target {
  const { regions } = settings;
  const regionOf = () => regions.get(bucket) ?? settings.region;
  let signed: { for: string; until: number; headers: Promise<Record<string, string>> } | undefined;
  return {
    path,
    get url() {
      return bucketUrl(bucket, settings, regionOf()) + rest;
    },
    key: bucketUrl(bucket, settings, settings.region) + rest,
    credentialsHint: settings.loginHint,
    headers: async (address) => {
      const region = regionOf();
      const what = `${region} ${address}`;
      if (signed?.for !== what || signed.until < Date.now()) {
        const headers = settings
          .credentials()
          .then((credentials) =>
            credentials === undefined ? {} : signedHeaders(address, credentials, region),
          );
        signed = { for: what, until: Date.now() + SIGNED_MS, headers };
      }
      return signed.headers;
    },
    // As with the AWS tools, whoever names a bucket need not know its region.
    corrected: (answer, body) => {
      const region = regionIn(answer, body);
      if (region === undefined) return false;
      regions.set(bucket, region);
      // Several requests under way may all be told the region and must all try again, so it is compared with the first one.
      return region !== settings.region;
    },
  };
}

/**
 * Returns the URL of a bucket. With an endpoint of one's own the bucket is in the path, with Amazon's it is in the host's name,
 * unless the profile says otherwise. Names with dots are in the path in any case, since a certificate would not fit.
 */
function bucketUrl(bucket: string, { endpoint, addressing }: Settings, region: string): string {
  const own = `https://s3.${region}.amazonaws.com${region.startsWith("cn-") ? ".cn" : ""}`;
  const base = (endpoint ?? own).replace(/\/+$/, "");
  const inPath = addressing === "path" || (endpoint !== undefined && addressing !== "virtual");
  return inPath || bucket.includes(".") ? `${base}/${bucket}` : base.replace("://", `://${bucket}.`);
}

/** Encodes a query as the signature needs it: everything but letters, digits and `-._~`. */
function encodeQuery(query: URLSearchParams): string {
  return query.toString().replaceAll("+", "%20").replaceAll("*", "%2A").replaceAll("%7E", "~");
}

/** Encodes a key in the same way, but for its slashes. */
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

/** Returns the settings. They are read once, and again where the process has changed its environment since. */
function loadSettings(): Promise<Settings> {
  const environment = environmentKey();
  if (loaded?.environment !== environment) loaded = { environment, settings: readSettings() };
  return loaded.settings;
}

async function readSettings(): Promise<Settings> {
  // An empty variable counts as none, as it does for the AWS tools.
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
  const accessKeyId = env.AWS_ACCESS_KEY_ID ?? one("aws_access_key_id");
  const secretAccessKey = env.AWS_SECRET_ACCESS_KEY ?? one("aws_secret_access_key");
  const sessionToken = env.AWS_ACCESS_KEY_ID === undefined ? one("aws_session_token") : env.AWS_SESSION_TOKEN;
  const settings = { region, endpoint, addressing: one("s3.addressing_style"), regions: new Map() };
  if (accessKeyId !== undefined && secretAccessKey !== undefined) {
    const credentials = async () => ({ accessKeyId, secretAccessKey, sessionToken });
    return { ...settings, credentials, loginHint: undefined };
  }
  const providers = await fromProviders();
  const install = providers === undefined ? ` and install ${PROVIDERS}, which reads it` : "";
  const login = `Log in with \`aws sso login --profile ${quote(profile)}\`${install}, or check the URL and the rights of the profile.`;
  const isSso = (one("sso_session") ?? one("sso_start_url")) !== undefined;
  const credentials = providers ?? (async () => undefined);
  return { ...settings, credentials, loginHint: isSso ? login : undefined };
}

const PROVIDERS = "@aws-sdk/credential-providers";

/**
 * Returns the SDK's own chain of providers (roles, SSO, containers), where that is installed. It keeps the credentials that it has
 * found and renews them before they expire, which those of a role do within hours.
 */
async function fromProviders(): Promise<Settings["credentials"] | undefined> {
  const name: string = PROVIDERS;
  try {
    const sdk = (await import(name)) as { fromNodeProviderChain(): () => Promise<Credentials> };
    const provider = sdk.fromNodeProviderChain();
    return () => provider().catch(() => undefined);
  } catch {
    return undefined;
  }
}

/**
 * Reads the sections of an INI file with their `name = value` lines. The name of an indented line follows that of the line above
 * which is not indented, as in `s3.addressing_style`. A file that cannot be read has no sections.
 */
async function readIni(path: string): Promise<Map<string, Map<string, string>>> {
  const sections = new Map<string, Map<string, string>>();
  const text = await readRegular(path, 1_000_000).catch(() => undefined);
  let current: Map<string, string> | undefined;
  let above = "";
  for (const line of text?.toString("utf8").split(/\r?\n/) ?? []) {
    const section = /^\s*\[\s*(.+?)\s*\]/.exec(line)?.[1];
    const [, indent, name, value] = /^(\s*)([\w-]+)\s*=\s*(.*?)\s*$/.exec(line) ?? [];
    if (section !== undefined) {
      current = remember(sections, section, () => new Map());
    } else if (name !== undefined) {
      if (indent === "") above = name;
      current?.set(indent === "" ? name : `${above}.${name}`, value!);
    }
  }
  return sections;
}
