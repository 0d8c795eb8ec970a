import { describe, expect, test } from "bun:test";
import { OK } from "../../../src/errors.ts";
import type { AcceptVerdict, ListenOptions, TcpListener, TcpSocket } from "../../../src/index.ts";
import { seededRandom } from "../../../src/random.ts";
import type { TcpSettings } from "../../../src/socket/tcp/settings.ts";
import { Stack } from "../../../src/stack.ts";
import { formatAddress } from "../../../src/wire/ip-address.ts";
import { IPV4_HEADER_LENGTH, readIpv4Destination, readIpv4Source } from "../../../src/wire/ipv4.ts";
import { ACK, FIN, PSH, parseTcp, RST, SYN, TcpSegment } from "../../../src/wire/tcp.ts";
import { icmpPacket, tcpPacket, udpPacket } from "../../support/packets.ts";
import { formatFlags } from "../../support/tcp-segment.ts";
import { TestDevice } from "../../support/test-device.ts";

/** Which listener a connection is for, and which connections a listener takes. */

/** Addresses of the stack. */
const OURS = "10.0.0.1";
const ALSO_OURS = "10.0.1.1";
const FOREIGN = "198.51.100.9";
const PEER = "10.0.0.2";

/** Somebody's end of a connection to the stack. */
interface Caller {
  readonly from: string;
  readonly to: string;
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly iss: number;
}

class Place {
  readonly device = new TestDevice();
  readonly stack: Stack;
  now = 1_000;

  constructor(tcp: Partial<TcpSettings> = {}, maxSockets = 1_024) {
    this.stack = new Stack({ random: seededRandom(5), memory: 1 << 20, maxSockets, tcp });
    this.stack.addInterface({
      device: this.device,
      addresses: [`${OURS}/24`, `${ALSO_OURS}/24`],
      gateway: "10.0.0.254",
    });
  }

  listen(options: ListenOptions): TcpListener {
    return this.stack.sockets.listen(options);
  }

  /** What the stack sends when these packets arrive. */
  answers(...packets: Uint8Array[]): TcpSegment[] {
    this.device.inject(...packets);
    while (this.stack.poll(this.now));
    return this.device.take().map(parsed);
  }

  /** What answers a SYN: "S.", "R.", or nothing. */
  asks(to: string, port: number, from = PEER, sourcePort = 5_000): string {
    const answers = this.answers(syn({ from, to, sourcePort, destinationPort: port, iss: 100 }));
    return answers.map(({ flags }) => formatFlags(flags)).join(" ");
  }

  /** A whole handshake; the answers after it. */
  calls(to: string, port: number, from = PEER, sourcePort = 5_000): string {
    const caller = { from, to, sourcePort, destinationPort: port, iss: 100 };
    const [answer] = this.answers(syn(caller));
    if (answer === undefined || answer.flags & RST) return answer === undefined ? "" : "R.";
    return this.answers(says(caller, answer, ACK))
      .map(({ flags }) => formatFlags(flags))
      .join(" ");
  }
}

function parsed(packet: Uint8Array): TcpSegment {
  const seg = new TcpSegment();
  readIpv4Source(packet, 0, seg.source);
  readIpv4Destination(packet, 0, seg.destination);
  const length = packet.length - IPV4_HEADER_LENGTH;
  if (parseTcp(packet, IPV4_HEADER_LENGTH, length, seg) !== OK) throw new Error("not a TCP segment");
  return seg;
}

function syn({ from, to, sourcePort, destinationPort, iss }: Caller): Uint8Array {
  return tcpPacket(
    { from, to },
    { sourcePort, destinationPort, seq: iss, flags: SYN, window: 65_535, mss: 1_460 },
  );
}

/** What the caller says when it has got `answer`. */
function says(caller: Caller, answer: TcpSegment, flags: number, text = ""): Uint8Array {
  const { from, to, sourcePort, destinationPort, iss } = caller;
  const fields = {
    sourcePort,
    destinationPort,
    seq: iss + 1,
    ack: (answer.seq + 1) | 0,
    flags,
    window: 65_535,
  };
  return tcpPacket({ from, to }, fields, new TextEncoder().encode(text));
}

const acceptAll = (listener: TcpListener): TcpSocket[] => {
  const sockets: TcpSocket[] = [];
  for (let socket = listener.accept(); socket !== null; socket = listener.accept()) sockets.push(socket);
  return sockets;
};

