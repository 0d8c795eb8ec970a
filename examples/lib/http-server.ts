import { type Connection, StackError } from "../../src/index.ts";
import { ByteReader, UnexpectedEnd } from "./byte-reader.ts";
import { bodyLength, type Head, HttpError, readBody, readHead } from "./http-message.ts";

export interface HttpRequest {
  readonly method: string;
  /** Path and query as they were sent. */
  readonly target: string;
  readonly headers: Headers;
  /** The body in pieces, each valid until the next one. */
  readonly body: AsyncIterable<Uint8Array>;
  readonly connection: Connection;
}

export interface HttpResponse {
  readonly status: number;
  readonly headers?: Record<string, string>;
  /** A text, or `length` bytes in pieces. */
  readonly body: string | { readonly length: number; readonly pieces: Iterable<Uint8Array> };
}

export type HttpHandler = (request: HttpRequest) => HttpResponse | Promise<HttpResponse>;

const REASONS: Record<number, string> = {
  200: "OK",
  400: "Bad Request",
  404: "Not Found",
  405: "Method Not Allowed",
  408: "Request Timeout",
  417: "Expectation Failed",
  431: "Request Header Fields Too Large",
  500: "Internal Server Error",
  501: "Not Implemented",
  505: "HTTP Version Not Supported",
};

const REQUEST_LINE = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([\x21-\x7e]+) HTTP\/([0-9])\.([0-9])$/;
const IDLE_MS = 60_000;
/** What of an unwanted body is read, and for how long, so that the peer gets around to reading the answer. */
const LINGER_BYTES = 16 * 1024 * 1024;
const LINGER_MS = 2_000;

/** Answers requests until either side has enough: HTTP/1.1 (RFC 9112) with keep-alive and pipelining. */
export async function serveHttp(connection: Connection, handler: HttpHandler): Promise<void> {
  connection.setNoDelay();
  const reader = new ByteReader(connection);
  try {
    while ((await isAsked(reader)) && (await answerOne(connection, reader, handler)));
  } catch (error) {
    if (error instanceof UnexpectedEnd) return;
    const refusal = refusalOf(error);
    if (refusal === null) throw error;
    await respond(connection, { status: refusal.status, body: `${refusal.message}\n` }, "GET", false);
    await linger(connection);
  }
}

/** Waits for the next request; `false` where there is none. */
async function isAsked(reader: ByteReader): Promise<boolean> {
  try {
    return await reader.hasMore({ timeout: IDLE_MS });
  } catch (error) {
    if (error instanceof StackError && error.code === "ETIMEDOUT") return false;
    throw error;
  }
}

/** Returns whether the connection is good for another request. */
async function answerOne(connection: Connection, reader: ByteReader, handler: HttpHandler): Promise<boolean> {
  const head = await readHead(reader, IDLE_MS);
  const { method, target, minor } = parseRequestLine(head);
  const { headers } = head;
  if (minor > 0 && (headers.get("host") ?? "").trim() === "") throw new HttpError(400, "there is no Host");
  const expectation = headers.get("expect")?.toLowerCase();
  if (expectation !== undefined && expectation !== "100-continue")
    throw new HttpError(417, "unknown expectation");
  const length = bodyLength(headers) ?? 0;
  const body = bodyOf(connection, reader, length, expectation !== undefined && minor > 0);
  const response = await handler({ method, target, headers, body, connection });
  const options = (headers.get("connection") ?? "").toLowerCase().split(/\s*,\s*/);
  const wanted = minor > 0 ? !options.includes("close") : options.includes("keep-alive");
  // A body that the handler left alone may be too long to be worth reading.
  const isRead = body.done || length === 0;
  await respond(connection, response, method, wanted && isRead);
  if (!isRead) await linger(connection);
  return wanted && isRead;
}

function parseRequestLine({ startLine }: Head): { method: string; target: string; minor: number } {
  const match = REQUEST_LINE.exec(startLine);
  if (match === null) throw new HttpError(400, "the request line is malformed");
  const [, method, target, major, minor] = match;
  if (major !== "1") throw new HttpError(505, "this server speaks HTTP/1.1");
  return { method, target, minor: Number(minor) };
}

/** A body that asks for itself when somebody starts to read it: RFC 9110 10.1.1. */
function bodyOf(connection: Connection, reader: ByteReader, length: number | "chunked", expected: boolean) {
  return {
    done: false,
    async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, void> {
      if (expected) await connection.write("HTTP/1.1 100 Continue\r\n\r\n");
      yield* readBody(reader, length, IDLE_MS);
      this.done = true;
    },
  };
}

async function respond(
  connection: Connection,
  response: HttpResponse,
  method: string,
  keepAlive: boolean,
): Promise<void> {
  const { status, headers = {}, body } = response;
  const bytes = typeof body === "string" ? Buffer.from(body) : null;
  const fields: Record<string, string> = {
    Date: new Date().toUTCString(),
    "Content-Type": "text/plain; charset=utf-8",
    ...headers,
    "Content-Length": String(bytes === null ? body.length : bytes.length),
    Connection: keepAlive ? "keep-alive" : "close",
  };
  const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`);
  const head = Buffer.from(`HTTP/1.1 ${status} ${REASONS[status] ?? ""}\r\n${lines.join("")}\r\n`);
  if (method === "HEAD") return connection.write(head);
  // In one write, so that a small page takes one segment.
  if (bytes !== null) return connection.write(Buffer.concat([head, bytes]));
  await connection.write(head);
  if (typeof body === "string") return;
  for (const piece of body.pieces) await connection.write(piece, { timeout: IDLE_MS });
}

/** The answer to a request that failed, or `null` where the connection did. */
function refusalOf(error: unknown): { status: number; message: string } | null {
  if (error instanceof HttpError) return error;
  if (!(error instanceof StackError)) return { status: 500, message: "the server has a problem" };
  return error.code === "ETIMEDOUT" ? { status: 408, message: "nothing came for too long" } : null;
}

/** Ends our side, and reads on for a while: a reset in the middle of a request would take the answer with it. */
async function linger(connection: Connection): Promise<void> {
  void connection.shutdown();
  const signal = AbortSignal.timeout(LINGER_MS);
  const buffer = new Uint8Array(64 * 1024);
  for (let left = LINGER_BYTES; left > 0; ) {
    const count = await connection.readInto(buffer, { signal }).catch(() => 0);
    if (count === 0) return;
    left -= count;
  }
}
