import { describe, expect, test } from "bun:test";
import { CONNECTED, parseAddress, type TcpSocket } from "../../src/index.ts";
import { type LinkOptions, Network, type NetworkOptions } from "../../src/sim/index.ts";
import { formatPacket } from "../../src/wire/print.ts";
import { pattern } from "../host/pair.ts";

const SMALL = { memory: 1 << 20, maxSockets: 8 };

/** Two stacks and a link, moved by hand. */
function stacks(link: LinkOptions, options: NetworkOptions = {}) {
  const net = new Network(options);
  const server = net.stack({ addresses: ["10.0.0.1/24"], ...SMALL });
  const client = net.stack({ addresses: ["10.0.0.2/24"], ...SMALL });
  return { net, server, client, link: net.link(client, server, link) };
}

describe("stacks without promises", () => {
  test("every byte arrives, and an invariant is looked at after each step", () => {
    const { net, server, client, link } = stacks(
      { rateMbit: 10, delayMs: 10, loss: 0.03, reorder: 0.02, duplicate: 0.01, corrupt: 0.01 },
      { seed: 12 },
    );
    const listener = server.stack.sockets.listen({ port: 7 });
    const socket = client.stack.sockets.connect({ address: "10.0.0.1", port: 7 });
    client.wake();
    const [sent, received] = [pattern(300_000), new Uint8Array(300_000)];
    let [written, read, steps] = [0, 0, 0];
    let accepted: TcpSocket | null = null;
    net.onStep = () => {
      steps++;
      if (written < sent.length && socket.state === "ESTABLISHED") {
        const count = socket.write(sent, written);
        written += count;
        if (count > 0) client.wake();
      }
      accepted ??= listener.accept();
      const count = accepted === null || read === received.length ? 0 : accepted.read(received, read);
      if (count > 0) {
        read += count;
        server.wake();
      }
      if (read > written) throw new Error("more was read than was written");
    };
    while (read < sent.length && net.step());
    expect(received).toEqual(sent);
    expect(link.there.stats.lost).toBeGreaterThan(0);
    expect(steps).toBeGreaterThan(600);
  });

  test("the same seed, step by step, and another one", () => {
    const trace = (seed: number): string[] => {
      const { net, client, link } = stacks({ loss: 0.2, jitterMs: 3 }, { seed });
      const lines: string[] = [];
      link.watch(({ frame: { bytes, offset, length } }, line) => {
        const way = line === link.there ? ">" : "<";
        lines.push(`${net.now} ${way} ${formatPacket(bytes, offset, length)}`);
      });
      client.stack.sockets.connect({ address: "10.0.0.1", port: 7 });
      client.stack.sockets.connect({ address: "10.0.0.77", port: 7 });
      client.wake();
      net.runFor(60_000);
      return lines;
    };
    expect(trace(1).length).toBeGreaterThan(5);
    expect(trace(1)).toEqual(trace(1));
    expect(trace(2)).not.toEqual(trace(1));
  });

  test("runs for a time, or until nothing is left to happen", () => {
    const { net, server, client } = stacks({ delayMs: 25 });
    server.stack.sockets.listen({ port: 7 });
    const socket = client.stack.sockets.connect({ address: "10.0.0.1", port: 7 });
    let connectedAt = 0;
    socket.handler = (events) => {
      if (events & CONNECTED) connectedAt = net.now;
    };
    client.wake();
    net.runFor(49);
    expect([net.now, socket.state]).toEqual([49, "SYN_SENT"]);
    net.runFor(1);
    expect([net.now, socket.state, connectedAt]).toEqual([50, "ESTABLISHED", 50]);
    expect(net.runUntilIdle()).toBe(true);
    expect(net.step()).toBe(false);
    expect(net.nextAt).toBe(Number.POSITIVE_INFINITY);
  });

  test("a stack is polled only when there is a reason", () => {
    const { net, server, client } = stacks({});
    server.stack.sockets.listen({ port: 7 });
    client.stack.sockets.connect({ address: "10.0.0.1", port: 7 });
    client.wake();
    // The alarm for an answer that has come long since goes off once.
    net.runFor(10_000);
    const polls = [server.polls, client.polls];
    net.runFor(3_600_000);
    expect([server.polls, client.polls]).toEqual(polls);
  });

  test("a sender that floods gets no more memory than the queue, and what is on the way", () => {
    const { net, client, link } = stacks({ rateMbit: 10, delayMs: 10, queuePackets: 100 });
    const socket = client.stack.sockets.bindUdp({ port: 9 });
    const remote = parseAddress("10.0.0.1");
    const data = new Uint8Array(1_000);
    let sent = 0;
    net.onStep = () => {
      while (sent < 100_000 && socket.send(data, remote, 9)) sent++;
      client.wake();
    };
    client.wake();
    while (sent < 100_000 && net.step());
    // The frame that is being sent, those on the way for 10 ms, and the first one that nobody answers.
    expect(link.there.stats.mostQueued).toBe(100);
    expect(net.framesInUse).toBeLessThan(120);
    expect(net.memoryUsed).toBeLessThan(130 * 1_536);
    expect(link.there.stats.queueDropped).toBeGreaterThan(90_000);
  });
});