describe("one address and all of them", () => {
  test("the most specific listener has its address for itself", () => {
    for (const wildcardFirst of [false, true]) {
      const place = new Place();
      const all = wildcardFirst ? place.listen({ port: 80 }) : null;
      const one = place.listen({ port: 80, address: ALSO_OURS });
      const wildcard = all ?? place.listen({ port: 80 });
      place.calls(OURS, 80);
      place.calls(ALSO_OURS, 80, PEER, 5_001);
      expect(acceptAll(wildcard).map(({ localAddress }) => `${localAddress}`)).toEqual([OURS]);
      expect(acceptAll(one).map(({ localAddress }) => `${localAddress}`)).toEqual([ALSO_OURS]);
      one.close();
      place.calls(ALSO_OURS, 80, PEER, 5_002);
      expect(acceptAll(wildcard)).toHaveLength(1);
      wildcard.close();
      expect(place.asks(ALSO_OURS, 80, PEER, 5_003)).toBe("R.");
    }
  });

  test("where the specific one is full, the other one is not asked", () => {
    const place = new Place();
    const wildcard = place.listen({ port: 80 });
    place.listen({ port: 80, address: OURS, backlog: 1 });
    place.calls(OURS, 80);
    expect(place.asks(OURS, 80, PEER, 5_001)).toBe("");
    expect(place.stack.stats.tcpListenOverflow).toBe(1);
    expect(acceptAll(wildcard)).toHaveLength(0);
  });
});

describe("a port that is shared", () => {
  const COUNT = 400;

  function shared(tcp: Partial<TcpSettings> = {}) {
    const place = new Place(tcp);
    const listeners = Array.from({ length: 4 }, () => place.listen({ port: 80, reusePort: true }));
    return { place, listeners };
  }

  /** Which listener each caller's connection came to. */
  function owners(listeners: readonly TcpListener[]): Map<number, number> {
    const found = listeners.flatMap((listener, i) =>
      acceptAll(listener).map((socket): [number, number] => [socket.remotePort, i]),
    );
    return new Map(found);
  }

  const callAll = (place: Place, from: string) => {
    for (let i = 0; i < COUNT / 2; i++) place.calls(OURS, 80, from, 10_000 + i);
  };

  test("each listener gets about the same share", () => {
    const { place, listeners } = shared();
    callAll(place, PEER);
    const shares = listeners.map((listener) => acceptAll(listener).length);
    expect(shares.reduce((a, b) => a + b)).toBe(COUNT / 2);
    for (const share of shares) expect(share).toBeGreaterThan(COUNT / 16);
  });

  test("a flow stays with its listener; one that closes gives its share to the others, and takes nothing else along", () => {
    const { place, listeners } = shared();
    callAll(place, PEER);
    const before = owners(listeners);
    expect(before.size).toBe(COUNT / 2);
    // The same flows again, as a new connection each.
    const again = new Place();
    const same = Array.from({ length: 4 }, () => again.listen({ port: 80, reusePort: true }));
    callAll(again, PEER);
    expect(owners(same)).toEqual(before);
    const third = new Place();
    const rest = Array.from({ length: 4 }, () => third.listen({ port: 80, reusePort: true }));
    rest[2].close();
    callAll(third, PEER);
    const after = owners(rest);
    expect(after.size).toBe(COUNT / 2);
    for (const [port, owner] of after) {
      if (before.get(port) !== 2) expect(owner).toBe(before.get(port)!);
      else expect(owner).not.toBe(2);
    }
    expect(
      new Set([...after].filter(([port]) => before.get(port) === 2).map(([, owner]) => owner)).size,
    ).toBe(3);
  });

  test("a cookie is taken by whoever has its flow when the ACK comes", () => {
    const { place, listeners } = shared({ synCookies: "always" });
    const callers = Array.from({ length: 40 }, (_, i) => ({
      from: PEER,
      to: OURS,
      sourcePort: 10_000 + i,
      destinationPort: 80,
      iss: i * 1_000,
    }));
    const answers = callers.map((caller) => place.answers(syn(caller))[0]);
    // Every listener has sent some; now there are others.
    listeners[0].close();
    listeners[1].close();
    const late = place.listen({ port: 80, reusePort: true });
    for (const [i, caller] of callers.entries()) {
      expect(place.answers(says(caller, answers[i], ACK))).toEqual([]);
    }
    expect(place.stack.stats.tcpSynCookiesAccepted).toBe(40);
    expect(acceptAll(late).length).toBeGreaterThan(0);
  });

  test("shares of an address, beside those who share all of them", () => {
    const place = new Place();
    const all = [1, 2].map(() => place.listen({ port: 80, reusePort: true }));
    const some = [1, 2].map(() => place.listen({ port: 80, address: OURS, reusePort: true }));
    callAll(place, PEER);
    expect(all.map((listener) => acceptAll(listener).length)).toEqual([0, 0]);
    for (const listener of some) expect(acceptAll(listener).length).toBeGreaterThan(COUNT / 8);
  });
});

