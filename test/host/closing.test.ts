import { describe, expect } from "bun:test";
import type { Connection } from "../../src/index.ts";
import { failure, pattern, readAll, sha256, text } from "./pair.ts";
import { SMALL, scene } from "./scene.ts";

/** How connections end, and what their programs are told. */

describe("Connection.close resolves when the peer has acknowledged everything", () => {
  scene(
    "and not before, over a link that loses; nothing is reset",
    async (s) => {
      const { near, far } = await s.connect();
      const sent = pattern(300_000);
      void near.write(sent);
      const closing = near.close().then(() => [near.bytesUnacknowledged, near.bytesWritten, near.state]);
      expect(sha256(await readAll(far))).toBe(sha256(sent));
      expect(await closing).toEqual([0, 300_000, "FIN_WAIT_2"]);
      await far.close();
      await near.closed;
      expect([near.error, far.error, s.resets]).toEqual([null, null, 0]);
    },
    { loss: 0.05 },
  );

  scene(
    "both at once, each with bytes on the way: both streams arrive",
    async (s) => {
      const { near, far } = await s.connect();
      const [ours, theirs] = [pattern(100_000, 1), pattern(100_000, 2)];
      void near.write(ours);
      void far.write(theirs);
      const ends = [near.shutdown(), far.shutdown()];
      const received = await Promise.all([readAll(near), readAll(far)]);
      expect(received.map(sha256)).toEqual([theirs, ours].map(sha256));
      await Promise.all(ends);
      await Promise.all([near.close(), far.close(), near.closed, far.closed]);
      expect([near.error, far.error, s.resets]).toEqual([null, null, 0]);
    },
    { loss: 0.02 },
  );

  scene("both at once with nothing on the way: CLOSING, and no reset", async (s) => {
    const { near, far } = await s.connect();
    await Promise.all([near.close(), far.close()]);
    await Promise.all([near.closed, far.closed]);
    expect([near.state, far.state]).toEqual(["TIME_WAIT", "TIME_WAIT"]);
    expect([near.error, far.error, s.resets]).toEqual([null, null, 0]);
  });

  scene("twice gives the same promise, and one FIN", async (s) => {
    const { near, far } = await s.connect();
    await near.write("x");
    const first = near.close();
    expect(near.close()).toBe(first);
    await first;
    expect(near.close()).toBe(first);
    expect(text(await far.read())).toBe("x");
    expect(s.fins).toBe(1);
  });

  scene(
    "also where the peer's window is shut for a while",
    async (s) => {
      const { near, far } = await s.connect();
      const sent = pattern(100_000);
      void near.write(sent);
      const closing = near.close();
      await s.net.sleep(30_000);
      expect(near.state).toBe("ESTABLISHED");
      expect(sha256(await readAll(far))).toBe(sha256(sent));
      await closing;
      expect(s.resets).toBe(0);
    },
    {},
    SMALL,
  );
});

