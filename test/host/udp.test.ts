import { describe, expect, test } from "bun:test";
import { CLIENT, failure, Pair, SERVER, settle, text, until } from "./pair.ts";

const bytes = (words: string) => new TextEncoder().encode(words);

describe("udp", () => {
  test("a question and its answer", async () => {
    await using pair = await Pair.open();
    const server = pair.server.udp({ port: 7 });
    const client = pair.client.udp();
    await client.send(bytes("ping"), { address: SERVER, port: 7 });
    const question = await server.receive();
    expect(text(question.data)).toBe("ping");
    expect([question.address, question.port, question.localAddress]).toEqual([CLIENT, client.port, SERVER]);
    await server.send(bytes("pong"), question);
    expect(text((await client.receive()).data)).toBe("pong");
  });

  test("datagrams keep their borders, and an empty one is one", async () => {
    await using pair = await Pair.open();
    const server = pair.server.udp({ port: 7 });
    const client = pair.client.udp();
    for (const words of ["a", "", "bc"]) await client.send(bytes(words), { address: SERVER, port: 7 });
    const received = [await server.receive(), await server.receive(), await server.receive()];
    expect(received.map(({ data }) => text(data))).toEqual(["a", "", "bc"]);
  });

  test("iterating ends when the endpoint is closed", async () => {
    await using pair = await Pair.open();
    const server = pair.server.udp({ port: 7 });
    const received: (string | null)[] = [];
    const serving = (async () => {
      for await (const datagram of server) received.push(text(datagram.data));
    })();
    const client = pair.client.udp();
    await client.send(bytes("one"), { address: SERVER, port: 7 });
    await until(() => received.length === 1);
    server.close();
    await serving;
    expect(received).toEqual(["one"]);
    expect(await failure(server.receive())).toBe("ECANCELED");
    expect(await failure(server.send(bytes("x"), { address: CLIENT, port: 1 }))).toBe("ECANCELED");
  });

  test("a send waits for room in the queue", async () => {
    await using pair = await Pair.open();
    const server = pair.server.udp({ port: 7, buffers: { datagrams: 100, bytes: 100_000 } });
    const client = pair.client.udp({ buffers: { datagrams: 2, bytes: 10_000 } });
    let done = 0;
    const sends = Array.from({ length: 20 }, (_, i) =>
      client.send(new Uint8Array([i]), { address: SERVER, port: 7 }).then(() => done++),
    );
    await Promise.resolve();
    await Promise.resolve();
    expect(done).toBe(2);
    await Promise.all(sends);
    for (let i = 0; i < 20; i++) expect((await server.receive()).data[0]).toBe(i);
  });

  test("refuses what can't be sent", async () => {
    await using pair = await Pair.open();
    const client = pair.client.udp();
    const to = { address: SERVER, port: 7 };
    expect(await failure(client.send(new Uint8Array(2000), to))).toBe("EMSGSIZE");
    expect(await failure(client.send(bytes("x"), { ...to, port: 0 }))).toBe("EINVAL");
    expect(await failure(client.send(bytes("x"), { ...to, address: "10.9.9.9" }))).toBe("ENETUNREACH");
    expect(await failure(client.send(bytes("x"), { ...to, address: "nobody" }))).toBe("EINVAL");
    expect(() => pair.client.udp({ port: client.port })).toThrow(/in use/);
  });

  test("receive honours time and signal", async () => {
    await using pair = await Pair.open();
    const client = pair.client.udp();
    expect(await failure(client.receive({ timeout: 5 }))).toBe("ETIMEDOUT");
    expect(await failure(client.receive({ signal: AbortSignal.timeout(5) }))).toBe("TimeoutError");
    const controller = new AbortController();
    const other = pair.client.udp({ signal: controller.signal });
    const receiving = failure(other.receive());
    controller.abort();
    expect(await receiving).toBe("ECANCELED");
  });

  test("datagrams that nobody receives wait in a bounded queue", async () => {
    await using pair = await Pair.open();
    const server = pair.server.udp({ port: 7, buffers: { datagrams: 3, bytes: 1_000 } });
    const client = pair.client.udp();
    for (let i = 0; i < 5; i++) await client.send(new Uint8Array([i]), { address: SERVER, port: 7 });
    await settle(pair);
    expect(pair.server.stats.udpQueueFull).toBe(2);
    expect((await server.receive()).data[0]).toBe(0);
  });
});
