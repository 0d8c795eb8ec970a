import { describe, expect, test } from "bun:test";
import { memoryPair } from "../../../devices/index.ts";
import { END_OF_STREAM, READABLE, Stack, type TcpSocket } from "../../../src/index.ts";
import { established, scenario } from "../../support/tcp.ts";

/** RFC 9293 3.8.6.3: ACKs that what the program does within the same poll may take along. */

/** A server that does at once what it is told by its handler, and a client; both in one thread, polled until all is quiet. */
function pair(onText: (socket: TcpSocket) => void): { client: TcpSocket; server: Stack; poll: () => void } {
  const [left, right] = memoryPair();
  const [server, other] = [new Stack(), new Stack()];
  server.addInterface({ device: left, addresses: ["10.0.0.1/24"] });
  other.addInterface({ device: right, addresses: ["10.0.0.2/24"] });
  const listener = server.sockets.listen({ port: 7 });
  listener.handler = () => {
    const socket = listener.accept()!;
    socket.handler = (events) => {
      if (events & READABLE && !socket.isClosed) onText(socket);
    };
  };
  const client = other.sockets.connect({ address: "10.0.0.1", port: 7 });
  const poll = () => {
    for (let moves = 2; moves > 0; moves--) if (server.poll(0) || other.poll(0)) moves = 2;
  };
  poll();
  return { client, server, poll };
}

const buffer = new Uint8Array(1_000);

describe("a program that answers when it is told", () => {
  test("acknowledges by its answer", () => {
    const { client, server, poll } = pair((socket) => socket.write(buffer, 0, socket.read(buffer)));
    const before = server.stats.tcpSegmentsSent;
    client.write(buffer, 0, 10);
    poll();
    expect(client.readableBytes).toBe(10);
    expect(server.stats.tcpQuickAcks).toBe(1);
    expect(server.stats.tcpSegmentsSent - before).toBe(1);
  });

  scenario("acknowledges the peer's FIN by its own", () => {
    const s = established();
    s.socket.handler = (events) => {
      if (events & READABLE && !s.socket.isClosed) s.socket.close();
    };
    s.receives({ flags: "F." });
    s.sends({ flags: "F.", seq: 1, ack: 2 });
    s.receives({ seq: 2, ack: 2 });
    expect(s.socket.isClosed).toBe(true);
  });

  test("acknowledges text and FIN by its own FIN", () => {
    const { client, server, poll } = pair((socket) => {
      let count = socket.read(buffer);
      while (count > 0) count = socket.read(buffer);
      if (count === END_OF_STREAM) socket.close();
    });
    const before = server.stats.tcpSegmentsSent;
    client.write(buffer, 0, 10);
    client.close();
    poll();
    expect(client.isClosed || client.state === "TIME_WAIT").toBe(true);
    expect(server.stats.tcpSegmentsSent - before).toBe(1);
  });
});

describe("a program that does not answer", () => {
  scenario("has text acknowledged in the same poll", () => {
    const s = established({ tcp: { quickAcks: 4 } });
    s.socket.handler = () => {};
    s.receives({ length: 10 });
    s.sends({ ack: 11 });
  });

  scenario("has the peer's FIN acknowledged in the same poll, and once", () => {
    const s = established();
    s.socket.handler = () => {};
    s.receives({ flags: "F." });
    s.sends({ ack: 2 });
    s.sendsNothing({ for: 1_000 });
    s.close();
    s.sends({ flags: "F.", seq: 1, ack: 2 });
  });

  scenario("has the peer's FIN acknowledged whatever it throws", () => {
    const s = established();
    s.socket.handler = () => {
      throw new Error("of the program");
    };
    expect(() => s.receives({ flags: "F." })).toThrow("of the program");
    s.passes(0);
    s.sends({ ack: 2 });
  });
});

describe("text that a consumer takes", () => {
  scenario("is acknowledged at once", () => {
    const s = established({ tcp: { quickAcks: 4 } });
    s.socket.consumer = (_bytes, _offset, length) => length;
    s.receives({ length: 10 });
    s.sends({ ack: 11 });
  });
});
