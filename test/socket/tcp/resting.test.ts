import { describe, expect, test } from "bun:test";
import { CLOSED_EVENT, READABLE, type TcpSocket, WRITABLE } from "../../../src/index.ts";
import { seededRandom } from "../../../src/random.ts";
import { Network } from "../../../src/sim/index.ts";
import type { Path } from "../../../src/socket/routing.ts";
import { LossRecovery } from "../../../src/socket/tcp/loss-recovery.ts";
import {
  FLAGS,
  LOSS_NUMBERS,
  NUMBERS,
  RestingConnection,
  UNTOUCHED,
  WORDS,
} from "../../../src/socket/tcp/resting.ts";
import { seqAdd } from "../../../src/socket/tcp/seq.ts";
import { tcpSettings } from "../../../src/socket/tcp/settings.ts";
import type { Tcb } from "../../../src/socket/tcp/tcb.ts";
import { abort } from "../../../src/socket/tcp/user-calls.ts";
import { ACK, SYN } from "../../../src/wire/tcp.ts";
import { tcpPacket } from "../../support/packets.ts";
import { type Conversation, established, scenario } from "../../support/tcp.ts";
import { OUR_ADDRESS, PEER_ADDRESS } from "../../support/tcp-host.ts";

/** Idle connections that are kept in little memory, and nobody can tell. */

/** Any idle connection rests. */
const RESTING = { tcp: { maxAwake: 0 } } as const;
const LONG = 1_500;

/** A connection that has done this and that, and has rested for a while. */
function rested(options = {}): Conversation {
  const s = established({ ...RESTING, ...options });
  s.writes(100);
  s.sends({ seq: 1, length: 100 });
  s.receives({ ack: 101, length: 10 });
  s.reads(10);
  s.sends({ ack: 11, after: 40 });
  s.passes(LONG);
  expect(isResting(s)).toBe(true);
  return s;
}

function block(socket: TcpSocket): Tcb | RestingConnection {
  return (socket as unknown as { block: Tcb | RestingConnection }).block;
}

function isResting(s: Conversation): boolean {
  return block(s.socket) instanceof RestingConnection;
}

