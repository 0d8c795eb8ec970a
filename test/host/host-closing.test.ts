import { describe, expect } from "bun:test";
import { failure, NOBODY, pattern, readAll, SERVER, sha256, text } from "./pair.ts";
import { SMALL, scene } from "./scene.ts";

/** How listeners and hosts end, and what becomes of their connections. */

describe("Listener.close", () => {
  scene("refuses who comes, resets who waits, keeps who was accepted, and ends the iterator", async (s) => {
    const listener = s.server.listen({ port: 7 });
    const near = await s.client.connect({ address: SERVER, port: 7 });
    const far = await listener.accept();
    const waiting = await s.client.connect({ address: SERVER, port: 7 });
    // Its SYN is there, the ACK of the SYN-ACK is not.
    const halfOpen = failure(s.client.connect({ address: SERVER, port: 7 }));
    await s.net.sleep(15);
    const iterator = listener[Symbol.asyncIterator]();
    listener.close();
    expect((await iterator.next()).done).toBe(true);
    expect(await failure(waiting.read())).toBe("ECONNRESET");
    expect(["none", "ECONNREFUSED", "ECONNRESET"]).toContain(await halfOpen);
    expect(await failure(s.client.connect({ address: SERVER, port: 7 }))).toBe("ECONNREFUSED");
    await near.write("still here");
    expect(text(await far.read())).toBe("still here");
    await Promise.all([near.close(), far.close()]);
    await s.net.sleep(200_000);
    expect(s.server.stack.sockets.size).toBe(0);
  });
});

describe("Host.close", () => {
  scene(
    "drains: writes that wait are finished, peers close, and nothing is reset",
    async (s) => {
      const ends = await Promise.all([1, 2, 3].map((port) => s.connect(port)));
      const sent = pattern(200_000);
      for (const { near } of ends) void near.write(sent);
      const reading = ends.map(async ({ far }) => {
        const received = await readAll(far);
        await far.close();
        return sha256(received);
      });
      const result = await s.client.close({ timeout: 30_000 });
      expect(result).toEqual({ connections: 3, reset: 0, undelivered: 0, undeliveredBytes: 0 });
      expect(await Promise.all(reading)).toEqual([sha256(sent), sha256(sent), sha256(sent)]);
      expect(s.resets).toBe(0);
    },
    { loss: 0.02 },
    SMALL,
  );

  scene(
    "says at the deadline what was not delivered, and resets it",
    async (s) => {
      const [through, stuck, open] = await Promise.all([1, 2, 3].map((port) => s.connect(port)));
      await through.near.write("x");
      void through.far.shutdown();
      void stuck.near.write(pattern(100_000));
      const ending = failure(stuck.near.close());
      const started = s.net.now;
      const result = await s.client.close({ timeout: 2_000 });
      expect(s.net.now - started).toBe(2_000);
      const { bytesUnacknowledged } = stuck.near;
      expect(bytesUnacknowledged).toBeGreaterThan(10_000);
      expect(result).toEqual({
        connections: 3,
        reset: 2,
        undelivered: 1,
        undeliveredBytes: bytesUnacknowledged,
      });
      expect(await ending).toBe("ECONNABORTED");
      await Promise.all([stuck.far.closed, open.far.closed]);
      expect([through.far.error, stuck.far.error?.code, open.far.error?.code]).toEqual([
        null,
        "ECONNRESET",
        "ECONNRESET",
      ]);
    },
    {},
    SMALL,
  );

  scene("does not wait for TIME-WAIT, unless told to", async (s) => {
    const { near, far } = await s.connect();
    void near.close();
    await far.close();
    await near.closed;
    expect(near.state).toBe("TIME_WAIT");
    const started = s.net.now;
    await s.client.close({ timeWait: 500 });
    expect(s.net.now - started).toBe(500);
    const before = s.net.now;
    await s.server.close();
    expect(s.net.now).toBe(before);
  });

  scene("resets what the program has opened below it, and nothing waits for ever", async (s) => {
    const listener = s.server.listen({ port: 7 });
    const socket = s.client.stack.sockets.connect({ address: SERVER, port: 7 });
    const far = await listener.accept();
    s.server.listen({ port: 8 });
    const unaccepted = await s.client.connect({ address: SERVER, port: 8 });
    const connecting = failure(s.client.connect({ address: NOBODY, port: 1 }));
    await s.client.close({ timeout: 0 });
    await far.closed;
    expect([socket.isClosed, far.error?.code]).toEqual([true, "ECONNRESET"]);
    expect(unaccepted.isClosed).toBe(true);
    expect(await connecting).toBe("ECANCELED");
    expect(s.client.stack.sockets.size).toBe(0);
    expect(() => s.server.close({ timeout: -1 })).toThrow("times in ms");
    expect(await s.client.close()).toBe(await s.client.close());
  });
});
