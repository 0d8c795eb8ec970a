import { describe, expect, test } from "bun:test";
import { END_OF_STREAM, type TcpSocket } from "../../src/index.ts";
import { Network } from "../../src/sim/index.ts";

/** A path that holds 12.5 MB: 1 Gbit/s, 100 ms there and back. Buffers begin with 256 KiB and tune themselves. */

const SECONDS = 6;
/** By then slow start is over, and what it has lost is repaired. */
const STEADY_FROM = 3;
const CHUNK = new Uint8Array(256 * 1024);
const TARGET = new Uint8Array(1024 * 1024);

/** Bits a second that arrive from `STEADY_FROM` on. */
function goodput(congestionControl: "cubic" | "bbr"): number {
  const net = new Network({ seed: 1, checksumOffload: true });
  const options = { memory: 64 * 1024 * 1024, tcp: { congestionControl } };
  const sender = net.stack({ addresses: ["10.0.0.1/24"], ...options });
  const receiver = net.stack({ addresses: ["10.0.0.2/24"], ...options });
  net.link(sender, receiver, { rateMbit: 1_000, delayMs: 50, queueBytes: 12_500_000, queuePackets: 10_000 });
  const listener = receiver.stack.sockets.listen({ port: 80 });
  const sending = sender.stack.sockets.connect({ address: "10.0.0.2", port: 80 });
  sending.handler = () => {
    if (sending.state === "ESTABLISHED") while (sending.write(CHUNK) > 0);
  };
  sender.wake();
  let received = 0;
  const read = (socket: TcpSocket) => {
    for (let count = 1; count > 0 && count !== END_OF_STREAM; received += Math.max(count, 0)) {
      count = socket.read(TARGET);
    }
  };
  listener.handler = () => {
    const socket = listener.accept()!;
    socket.handler = () => read(socket);
    read(socket);
  };
  net.runFor(STEADY_FROM * 1_000);
  const before = received;
  net.runFor((SECONDS - STEADY_FROM) * 1_000);
  expect(sender.stack.stats.tcpTimeouts).toBe(0);
  return (8 * (received - before)) / (SECONDS - STEADY_FROM);
}

describe("1 Gbit/s, 100 ms: a bulk sender gets 0.9 of the link", () => {
  for (const congestionControl of ["cubic", "bbr"] as const) {
    test(`with ${congestionControl}`, () => {
      expect(goodput(congestionControl)).toBeGreaterThan(0.9e9);
    }, 120_000);
  }
});