describe("a connection that rests", () => {
  scenario("has not changed when it wakes, as far as its program can see", () => {
    const s = established({ ...RESTING, rttMs: 30, noDelay: true });
    s.socket.setKeepAlive(50_000, 1_000, 3);
    s.writes(3_000);
    s.sends({ seq: 1, length: 1_460 }, { length: 1_460 }, { length: 80 });
    s.receives({ ack: 3_001, length: 10 });
    s.reads(10);
    s.sends({ ack: 11, after: 40 });
    const before = s.socket.info();
    s.passes(LONG);
    expect(isResting(s)).toBe(true);
    expect(s.socket.info()).toEqual(before);
    expect(isResting(s)).toBe(false);
  });

  scenario("takes the next text where it belongs, and acknowledges it", () => {
    const s = rested();
    s.events = 0;
    s.receives({ seq: 11, length: 20, ack: 101 });
    s.wasToldOf(READABLE);
    s.reads(20);
    s.sends({ seq: 101, ack: 31, after: 40 });
  });

  scenario("sends what is written, in the window and the size that it had", () => {
    const s = rested({ mss: 500, win: 4_000 });
    s.writes(1_000);
    s.sends({ seq: 101, length: 500, ack: 11 }, { seq: 601, length: 500 });
    s.receives({ ack: 1_101 });
  });

  scenario("answers text that came before, and what is out of its window", () => {
    const s = rested();
    s.receives({ seq: 1, length: 10, ack: 101 });
    s.sends({ seq: 101, ack: 11 });
    s.passes(LONG);
    expect(isResting(s)).toBe(true);
    s.receives({ seq: 1_000_000, ack: 101 });
    s.sends({ seq: 101, ack: 11 });
  });

  scenario("is probed by keep-alives when it is time, and ends when they are not answered", () => {
    const s = established(RESTING);
    s.socket.setKeepAlive(10_000, 300, 2);
    s.passes(LONG);
    expect(isResting(s)).toBe(true);
    s.sends({ seq: 0, ack: 1, at: 10_000 });
    s.receives({ ack: 1 });
    s.passes(LONG);
    expect(isResting(s)).toBe(true);
    s.sends({ seq: 0, ack: 1, at: 20_000 }, { seq: 0, ack: 1, at: 20_300 });
    s.sends({ flags: "R.", seq: 1, at: 20_600 });
    s.wasToldOf(READABLE | WRITABLE | CLOSED_EVENT);
    expect(s.socket.errorCode).toBe("ETIMEDOUT");
  });

  scenario("is reset by its peer, and tells its program", () => {
    const s = rested();
    s.receives({ flags: "R", seq: 11 });
    s.wasToldOf(READABLE | WRITABLE | CLOSED_EVENT);
    expect(s.socket.errorCode).toBe("ECONNRESET");
    expect(s.socket.isClosed).toBe(true);
    expect(s.host.stack.sockets.size).toBe(0);
  });

  scenario("is closed by its peer, and by its program", () => {
    const s = rested();
    s.receives({ flags: "F.", seq: 11, ack: 101 });
    s.sends({ seq: 101, ack: 12 });
    s.is("CLOSE_WAIT");
    s.passes(LONG);
    expect(isResting(s)).toBe(false);
    s.close();
    s.sends({ flags: "F.", seq: 101, ack: 12 });
    s.receives({ seq: 12, ack: 102 });
    s.is("CLOSED");
  });

  scenario("is aborted with its interface's other connections, and says so", () => {
    const s = rested();
    const { sockets } = s.host.stack;
    const { ready } = s.tcb as Tcb;
    s.passes(LONG);
    expect(isResting(s)).toBe(true);
    let count = 0;
    sockets.forEachConnection({ ready } as Path, (tcb) => {
      abort(tcb);
      count++;
    });
    expect(count).toBe(1);
    s.host.run();
    s.sends({ flags: "R.", seq: 101, ack: 11 });
    expect(s.socket.isClosed).toBe(true);
  });

  scenario("does not wake for a look at its addresses, its state or its handlers", () => {
    const s = rested();
    const consumer = (_bytes: Uint8Array, _offset: number, length: number) => length;
    s.socket.consumer = consumer;
    s.passes(LONG);
    const { socket } = s;
    expect(`${socket.localAddress}:${socket.localPort}`).toBe(`${OUR_ADDRESS}:${s.localPort}`);
    expect(`${socket.remoteAddress}:${socket.remotePort}`).toBe(`${PEER_ADDRESS}:${s.peerPort}`);
    expect([socket.state, socket.isClosed, socket.error, socket.errorCode]).toEqual([
      "ESTABLISHED",
      false,
      null,
      null,
    ]);
    expect(socket.consumer).toBe(consumer);
    expect(socket.handler).not.toBeNull();
    expect(socket.tuning.timeToLive).toBe(64);
    expect(isResting(s)).toBe(true);
    s.receives({ seq: 11, length: 20, ack: 101 });
    expect(socket.readableBytes).toBe(0);
    expect(isResting(s)).toBe(false);
  });

  scenario("keeps the events that nobody has listened to", () => {
    const s = established(RESTING);
    s.socket.handler = null;
    s.receives({ seq: 1, length: 10, ack: 1 });
    s.reads(10);
    s.passes(LONG);
    expect(isResting(s)).toBe(true);
    let told = 0;
    s.socket.handler = (events) => {
      told = events;
    };
    s.host.run();
    expect(told).toBe(READABLE);
  });

  scenario("keeps what congestion control has learnt", () => {
    const s = established({ tcp: { maxAwake: 0, congestionControl: "cubic" } });
    const tcb = s.tcb as Tcb;
    tcb.ssthresh = 20_000;
    tcb.cwnd = 12_345;
    const { control } = tcb;
    s.passes(LONG);
    expect(isResting(s)).toBe(true);
    expect(s.tcb).not.toBe(tcb);
    expect(s.tcb?.control).toBe(control);
    expect([s.tcb?.ssthresh, s.tcb?.cwnd]).toEqual([20_000, 12_345]);
  });
});

