import { describe, expect, test } from "bun:test";
import { memoryPair } from "../../devices/index.ts";
import { open } from "../../src/index.ts";
import { failure, NOBODY, Pair, pattern, readAll, SERVER, settle, sha256, until } from "./pair.ts";

describe("open", () => {
  test("refuses bad options, and closes the device", async () => {
    const [device] = memoryPair();
    let closed = 0;
    const watched = Object.create(device, { close: { value: () => closed++ } });
    expect(await failure(open({ device: watched, addresses: ["10.0.0.300/24"] }))).toBe("EINVAL");
    expect(await failure(open({ device: watched, addresses: ["10.0.0.1/24"], maxSockets: 0 }))).toBe(
      "EINVAL",
    );
    expect(closed).toBe(2);
  });

  test("a host knows its addresses and counts", async () => {
    const [device] = memoryPair();
    await using host = await open({ device, addresses: ["10.0.0.1/24", "10.1.0.1/16"] });
    expect(host.addresses).toEqual(["10.0.0.1", "10.1.0.1"]);
    expect(host.stats.framesReceived).toBe(0);
    expect(host.stack.stats).toBe(host.stats);
  });
});

describe("the pump", () => {
  test("an idle host does not poll", async () => {
    await using pair = await Pair.open({ tcp: { delayedAckMs: 5 } });
    const { near, far } = await pair.connect();
    await near.write("x");
    await far.read();
    await settle(pair);
    // The last delayed ACK and a timer that was set for a retransmission may come; then there is nothing.
    await new Promise((resolve) => setTimeout(resolve, 250));
    const before = pair.server.polls + pair.client.polls;
    await new Promise((resolve) => setTimeout(resolve, 150));
    expect(pair.server.polls + pair.client.polls - before).toBe(0);
  });

  test("timers fire although nothing else happens", async () => {
    await using pair = await Pair.open({ tcp: { delayedAckMs: 20 } });
    const { near, far } = await pair.connect();
    await settle(pair);
    await near.write("x");
    await until(() => far.info().bytesReceived === 1);
    expect(near.info().flightSize).toBe(1);
    await until(() => near.info().flightSize === 0, 200);
  });

  test("two busy hosts leave the event loop to others", async () => {
    await using pair = await Pair.open();
    const { near, far } = await pair.connect();
    let isBusy = true;
    const writing = (async () => {
      const chunk = pattern(64 * 1024);
      while (isBusy) await near.write(chunk);
      await near.shutdown();
    })();
    const reading = readAll(far);
    const started = performance.now();
    for (let i = 0; i < 5; i++) await new Promise((resolve) => setTimeout(resolve, 2));
    isBusy = false;
    expect(performance.now() - started).toBeLessThan(500);
    await Promise.all([writing, reading]);
  });

  test("a handler that throws does not stop it", async () => {
    const script = `
      import { memoryPair } from "./devices/index.ts";
      import { open } from "./src/index.ts";
      const [a, b] = memoryPair();
      const server = await open({ device: a, addresses: ["10.0.0.1/24"] });
      const client = await open({ device: b, addresses: ["10.0.0.2/24"] });
      let uncaught = 0;
      process.on("uncaughtException", () => uncaught++);
      server.stack.sockets.listen({ port: 1 }).handler = () => { throw new Error("a bug of the program"); };
      const listener = server.listen({ port: 2 });
      await client.connect({ address: "10.0.0.1", port: 1 });
      const [near, far] = await Promise.all([client.connect({ address: "10.0.0.1", port: 2 }), listener.accept()]);
      await near.write("x");
      await far.read();
      console.log("uncaught", uncaught);
      process.exit(0);`;
    const { stdout } = Bun.spawnSync([process.execPath, "-e", script], { cwd: `${import.meta.dir}/../..` });
    expect(stdout.toString()).toBe("uncaught 1\n");
  });
});

test("200 connections at once", async () => {
  await using pair = await Pair.open();
  const listener = pair.server.listen({ port: 7 });
  void (async () => {
    for await (const connection of listener) {
      connection.readable.pipeTo(connection.writable).catch(() => {});
    }
  })();
  const echoes = Array.from({ length: 200 }, async (_, i) => {
    const connection = await pair.client.connect({ address: SERVER, port: 7 });
    const sent = pattern(10_000 + i, i);
    const received = readAll(connection);
    await connection.write(sent);
    await connection.shutdown();
    return sha256(await received) === sha256(sent);
  });
  expect((await Promise.all(echoes)).every((same) => same)).toBe(true);
  await settle(pair);
  // Nothing is sent again but to ask who is slow to answer, which all are while this process is busy (RFC 8985 7).
  for (const { stats } of [pair.server, pair.client]) {
    expect(stats.tcpRetransmissions).toBeLessThanOrEqual(stats.tcpTailProbes);
    expect([stats.tcpTimeouts, stats.tcpFastRetransmissions]).toEqual([0, 0]);
  }
});

