import { describe, expect, test } from "bun:test";
import type { Connection } from "../../src/index.ts";
import { codeOf } from "../support/errors.ts";
import { failure, NOBODY, Pair, SERVER, settle, text } from "./pair.ts";

describe("listen", () => {
  test("refuses what can't be, when it is called", async () => {
    await using pair = await Pair.open();
    const listener = pair.server.listen({ port: 80 });
    expect([listener.port, listener.address]).toEqual([80, "0.0.0.0"]);
    expect(codeOf(() => pair.server.listen({ port: 80 }))).toBe("EADDRINUSE");
    expect(codeOf(() => pair.server.listen({ port: 81, address: NOBODY }))).toBe("EADDRNOTAVAIL");
    expect(codeOf(() => pair.server.listen({ port: 70_000 }))).toBe("EINVAL");
    listener.close();
    listener.close();
    pair.server.listen({ port: 80 }).close();
  });

  test("yields connections until it is closed", async () => {
    await using pair = await Pair.open();
    const listener = pair.server.listen({ port: 7 });
    const ports: number[] = [];
    const serving = (async () => {
      for await (const connection of listener) ports.push(connection.remotePort);
    })();
    const connections = await Promise.all(
      Array.from({ length: 5 }, () => pair.client.connect({ address: SERVER, port: 7 })),
    );
    await settle(pair);
    listener.close();
    await serving;
    expect(ports.sort()).toEqual(connections.map((connection) => connection.localPort).sort());
    expect(await failure(pair.client.connect({ address: SERVER, port: 7 }))).toBe("ECONNREFUSED");
  });

  test("leaving the loop closes it, and connections live on", async () => {
    await using pair = await Pair.open();
    const listener = pair.server.listen({ port: 7 });
    const connecting = pair.client.connect({ address: SERVER, port: 7 });
    let far: Connection | null = null;
    for await (const connection of listener) {
      far = connection;
      break;
    }
    const near = await connecting;
    expect(await failure(pair.client.connect({ address: SERVER, port: 7 }))).toBe("ECONNREFUSED");
    await near.write("still here");
    expect(text((await far?.read()) ?? null)).toBe("still here");
  });

  test("accept gives connections in order, and ends with the listener", async () => {
    await using pair = await Pair.open();
    const listener = pair.server.listen({ port: 7 });
    const accepts = [listener.accept(), listener.accept(), listener.accept()];
    const first = await pair.client.connect({ address: SERVER, port: 7 });
    const second = await pair.client.connect({ address: SERVER, port: 7 });
    expect((await accepts[0]).remotePort).toBe(first.localPort);
    expect((await accepts[1]).remotePort).toBe(second.localPort);
    listener.close();
    expect(await failure(accepts[2])).toBe("ECANCELED");
    expect(await failure(listener.accept())).toBe("ECANCELED");
  });

  test("accept honours time and signal, and loses no connection", async () => {
    await using pair = await Pair.open();
    const listener = pair.server.listen({ port: 7 });
    expect(await failure(listener.accept({ timeout: 5 }))).toBe("ETIMEDOUT");
    const controller = new AbortController();
    const aborted = listener.accept({ signal: controller.signal });
    controller.abort();
    expect(await failure(aborted)).toBe("AbortError");
    const near = await pair.client.connect({ address: SERVER, port: 7 });
    expect((await listener.accept()).remotePort).toBe(near.localPort);
  });

  test("what came before the accept is there after it", async () => {
    await using pair = await Pair.open();
    const listener = pair.server.listen({ port: 7 });
    const near = await pair.client.connect({ address: SERVER, port: 7 });
    await near.write("early");
    void near.shutdown();
    await settle(pair);
    const far = await listener.accept();
    expect(text(await far.read())).toBe("early");
    expect(await far.read()).toBeNull();
  });

  test("closing it resets who was not accepted", async () => {
    await using pair = await Pair.open();
    const listener = pair.server.listen({ port: 7 });
    const near = await pair.client.connect({ address: SERVER, port: 7 });
    await settle(pair);
    listener.close();
    expect(await failure(near.read())).toBe("ECONNRESET");
  });

  test("the backlog bounds who waits", async () => {
    await using pair = await Pair.open();
    const listener = pair.server.listen({ port: 7, backlog: 2 });
    const connect = () => pair.client.connect({ address: SERVER, port: 7, timeout: 30 });
    await Promise.all([connect(), connect()]);
    await settle(pair);
    expect(await failure(connect())).toBe("ETIMEDOUT");
    expect(pair.server.stats.tcpListenOverflow).toBeGreaterThan(0);
    listener.close();
  });

  test("its signal closes it", async () => {
    await using pair = await Pair.open();
    const controller = new AbortController();
    const listener = pair.server.listen({ port: 7, signal: controller.signal });
    const accepting = listener.accept();
    controller.abort();
    expect(await failure(accepting)).toBe("ECANCELED");
    expect(() => pair.server.listen({ port: 7, signal: AbortSignal.abort() })).toThrow("abort");
    pair.server.listen({ port: 7 }).close();
  });
});
