import { describe, expect, test } from "bun:test";
import { Failure } from "../../examples/lib/command.ts";
import { failureOf, fetchPage, parseTarget } from "../../examples/lib/http-client.ts";
import { Pair, SERVER } from "../host/pair.ts";

/** Fetches from a server that sends `reply`, whatever it is asked, and closes. */
async function fetchFrom(reply: string): Promise<{ status: number; body: string; request: string } | number> {
  await using pair = await Pair.open();
  const listener = pair.server.listen({ port: 80 });
  const serving = listener.accept().then(async (far) => {
    const request = Buffer.from((await far.read()) ?? []).toString();
    await far.write(reply);
    await far.close();
    return request;
  });
  const connection = await pair.client.connect({ address: SERVER, port: 80 });
  try {
    const { status, body } = await fetchPage(
      connection,
      new URL(`http://${SERVER}/a?b`),
      new Headers({ X: "y" }),
    );
    let text = "";
    for await (const piece of body) text += Buffer.from(piece).toString("latin1");
    return { status, body: text, request: await serving };
  } catch (error) {
    const failure = failureOf(error, connection);
    return failure instanceof Failure ? failure.exitCode : -1;
  }
}

describe("the example's HTTP client", () => {
  test("asks as it should", async () => {
    const reply = await fetchFrom("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    if (typeof reply === "number") throw new Error(`failed with ${reply}`);
    expect(reply.request).toStartWith("GET /a?b HTTP/1.1\r\n");
    expect(reply.request.toLowerCase()).toContain(`\r\nhost: ${SERVER}\r\n`);
    expect(reply.request.toLowerCase()).toContain("\r\nx: y\r\n");
  });

  test("understands every way to end a body", async () => {
    const replies: [string, number, string][] = [
      ["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhellosurplus", 200, "hello"],
      ["HTTP/1.0 200 OK\r\n\r\nup to the end", 200, "up to the end"],
      ["HTTP/1.1 200\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\n2;x\r\nde\r\n0\r\n\r\n", 200, "abcde"],
      ["HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 No\r\nContent-Length: 1\r\n\r\n!", 404, "!"],
      ["HTTP/1.1 204 No Content\r\n\r\nnothing of this", 204, ""],
    ];
    for (const [reply, status, body] of replies)
      expect(await fetchFrom(reply)).toMatchObject({ status, body });
  });

  test("tells what is wrong by curl's exit codes", async () => {
    expect(await fetchFrom("")).toBe(52);
    expect(await fetchFrom("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel")).toBe(18);
    expect(await fetchFrom("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel")).toBe(18);
    expect(await fetchFrom("220 mail.example ESMTP\r\n\r\n")).toBe(8);
    expect(await fetchFrom(`HTTP/1.1 200 OK\r\nX: ${"x".repeat(20_000)}\r\n\r\n`)).toBe(8);
  });

  test("a URL without a scheme is http, and the port is 80 unless told", () => {
    expect(parseTarget("192.168.69.100/x")).toMatchObject({ address: "192.168.69.100", port: 80 });
    expect(parseTarget("http://192.168.69.100:8000/")).toMatchObject({ port: 8000 });
  });
});