describe("a catch-all", () => {
  test("takes any port of any address, and the connection says which", () => {
    const place = new Place();
    const listener = place.listen({ any: true });
    const caller = { from: PEER, to: FOREIGN, sourcePort: 5_000, destinationPort: 4_443, iss: 7 };
    const [answer] = place.answers(syn(caller));
    expect(formatFlags(answer.flags)).toBe("S.");
    expect([formatAddress(answer.source), answer.sourcePort]).toEqual([FOREIGN, 4_443]);
    place.answers(says(caller, answer, ACK | PSH, "hello"));
    const socket = listener.accept()!;
    expect([`${socket.localAddress}`, socket.localPort]).toEqual([FOREIGN, 4_443]);
    expect([`${socket.remoteAddress}`, socket.remotePort]).toEqual([PEER, 5_000]);
    const text = new Uint8Array(10);
    expect(socket.read(text)).toBe(5);
    socket.write(new TextEncoder().encode("so?"));
    place.now += 50;
    const [reply] = place.answers();
    expect([formatAddress(reply.source), formatAddress(reply.destination)]).toEqual([FOREIGN, PEER]);
    expect([reply.payloadLength, reply.ack]).toEqual([3, 13]);
    // Its own addresses, too, from anywhere.
    expect(place.asks(OURS, 1)).toBe("S.");
    expect(place.asks(FOREIGN, 65_535, "203.0.113.5")).toBe("S.");
    expect(place.stack.stats.ipv4NotForUs).toBe(0);
  });

  test("comes after everybody else, of the stack's addresses; foreign ones are nobody else's", () => {
    const place = new Place();
    const rest = place.listen({ any: true });
    const all = place.listen({ port: 80 });
    const one = place.listen({ port: 81, address: OURS });
    place.calls(OURS, 80, PEER, 1);
    place.calls(FOREIGN, 80, PEER, 2);
    place.calls(OURS, 81, PEER, 3);
    place.calls(ALSO_OURS, 81, PEER, 4);
    const ports = (listener: TcpListener) => acceptAll(listener).map(({ remotePort }) => remotePort);
    expect([ports(rest), ports(all), ports(one)]).toEqual([[2, 4], [1], [3]]);
  });

  test("asks its program: to take, to refuse, or to be silent", () => {
    const place = new Place();
    const asked: string[] = [];
    const listener = place.listen({
      any: true,
      accept: ({ localAddress, localPort, remoteAddress, remotePort }) => {
        asked.push(`${remoteAddress}:${remotePort} > ${localAddress}:${localPort}`);
        if (localPort === 80) return true;
        if (localPort === 81) throw new Error("no idea");
        return localPort === 82 ? "drop" : false;
      },
    });
    expect(place.asks(FOREIGN, 80)).toBe("S.");
    expect(place.asks(FOREIGN, 81)).toBe("R.");
    expect(place.asks(FOREIGN, 82)).toBe("");
    expect(place.asks(FOREIGN, 83)).toBe("R.");
    expect(asked).toEqual([80, 81, 82, 83].map((port) => `${PEER}:5000 > ${FOREIGN}:${port}`));
    const { stats } = place.stack;
    expect([stats.tcpConnectionsRefused, stats.tcpAcceptFailed, stats.tcpResetsSent]).toEqual([3, 1, 2]);
    // What the reset says comes from whom was asked.
    const [reset] = place.answers(
      syn({ from: PEER, to: FOREIGN, sourcePort: 9, destinationPort: 83, iss: 41 }),
    );
    expect([formatAddress(reset.source), reset.sourcePort, reset.ack]).toEqual([FOREIGN, 83, 42]);
    // The SYN of a connection that is half open asks nobody, and nor does its ACK.
    const before = asked.length;
    expect(place.asks(FOREIGN, 80)).toBe("S.");
    expect(place.calls(FOREIGN, 80)).toBe("");
    expect(asked).toHaveLength(before);
    expect(listener.accept()).not.toBeNull();
  });

  test("a promise, or nothing, is no yes", () => {
    const place = new Place();
    const verdicts: unknown[] = [Promise.resolve(true), undefined, 1, "yes", null];
    place.listen({ any: true, accept: () => verdicts.shift() as AcceptVerdict });
    for (let port = 1; port <= 5; port++) expect(place.asks(FOREIGN, port)).toBe("R.");
  });

  test("its program may close it, or poll, in the middle of it", () => {
    const place = new Place();
    const listener = place.listen({
      any: true,
      accept: ({ localPort }) => {
        if (localPort === 1) place.stack.poll(place.now);
        listener.close();
        return true;
      },
    });
    expect(place.asks(FOREIGN, 1)).toBe("R.");
    expect(place.stack.stats.tcpAcceptFailed).toBe(1);
    expect(place.asks(FOREIGN, 2)).toBe("R.");
    expect(place.asks(FOREIGN, 3)).toBe("");
    expect(place.stack.sockets.size).toBe(0);
  });

  test("whatever else comes to a foreign address is answered by nothing", () => {
    const place = new Place();
    place.listen({ any: true, accept: () => false });
    const ends = { from: PEER, to: FOREIGN };
    const ports = { sourcePort: 9, destinationPort: 80 };
    const silent = [
      tcpPacket(ends, { ...ports, flags: ACK, seq: 1, ack: 2 }),
      tcpPacket(ends, { ...ports, flags: SYN | ACK, seq: 1, ack: 2 }),
      tcpPacket(ends, { ...ports, flags: FIN, seq: 1 }),
      tcpPacket(ends, { ...ports, flags: RST, seq: 1 }),
      tcpPacket(ends, { ...ports, flags: 0, seq: 1 }),
      udpPacket(ends, 9, 80, new Uint8Array(3)),
      icmpPacket(ends, 8, 0, 1),
      tcpPacket({ from: FOREIGN, to: FOREIGN }, { ...ports, flags: SYN }),
      tcpPacket({ from: PEER, to: "224.0.0.5" }, { ...ports, flags: SYN }),
      tcpPacket({ from: PEER, to: "127.0.0.1" }, { ...ports, flags: SYN }),
      tcpPacket({ from: PEER, to: "255.255.255.255" }, { ...ports, flags: SYN }),
      tcpPacket({ from: PEER, to: "10.0.0.255" }, { ...ports, flags: SYN }),
      tcpPacket({ from: "127.0.0.1", to: FOREIGN }, { ...ports, flags: SYN }),
    ];
    expect(place.answers(...silent)).toEqual([]);
    expect(place.asks(FOREIGN, 80)).toBe("R.");
    // At its own addresses the stack is a host as any.
    const [reset] = place.answers(
      tcpPacket({ from: PEER, to: OURS }, { ...ports, flags: ACK, seq: 1, ack: 2 }),
    );
    expect(formatFlags(reset.flags)).toBe("R");
  });

  test("without one, foreign addresses are not ours", () => {
    const place = new Place();
    place.listen({ port: 80 });
    expect(place.asks(FOREIGN, 80)).toBe("");
    expect(place.stack.stats.ipv4NotForUs).toBe(1);
  });

  test("when it closes, accepted connections live on, and nobody else is let in", () => {
    const place = new Place();
    const listener = place.listen({ any: true });
    const caller = { from: PEER, to: FOREIGN, sourcePort: 5_000, destinationPort: 80, iss: 7 };
    const [answer] = place.answers(syn(caller));
    place.answers(says(caller, answer, ACK));
    const socket = listener.accept()!;
    listener.close();
    place.answers(says(caller, answer, ACK | PSH, "hello"));
    expect(socket.readableBytes).toBe(5);
    expect(place.asks(FOREIGN, 81)).toBe("");
    expect(place.stack.stats.tcpNoConnection).toBe(1);
  });

  test("errors about its segments reach it", () => {
    const place = new Place();
    const listener = place.listen({ any: true });
    place.calls(FOREIGN, 80);
    const socket = listener.accept()!;
    socket.write(new Uint8Array(10));
    place.device.take();
    while (place.stack.poll(place.now));
    const [segment] = place.device.take();
    // Protocol unreachable, which quotes it.
    place.answers(icmpPacket({ from: "10.0.0.254", to: FOREIGN }, 3, 2, 0, segment.slice(0, 48)));
    expect(place.stack.stats.icmpErrorsReceived).toBe(1);
    place.answers(icmpPacket({ from: "10.0.0.254", to: FOREIGN }, 3, 2, 0, segment.slice(0, 4)));
    expect(place.stack.stats.icmpErrorsReceived).toBe(1);
  });

  test("cookies work for it: its program is not asked again", () => {
    const place = new Place({ synCookies: "always" });
    let asked = 0;
    const listener = place.listen({ any: true, accept: () => ++asked > 0 });
    place.calls(FOREIGN, 80);
    expect(asked).toBe(1);
    expect(`${listener.accept()?.localAddress}`).toBe(FOREIGN);
    // What is no cookie gets no answer: this is somebody else's address.
    const other = tcpPacket(
      { from: PEER, to: FOREIGN },
      { sourcePort: 1, destinationPort: 80, flags: ACK, ack: 5 },
    );
    expect(place.answers(other)).toEqual([]);
    expect(place.stack.stats.tcpSynCookiesRejected).toBe(1);
  });
});