describe("a connection does not rest", () => {
  const awake = (s: Conversation) => {
    s.passes(LONG);
    expect(isResting(s)).toBe(false);
  };

  scenario("within a second of the last segment", () => {
    const s = established(RESTING);
    s.passes(999);
    expect(isResting(s)).toBe(false);
    s.passes(1);
    expect(isResting(s)).toBe(true);
  });

  scenario("while something is not acknowledged", () => {
    const s = established(RESTING);
    s.writes(10);
    s.sends({ length: 10 });
    awake(s);
  });

  scenario("while something is not read", () => {
    const s = established(RESTING);
    s.receives({ seq: 1, length: 10, ack: 1 });
    awake(s);
  });

  scenario("while there is a gap", () => {
    const s = established(RESTING);
    s.receives({ seq: 11, length: 10, ack: 1 });
    awake(s);
  });

  scenario("once the program has closed its side", () => {
    const closing = established(RESTING);
    closing.shutdown();
    closing.sends({ flags: "F." });
    closing.receives({ ack: 2 });
    awake(closing);
  });

  scenario("while it is traced", () => {
    const s = established(RESTING);
    s.socket.startTrace(10);
    awake(s);
    s.socket.stopTrace();
    s.passes(LONG);
    expect(isResting(s)).toBe(true);
  });
});

describe("what is kept", () => {
  /** Made anew, or told by what is kept; or an object that has its own place. */
  const DERIVED = [
    ...["context", "index", "state", "local", "remote", "ready", "listen", "holder"],
    ...["sndNxt", "sendBuffer", "receiveBuffer", "outOfOrder", "sackReport", "sent", "loss", "control"],
    ...["handler", "consumer", "path", "tuning"],
  ];
  /** Of a measurement, a hold-up or a limit that is over; `finSeq` goes with `finPending`. */
  const OF_THE_PAST = [
    ...[
      "rttSeq",
      "rttStart",
      "finSeq",
      "nextSendAt",
      "behindMs",
      "challengeWindowStart",
      "challengeCount",
      "limitSince",
    ],
    ...[
      "progressAt",
      "progressBytes",
      "unackedSince",
      "rcvRoundAt",
      "rcvRoundEdge",
      "rcvRoundTimestamp",
      "rcvRoundTaken",
    ],
  ];

  test("is every field of a control block but those of the past", () => {
    const tcb = established().tcb as Tcb;
    const kept: string[] = [...UNTOUCHED, ...WORDS, ...NUMBERS, ...FLAGS, ...DERIVED, ...OF_THE_PAST];
    expect(kept.toSorted()).toEqual(Object.keys(tcb).toSorted());
    const loss = Object.keys(new LossRecovery());
    for (const name of LOSS_NUMBERS) expect(loss).toContain(name);
  });

  test("comes back as it was, whatever it was", () => {
    const random = seededRandom(3);
    for (let round = 0; round < 50; round++) {
      const s = established(RESTING);
      const tcb = s.tcb as Tcb;
      const before = new Map<string, unknown>();
      for (const name of WORDS) tcb[name] = random.next() | 0;
      tcb.sndNxt = tcb.sndUna;
      for (const name of NUMBERS) tcb[name] = random.next() / 1_000;
      // What decides whether it may rest, and when it is looked at.
      tcb.openedAt = 0;
      tcb.lastHeardAt = 0;
      tcb.lastSentAt = 0;
      tcb.keepAliveAt = Number.POSITIVE_INFINITY;
      tcb.events = 0;
      for (const name of FLAGS) tcb[name] = (random.next() & 1) === 1;
      for (const name of LOSS_NUMBERS) tcb.loss[name] = random.next();
      tcb.loss.reorderingSeen = (random.next() & 1) === 1;
      tcb.sendBuffer.resize(1 + (random.next() >>> 12));
      tcb.receiveBuffer.resize(1 + (random.next() >>> 12));
      for (const name of [...WORDS, ...NUMBERS, ...FLAGS]) before.set(name, tcb[name]);
      const { sendBuffer, receiveBuffer, loss } = tcb;
      s.passes(LONG);
      expect(isResting(s)).toBe(true);
      const woken = s.tcb as Tcb;
      expect(woken).not.toBe(tcb);
      for (const [name, value] of before)
        expect({ [name]: woken[name as keyof Tcb] as unknown }).toEqual({ [name]: value });
      for (const name of LOSS_NUMBERS) expect(woken.loss[name]).toBe(loss[name]);
      expect(woken.loss.reorderingSeen).toBe(loss.reorderingSeen);
      expect(woken.sendBuffer.limit).toBe(sendBuffer.limit);
      expect(woken.receiveBuffer.limit).toBe(receiveBuffer.limit);
    }
  });
});

