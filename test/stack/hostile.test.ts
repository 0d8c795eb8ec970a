import { describe, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { memoryPair } from "../../devices/memory.ts";
import { OK } from "../../src/errors.ts";
import { Stack, type Stats, type TcpListener, type TcpSocket } from "../../src/index.ts";
import { type Random, randomBelow, seededRandom } from "../../src/random.ts";
import { write16, write32 } from "../../src/wire/bytes.ts";
import { parseAddress } from "../../src/wire/ip-address.ts";
import { checkIpv4, ipv4HeaderLength, PROTOCOL_TCP, writeIpv4 } from "../../src/wire/ipv4.ts";
import {
  ACK,
  FIN,
  finishTcpChecksum,
  PSH,
  parseTcp,
  RST,
  TcpSegment,
  tcpSequenceLength,
} from "../../src/wire/tcp.ts";
import { LINKTYPE_ETHERNET, readCapture } from "../support/pcap-reader.ts";
import { TestDevice } from "../support/test-device.ts";
import { pollAll } from "../support/transfer.ts";

const FRAMES = 100_000;
const US = "10.0.0.1";
const ATTACKER = "10.0.0.66";
const PORT = 80;

/** A stack with a listener under attack on one interface, and a connection that must not notice on another. */
class Target {
  readonly device = new TestDevice();
  readonly stack = new Stack({ random: seededRandom(1), memory: 8 << 20, maxSockets: 512 });
  private readonly friend = new Stack({ random: seededRandom(2), memory: 1 << 20, maxSockets: 16 });
  private readonly listener: TcpListener;
  private readonly victims: TcpSocket[] = [];
  private readonly client: TcpSocket;
  private readonly server: TcpSocket;
  private now = 1_000;

  constructor() {
    const [ours, theirs] = memoryPair();
    this.stack.addInterface({ device: this.device, addresses: [`${US}/24`] });
    this.stack.addInterface({ device: ours, addresses: ["192.168.69.1/24"] });
    this.friend.addInterface({ device: theirs, addresses: ["192.168.69.2/24"] });
    this.listener = this.stack.sockets.listen({ port: PORT });
    this.stack.sockets.bindUdp({ port: 53 });
    this.client = this.friend.sockets.connect({ address: "192.168.69.1", port: PORT });
    this.settle();
    const server = this.listener.accept();
    if (server === null) throw new Error("the connection beside the attack was not established");
    this.server = server;
  }

  /** The stack polls what it was sent, and its program reads, answers and closes as programs do. */
  attack(frames: Uint8Array[]): void {
    this.device.inject(...frames);
    this.settle();
    this.overhear(this.device.take());
    const scratch = new Uint8Array(4_096);
    for (let victim = this.listener.accept(); victim !== null; victim = this.listener.accept()) {
      this.victims.push(victim);
      victim.write(scratch);
    }
    for (const victim of this.victims) {
      try {
        while (victim.read(scratch) > 0);
      } catch {
        // Reset by the attack: what a program would see as ECONNRESET.
      }
    }
    for (const victim of this.victims.splice(0, this.victims.length - 100)) victim.close();
    this.now += 1 + frames.length;
  }

  /** The attacker sees what it is answered: what an insider, or somebody on the way, would know. */
  readonly heard = new Map<number, { seq: number; ack: number }>();

  private overhear(packets: Uint8Array[]): void {
    const seg = new TcpSegment();
    for (const packet of packets) {
      if (packet[9] !== PROTOCOL_TCP || parseTcp(packet, 20, packet.length - 20, seg) !== OK) continue;
      if (seg.flags & RST) this.heard.delete(seg.destinationPort);
      else this.heard.set(seg.destinationPort, { seq: (seg.seq + tcpSequenceLength(seg)) | 0, ack: seg.ack });
    }
  }

  /** Something goes there and back on the connection beside the attack. */
  expectAlive(): void {
    const word = Uint8Array.of(1, 2, 3, 4);
    const heard = new Uint8Array(8);
    this.client.write(word);
    this.settle();
    expect(this.server.read(heard)).toBe(4);
    this.server.write(heard, 0, 4);
    this.settle();
    expect(this.client.read(heard)).toBe(4);
    expect(heard.subarray(0, 4)).toEqual(word);
  }

  private settle(): void {
    for (let polls = 0; pollAll(this.now, this.stack, this.friend); polls++) {
      if (polls === 10_000) throw new Error("the stack never comes to rest");
    }
  }
}

function randomFrame(random: Random): Uint8Array {
  const frame = new Uint8Array(randomBelow(random, 120));
  for (let i = 0; i < frame.length; i++) frame[i] = random.next();
  // Half of them look like IPv4 for us far enough to get past the first check.
  if (frame.length >= 20 && random.next() & 1) {
    const protocol = [1, 6, 17, frame[9]][randomBelow(random, 4)];
    writeIpv4(frame, 0, frame.length, protocol, 64, parseAddress(ATTACKER), parseAddress(US));
  }
  return frame;
}

/** Every packet of every capture, without its Ethernet header. */
function fixturePackets(): Uint8Array[] {
  const folder = join(import.meta.dir, "../fixtures");
  const packets: Uint8Array[] = [];
  for (const name of readdirSync(folder).filter((file) => file.endsWith(".pcap"))) {
    const capture = readCapture(join(folder, name));
    const skip = capture.linkType === LINKTYPE_ETHERNET ? 14 : 0;
    for (const { bytes } of capture.packets) packets.push(bytes.subarray(skip));
  }
  return packets;
}

/** A captured packet, sent to us, with some of its bytes changed; mostly with checksums that hide it. */
function mutant(random: Random, packets: readonly Uint8Array[], heard: Target["heard"]): Uint8Array {
  const frame = packets[randomBelow(random, packets.length)].slice();
  if (checkIpv4(frame, 0, frame.length) === 0 && ipv4HeaderLength(frame, 0) === 20) {
    const protocol = frame[9];
    const [from, to] = [parseAddress(ATTACKER), parseAddress(US)];
    if (protocol === PROTOCOL_TCP) {
      // Few ports, so that segments meet connections that other mutants have opened.
      const port = randomBelow(random, 16) + 1_000;
      write16(frame, 20, port);
      write16(frame, 22, PORT);
      const known = heard.get(port);
      if (known !== undefined && random.next() % 8 !== 0) {
        // Near enough to be taken for the peer's own: in the window, ahead of a gap, a little old.
        const ahead = random.next() & 1 ? 0 : randomBelow(random, 5_000) - 1_000;
        write32(frame, 24, known.ack + ahead);
        write32(frame, 28, known.seq - (random.next() % 4 === 0 ? randomBelow(random, 3_000) : 0));
        if (random.next() & 1) frame[33] = random.next() % 16 === 0 ? ACK | FIN : ACK | PSH;
      }
    }
    mutate(random, frame, 20);
    writeIpv4(frame, 0, frame.length, protocol, 64, from, to);
    if (protocol === PROTOCOL_TCP) finishTcpChecksum(frame, 20, frame.length - 20, from, to, true);
  }
  if (random.next() % 4 === 0) mutate(random, frame, 0);
  return random.next() % 8 === 0 ? frame.subarray(0, randomBelow(random, frame.length + 1)) : frame;
}

function mutate(random: Random, frame: Uint8Array, from: number): void {
  for (let changes = randomBelow(random, 6); changes > 0; changes--) {
    // Mostly in the headers.
    const span = Math.min(frame.length - from, random.next() & 1 ? 40 : frame.length);
    if (span > 0) frame[from + randomBelow(random, span)] = random.next();
  }
}

describe("a hostile network", () => {
  // Each attack with the counters that show how deep it got.
  const attacks: [string, (random: Random, target: Target) => () => Uint8Array, (keyof Stats)[]][] = [
    [
      "random frames",
      (random) => () => randomFrame(random),
      ["tcpBadChecksum", "udpMalformed", "icmpMalformed", "ipv4UnknownProtocol"],
    ],
    [
      "mutated captures",
      (random, { heard }) => {
        const packets = fixturePackets();
        expect(packets.length).toBeGreaterThan(100);
        return () => mutant(random, packets, heard);
      },
      [
        "tcpPassiveOpens",
        "tcpUnacceptable",
        "tcpResetsReceived",
        "tcpOutOfOrder",
        "tcpChallengeAcks",
        "ipv4Malformed",
      ],
    ],
  ];

  test.each(attacks)(
    `100,000 %s: nothing throws, and a connection beside them stays alive`,
    (_, attack, deep) => {
      const target = new Target();
      const next = attack(seededRandom(42), target);
      for (let sent = 0; sent < FRAMES; sent += 100) {
        target.attack(Array.from({ length: 100 }, next));
        if (sent % 1_000 === 0) target.expectAlive();
      }
      target.expectAlive();
      const { stats } = target.stack;
      expect(stats.framesReceived).toBeGreaterThanOrEqual(FRAMES);
      if (process.env.SHOW) console.log(stats);
      for (const counter of deep) expect(stats[counter]).toBeGreaterThan(100);
    },
  );
});
