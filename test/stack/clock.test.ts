import { expect, test } from "bun:test";
import { memoryPair } from "../../devices/memory.ts";
import { Stack, type TcpSocket } from "../../src/index.ts";

/** Time passes within a poll: whoever works long, or has to wait for a processor, polls by an old time. */

interface Pair {
  clock: { now: number };
  socket: TcpSocket;
  /** Sends some text, and polls for the answer by the time at which it was sent, `lateMs` after it. */
  answered(lateMs: number): void;
}

function pair(hasClock: boolean): Pair {
  const [left, right] = memoryPair();
  const clock = { now: 1_000 };
  const timestamps = { timestamps: false };
  const a = new Stack({ tcp: timestamps, clock: hasClock ? () => clock.now : undefined });
  const b = new Stack({ tcp: { ...timestamps, delayedAckMs: 1 } });
  a.addInterface({ device: left, addresses: ["10.0.0.1/24"] });
  b.addInterface({ device: right, addresses: ["10.0.0.2/24"] });
  b.sockets.listen({ port: 80 });
  const socket = a.sockets.connect({ address: "10.0.0.2", port: 80 });
  const settle = (now: number) => {
    for (let i = 0; i < 4; i++) {
      while (a.poll(now));
      while (b.poll(now + 5));
    }
  };
  settle(clock.now);
  return {
    clock,
    socket,
    answered(lateMs) {
      const sentAt = clock.now;
      socket.write(new Uint8Array(100));
      while (a.poll(sentAt));
      while (b.poll(sentAt + 5));
      while (b.poll(sentAt + 10));
      clock.now = sentAt + lateMs;
      while (a.poll(sentAt));
    },
  };
}

test("with a clock, what is sent and answered in one poll has taken its time", () => {
  const { socket, answered } = pair(true);
  for (let i = 0; i < 40; i++) answered(30);
  expect(socket.info().flightSize).toBe(0);
  expect(socket.info().srttMs).toBeCloseTo(30, 0);
});

test("time does not go back where the clock is behind", () => {
  const { clock, socket, answered } = pair(true);
  answered(30);
  clock.now += 1_000;
  const before = socket.info().srttMs!;
  answered(-500);
  expect(socket.info().flightSize).toBe(0);
  expect(socket.info().srttMs!).toBeGreaterThanOrEqual(before * 0.8);
});

test("without one, time is what polls are told", () => {
  const { socket, answered } = pair(false);
  for (let i = 0; i < 40; i++) answered(30);
  expect(socket.info().srttMs).toBeLessThan(1);
});
