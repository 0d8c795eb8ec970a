import { describe, expect, test } from "bun:test";
import { read32, write32 } from "../../src/wire/bytes.ts";
import { ACK, FIN, PSH, RST, SYN, type TcpSegment } from "../../src/wire/tcp.ts";
import { icmpPacket, ipv4Packet, tcpPacket } from "../support/packets.ts";
import { STAGINGS } from "./flavours.ts";
import { ANSWERED, BLIND, LUCKY, luckOf } from "./luck.ts";
import { type Flavour, type Scenario, scenarioOf } from "./scenario.ts";
import { PEER, VICTIM } from "./target.ts";
import { World } from "./world.ts";

const ENDS = { from: PEER, to: VICTIM };
const TEXT = new Uint8Array(10).fill(7);

/** A connection of a flavour, without what chance would add. */
function staged(flavour: Flavour, change: Partial<Scenario> = {}) {
  const tcp = { timestamps: false, receiveBuffer: 65_536 };
  const scenario = { ...scenarioOf(0), flavour, medium: "ip", loss: 0, tcp: [tcp, tcp], ...change } as const;
  const world = new World(scenario);
  STAGINGS[flavour].prepare(world);
  const { target } = world;
  const { tcb } = target;
  const luck = (packet: Uint8Array) => luckOf(target, packet, 0, packet.length, world.now);
  const segment = (fields: Partial<TcpSegment>, text?: Uint8Array) =>
    tcpPacket(
      ENDS,
      { sourcePort: target.remotePort, destinationPort: target.localPort, window: 1_000, ...fields },
      text,
    );
  /** Lets the victim receive a packet. */
  const send = (packet: Uint8Array) => {
    let left = 1;
    world.device.source = {
      next(frame) {
        frame.bytes = packet;
        frame.offset = 0;
        frame.length = packet.length;
        frame.checksumOffloaded = false;
        frame.segmentSize = 0;
        return left-- > 0;
      },
    };
    world.settle();
    world.device.stop();
  };
  return { world, tcb, target, luck, segment, send };
}

describe("an established connection", () => {
  const { tcb, luck, segment } = staged("idle");
  const [next, ack] = [tcb.rcvNxt, tcb.sndNxt];

  test("a reset hits with one number, and no other one", () => {
    expect(luck(segment({ flags: RST, seq: next }))).toBe(LUCKY);
    for (const off of [-1, 1, 1_000, -1_000])
      expect(luck(segment({ flags: RST, seq: next + off }))).toBe(BLIND);
  });

  test("text hits in the window, with an ACK that the peer may send", () => {
    expect(luck(segment({ flags: ACK | PSH, seq: next + 100, ack }, TEXT))).toBe(LUCKY);
    expect(luck(segment({ flags: ACK | PSH, seq: next + 100, ack: ack + 1 }, TEXT))).toBe(BLIND);
    expect(luck(segment({ flags: ACK, seq: next + 100, ack: ack - tcb.maxSndWnd - 1 }, TEXT))).toBe(BLIND);
    expect(luck(segment({ flags: PSH, seq: next + 100, ack }, TEXT))).toBe(BLIND);
    expect(luck(segment({ flags: ACK, seq: next + 2 ** 24, ack }, TEXT))).toBe(BLIND);
  });

  test("what is old is answered; a SYN never hits", () => {
    expect(luck(segment({ flags: ACK, seq: next - 100, ack }, TEXT))).toBe(ANSWERED);
    expect(luck(segment({ flags: ACK | FIN, seq: next - 1, ack }))).toBe(ANSWERED);
    expect(luck(segment({ flags: SYN, seq: next }))).toBe(BLIND);
  });

  test("what is damaged or for somebody else does not", () => {
    const spoiled = segment({ flags: RST, seq: next });
    spoiled[36] ^= 1;
    expect(luck(spoiled)).toBe(BLIND);
    expect(luck(segment({ flags: RST, seq: next, destinationPort: 9 }))).toBe(BLIND);
    expect(luck(new Uint8Array(3))).toBe(BLIND);
    expect(luck(ipv4Packet(ENDS, 99, TEXT))).toBe(BLIND);
  });
});

test("with timestamps, what comes from the past does not hit", () => {
  const tcp = { timestamps: true };
  const { tcb, luck, segment } = staged("idle", { tcp: [tcp, tcp] });
  const fields = { flags: ACK, seq: tcb.rcvNxt, ack: tcb.sndNxt, tsEcr: 0 };
  expect(luck(segment({ ...fields, hasTimestamp: true, tsVal: tcb.tsRecent + 1 }, TEXT))).toBe(LUCKY);
  expect(luck(segment({ ...fields, hasTimestamp: true, tsVal: tcb.tsRecent - 1 }, TEXT))).toBe(BLIND);
  expect(luck(segment(fields, TEXT))).toBe(BLIND);
});

test("an ICMP error hits what is in flight", () => {
  const { tcb, luck, target, world } = staged("idle");
  world.ours.write(100);
  world.cut();
  world.pass(1);
  const quote = tcpPacket(
    { from: VICTIM, to: PEER },
    { sourcePort: target.localPort, destinationPort: target.remotePort },
  );
  for (const [seq, expected] of [
    [tcb.sndUna, LUCKY],
    [tcb.sndUna - 1, BLIND],
    [tcb.sndNxt, BLIND],
  ] as const) {
    write32(quote, 24, seq);
    expect(luck(icmpPacket(ENDS, 3, 4, 600, quote))).toBe(expected);
  }
});

test("handshakes: a SYN hits who has sent one; an ACK of something else is answered", () => {
  const sent = staged("synSent", { victimOpens: true });
  expect(sent.luck(sent.segment({ flags: SYN }))).toBe(LUCKY);
  expect(sent.luck(sent.segment({ flags: ACK, ack: 5 }))).toBe(ANSWERED);
  expect(sent.luck(sent.segment({ flags: RST, seq: 5 }))).toBe(BLIND);
  const received = staged("synReceived", { victimOpens: false });
  const { rcvNxt: seq, sndNxt } = received.tcb;
  expect(received.luck(received.segment({ flags: ACK, seq, ack: sndNxt }))).toBe(LUCKY);
  expect(received.luck(received.segment({ flags: ACK, seq, ack: sndNxt + 1 }))).toBe(ANSWERED);
});

test("TIME-WAIT is opened again by a SYN where somebody listens", () => {
  const open = staged("timeWait", { victimOpens: false });
  expect(open.luck(open.segment({ flags: SYN, seq: 5 }))).toBe(LUCKY);
  const closed = staged("timeWait", { victimOpens: true });
  expect(closed.luck(closed.segment({ flags: SYN, seq: 5 }))).toBe(BLIND);
});

/** Whoever left too much out would find nothing. */
test("what counts as a hit is one", () => {
  const reset = staged("idle");
  reset.send(reset.segment({ flags: RST, seq: reset.tcb.rcvNxt }));
  expect(reset.target.state).toBe("CLOSED");
  const injected = staged("idle");
  const { rcvNxt: seq, sndNxt: ack } = injected.tcb;
  injected.send(injected.segment({ flags: ACK, seq, ack }, TEXT));
  expect(injected.tcb.rcvNxt).toBe((seq + TEXT.length) | 0);
  const handshake = staged("synReceived", { victimOpens: false });
  const { rcvNxt, sndNxt } = handshake.tcb;
  const last = handshake.segment({ flags: ACK, seq: rcvNxt, ack: sndNxt });
  expect(read32(last, 24)).toBe(rcvNxt);
  handshake.send(last);
  expect(handshake.target.state).toBe("ESTABLISHED");
});
