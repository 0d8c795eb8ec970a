import { describe, expect, test } from "bun:test";
import {
  CLIENT,
  failure,
  Pair,
  pattern,
  readAll,
  SERVER,
  settle,
  sha256,
  text,
  turn,
  until,
} from "./pair.ts";

const SMALL = { tcp: { sendBuffer: 32 * 1024, receiveBuffer: 32 * 1024 } };

describe("reading and writing", () => {
  test("what one end writes the other one reads", async () => {
    await using pair = await Pair.open();
    const { near, far } = await pair.connect();
    await near.write("hello");
    expect(text(await far.read())).toBe("hello");
    await far.write(new Uint8Array([1, 2, 3]));
    const buffer = new Uint8Array(2);
    expect(await near.readInto(buffer)).toBe(2);
    expect(await near.readInto(buffer)).toBe(1);
    expect(buffer).toEqual(new Uint8Array([3, 2]));
    expect([near.bytesWritten, near.bytesRead, far.bytesWritten, far.bytesRead]).toEqual([5, 3, 3, 5]);
  });

  test("both ends know each other's addresses, in node's spelling", async () => {
    await using pair = await Pair.open();
    const { near, far } = await pair.connect(4001);
    expect([near.remoteAddress, near.remotePort, near.localAddress]).toEqual([SERVER, 4001, CLIENT]);
    expect([far.localAddress, far.localPort, far.remoteAddress]).toEqual([SERVER, 4001, CLIENT]);
    expect(far.remotePort).toBe(near.localPort);
    expect(near.state).toBe("ESTABLISHED");
    await settle(pair);
    const { state, srttMs, cwnd, mss } = near.info();
    expect(state).toBe("ESTABLISHED");
    expect(srttMs).toBeGreaterThanOrEqual(0);
    expect(cwnd).toBeGreaterThan(mss);
  });

  test("a chunk has at most 64 KiB, and nothing is lost between chunks", async () => {
    await using pair = await Pair.open();
    const { near, far } = await pair.connect();
    const sent = pattern(200_000);
    const writing = near.write(sent);
    await settle(pair);
    const first = await far.read();
    expect(first?.length).toBe(64 * 1024);
    void writing.then(() => near.shutdown());
    expect(sha256(Buffer.concat([first!, await readAll(far)]))).toBe(sha256(sent));
  });

  test("reads that wait get large pieces as they come, whatever their own size", async () => {
    await using pair = await Pair.open({}, { offload: true });
    const { near, far } = await pair.connect();
    await near.write("a");
    expect(text(await far.read())).toBe("a");
    const sent = pattern(1_000_000);
    const chunks: Uint8Array[] = [];
    const reading = (async () => {
      for (const size of [10_000, 20_000, 200_000]) {
        const buffer = new Uint8Array(size);
        const waiting = [far.readInto(buffer), far.read()];
        chunks.push(buffer.subarray(0, (await waiting[0]) as number), (await waiting[1]) as Uint8Array);
        await settle(pair);
      }
      chunks.push(await readAll(far));
    })();
    await near.write(sent);
    await Promise.all([reading, near.shutdown()]);
    expect(Math.max(...chunks.slice(0, -1).map(({ length }) => length))).toBeGreaterThan(16 * 1024);
    expect(sha256(Buffer.concat(chunks))).toBe(sha256(sent));
    expect([near.bytesWritten, far.bytesRead]).toEqual([1_000_001, 1_000_001]);
  });

  test("reads that overlap get their bytes in the order of the calls", async () => {
    await using pair = await Pair.open();
    const { near, far } = await pair.connect();
    const two = new Uint8Array(2);
    const reads = [far.readInto(two), far.read(), far.read()];
    await near.write("abcdef");
    expect(await reads[0]).toBe(2);
    expect(text(two)).toBe("ab");
    expect(text((await reads[1]) as Uint8Array)).toBe("cdef");
    await near.write("g");
    expect(text((await reads[2]) as Uint8Array)).toBe("g");
  });

  test("writes that overlap are sent in the order of the calls", async () => {
    await using pair = await Pair.open(SMALL);
    const { near, far } = await pair.connect();
    const parts = [1, 2, 3, 4, 5].map((seed) => pattern(50_000, seed));
    const writes = parts.map((part) => near.write(part));
    void Promise.all(writes).then(() => near.shutdown());
    expect(sha256(await readAll(far))).toBe(sha256(Buffer.concat(parts)));
  });

  test("an empty buffer is refused, and an empty write is nothing", async () => {
    await using pair = await Pair.open();
    const { near, far } = await pair.connect();
    expect(await failure(far.readInto(new Uint8Array(0)))).toBe("EINVAL");
    await near.write("");
    await near.write("x");
    expect(text(await far.read())).toBe("x");
  });
});