describe("Connection.close rejects when it has not", () => {
  scene("the peer resets the connection meanwhile", async (s) => {
    const { near, far } = await s.connect();
    void near.write(pattern(200_000));
    const closing = near.close();
    await s.net.sleep(15);
    far.abort();
    expect(await failure(closing)).toBe("ECONNRESET");
    expect(near.error?.code).toBe("ECONNRESET");
    expect(near.bytesUnacknowledged).toBeGreaterThan(0);
    expect(near.bytesUnacknowledged).toBe(near.bytesWritten - near.info().bytesSent);
    expect(near.error?.message).toContain(`${near.bytesUnacknowledged}`);
  });

  scene("the peer does not answer any more", async (s) => {
    const { near } = await s.connect();
    s.cut();
    await near.write("into the void");
    const started = s.net.now;
    expect(await failure(near.close())).toBe("ETIMEDOUT");
    expect(s.net.now - started).toBe(60_000);
    expect(near.bytesUnacknowledged).toBe(13);
  });

  scene("it only does not acknowledge the FIN: then nobody knows whether it knows the end", async (s) => {
    const { near } = await s.connect();
    await near.write("x");
    await s.net.sleep(1_000);
    s.cut();
    expect(await failure(near.close())).toBe("ETIMEDOUT");
    expect(near.bytesUnacknowledged).toBe(0);
  });

  scene(
    "it keeps its window shut",
    async (s) => {
      const { near } = await s.connect();
      void near.write(pattern(100_000));
      expect(await failure(near.close())).toBe("ETIMEDOUT");
      expect(s.net.now).toBeGreaterThan(60_000);
      expect(s.net.now).toBeLessThan(62_000);
      expect(s.client.stats.tcpOrphansTimedOut).toBe(1);
    },
    {},
    SMALL,
  );

  scene(
    "it has more of its kind than there may be",
    async (s) => {
      const ends = await Promise.all([1, 2].map((port) => s.connect(port)));
      s.cut();
      const closings = ends.map(({ near }) => {
        void near.write("x");
        return failure(near.close());
      });
      expect(await Promise.all(closings)).toEqual(["ENOBUFS", "ETIMEDOUT"]);
    },
    {},
    { tcp: { maxOrphans: 1 } },
  );

  scene(
    "`timeout` runs anew whenever the peer gets on",
    async (s) => {
      const { near, far } = await s.connect();
      void near.write(pattern(1_000_000));
      const started = s.net.now;
      const closing = failure(near.close({ timeout: 1_000 }));
      for (let i = 0; i < 3; i++) {
        await s.net.sleep(900);
        await far.read();
      }
      expect(await closing).toBe("ETIMEDOUT");
      expect(s.net.now - started).toBeGreaterThan(3_000);
    },
    {},
    SMALL,
  );

  scene("abort() while it waits", async (s) => {
    const { near } = await s.connect();
    s.cut();
    await near.write("x");
    const closing = failure(near.close());
    await s.net.sleep(10);
    near.abort();
    expect(await closing).toBe("ECONNABORTED");
  });
});

describe("what failed before close() was called", () => {
  scene("is told by close() where nobody has told it, and bytes may be lost", async (s) => {
    const { near, far } = await s.connect();
    await near.write(pattern(100_000));
    far.abort();
    await near.closed;
    expect(near.bytesUnacknowledged).toBeGreaterThan(0);
    expect(await failure(near.close())).toBe("ECONNRESET");
  });

  scene("not where a read, a write or a shutdown has told it: `finally { await c.close() }`", async (s) => {
    const calls = [
      (c: Connection) => c.read(),
      (c: Connection) => c.write("x"),
      (c: Connection) => c.shutdown(),
    ];
    for (const [i, call] of calls.entries()) {
      const { near, far } = await s.connect(i + 1);
      await near.write(pattern(100_000));
      far.abort();
      await near.closed;
      expect(await failure(call(near))).toBe("ECONNRESET");
      await near.close();
    }
  });

  scene("not where nothing of ours is lost, nor after abort()", async (s) => {
    const { near, far } = await s.connect(1);
    await near.write("x");
    await s.net.sleep(1_000);
    far.abort();
    await near.closed;
    await near.close();
    expect(near.error?.code).toBe("ECONNRESET");
    const other = await s.connect(2);
    await other.near.write("x");
    other.near.abort();
    await other.near.close();
    expect(other.near.bytesUnacknowledged).toBe(1);
  });

  scene(
    "`await using` says so at the end of its block, and does not hide what the block has thrown",
    async (s) => {
      const block = async (port: number, reads: boolean) => {
        const { near, far } = await s.connect(port);
        await using connection = near;
        await connection.write(pattern(100_000));
        far.abort();
        await connection.closed;
        if (reads) await connection.read();
      };
      expect(await failure(block(1, false))).toBe("ECONNRESET");
      expect(await failure(block(2, true))).toBe("ECONNRESET");
    },
  );

  scene("nobody has to look at a close() that fails", async (s) => {
    const { near, far } = await s.connect();
    void near.write(pattern(100_000));
    void near.close();
    far.abort();
    await near.closed;
    await s.net.sleep(1);
    expect(near.error?.code).toBe("ECONNRESET");
  });
});