describe("maxAwake", () => {
  test("is how many stay awake of many that say something now and then, on a bad path", async () => {
    const net = new Network({ seed: 5 });
    const tcp = { maxAwake: 4 };
    const server = net.host({ addresses: ["10.0.0.1/24"], tcp });
    const client = net.host({ addresses: ["10.0.0.2/24"], tcp });
    net.link(client, server, { rateMbit: 20, delayMs: 10, loss: 0.02, reorder: 0.02, duplicate: 0.01 });
    await net.run(async () => {
      const listener = server.listen({ port: 7 });
      net.spawn(async () => {
        for await (const connection of listener) {
          net.spawn(() => connection.readable.pipeTo(connection.writable));
        }
      });
      const talk = async (number: number) => {
        const control = (["cubic", "newreno", "bbr"] as const)[number % 3];
        const connection = await client.connect({ address: "10.0.0.1", port: 7, congestionControl: control });
        for (let i = 0; i < 8; i++) {
          const sent = new Uint8Array(1 + (net.random.next() >>> 18)).map((_, at) => at * number + i);
          await connection.write(sent);
          const chunks: Uint8Array[] = [];
          for (let got = 0; got < sent.length; got += chunks.at(-1)?.length ?? Number.NaN) {
            chunks.push((await connection.read()) ?? new Uint8Array(0));
          }
          expect(Buffer.concat(chunks).equals(sent)).toBe(true);
          await net.sleep(net.random.next() / 2 ** 20);
        }
        await connection.shutdown();
        expect(await connection.read()).toBeNull();
        await connection.closed;
      };
      await Promise.all(Array.from({ length: 12 }, (_, number) => talk(number)));
    });
    for (const { stats } of [server, client]) {
      expect(stats.tcpLaidToRest).toBeGreaterThan(20);
      expect(stats.tcpWoken).toBe(stats.tcpLaidToRest);
    }
  });

  /** A host with so many more connections. */
  function crowd(s: Conversation, count: number): TcpSocket[] {
    const { stack } = s.host;
    return Array.from({ length: count }, (_, i) => {
      const port = 100 + i;
      const socket = stack.sockets.connect({ address: PEER_ADDRESS, port });
      s.host.run();
      const [syn] = s.sent();
      const { seq: irs, sourcePort } = syn.seg;
      s.host.inject(
        tcpPacket(
          { from: PEER_ADDRESS, to: OUR_ADDRESS },
          {
            sourcePort: port,
            destinationPort: sourcePort,
            ack: seqAdd(irs, 1),
            flags: SYN | ACK,
            window: 1_000,
          },
        ),
      );
      s.sent();
      expect(socket.state).toBe("ESTABLISHED");
      return socket;
    });
  }

  test("bounds what many idle connections take", () => {
    const s = established({ tcp: { maxAwake: 8 }, maxSockets: 64 });
    const { stack } = s.host;
    crowd(s, 50);
    const { awake } = stack.sockets.context;
    expect(awake.size).toBe(51);
    s.passes(LONG);
    expect(awake.size).toBe(8);
    expect(stack.stats.tcpLaidToRest).toBe(43);
    expect(stack.sockets.size).toBe(51);
    expect(s.host.isQuiet).toBe(true);
  });

  test("needs nobody who polls but for deadlines, however many there are and whoever may not rest", () => {
    const s = established({ tcp: { maxAwake: 8 }, maxSockets: 512 });
    const { stack } = s.host;
    const unsent = crowd(s, 400).filter((_, i) => i % 5 === 0);
    for (const socket of unsent) socket.corked = true;
    s.passes(5_000);
    expect(stack.sockets.context.awake.size).toBe(unsent.length);
    const before = stack.stats.tcpLaidToRest;
    s.passes(15_000);
    expect(stack.stats.tcpLaidToRest).toBe(before);
    for (const socket of unsent) socket.corked = false;
    s.passes(70_000);
    expect(stack.sockets.context.awake.size).toBe(8);
  });

  test("is 8,192 by default, and a whole number", () => {
    expect(tcpSettings().maxAwake).toBe(8_192);
    expect(() => tcpSettings({ maxAwake: -1 })).toThrow(
      "maxAwake must be a whole number from 0 to 16777216, not -1",
    );
  });
});
