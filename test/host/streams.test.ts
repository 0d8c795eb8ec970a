import { describe, expect, test } from "bun:test";
import { failure, Pair, pattern, readAll, settle, sha256, text } from "./pair.ts";

const SMALL = { tcp: { sendBuffer: 32 * 1024, receiveBuffer: 32 * 1024 } };

describe("streams", () => {
  test("an echo by pipeTo gives several MiB back", async () => {
    await using pair = await Pair.open();
    const { near, far } = await pair.connect();
    const echo = far.readable.pipeTo(far.writable);
    const sent = pattern(5 * 1024 * 1024);
    const received = readAll(near);
    await near.write(sent);
    await near.shutdown();
    expect(sha256(await received)).toBe(sha256(sent));
    await echo;
    await Promise.all([near.closed, far.closed]);
    expect([near.error, far.error]).toEqual([null, null]);
  });

  test("a reader may bring its own buffer", async () => {
    await using pair = await Pair.open();
    const { near, far } = await pair.connect();
    await near.write("abcdefg");
    void near.shutdown();
    await settle(pair);
    const reader = far.readable.getReader({ mode: "byob" });
    const first = await reader.read(new Uint8Array(5));
    expect(text(first.value ?? null)).toBe("abcde");
    const second = await reader.read(new Uint8Array(5));
    expect(text(second.value ?? null)).toBe("fg");
    expect((await reader.read(new Uint8Array(5))).done).toBe(true);
  });

  test("nothing is read ahead: read works before and after", async () => {
    await using pair = await Pair.open();
    const { near, far } = await pair.connect();
    await near.write("one");
    const reader = far.readable.getReader();
    expect(text((await reader.read()).value ?? null)).toBe("one");
    reader.releaseLock();
    await near.write("two");
    expect(text(await far.read())).toBe("two");
  });

  test("a full connection holds the writer back", async () => {
    await using pair = await Pair.open(SMALL);
    const { near, far } = await pair.connect();
    const writer = near.writable.getWriter();
    let written = 0;
    const writing = (async () => {
      for (let i = 0; i < 50; i++) {
        await writer.write(pattern(10_000, i));
        written += 10_000;
      }
      await writer.close();
    })();
    await settle(pair);
    expect(written).toBeLessThan(70_000);
    expect((await readAll(far)).length).toBe(500_000);
    await writing;
    expect(near.state).toBe("FIN_WAIT_2");
  });

  test("a reset is an error of both streams, also while they wait", async () => {
    await using pair = await Pair.open();
    const { near, far } = await pair.connect();
    const reading = failure(near.readable.getReader().read());
    const closed = failure(near.writable.getWriter().closed);
    far.abort();
    expect(await reading).toBe("ECONNRESET");
    expect(await closed).toBe("ECONNRESET");
  });

  test("cancelling the readable closes the connection", async () => {
    await using pair = await Pair.open();
    const { near, far } = await pair.connect();
    const reader = near.readable.getReader();
    const reading = reader.read();
    await reader.cancel("enough");
    expect((await reading).done).toBe(true);
    expect(await far.read()).toBeNull();
    await far.close();
    await near.closed;
  });

  test("aborting the writable resets the connection", async () => {
    await using pair = await Pair.open();
    const { near, far } = await pair.connect();
    await near.writable.abort(new Error("no more"));
    expect(near.error?.code).toBe("ECONNABORTED");
    expect(await failure(far.read())).toBe("ECONNRESET");
  });

  test("a pipe from one connection to another ends when the target does", async () => {
    await using pair = await Pair.open();
    const source = await pair.connect(4000);
    const target = await pair.connect(4001);
    const piping = source.far.readable.pipeTo(target.near.writable);
    await source.near.write("x");
    expect(text(await target.far.read())).toBe("x");
    target.far.abort();
    expect(await failure(piping)).toBe("ECONNRESET");
    expect(await source.near.read()).toBeNull();
  });
});