describe("back-pressure", () => {
  test("a write resolves only when the reader reads, and memory stays bounded", async () => {
    await using pair = await Pair.open(SMALL);
    const { near, far } = await pair.connect();
    let done = false;
    const writing = near.write(pattern(1_000_000)).then(() => {
      done = true;
    });
    await settle(pair);
    expect(done).toBe(false);
    // Both buffers are full, and nothing else is anywhere.
    expect(near.bytesWritten).toBeLessThanOrEqual(64 * 1024);
    expect(near.bytesWritten).toBeGreaterThan(48 * 1024);
    await settle(pair);
    expect(near.bytesWritten).toBeLessThanOrEqual(64 * 1024);
    const buffer = new Uint8Array(100_000);
    let received = 0;
    while (!done) received += await far.readInto(buffer);
    await writing;
    while (received < 1_000_000) received += await far.readInto(buffer);
    expect(near.bytesWritten).toBe(1_000_000);
  });

  test("a write with room resolves without a turn of the event loop", async () => {
    await using pair = await Pair.open();
    const { near } = await pair.connect();
    const { polls } = pair.client;
    for (let i = 0; i < 100; i++) await near.write("x");
    expect(pair.client.polls).toBe(polls);
  });
});

describe("half-close", () => {
  test("the end of one direction leaves the other one open", async () => {
    await using pair = await Pair.open();
    const { near, far } = await pair.connect();
    await near.write("question");
    await near.shutdown();
    expect(near.state).toBe("FIN_WAIT_2");
    expect(text(await far.read())).toBe("question");
    expect(await far.read()).toBeNull();
    expect(await far.read()).toBeNull();
    expect(far.state).toBe("CLOSE_WAIT");
    await far.write("answer");
    expect(text(await near.read())).toBe("answer");
    await far.shutdown();
    expect(await near.readInto(new Uint8Array(1))).toBe(0);
    await Promise.all([near.closed, far.closed]);
    expect([near.error, far.error]).toEqual([null, null]);
  });

  test("shutdown waits for the writes before it", async () => {
    await using pair = await Pair.open(SMALL);
    const { near, far } = await pair.connect();
    const sent = pattern(300_000);
    void near.write(sent);
    const ended = near.shutdown();
    expect(await failure(near.write("late"))).toBe("EPIPE");
    expect(sha256(await readAll(far))).toBe(sha256(sent));
    await ended;
  });

  test("what arrived before an orderly end can be read after it", async () => {
    await using pair = await Pair.open();
    const { near, far } = await pair.connect();
    void near.write("last words");
    await near.close();
    void far.shutdown();
    await Promise.all([near.closed, far.closed]);
    expect(far.state).toBe("CLOSED");
    expect(text(await far.read())).toBe("last words");
    expect(await far.read()).toBeNull();
    await far.close();
  });
});

describe("close", () => {
  test("resolves when everything has been delivered", async () => {
    await using pair = await Pair.open(SMALL);
    const { near, far } = await pair.connect();
    const sent = pattern(200_000);
    void near.write(sent);
    let closed = false;
    const closing = near.close().then(() => {
      closed = true;
    });
    await settle(pair);
    expect(closed).toBe(false);
    expect(sha256(await readAll(far))).toBe(sha256(sent));
    await closing;
    await far.close();
    await near.closed;
    expect([near.error, far.error]).toEqual([null, null]);
    expect(pair.client.stats.tcpResetsSent + pair.server.stats.tcpResetsSent).toBe(0);
  });

  test("ends reads that wait, and later ones, with ECANCELED", async () => {
    await using pair = await Pair.open();
    const { near } = await pair.connect();
    const read = failure(near.read());
    await near.close();
    expect(await read).toBe("ECANCELED");
    expect(await failure(near.read())).toBe("ECANCELED");
    expect(await failure(near.write("x"))).toBe("EPIPE");
    await near.close();
  });

  test("with bytes that nobody read the peer is reset, but not before it has everything", async () => {
    await using pair = await Pair.open();
    const { near, far } = await pair.connect();
    await far.write("never read");
    await settle(pair);
    const sent = pattern(100_000);
    await near.write(sent);
    const reading = readAll(far).catch(() => null);
    await near.close();
    await far.closed;
    expect(far.error?.code).toBe("ECONNRESET");
    expect(far.bytesRead).toBe(100_000);
    expect(near.error).toBeNull();
    await reading;
  });

  test("gives a peer up that acknowledges nothing for too long", async () => {
    await using pair = await Pair.open();
    const { near } = await pair.connect();
    pair.devices[0].close();
    await near.write("into the void");
    expect(await failure(near.close({ timeout: 30 }))).toBe("ETIMEDOUT");
    expect([near.error?.code, near.bytesUnacknowledged]).toEqual(["ETIMEDOUT", 13]);
  });

  test("await using closes", async () => {
    await using pair = await Pair.open();
    const { near, far } = await pair.connect();
    {
      await using connection = near;
      await connection.write("x");
    }
    expect(text(await far.read())).toBe("x");
    expect(await far.read()).toBeNull();
    await far.close();
    await near.closed;
  });
});