describe("linger", () => {
  scene("0: a reset at once", async (s) => {
    const { near, far } = await s.connect();
    near.setLinger(0);
    await near.write(pattern(100_000));
    const started = s.net.now;
    await near.close();
    expect(s.net.now).toBe(started);
    await far.closed;
    expect([s.fins, s.resets, far.error?.code, near.error?.code]).toEqual([
      0,
      1,
      "ECONNRESET",
      "ECONNABORTED",
    ]);
    expect(near.bytesUnacknowledged).toBeGreaterThan(0);
  });

  scene("a time: enough for what the peer takes", async (s) => {
    const { near, far } = await s.connect();
    near.setLinger(5_000);
    await near.write("hello");
    await near.close();
    expect(text(await far.read())).toBe("hello");
    expect(await far.read()).toBeNull();
    await s.net.sleep(20_000);
    expect([near.state, s.resets]).toEqual(["FIN_WAIT_2", 0]);
  });

  scene(
    "over: a reset, and an error with the number of bytes",
    async (s) => {
      const { near, far } = await s.connect();
      void near.write(pattern(100_000));
      const started = s.net.now;
      const closing = failure(near.close({ linger: 2_500 }));
      await s.net.sleep(2_000);
      await far.read();
      expect(await closing).toBe("ETIMEDOUT");
      expect(s.net.now - started).toBe(2_500);
      expect(near.error?.message).toContain(`has not acknowledged ${near.bytesUnacknowledged} bytes`);
      await far.closed;
      expect([s.resets, far.error?.code]).toEqual([1, "ECONNRESET"]);
    },
    {},
    SMALL,
  );

  scene("`close` may say otherwise, and nonsense is refused", async (s) => {
    const { near, far } = await s.connect();
    near.setLinger(0);
    expect(() => near.setLinger(-1)).toThrow("linger is a time");
    expect(await failure(near.close({ linger: Number.NaN }))).toBe("EINVAL");
    expect(await failure(near.close({ timeout: -5 }))).toBe("EINVAL");
    await near.write("x");
    await near.close({ linger: false });
    expect(text(await far.read())).toBe("x");
    expect(s.resets).toBe(0);
  });
});

describe("what nobody reads", () => {
  scene("unread at close() with everything of ours acknowledged: a reset instead of a FIN", async (s) => {
    const { near, far } = await s.connect();
    await far.write("never read");
    await s.net.sleep(1_000);
    await near.close();
    await far.closed;
    expect([s.fins, s.resets]).toEqual([0, 1]);
    expect([near.error, near.bytesDiscarded, far.error?.code]).toEqual([null, 10, "ECONNRESET"]);
  });

  scene("unread at close() with bytes of ours on the way: these arrive first", async (s) => {
    const { near, far } = await s.connect();
    await far.write("never read");
    await s.net.sleep(1_000);
    await near.write("last words");
    await near.close();
    expect(text(await far.read())).toBe("last words");
    await far.closed;
    expect([s.resets, near.error, near.bytesDiscarded, far.error?.code]).toEqual([1, null, 10, "ECONNRESET"]);
  });

  scene("arriving after close(): a reset, too", async (s) => {
    const { near, far } = await s.connect();
    await near.close();
    await far.write("too late");
    await far.closed;
    expect([s.resets, far.error?.code, near.error]).toEqual([1, "ECONNRESET", null]);
  });

  scene("stopReading() takes it without a word, and the peer goes on", async (s) => {
    const { near, far } = await s.connect();
    const waiting = near.read();
    near.stopReading();
    expect(await waiting).toBeNull();
    expect(await near.read()).toBeNull();
    await far.write(pattern(1_000_000));
    await far.shutdown();
    await near.write("still writing");
    expect(text(await far.read())).toBe("still writing");
    await near.close();
    await Promise.all([near.closed, far.close()]);
    expect([near.bytesDiscarded, near.bytesRead, s.resets]).toEqual([1_000_000, 0, 0]);
    expect([near.error, far.error]).toEqual([null, null]);
  });
});
