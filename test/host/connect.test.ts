import { describe, expect, test } from "bun:test";
import { CLIENT, failure, NOBODY, Pair, SERVER, settle } from "./pair.ts";

describe("connect", () => {
  test("to a port that nobody listens on is refused", async () => {
    await using pair = await Pair.open();
    expect(await failure(pair.client.connect({ address: SERVER, port: 9 }))).toBe("ECONNREFUSED");
  });

  test("to a host that is not there times out", async () => {
    await using pair = await Pair.open();
    expect(await failure(pair.client.connect({ address: NOBODY, port: 9, timeout: 5 }))).toBe("ETIMEDOUT");
    expect(pair.client.stack.sockets.size).toBe(1);
    await settle(pair);
    expect(pair.client.stack.sockets.size).toBe(0);
  });

  test("gives up by itself after the stack's own time", async () => {
    await using pair = await Pair.open({ tcp: { connectTimeoutMs: 30, initialRtoMs: 10 } });
    // The time before the attempt does not count.
    await new Promise((resolve) => setTimeout(resolve, 40));
    const started = performance.now();
    expect(await failure(pair.client.connect({ address: NOBODY, port: 9 }))).toBe("ETIMEDOUT");
    expect(performance.now() - started).toBeGreaterThan(29);
  });

  test("to another network, without a gateway, has no route", async () => {
    await using pair = await Pair.open();
    expect(await failure(pair.client.connect({ address: "10.9.0.1", port: 9 }))).toBe("ENETUNREACH");
  });

  test("to a name says what to do", async () => {
    await using pair = await Pair.open();
    const attempt = pair.client.connect({ address: "www.example.com", port: 80 });
    await expect(attempt).rejects.toThrow(/"www.example.com" looks like a name.*give an IP address/);
    expect(await failure(attempt)).toBe("EINVAL");
    expect(await failure(pair.client.connect({ address: "10.0.0.256", port: 80 }))).toBe("EINVAL");
    expect(await failure(pair.client.connect({ address: SERVER, port: 70_000 }))).toBe("EINVAL");
  });

  test("ends at once when its signal aborts", async () => {
    await using pair = await Pair.open();
    const controller = new AbortController();
    const attempt = pair.client.connect({ address: NOBODY, port: 9, signal: controller.signal });
    controller.abort();
    expect(await failure(attempt)).toBe("AbortError");
    await settle(pair);
    expect(pair.client.stack.sockets.size).toBe(0);
    const before = pair.client.connect({ address: NOBODY, port: 9, signal: AbortSignal.abort() });
    expect(await failure(before)).toBe("AbortError");
  });

  test("a signal that aborts later does nothing to the connection", async () => {
    await using pair = await Pair.open();
    const listener = pair.server.listen({ port: 5 });
    const controller = new AbortController();
    const near = await pair.client.connect({
      address: SERVER,
      port: 5,
      signal: controller.signal,
      timeout: 20,
    });
    controller.abort();
    const far = await listener.accept();
    await far.write("x");
    expect((await near.read())?.length).toBe(1);
  });

  test("from an address and a port of one's own choice", async () => {
    await using pair = await Pair.open();
    const listener = pair.server.listen({ port: 5 });
    const options = { address: SERVER, port: 5, localAddress: CLIENT, localPort: 1234 };
    const near = await pair.client.connect(options);
    expect([near.localAddress, near.localPort]).toEqual([CLIENT, 1234]);
    expect(await failure(pair.client.connect(options))).toBe("EADDRINUSE");
    expect(await failure(pair.client.connect({ ...options, localAddress: "10.0.0.3" }))).toBe(
      "EADDRNOTAVAIL",
    );
    listener.close();
  });

  test("a peer that resets in the middle is an error of the connection", async () => {
    await using pair = await Pair.open();
    const listener = pair.server.listen({ port: 5 });
    const accepted = listener.accept().then((far) => far.abort());
    const near = await pair.client.connect({ address: SERVER, port: 5 });
    await accepted;
    expect(await failure(near.read())).toBe("ECONNRESET");
  });
});
