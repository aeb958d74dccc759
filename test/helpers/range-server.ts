/**
 * A web server over a folder (the repository of its hub is `runs` in it) that counts what it is asked, plays S3 (listings) and the hub (resolve, redirect to a second host,
 * tree), and can be told to misbehave. That huggingface_hub takes it for a hub is tested in test/peers/remote/hub.test.ts.
 */
import { closeSync, existsSync, openSync, readdirSync, readSync, statSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";

export interface Asked {
  readonly path: string;
  readonly range: string | undefined;
  readonly authorization: string | undefined;
  bytes: number;
}

/** What the server does with one request instead of answering it rightly; `undefined` for nothing. */
export type Fault =
  | "429"
  | "503"
  | "drop"
  | "short"
  | "ignore-range"
  | "other-etag"
  | "forbidden"
  | "silent"
  | undefined;

export interface RangeServer {
  readonly url: string;
  readonly asked: Asked[];
  /** Decides on a fault by the number of the request, from 0. */
  fault: (request: number, path: string) => Fault;
  /** Where `/…/resolve/…` leads: the second host. */
  redirectTo: string | undefined;
  /** Names in one page of the hub's listings. */
  pageSize: number;
  /** Answers 400 to whoever sends a token, as the stores behind the hub do: their addresses are signed. */
  refuseTokens: boolean;
  close(): Promise<void>;
}

const COMMIT = "0123456789012345678901234567890123456789";

/** @param tls  serves https with this key and certificate, else http */
export async function startServer(root: string, tls?: { key: Buffer; cert: Buffer }): Promise<RangeServer> {
  const asked: Asked[] = [];
  const listener = (request: IncomingMessage, response: ServerResponse) => {
    answer(request, response);
  };
  const server: Server = tls === undefined ? createServer(listener) : createTlsServer(tls, listener);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const state: RangeServer = {
    url: `${tls === undefined ? "http" : "https"}://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    fault: () => undefined,
    redirectTo: undefined,
    pageSize: 1000,
    refuseTokens: false,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
  return state;

  function answer(request: IncomingMessage, response: ServerResponse): ServerResponse {
    const { pathname, searchParams } = new URL(request.url!, "http://x");
    const { range, authorization } = request.headers;
    const number = asked.length;
    const entry: Asked = { path: pathname, range, authorization, bytes: 0 };
    asked.push(entry);
    const fault = state.fault(number, pathname);
    if (state.refuseTokens && authorization !== undefined) return end(response, 400);
    if (fault === "429") return end(response, 429, { "retry-after": "0" });
    if (fault === "503") return end(response, 503);
    if (fault === "forbidden") return end(response, 403);
    if (fault === "silent") return response;
    if (fault === "drop") {
      request.socket.destroy();
      return response;
    }
    const path = decodeURIComponent(pathname);
    if (searchParams.get("list-type") === "2")
      return listS3(
        response,
        path,
        searchParams.get("prefix") ?? "",
        searchParams.get("encoding-type") === "url",
      );
    if (/^\/api\/(?:models|datasets)\/[^/]+\/[^/]+\/revision\/[^/]+$/.test(path)) {
      response.writeHead(200, { "content-type": "application/json" });
      return response.end(JSON.stringify({ sha: COMMIT }));
    }
    const tree = /^\/api\/(?:models|datasets)\/[^/]+\/[^/]+\/tree\/[^/]+(?:\/(.*))?$/.exec(path);
    if (tree !== null) return listHub(response, tree[1] ?? "", Number(searchParams.get("cursor") ?? 0));
    const resolve = /^\/(?:datasets\/)?[^/]+\/[^/]+\/resolve\/[^/]+\/(.*)$/.exec(path);
    const file = resolve === null ? join(root, path) : join(root, "runs", resolve[1]!);
    if (!existsSync(file) || !statSync(file).isFile()) return end(response, 404);
    const { size } = statSync(file);
    const etag = fault === "other-etag" ? '"other"' : '"one"';
    const hub = {
      "x-repo-commit": COMMIT,
      "x-linked-etag": '"hub"',
      "x-linked-size": String(size),
    };
    if (resolve !== null && state.redirectTo !== undefined)
      return end(response, 302, { location: `${state.redirectTo}/${encodeURI(resolve[1]!)}`, ...hub });
    const known = { etag, ...(resolve === null ? {} : hub) };
    if (request.method === "HEAD") return end(response, 200, { ...known, "content-length": String(size) });
    const match = /^bytes=(\d+)-(\d+)$/.exec(range ?? "");
    if (match === null || fault === "ignore-range") {
      entry.bytes = size;
      response.writeHead(200, { ...known, "content-length": size });
      return response.end(bytesOf(file, 0, size));
    }
    const from = Number(match[1]);
    const to = Math.min(Number(match[2]) + 1, size);
    if (from >= size) return end(response, 416, { "content-range": `bytes */${size}` });
    const part = bytesOf(file, from, to);
    response.writeHead(206, {
      ...known,
      "content-length": part.length,
      "content-range": `bytes ${from}-${to - 1}/${size}`,
    });
    if (fault === "short") {
      response.write(part.subarray(0, part.length >> 1));
      setTimeout(() => request.socket.destroy(), 20);
      return response;
    }
    entry.bytes = part.length;
    return response.end(part);
  }

  function end(
    response: ServerResponse,
    status: number,
    headers: Record<string, string> = {},
  ): ServerResponse {
    return response.writeHead(status, headers).end();
  }

  /** The bucket is the first folder of the path. */
  function listS3(response: ServerResponse, path: string, prefix: string, encoded: boolean): ServerResponse {
    const bucket = path.split("/")[1]!;
    const folder = join(root, bucket, prefix);
    const entries = existsSync(folder) ? readdirSync(folder, { withFileTypes: true }) : [];
    // As S3 does: like a form, but for the slashes. Without it, XML's own characters are escaped.
    const shown = (key: string) =>
      encoded
        ? new URLSearchParams({ key }).toString().slice(4).replaceAll("%2F", "/")
        : key.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
    const items = entries.map((entry) =>
      entry.isDirectory()
        ? `<CommonPrefixes><Prefix>${shown(`${prefix}${entry.name}/`)}</Prefix></CommonPrefixes>`
        : `<Contents><Key>${shown(`${prefix}${entry.name}`)}</Key><Size>1</Size></Contents>`,
    );
    const type = encoded ? "<EncodingType>url</EncodingType>" : "";
    const text = `<?xml version="1.0"?><ListBucketResult><IsTruncated>false</IsTruncated>${type}${items.join("")}</ListBucketResult>`;
    response.writeHead(200, { "content-type": "application/xml" });
    return response.end(text);
  }

  function listHub(response: ServerResponse, path: string, first: number): ServerResponse {
    const folder = join(root, "runs", path);
    if (!existsSync(folder) || !statSync(folder).isDirectory()) return end(response, 404);
    const list = readdirSync(folder, { withFileTypes: true }).map((entry) => ({
      type: entry.isDirectory() ? "directory" : "file",
      oid: "0123456789012345678901234567890123456789",
      size: statSync(join(folder, entry.name)).size,
      path: path === "" ? entry.name : `${path}/${entry.name}`,
    }));
    const next = first + state.pageSize;
    const place = `${state.url}/api/models/owner/name/tree/main/${encodeURI(path)}?cursor=${next}`;
    response.writeHead(200, {
      "content-type": "application/json",
      ...(next < list.length ? { link: `<${place}>; rel="next"` } : {}),
    });
    return response.end(JSON.stringify(list.slice(first, next)));
  }
}

function bytesOf(file: string, from: number, to: number): Buffer {
  const bytes = Buffer.alloc(to - from);
  const descriptor = openSync(file, "r");
  try {
    readSync(descriptor, bytes, 0, bytes.length, from);
  } finally {
    closeSync(descriptor);
  }
  return bytes;
}
