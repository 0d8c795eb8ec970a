import { describe, expect, test } from "bun:test";
import { serveHttp } from "../../examples/lib/http-server.ts";
import { serve } from "../../examples/lib/services.ts";
import { site } from "../../examples/lib/site.ts";
import type { Connection } from "../../src/index.ts";
import { Pair, pattern, readAll, SERVER, settle, sha256 } from "../host/pair.ts";

async function withSite(
  body: (connect: () => Promise<Connection>, pair: Pair) => Promise<void>,
): Promise<void> {
  await using pair = await Pair.open();
  serve(pair.server, 80, (connection) => serveHttp(connection, site("test device")));
  await body(() => pair.client.connect({ address: SERVER, port: 80, noDelay: true }), pair);
}

/** Sends `request`, says that this was all, and returns everything that comes back. */
async function ask(connection: Connection, request: string | Uint8Array): Promise<string> {
  await connection.write(request);
  const reading = readAll(connection);
  await connection.shutdown();
  const answer = (await reading).toString("latin1");
  await connection.close();
  return answer;
}

const HOST = "Host: test\r\n";
const get = (target: string) => `GET ${target} HTTP/1.1\r\n${HOST}\r\n`;

describe("the example's HTTP server", () => {
  test("shows the visitor's connection", () =>
    withSite(async (connect) => {
      const connection = await connect();
      await connection.write(get("/"));
      const answer = Buffer.from((await connection.read()) ?? []).toString();
      expect(answer).toStartWith("HTTP/1.1 200 OK\r\n");
      expect(answer).toContain("Content-Type: text/html; charset=utf-8\r\n");
      for (const part of [
        `port ${connection.localPort}`,
        SERVER,
        "ESTABLISHED",
        "ms",
        "bytes",
        "test device",
      ]) {
        expect(answer).toContain(part);
      }
    }));

  test("sends the same bytes each time", () =>
    withSite(async (connect) => {
      const bodies = await Promise.all(
        [300_000, 300_000].map(async (length) => {
          const answer = await ask(await connect(), get(`/bytes/${length}`));
          expect(answer).toContain(`Content-Length: ${length}\r\n`);
          return Buffer.from(answer.slice(answer.indexOf("\r\n\r\n") + 4), "latin1");
        }),
      );
      expect(bodies[0].length).toBe(300_000);
      expect(bodies[1].equals(bodies[0])).toBe(true);
      expect(new Set(bodies[0]).size).toBe(256);
      expect(await ask(await connect(), get("/bytes/0"))).toContain("Content-Length: 0\r\n");
    }));

  test("takes uploads: a length, chunks, and one that waits to be asked for", () =>
    withSite(async (connect) => {
      const body = pattern(200_000);
      const result = JSON.stringify({ bytes: body.length, sha256: sha256(body) });
      const head = (field: string) => `POST /upload HTTP/1.1\r\n${HOST}${field}\r\n\r\n`;
      const plain = Buffer.concat([Buffer.from(head(`Content-Length: ${body.length}`)), body]);
      expect(await ask(await connect(), plain)).toContain(result);

      const parts = [Buffer.from(head("Transfer-Encoding: chunked"))];
      for (let at = 0, size = 1; at < body.length; at += size, size = Math.min(size * 3, body.length - at)) {
        parts.push(Buffer.from(`${size.toString(16)};note=x\r\n`), Buffer.from(body.subarray(at, at + size)));
        parts.push(Buffer.from("\r\n"));
      }
      parts.push(Buffer.from("0\r\nTrailer: yes\r\n\r\n"));
      expect(await ask(await connect(), Buffer.concat(parts))).toContain(result);

      const connection = await connect();
      await connection.write(
        head(`Content-Length: ${body.length}\r\nExpect: 100-continue`).replace("POST", "PUT"),
      );
      const first = await connection.read();
      expect(Buffer.from(first ?? []).toString()).toBe("HTTP/1.1 100 Continue\r\n\r\n");
      expect(await ask(connection, body)).toContain(result);
    }));

  test("serves several requests on a connection, in order, also when they come at once", () =>
    withSite(async (connect) => {
      const upload = `POST /upload HTTP/1.1\r\n${HOST}Content-Length: 3\r\n\r\nabc`;
      const answer = await ask(await connect(), get("/bytes/1") + upload + get("/none") + get("/bytes/2"));
      const statuses = [...answer.matchAll(/HTTP\/1\.1 ([0-9]+)/g)].map(([, status]) => status);
      expect(statuses).toEqual(["200", "200", "404", "200"]);
      expect(answer).not.toContain("Connection: close");
    }));

  test("closes where the client wants it", () =>
    withSite(async (connect) => {
      const closing = ["GET / HTTP/1.0\r\n\r\n", `GET / HTTP/1.1\r\n${HOST}Connection: x, Close\r\n\r\n`];
      for (const request of closing) {
        const connection = await connect();
        await connection.write(request);
        expect((await readAll(connection)).toString()).toContain("Connection: close\r\n");
        await connection.close();
      }
      const kept = await ask(await connect(), "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
      expect(kept).toContain("Connection: keep-alive\r\n");
    }));

  test("HEAD brings the header alone", () =>
    withSite(async (connect) => {
      const answer = await ask(await connect(), `HEAD /bytes/1000 HTTP/1.1\r\n${HOST}\r\n`);
      expect(answer).toContain("Content-Length: 1000\r\n");
      expect(answer).toEndWith("\r\n\r\n");
    }));

  const refused: [string, number, string][] = [
    ["a page that is not there", 404, get("/secret")],
    ["a bad number", 404, get("/bytes/1e9")],
    ["a method that makes no sense", 405, `DELETE / HTTP/1.1\r\n${HOST}\r\n`],
    ["GET of the upload", 405, get("/upload")],
    ["no HTTP at all", 400, "\x16\x03\x01\x02\x00\x01\r\n\r\n"],
    ["a request line with too many words", 400, "GET / now HTTP/1.1\r\n\r\n"],
    ["HTTP/2", 505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
    ["no Host", 400, "GET / HTTP/1.1\r\n\r\n"],
    ["a space before the colon", 400, `GET / HTTP/1.1\r\n${HOST}Content-Length : 5\r\n\r\n`],
    ["a folded header field", 400, `GET / HTTP/1.1\r\n${HOST}X: a\r\n b\r\n\r\n`],
    ["a header field without a name", 400, `GET / HTTP/1.1\r\n${HOST}: x\r\n\r\n`],
    ["a control character", 400, `GET / HTTP/1.1\r\n${HOST}X: a\x00b\r\n\r\n`],
    ["a header without end", 431, `GET / HTTP/1.1\r\n${HOST}X: ${"x".repeat(20_000)}`],
    ["a length that is none", 400, `POST /upload HTTP/1.1\r\n${HOST}Content-Length: -1\r\n\r\n`],
    ["two lengths", 400, `POST /upload HTTP/1.1\r\n${HOST}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab`],
    [
      "a length and chunks",
      400,
      `POST /upload HTTP/1.1\r\n${HOST}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    ],
    ["an unknown coding", 501, `POST /upload HTTP/1.1\r\n${HOST}Transfer-Encoding: gzip\r\n\r\n`],
    ["a bad chunk size", 400, `POST /upload HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\nxyz\r\n`],
    [
      "a chunk that goes on",
      400,
      `POST /upload HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n`,
    ],
    ["an unknown expectation", 417, `POST /upload HTTP/1.1\r\n${HOST}Expect: more\r\n\r\n`],
  ];
  for (const [what, status, request] of refused) {
    test(`refuses ${what} with ${status}`, () =>
      withSite(async (connect, pair) => {
        expect(await ask(await connect(), request)).toStartWith(`HTTP/1.1 ${status} `);
        expect(await ask(await connect(), get("/"))).toStartWith("HTTP/1.1 200 ");
        expect(pair.server.stats.tcpResetsSent).toBe(0);
      }));
  }

  test("an upload that ends too early is given up, and so is a client that vanishes", () =>
    withSite(async (connect) => {
      const half = `POST /upload HTTP/1.1\r\n${HOST}Content-Length: 100\r\n\r\nhalf`;
      expect(await ask(await connect(), half)).toBe("");
      const vanishing = await connect();
      await vanishing.write(half);
      vanishing.abort();
      expect(await ask(await connect(), get("/"))).toStartWith("HTTP/1.1 200 ");
    }));

  test("the answer arrives before the reset when nobody reads the upload", () =>
    withSite(async (connect, pair) => {
      const connection = await connect();
      const request = `POST /elsewhere HTTP/1.1\r\n${HOST}Content-Length: 500000\r\n\r\n`;
      await connection.write(request);
      await settle(pair);
      void connection.write(pattern(500_000)).then(() => connection.shutdown());
      const answer = (await readAll(connection)).toString();
      expect(answer).toStartWith("HTTP/1.1 404 ");
      expect(answer).toContain("Connection: close\r\n");
      await connection.close();
    }));
});
