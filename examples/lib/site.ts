import { createHash } from "node:crypto";
import type { Connection } from "../../src/index.ts";
import { HttpError } from "./http-message.ts";
import type { HttpHandler, HttpRequest, HttpResponse } from "./http-server.ts";

/** The example server's pages. */

const ALLOWED: Record<string, readonly string[]> = {
  page: ["GET", "HEAD"],
  bytes: ["GET", "HEAD"],
  upload: ["POST", "PUT"],
};
const PIECE = 256 * 1024;

/** @param device what the page says that the connection came over */
export function site(device: string): HttpHandler {
  return (request) => {
    const path = request.target.replace(/^http:\/\/[^/]*/i, "").split("?")[0];
    const bytes = /^\/bytes\/([0-9]{1,15})$/.exec(path);
    if (bytes !== null) return allow("bytes", request) ?? sendBytes(Number(bytes[1]));
    if (path === "/upload") return allow("upload", request) ?? takeUpload(request);
    if (path === "/" || path === "") return allow("page", request) ?? showPage(request.connection, device);
    return { status: 404, body: "There is no such page: try /, /bytes/1000 or a POST to /upload.\n" };
  };
}

function allow(page: string, { method }: HttpRequest): HttpResponse | null {
  const methods = ALLOWED[page];
  if (methods.includes(method)) return null;
  return {
    status: 405,
    headers: { Allow: methods.join(", ") },
    body: `Allowed is ${methods.join(" and ")}.\n`,
  };
}

function showPage(connection: Connection, device: string): HttpResponse {
  const info = connection.info();
  const rows = [
    ["You", `${connection.remoteAddress} port ${connection.remotePort}`],
    ["This server", `${connection.localAddress} port ${connection.localPort}`],
    ["State", connection.state],
    ["Round-trip time", formatMs(info.srttMs)],
    ["Congestion window", `${info.cwnd} bytes`],
    ["Segment size", `${info.mss} bytes`],
    ["Device", device],
  ];
  const table = rows.map(([name, value]) => `<tr><th>${name}<td>${escapeHtml(value)}\n`).join("");
  return {
    status: 200,
    headers: { "Content-Type": "text/html; charset=utf-8" },
    body: `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>tapwire</title>
<style>body{font:16px system-ui;margin:3em auto;max-width:40em}th{text-align:left;padding-right:2em}</style>
<h1>It works</h1>
<p>This page came through a TCP/IP stack written in TypeScript. This is the connection it came on:
<table>
${table}</table>
`,
  };
}

function formatMs(ms: number | null): string {
  if (ms === null) return "not measured yet";
  return ms < 0.01 ? "below 0.01 ms" : `${ms.toFixed(2)} ms`;
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);
}

function sendBytes(length: number): HttpResponse {
  const headers = { "Content-Type": "application/octet-stream" };
  return { status: 200, headers, body: { length, pieces: noise(length) } };
}

/** The same `length` bytes each time, of which no part looks like another. */
function* noise(length: number): Generator<Uint8Array, void, void> {
  const words = new Uint32Array(PIECE / 4);
  const bytes = new Uint8Array(words.buffer);
  let state = 0x2545f491;
  for (let left = length; left > 0; left -= PIECE) {
    state = fillWithNoise(words, state);
    yield left < PIECE ? bytes.subarray(0, left) : bytes;
  }
}

/** Xorshift32, from `state` on; returns the state to go on from. */
function fillWithNoise(words: Uint32Array, state: number): number {
  let x = state;
  for (let i = 0; i < words.length; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    words[i] = x;
  }
  return x;
}

async function takeUpload(request: HttpRequest): Promise<HttpResponse> {
  if (request.headers.get("content-encoding") !== null)
    throw new HttpError(400, "send the bytes as they are");
  const hash = createHash("sha256");
  let bytes = 0;
  for await (const piece of request.body) {
    hash.update(piece);
    bytes += piece.length;
  }
  const body = `${JSON.stringify({ bytes, sha256: hash.digest("hex") })}\n`;
  return { status: 200, headers: { "Content-Type": "application/json" }, body };
}