describe("a listener's limits", () => {
  test("any listener may be choosy", () => {
    const place = new Place();
    place.listen({ port: 80, accept: ({ remoteAddress }) => `${remoteAddress}` === PEER });
    expect(place.asks(OURS, 80)).toBe("S.");
    expect(place.asks(OURS, 80, "10.0.0.3")).toBe("R.");
  });

  test("maxConnections: what comes then is refused, until one is over", () => {
    const place = new Place();
    const listener = place.listen({ port: 80, maxConnections: 2 });
    // A third one asks while there are only two half-open ones: its handshake ends by a reset.
    const callers = [1, 2, 3].map((sourcePort) => ({
      from: PEER,
      to: OURS,
      sourcePort,
      destinationPort: 80,
      iss: 100,
    }));
    const answers = callers.map((caller) => place.answers(syn(caller))[0]);
    expect(answers.map(({ flags }) => formatFlags(flags))).toEqual(["S.", "S.", "S."]);
    const replies = callers.map((caller, i) => place.answers(says(caller, answers[i], ACK)));
    expect(replies.map((segments) => segments.map(({ flags }) => formatFlags(flags)))).toEqual([
      [],
      [],
      ["R"],
    ]);
    expect(listener.connections).toBe(2);
    const sockets = acceptAll(listener);
    expect(sockets).toHaveLength(2);
    expect(listener.connections).toBe(2);
    expect(place.asks(OURS, 80, PEER, 4)).toBe("R.");
    expect(place.stack.stats.tcpConnectionsRefused).toBe(2);
    expect(place.stack.sockets.size).toBe(3);
    sockets[0].abort();
    place.answers();
    expect(listener.connections).toBe(1);
    expect(place.calls(OURS, 80, PEER, 5)).toBe("");
    expect(listener.connections).toBe(2);
    expect(place.asks(OURS, 80, PEER, 6)).toBe("R.");
  });

  test("maxConnections holds for connections by cookies", () => {
    const place = new Place({ synCookies: "always" });
    const listener = place.listen({ port: 80, maxConnections: 1 });
    const [a, b] = [1, 2].map((sourcePort) => ({
      from: PEER,
      to: OURS,
      sourcePort,
      destinationPort: 80,
      iss: 100,
    }));
    const [[first], [second]] = [place.answers(syn(a)), place.answers(syn(b))];
    expect(place.answers(says(a, first, ACK))).toEqual([]);
    expect(place.answers(says(b, second, ACK)).map(({ flags }) => formatFlags(flags))).toEqual(["R"]);
    expect(listener.connections).toBe(1);
    expect(place.stack.stats.tcpConnectionsRefused).toBe(1);
  });

  test("TIME-WAIT is no open connection, nor is one that was reset before it was accepted", () => {
    const place = new Place();
    const listener = place.listen({ port: 80, maxConnections: 1 });
    const caller = { from: PEER, to: OURS, sourcePort: 1, destinationPort: 80, iss: 100 };
    const [answer] = place.answers(syn(caller));
    place.answers(says(caller, answer, ACK));
    listener.accept()!.close();
    place.answers();
    expect(listener.connections).toBe(1);
    const ack = (answer.seq + 2) | 0;
    const { from, to, sourcePort, destinationPort } = caller;
    place.answers(
      tcpPacket({ from, to }, { sourcePort, destinationPort, seq: 101, ack, flags: ACK | FIN, window: 9 }),
    );
    expect(listener.connections).toBe(0);
    expect(place.stack.sockets.size).toBe(2);
    place.calls(OURS, 80, PEER, 2);
    expect(listener.connections).toBe(1);
    place.answers(tcpPacket({ from, to }, { sourcePort: 2, destinationPort, seq: 101, flags: RST }));
    expect(listener.connections).toBe(0);
    expect(listener.accept()).toBeNull();
  });

  test("connections of a listener that has closed end as any others", () => {
    const place = new Place();
    const listener = place.listen({ port: 80 });
    place.calls(OURS, 80);
    const socket = listener.accept()!;
    listener.close();
    socket.abort();
    place.answers();
    expect([listener.connections, place.stack.sockets.size]).toEqual([0, 0]);
    expect(place.stack.sockets.context.halfOpen.count).toBe(0);
  });
});
