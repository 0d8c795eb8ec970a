import { type Connection, parseAddress, StackError } from "../../src/index.ts";
import { ByteReader, UnexpectedEnd } from "./byte-reader.ts";
import { Failure } from "./command.ts";
import { bodyLength, type Head, HttpError, readBody, readHead } from "./http-message.ts";

export interface Target {
  readonly url: URL;
  readonly address: string;
  readonly port: number;
}

export interface HttpReply {
  readonly head: Head;
  readonly status: number;
  /** The body in pieces, each valid until the next one. */
  readonly body: AsyncIterable<Uint8Array>;
}

/** @throws Failure with one of curl's exit codes */
export function parseTarget(text: string): Target {
  const url = URL.parse(text.includes("://") ? text : `http://${text}`);
  if (url === null) throw new Failure(`"${text}" is no URL: write one like http://192.168.69.100/.`, 3);
  if (url.protocol !== "http:") throw new Failure(`${url.protocol}// is not spoken here, only http://.`, 1);
  const address = url.hostname.replace(/^\[|\]$/g, "");
  try {
    parseAddress(address);
  } catch {
    throw new Failure(`"${address}" is a name, and names are not looked up: write an IP address.`, 6);
  }
  return { url, address, port: Number(url.port || 80) };
}

/**
 * Asks for a page with HTTP/1.1 (RFC 9112), on a connection that serves for nothing else.
 *
 * @param headers more header fields, which may replace the usual ones
 * @throws HttpError where the reply is none, UnexpectedEnd, and what the connection throws
 */
export async function fetchPage(connection: Connection, url: URL, headers: Headers): Promise<HttpReply> {
  const fields = new Headers({
    Host: url.host,
    "User-Agent": "tapwire",
    Accept: "*/*",
    Connection: "close",
  });
  for (const [name, value] of headers) fields.set(name, value);
  const lines = [...fields].map(([name, value]) => `${name}: ${value}\r\n`);
  await connection.write(`GET ${url.pathname}${url.search} HTTP/1.1\r\n${lines.join("")}\r\n`);
  const reader = new ByteReader(connection);
  for (;;) {
    const head = await readHead(reader);
    const match = /^HTTP\/1\.[01] ([1-9][0-9][0-9])( |$)/.exec(head.startLine);
    if (match === null) throw new HttpError(502, "what listens there does not speak HTTP");
    const status = Number(match[1]);
    // RFC 9110 15.2: the final answer follows.
    if (status < 200) continue;
    const isEmpty = status === 204 || status === 304;
    const length = isEmpty ? 0 : (bodyLength(head.headers) ?? Number.POSITIVE_INFINITY);
    return { head, status, body: readBody(reader, length) };
  }
}

/** What went wrong, with the exit code that curl has for it. */
export function failureOf(error: unknown, connection: Connection | null): unknown {
  if (error instanceof HttpError) return new Failure(`Strange answer: ${error.message}.`, 8);
  if (error instanceof UnexpectedEnd) {
    if (connection?.bytesRead === 0) return new Failure("The server closed without an answer.", 52);
    return new Failure(`Cut short: ${error.message}.`, 18);
  }
  if (error instanceof DOMException) return new Failure("It took longer than --max-time allows.", 28);
  if (!(error instanceof StackError)) return error;
  const code = connection === null ? 7 : 56;
  return new Failure(`${error.message}.`, error.code === "ETIMEDOUT" ? 28 : code);
}