describe("close", () => {
  test("closes live connections, and the peers see an orderly end", async () => {
    await using pair = await Pair.open();
    const { near, far } = await pair.connect();
    await far.write("goodbye");
    const peer = readAll(near).finally(() => near.close());
    await pair.server.close();
    expect((await peer).toString()).toBe("goodbye");
    await near.closed;
    expect([near.error, far.error]).toEqual([null, null]);
    expect(pair.client.stats.tcpResetsReceived).toBe(0);
    await pair.server.close();
  });

  test("resets who does not close in time, and the resets leave", async () => {
    await using pair = await Pair.open();
    const first = await pair.connect(1);
    const second = await pair.connect(2);
    const started = performance.now();
    await pair.server.close({ timeout: 30 });
    expect(performance.now() - started).toBeLessThan(500);
    await Promise.all([first.near.closed, second.near.closed]);
    expect(first.near.error?.code).toBe("ECONNRESET");
    expect(second.near.error?.code).toBe("ECONNRESET");
    expect(first.far.isClosed).toBe(true);
  });

  test("a reset leaves also when the device was full", async () => {
    const [left, right] = memoryPair({ queueLength: 1 });
    const server = await open({ device: left, addresses: ["10.0.0.1/24"] });
    const client = await open({ device: right, addresses: ["10.0.0.2/24"] });
    const listener = server.listen({ port: 1 });
    const nears = [];
    for (let i = 0; i < 10; i++) {
      nears.push(await client.connect({ address: "10.0.0.1", port: 1 }));
      await listener.accept();
    }
    await server.close({ timeout: 0 });
    await Promise.all(nears.map((near) => near.closed));
    expect(nears.every((near) => near.error?.code === "ECONNRESET")).toBe(true);
    await client.close();
  });

  test("nothing that waits stays waiting", async () => {
    await using pair = await Pair.open();
    const { near, far } = await pair.connect();
    const endpoint = pair.client.udp();
    const listener = pair.client.listen({ port: 1 });
    const iterating = (async () => {
      for await (const _ of listener);
      return "ended";
    })();
    const waiting = [
      failure(near.read()),
      failure(near.write(pattern(2_000_000))),
      failure(near.shutdown()),
      failure(listener.accept()),
      failure(endpoint.receive()),
      failure(pair.client.connect({ address: NOBODY, port: 1 })),
    ];
    await settle(pair);
    await pair.client.close({ timeout: 10 });
    expect(await Promise.all(waiting)).toEqual([
      "ECANCELED",
      "ECONNABORTED",
      "ECONNABORTED",
      "ECANCELED",
      "ECANCELED",
      "ECANCELED",
    ]);
    expect(await iterating).toBe("ended");
    expect(() => pair.client.listen({ port: 2 })).toThrow("the host is closed");
    expect(() => pair.client.udp()).toThrow("the host is closed");
    expect(await failure(pair.client.connect({ address: SERVER, port: 1 }))).toBe("ENETDOWN");
    await far.closed;
  });

  test("does not hang when the device was closed before", async () => {
    await using pair = await Pair.open();
    const { near } = await pair.connect();
    const reading = failure(near.read());
    void near.write(pattern(100_000));
    pair.devices[1].close();
    pair.devices[0].close();
    await pair.client.close({ timeout: 10 });
    expect(await reading).toBe("ECANCELED");
    expect(near.isClosed).toBe(true);
  });

  test("an open host keeps the process running, a closed one or unref does not", () => {
    const run = (end: string, timeout: number) => {
      const script = `
        import { memoryPair } from "./devices/index.ts";
        import { open } from "./src/index.ts";
        const [device] = memoryPair();
        const host = await open({ device, addresses: ["10.0.0.1/24"] });
        host.listen({ port: 1 });
        ${end}`;
      const options = { cwd: `${import.meta.dir}/../..`, timeout };
      return Bun.spawnSync([process.execPath, "-e", script], options).exitCode;
    };
    expect(run("await host.close();", 5_000)).toBe(0);
    expect(run("host.unref();", 5_000)).toBe(0);
    expect(run("setTimeout(() => process.exit(5), 300).unref();", 700)).not.toBe(0);
  }, 15_000);
});
