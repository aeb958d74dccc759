/** Ranges from servers with habits of their own: what is read is the file, or the refusal says why not. */
import {
  createServer as createHttp,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from "node:http";
import { type AddressInfo, createServer, type Socket, type Server as TcpServer } from "node:net";
import { afterAll, describe, expect, it } from "vitest";
import type { VistaError } from "../../../../src/core/errors.js";
import { UrlRanges } from "../../../../src/core/io/remote/ranges.js";
import { LIMITS, type Limits } from "../../../../src/core/io/remote/request.js";

/** A file in which no two places look alike. */
const FILE = Buffer.from(Uint32Array.from({ length: 60_000 }, (_, i) => i * 2654435761).buffer);
const QUICK: Limits = { ...LIMITS, backOff: 1, silence: 500, floorTime: 200, floorBytes: 100 };

const servers: (Server | TcpServer)[] = [];
const sockets = new Set<Socket>();
// At the end, since some tests run side by side.
afterAll(() => {
  for (const socket of sockets) socket.destroy();
  for (const server of servers) server.close();
});

async function listen(made: Server | TcpServer): Promise<string> {
  servers.push(made);
  made.on("connection", (socket: Socket) => sockets.add(socket));
  await new Promise<void>((resolve) => made.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${(made.address() as AddressInfo).port}`;
}

type Handler = (
  request: IncomingMessage,
  response: ServerResponse,
  range: { from: number; to: number },
) => void;

const serve = (handler: Handler) =>
  listen(createHttp((request, response) => handler(request, response, rangeOf(request))));

function rangeOf({ headers }: IncomingMessage): { from: number; to: number } {
  const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(headers.range!)!;
  return { from: Number(first), to: Math.min(Number(last) + 1, FILE.length) };
}

function answer(response: ServerResponse, from: number, to: number, headers: Record<string, string> = {}) {
  response.writeHead(206, { "content-range": `bytes ${from}-${to - 1}/${FILE.length}`, ...headers });
  response.end(FILE.subarray(from, to));
}

const readerOf = (url: string, headers: Record<string, string> = {}, limits = QUICK) =>
  new UrlRanges({ path: url, url, headers: async () => headers }, limits);

/** Reads a range in two, and compares. */
async function expectRead(url: string, from = 1000, to = 150_000): Promise<void> {
  const reader = readerOf(url);
  for (const [start, end] of [
    [from, (from + to) >> 1],
    [(from + to) >> 1, to],
  ] as const) {
    const bytes = Buffer.alloc(end - start);
    expect(await reader.read(bytes, start, undefined)).toEqual({ got: bytes.length, size: FILE.length });
    expect(bytes.equals(FILE.subarray(start, end))).toBe(true);
  }
}

/** The message and, behind it, the hint. */
async function refusal(url: string, start = 1000, length = 100_000, limits = QUICK): Promise<string> {
  const error = await readerOf(url, {}, limits)
    .read(new Uint8Array(length), start, undefined)
    .then(
      () => undefined,
      (error: VistaError) => error,
    );
  expect(error?.name).toBe("VistaError");
  return `${error!.message}. ${error!.hint}`;
}

describe("a file is read whole from", () => {
  it("a server without ETag and date", async () => {
    await expectRead(
      await serve((_, response, { from, to }) => {
        response.sendDate = false;
        answer(response, from, to);
      }),
    );
  });

  it("one whose ETag is weak now and then", async () => {
    let weak = false;
    await expectRead(
      await serve((_, response, { from, to }) => {
        weak = !weak;
        answer(response, from, to, { etag: weak ? 'W/"x"' : '"x"' });
      }),
    );
  });

  it("one of HTTP/1.0 that says no length and closes", async () => {
    const tcp = createServer((socket) => {
      socket.on("error", () => {});
      socket.on("data", (data) => {
        const [, first, last] = /range: bytes=(\d+)-(\d+)/i.exec(data.toString())!;
        const [from, to] = [Number(first), Number(last) + 1];
        socket.write(
          `HTTP/1.0 206 Partial Content\r\nCONTENT-RANGE: Bytes ${from}-${to - 1}/${FILE.length}\r\n\r\n`,
        );
        socket.end(FILE.subarray(from, to));
      });
    });
    await expectRead(await listen(tcp));
  });

  it("one that gives less than it is asked for, each time, without pauses", async () => {
    let asked = 0;
    const url = await serve((_, response, { from, to }) => {
      asked++;
      answer(response, from, Math.min(to, from + 65_536));
    });
    const bytes = Buffer.alloc(FILE.length);
    const started = performance.now();
    await readerOf(url, {}, { ...QUICK, backOff: 10_000 }).read(bytes, 0, undefined);
    expect(bytes.equals(FILE)).toBe(true);
    expect(asked).toBe(4);
    expect(performance.now() - started).toBeLessThan(5000);
  });

  it("one whose bodies go on behind what Content-Range says", async () => {
    const url = await serve((_, response, { from, to }) => {
      const end = Math.min(to, from + 70_000);
      response.writeHead(206, { "content-range": `bytes ${from}-${end - 1}/${FILE.length}` });
      response.end(Buffer.concat([FILE.subarray(from, end), Buffer.alloc(to - end + 1000)]));
    });
    await expectRead(url);
  });

  it("one that breaks off after each 20,000 bytes", async () => {
    const url = await serve((_, response, { from, to }) => {
      response.writeHead(206, { "content-range": `bytes ${from}-${to - 1}/${FILE.length}` });
      response.write(FILE.subarray(from, Math.min(to, from + 20_000)), () =>
        setTimeout(() => response.destroy(), 20),
      );
    });
    const bytes = Buffer.alloc(100_000);
    await readerOf(url).read(bytes, 0, undefined);
    expect(bytes.equals(FILE.subarray(0, 100_000))).toBe(true);
  });

  it("one that refuses everything but GET, behind three redirects of which the last loses its good", async () => {
    let good = 1;
    const heard: string[] = [];
    const url = await serve((request, response, { from, to }) => {
      heard.push(request.url!);
      const moves = { "/": "/a", "/a": "b", "/b": `?key=${good}` };
      const location = moves[request.url as keyof typeof moves];
      if (request.method !== "GET") response.writeHead(405).end();
      else if (location !== undefined) response.writeHead(307, { Location: location }).end();
      else if (request.url !== `/b?key=${good}`) response.writeHead(403).end();
      else {
        answer(response, from, to);
        good++;
      }
    });
    await expectRead(url);
    expect(heard).toEqual(["/", "/a", "/b", "/b?key=1", "/b?key=1", "/", "/a", "/b", "/b?key=2"]);
  });

  it("connections that serve again", async () => {
    const before = sockets.size;
    const reader = readerOf(await serve((_, response, { from, to }) => answer(response, from, to)));
    for (let i = 0; i < 20; i++) await reader.read(new Uint8Array(1000), i * 1000, undefined);
    // The second one because the first is still being told of its end when the next request comes.
    expect(sockets.size - before).toBeLessThanOrEqual(2);
  });

  it("behind its end", async () => {
    const url = await serve((_, response) =>
      response.writeHead(416, { "content-range": `bytes */${FILE.length}` }).end(),
    );
    expect(await readerOf(url).read(new Uint8Array(10), FILE.length, undefined)).toEqual({
      got: 0,
      size: FILE.length,
    });
  });

  it("behind its end, where the size is said as S3 does, in the body", async () => {
    const url = await serve((_, response, { from }) => {
      const body = `<Error><Code>InvalidRange</Code><ActualObjectSize>${from}</ActualObjectSize></Error>`;
      response.writeHead(416).end(body);
    });
    expect(await readerOf(url).read(Buffer.alloc(10), 0, undefined)).toEqual({ got: 0, size: 0 });
    expect(await readerOf(url).read(Buffer.alloc(10), 50, undefined)).toEqual({ got: 0, size: 50 });
  });

  it("a whole small file that comes for any range", async () => {
    const url = await serve((_, response) => response.end(FILE.subarray(0, 5000)));
    const bytes = Buffer.alloc(1000);
    expect(await readerOf(url).read(bytes, 4500, undefined)).toEqual({ got: 500, size: 5000 });
    expect(bytes.subarray(0, 500).equals(FILE.subarray(4500, 5000))).toBe(true);
  });
});

describe("refused", () => {
  it("what is compressed, though it was not asked for", async () => {
    const url = await serve((_, response, { from, to }) =>
      answer(response, from, to, { "content-encoding": "gzip" }),
    );
    expect(await refusal(url)).toMatch(/bytes 1000 to 101000 with bytes that it has compressed \(gzip\)\./);
  });

  it("416 for what is within the file, and without a size", async () => {
    const inside = await serve((_, response) =>
      response.writeHead(416, { "content-range": `bytes */${FILE.length}` }).end(),
    );
    expect(await refusal(inside)).toMatch(/was answered with 416/);
    const silent = await serve((_, response) => response.writeHead(416).end());
    expect(await refusal(silent)).toMatch(/was answered with 416/);
  });

  it("several ranges in one answer", async () => {
    const url = await serve((_, response) =>
      response.writeHead(206, { "content-type": "multipart/byteranges; boundary=x" }).end("--x"),
    );
    expect(await refusal(url)).toMatch(/another range \(no Content-Range\)/);
  });

  it("a whole large file: of one that does not say its length, 64 KiB are taken", async () => {
    let sent = 0;
    const url = await serve((_, response) => {
      response.writeHead(200);
      const more = (): void => {
        while (!response.destroyed && sent < 50e6 && response.write(FILE.subarray(0, 16_384))) sent += 16_384;
      };
      response.on("drain", more);
      more();
    });
    expect(await refusal(url)).toMatch(/with the whole file\./);
    // What the two systems hold on the way is more than what is taken.
    expect(sent).toBeLessThan(20e6);
  });

  it("another date where there is no ETag", async () => {
    let asked = 0;
    const url = await serve((_, response, { from, to }) =>
      answer(response, from, to, { "last-modified": `Thu, 01 Jan 1970 00:00:0${asked++} GMT` }),
    );
    const reader = readerOf(url);
    await reader.read(new Uint8Array(10), 0, undefined);
    await expect(reader.read(new Uint8Array(10), 10, undefined)).rejects.toThrow(
      /its Last-Modified was Thu, 01 Jan 1970 00:00:00 GMT and now is/,
    );
  });

  it("tags that alternate, as of servers behind one address: both are named, and the way out", async () => {
    let asked = 0;
    const url = await serve((_, response, { from, to }) =>
      answer(response, from, to, { etag: `W/"node${asked++}"`, "last-modified": "same" }),
    );
    const reader = readerOf(url);
    await reader.read(new Uint8Array(10), 0, undefined);
    const error = await reader.read(new Uint8Array(10), 10, undefined).catch((error) => error);
    expect(error.name).toBe("VistaError");
    expect(error.message).toMatch(/its ETag was "node0" and now is "node1"/);
    expect(error.hint).toMatch(/^Run again .*disagree on a file that stays, download it first\.$/);
  });

  it.each([
    ["a weak tag that stays, with another date", 'W/"x"', true],
    ["but not another date where the tag is strong and stays", '"x"', false],
  ])("%s", async (_, etag, refused) => {
    let asked = 0;
    const url = await serve((_, response, { from, to }) =>
      answer(response, from, to, { etag, "last-modified": `Thu, 01 Jan 1970 00:00:0${asked++} GMT` }),
    );
    const reader = readerOf(url);
    await reader.read(new Uint8Array(10), 0, undefined);
    const second = reader.read(new Uint8Array(10), 10, undefined);
    if (refused) await expect(second).rejects.toThrow(/its Last-Modified was .*:00 GMT and now is .*:01 GMT/);
    else await second;
  });

  it("a range without the size of the file", async () => {
    const url = await serve((_, response, { from, to }) =>
      answer(response, from, to, { "content-range": `bytes ${from}-${to - 1}/*` }),
    );
    expect(await refusal(url)).toMatch(/with a range without the size of the file \(bytes 1000-100999\/\*\)/);
  });

  it.each([
    [400, "ExpiredToken", "?a", /with 400 \(ExpiredToken\)\. A signed URL is good for a limited time/],
    [
      403,
      "RequestTimeTooSkewed",
      "",
      /with 403 \(RequestTimeTooSkewed\)\. Check the URL and the credentials/,
    ],
    [403, "InvalidObjectState", "", /\(InvalidObjectState\)\. The object is archived/],
    [403, "<b>not a code", "", /with 403\. /],
  ])("what S3 says with %d is %s", async (status, code, query, message) => {
    const url = await serve((_, response) => {
      response.writeHead(status).end(`<Error><Code>${code}</Code><Message>m</Message></Error>`);
    });
    expect(await refusal(`${url}/${query}`)).toMatch(message);
  });

  it("a repository of the hub that has to be asked for", async () => {
    const url = await serve((_, response) => response.writeHead(403, { "x-error-code": "GatedRepo" }).end());
    expect(await refusal(url)).toMatch(/with 403 \(GatedRepo\)\. Check the URL and the credentials/);
  });

  it("a bucket in another region, with the region", async () => {
    const url = await serve((_, response) =>
      response.writeHead(301, { "x-amz-bucket-region": "eu-west-3" }).end(),
    );
    expect(await refusal(url)).toMatch(/The bucket is in another region: set AWS_REGION=eu-west-3\.$/);
  });
});

describe.concurrent("slow servers", () => {
  /** Writes `bytes` of the range every 20 ms. */
  const drip = (bytes: number): Handler => {
    return (_, response, { from, to }) => {
      response.writeHead(206, { "content-range": `bytes ${from}-${to - 1}/${FILE.length}` });
      let at = from;
      const timer = setInterval(() => {
        if (response.destroyed) clearInterval(timer);
        response.write(FILE.subarray(at, Math.min(at + bytes, to)));
        at += bytes;
        if (at >= to) response.end();
      }, 20);
    };
  };

  it("drops without end: tried again, then refused with range and rate", async () => {
    let asked = 0;
    const url = await serve((request, response, range) => {
      asked++;
      drip(2)(request, response, range);
    });
    const message = await refusal(url, 0, 100_000, { ...QUICK, attempts: 3 });
    expect(message).toMatch(
      /^http:.*: bytes \d+ to 100000 could not be read, 3 attempts: only \d+ bytes came in 0\.2 s \(\d+ a second\)\./,
    );
    expect(asked).toBe(3);
  });

  it("slow is no fault as long as the floor is kept", async () => {
    const url = await serve(drip(200));
    const bytes = Buffer.alloc(10_000);
    await readerOf(url).read(bytes, 0, undefined);
    expect(bytes.equals(FILE.subarray(0, 10_000))).toBe(true);
  });

  it("a head that drips does not put off the time-out", async () => {
    const tcp = createServer((socket) => {
      socket.on("error", () => {});
      socket.write("HTTP/1.1 206 Partial Content\r\nx: ");
      const timer = setInterval(() => {
        if (socket.destroyed) clearInterval(timer);
        else socket.write("y");
      }, 50);
    });
    const started = performance.now();
    const url = await listen(tcp);
    expect(await refusal(url, 0, 10, { ...QUICK, attempts: 2 })).toMatch(
      /2 attempts: UND_ERR_HEADERS_TIMEOUT/,
    );
    expect(performance.now() - started).toBeLessThan(10_000);
  });
});
