import { expect, test } from "bun:test";
import { memoryPair } from "../../devices/memory.ts";
import { CONNECTED, END_OF_STREAM, READABLE, WRITABLE } from "../../src/index.ts";
import { pairOn } from "../support/transfer.ts";

/** Programs hear of what has arrived before anything is sent: what they answer takes the ACK along. */

const SERVER = "192.168.69.1";
const PORT = 7;

/** A server that echoes, and closes when its peer has. */
function echo(pair: ReturnType<typeof pairOn>): void {
  const target = new Uint8Array(4_096);
  const listener = pair.server.sockets.listen({ port: PORT });
  listener.handler = () => {
    for (let socket = listener.accept(); socket !== null; socket = listener.accept()) {
      const accepted = socket;
      accepted.handler = (events) => {
        if (!(events & READABLE)) return;
        const count = accepted.read(target);
        if (count > 0) accepted.write(target, 0, count);
        if (count === END_OF_STREAM || accepted.read(target) === END_OF_STREAM) accepted.close();
      };
    }
  };
}

test("a connection for one echo takes seven segments", () => {
  const pair = pairOn(...memoryPair());
  echo(pair);
  const text = Uint8Array.of(1, 2, 3);
  const got: number[] = [];
  const client = pair.client.sockets.connect({ address: SERVER, port: PORT });
  client.handler = (events) => {
    if (events & CONNECTED) client.write(text);
    if (!(events & READABLE) || got.length === 3) return;
    const target = new Uint8Array(16);
    got.push(...target.subarray(0, Math.max(client.read(target), 0)));
    if (got.length === 3) client.close();
  };
  for (let polls = 0; polls < 10; polls++) {
    pair.client.poll(pair.now);
    pair.server.poll(pair.now);
  }
  expect(got).toEqual([1, 2, 3]);
  expect(client.state).toBe("TIME_WAIT");
  // SYN, text with the ACK, FIN with that of the echo, and the last ACK.
  expect(pair.client.stats.tcpSegmentsSent).toBe(4);
  // SYN-ACK, the echo and the FIN.
  expect(pair.server.stats.tcpSegmentsSent).toBe(3);
});

test("what a program reads at once opens the window with the ACK of it", () => {
  const size = 65_536;
  const pair = pairOn(...memoryPair(), { tcp: { receiveBuffer: size, sendBuffer: size } });
  const target = new Uint8Array(size);
  let received = 0;
  const listener = pair.server.sockets.listen({ port: PORT });
  listener.handler = () => {
    const socket = listener.accept();
    if (socket === null) return;
    socket.handler = () => {
      received += Math.max(socket.read(target), 0);
    };
  };
  const client = pair.client.sockets.connect({ address: SERVER, port: PORT });
  client.handler = (events) => {
    if (events & WRITABLE) while (client.write(target) > 0);
  };
  while (received < 4 * size) {
    pair.client.poll(pair.now);
    pair.server.poll(pair.now);
  }
  // The window is open again; the first ACKs, of the initial window, count as well.
  expect(client.info().sndWnd).toBeGreaterThan(size / 2);
  expect(pair.server.stats.tcpSegmentsSent).toBeLessThan(16);
});
