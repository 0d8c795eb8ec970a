import { expect, test } from "bun:test";
import { memoryPair } from "../../devices/index.ts";
import { Stack, type TcpSocket } from "../../src/index.ts";

/** RFC 9293 3.4.2: 2 MSL, by default. */
const TIME_WAIT_MS = 60_000;

test("TIME-WAIT ends when nextDeadline says, of each connection in its turn", () => {
  const [left, right] = memoryPair();
  const server = new Stack();
  const client = new Stack();
  server.addInterface({ device: left, addresses: ["192.168.69.1/24"] });
  client.addInterface({ device: right, addresses: ["192.168.69.2/24"] });
  const poll = (now: number) => {
    for (let i = 0; i < 10; i++) {
      client.poll(now);
      server.poll(now);
    }
  };
  const listener = server.sockets.listen({ port: 80 });
  /** A connection whose TIME-WAIT begins at `now`. */
  const closed = (now: number): TcpSocket => {
    const socket = client.sockets.connect({ address: "192.168.69.1", port: 80 });
    poll(now);
    socket.close();
    poll(now);
    listener.accept()?.close();
    poll(now);
    expect(socket.state).toBe("TIME_WAIT");
    return socket;
  };
  const first = closed(1_000);
  const second = closed(1_500);
  const ends = [1_000 + TIME_WAIT_MS, 1_500 + TIME_WAIT_MS];
  expect(client.nextDeadline(1_500)).toBe(ends[0]);
  poll(ends[0] - 1);
  expect(first.isClosed).toBe(false);
  poll(ends[0]);
  expect([first.isClosed, second.isClosed]).toEqual([true, false]);
  expect(client.nextDeadline(ends[0])).toBe(ends[1]);
  poll(ends[1]);
  expect(second.isClosed).toBe(true);
  expect(client.sockets.size).toBe(0);
  expect(client.nextDeadline(ends[1])).toBe(Number.POSITIVE_INFINITY);
});