describe("abort and reset", () => {
  test("abort ends everything at once, and the peer is reset", async () => {
    await using pair = await Pair.open(SMALL);
    const { near, far } = await pair.connect();
    const read = near.read();
    const write = near.write(pattern(500_000));
    const shutdown = near.shutdown();
    const reason = new Error("changed my mind");
    near.abort(reason);
    expect(await failure(read)).toBe("ECONNABORTED");
    expect(await failure(write)).toBe("ECONNABORTED");
    expect(await failure(shutdown)).toBe("ECONNABORTED");
    expect(near.error?.cause).toBe(reason);
    await near.closed;
    await far.closed;
    expect(await failure(far.read())).toBe("ECONNRESET");
    expect(await failure(far.write("x"))).toBe("ECONNRESET");
    expect(await failure(far.shutdown())).toBe("ECONNRESET");
    await far.close();
    expect(far.error?.code).toBe("ECONNRESET");
  });

  test("a read that waits learns of a reset", async () => {
    await using pair = await Pair.open();
    const { near, far } = await pair.connect();
    const reads = [failure(far.read()), failure(far.read())];
    near.abort();
    expect(await Promise.all(reads)).toEqual(["ECONNRESET", "ECONNRESET"]);
  });

  test("nobody has to look at the rejections of write and shutdown", async () => {
    await using pair = await Pair.open(SMALL);
    const { near, far } = await pair.connect();
    void near.write(pattern(500_000));
    void near.shutdown();
    far.abort();
    await near.closed;
    void near.write("x");
    await turn();
    expect(near.error?.code).toBe("ECONNRESET");
  });
});

describe("signals and timeouts", () => {
  test("a read that times out takes nothing, and the connection goes on", async () => {
    await using pair = await Pair.open();
    const { near, far } = await pair.connect();
    expect(await failure(far.read({ timeout: 5 }))).toBe("ETIMEDOUT");
    expect(await failure(far.readInto(new Uint8Array(9), { timeout: 0 }))).toBe("ETIMEDOUT");
    await near.write("here I am");
    expect(text(await far.read({ timeout: 1_000 }))).toBe("here I am");
  });

  test("a read that is aborted rejects with the reason, and the next one gets the bytes", async () => {
    await using pair = await Pair.open();
    const { near, far } = await pair.connect();
    const controller = new AbortController();
    const first = far.read({ signal: controller.signal });
    const second = far.read();
    controller.abort();
    expect(await failure(first)).toBe("AbortError");
    await near.write("x");
    expect(text(await second)).toBe("x");
    const reason = new RangeError("mine");
    expect(await failure(far.read({ signal: AbortSignal.abort(reason) }))).toBe("RangeError");
  });

  test("a write that times out says how much went, and the connection goes on", async () => {
    await using pair = await Pair.open(SMALL);
    const { near, far } = await pair.connect();
    const sent = pattern(200_000);
    expect(await failure(near.write(sent, { timeout: 10 }))).toBe("ETIMEDOUT");
    const rest = sent.subarray(near.bytesWritten);
    expect(rest.length).toBeGreaterThan(100_000);
    void near.write(rest);
    void near.shutdown();
    expect(sha256(await readAll(far))).toBe(sha256(sent));
  });

  test("a write that gives up lets the ones behind it go on, and the FIN", async () => {
    await using pair = await Pair.open(SMALL);
    const { near, far } = await pair.connect();
    const controller = new AbortController();
    const first = near.write(pattern(200_000), { signal: controller.signal });
    await settle(pair);
    const second = near.write("tail");
    const ended = near.shutdown();
    controller.abort();
    expect(await failure(first)).toBe("AbortError");
    const taken = near.bytesWritten;
    const received = await readAll(far);
    await Promise.all([second, ended]);
    expect(received.length).toBe(taken + 4);
    expect(received.subarray(taken).toString()).toBe("tail");
  });

  test("nonsense is refused", async () => {
    await using pair = await Pair.open();
    const { near } = await pair.connect();
    expect(await failure(near.read({ timeout: -1 }))).toBe("EINVAL");
    expect(await failure(near.write("x", { timeout: Number.NaN }))).toBe("EINVAL");
  });
});

test("keep-alive finds out that the peer is gone", async () => {
  await using pair = await Pair.open({ tcp: { keepAliveIntervalMs: 5, keepAliveProbes: 2 } });
  const { near, far } = await pair.connect();
  pair.devices[0].close();
  near.setKeepAlive(true, 10);
  expect(await failure(near.read())).toBe("ETIMEDOUT");
  expect(pair.client.stats.tcpKeepAlives).toBe(2);
  far.abort();
});

test("without Nagle's algorithm small writes leave at once", async () => {
  await using pair = await Pair.open({ tcp: { delayedAckMs: 400 } });
  const { near, far } = await pair.connect();
  near.setNoDelay();
  await near.write("a");
  await settle(pair);
  await near.write("b");
  await until(() => far.info().bytesReceived === 2, 300);
  expect(text(await far.read())).toBe("ab");
});
