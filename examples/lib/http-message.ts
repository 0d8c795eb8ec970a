import { type ByteReader, TooLong } from "./byte-reader.ts";

/** What server and client share of HTTP/1.1: RFC 9112. */

/** A message that can't be understood, or can't be served; `status` is the answer to it. */
export class HttpError extends Error {
  override readonly name = "HttpError";
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** Start line and header fields of a message. */
export interface Head {
  readonly startLine: string;
  readonly headers: Headers;
  /** All of it as it came. */
  readonly text: string;
}

const LARGEST_HEAD = 16 * 1024;
const LONGEST_CHUNK_LINE = 1024;
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

/** @throws HttpError 400 or 431, and what reading throws */
export async function readHead(reader: ByteReader, timeout?: number): Promise<Head> {
  const text = await limited(
    reader.through("\r\n\r\n", LARGEST_HEAD, { timeout }),
    431,
    "the header is too large",
  );
  // RFC 9112 2.2: empty lines before a request are passed over.
  const [startLine, ...lines] = text
    .replace(/^(\r\n)+/, "")
    .slice(0, -4)
    .split("\r\n");
  const headers = new Headers();
  for (const line of lines) {
    const colon = line.indexOf(":");
    const name = line.slice(0, Math.max(colon, 0));
    // Control characters, folded lines, and spaces before the colon: RFC 9112 5.1 and 5.2.
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
    if (!TOKEN.test(name) || /[\x00-\x08\x0a-\x1f\x7f]/.test(line)) {
      throw new HttpError(400, "a header field is malformed");
    }
    headers.append(name, line.slice(colon + 1).trim());
  }
  return { startLine, headers, text };
}

/**
 * How many bytes the body has: RFC 9112 6.3. "chunked" says so itself; `null` where the message does not say.
 *
 * @throws HttpError 400 or 501
 */
export function bodyLength(headers: Headers): number | "chunked" | null {
  const coding = headers.get("transfer-encoding");
  const length = headers.get("content-length");
  if (coding !== null) {
    if (length !== null)
      throw new HttpError(400, "Transfer-Encoding and Content-Length contradict each other");
    if (coding.toLowerCase() !== "chunked") throw new HttpError(501, `transfer coding ${coding} is unknown`);
    return "chunked";
  }
  if (length === null) return null;
  if (!/^[0-9]{1,15}$/.test(length)) throw new HttpError(400, "Content-Length is no number");
  return Number(length);
}

/** The body in pieces, each valid until the next one. */
export function readBody(
  reader: ByteReader,
  length: number | "chunked",
  timeout?: number,
): AsyncGenerator<Uint8Array, void, void> {
  return length === "chunked" ? readChunks(reader, timeout) : reader.take(length, { timeout });
}

/** RFC 9112 7.1; extensions and trailers are passed over. */
async function* readChunks(reader: ByteReader, timeout?: number): AsyncGenerator<Uint8Array, void, void> {
  const readLine = () =>
    limited(
      reader.through("\r\n", LONGEST_CHUNK_LINE, { timeout }),
      400,
      "a line of a chunked body is too long",
    );
  for (;;) {
    const size = /^([0-9a-f]{1,12})[ \t]*(;.*)?\r\n$/i.exec(await readLine());
    if (size === null) throw new HttpError(400, "the size of a chunk is malformed");
    const length = Number.parseInt(size[1], 16);
    if (length === 0) break;
    yield* reader.take(length, { timeout });
    if ((await readLine()) !== "\r\n") throw new HttpError(400, "a chunk is longer than it says");
  }
  while ((await readLine()) !== "\r\n");
}

async function limited(text: Promise<string>, status: number, message: string): Promise<string> {
  try {
    return await text;
  } catch (error) {
    throw error instanceof TooLong ? new HttpError(status, message) : error;
  }
}
