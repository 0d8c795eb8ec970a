import { describe, expect, test } from "bun:test";
import type { Frame } from "../../src/device.ts";
import { Stack, type TcpSocket } from "../../src/index.ts";
import { type Random, randomBelow, seededRandom } from "../../src/random.ts";
import { checksum } from "../../src/wire/checksum.ts";
import { parseAddress } from "../../src/wire/ip-address.ts";
import { ACK, FIN, finishTcpChecksum, PSH, RST, SYN, type TcpSegment } from "../../src/wire/tcp.ts";
import { tcpPacket } from "../support/packets.ts";
import { TestDevice } from "../support/test-device.ts";

/**
 * Header prediction for the flow seen last must change nothing but the time it takes: the same packets go to a stack that
 * can predict and to one that can't, whose packets lie where no words can be compared, and both must do the same.
 */

const PEER = "192.168.69.2";
const US = "192.168.69.1";
const ends = { from: PEER, to: US };
const PORT = 9;
const PEER_PORT = 40_000;
const IRS = 1_000;
/** The peer's clock at the start; its numbers wrap soon. */
const CLOCK = 0x7fff_fff0;
const PACKETS = 4_000;

/** Gives its frames at an odd place, where `FlowMemo` has to pass. */
class OddDevice extends TestDevice {
  private readonly moved = new Uint8Array(65_600);

  override receive(frame: Frame): boolean {
    if (!super.receive(frame)) return false;
    this.moved.fill(0xdd, 0, 2_000);
    this.moved.set(frame.bytes.subarray(frame.offset, frame.offset + frame.length), 5);
    frame.bytes = this.moved;
    frame.offset = 5;
    return true;
  }
}

/** A stack with one connection, and all that can be seen of it. */
class Subject {
  readonly device: TestDevice;
  readonly stack = new Stack({ random: seededRandom(1), memory: 1 << 20, maxSockets: 16 });
  private socket: TcpSocket | null = null;
  private readonly received: number[] = [];
  private readonly sent: string[] = [];
  private readonly target = new Uint8Array(65_536);

  constructor(device: TestDevice) {
    this.device = device;
    this.stack.addInterface({ device, addresses: [`${US}/24`] });
    const listener = this.stack.sockets.listen({ port: PORT });
    listener.handler = () => {
      this.socket ??= listener.accept();
    };
  }

  /** What one poll finds, however many packets it is. @param vouched the device says that the checksums are right */
  arrive(packets: readonly Uint8Array[], now: number, vouched: boolean, reads: boolean): void {
    for (const packet of packets) {
      if (vouched) this.device.injectJoined(packet, 1_000);
      else this.device.inject(packet);
    }
    while (this.stack.poll(now));
    this.sent.push(...this.device.take().map((bytes) => Buffer.from(bytes).toString("hex")));
    // Now and then a byte is left, so that not every piece meets an empty buffer.
    const { socket, target } = this;
    if (!reads || socket === null || socket.readableBytes === 0) return;
    const left = packets[0].length & 1;
    const count = socket.read(target, 0, Math.max(socket.readableBytes - left, 1));
    this.received.push(...target.subarray(0, Math.max(count, 0)));
  }

  /** Since it was asked last. */
  seen() {
    const { state, sndWnd, rcvWnd, bytesReceived } = this.socket?.info() ?? {};
    const [received, sent] = [this.received.splice(0), this.sent.splice(0)];
    return { received, sent, state, sndWnd, rcvWnd, bytesReceived, ...this.stack.stats };
  }
}

class Both {
  private readonly timestamps: boolean;
  private now = 1_000;
  private readonly predicting = new Subject(new TestDevice());
  private readonly plodding = new Subject(new OddDevice());

  constructor(timestamps = false) {
    this.timestamps = timestamps;
  }

  /** A segment of the peer's; with timestamps, one of its clock. */
  segment(fields: Partial<TcpSegment>, length: number): Uint8Array {
    const clock = this.timestamps ? { hasTimestamp: true, tsVal: (CLOCK + this.now - 1_000) | 0 } : {};
    return segment({ ...clock, ...fields }, length);
  }

  arrives(packet: Uint8Array, vouched = false): void {
    this.arrive([packet], vouched);
  }

  /** All of them between two polls. */
  arrive(packets: readonly Uint8Array[], vouched = false): void {
    this.now += 1;
    this.predicting.arrive(packets, this.now, vouched, this.reads);
    this.plodding.arrive(packets, this.now, vouched, this.reads);
    const seen = this.predicting.seen();
    expect(seen).toEqual(this.plodding.seen());
    this.bytesReceived = seen.bytesReceived ?? 0;
  }

  /** In order, up to now. */
  bytesReceived = 0;
  /** The program reads what has arrived. */
  reads = true;

  get stats() {
    return this.predicting.stack.stats;
  }

  get iss(): number {
    return this.lastSeq;
  }

  private lastSeq = 0;

  /** The handshake; our ISN is the same in both. */
  open(): void {
    const usual = { sourcePort: PEER_PORT, destinationPort: PORT, flags: SYN, window: 65_535 };
    const syn = { ...usual, seq: IRS, hasTimestamp: this.timestamps, tsVal: CLOCK };
    for (const subject of [this.predicting, this.plodding]) {
      subject.device.inject(tcpPacket(ends, syn));
      while (subject.stack.poll(this.now));
      const [answer] = subject.device.take();
      this.lastSeq = new DataView(answer.buffer, answer.byteOffset).getInt32(24);
    }
    this.arrives(this.segment({ seq: IRS + 1, ack: this.lastSeq + 1 }, 0));
  }
}

function segment(fields: Partial<TcpSegment>, length: number): Uint8Array {
  const text = Uint8Array.from({ length }, (_, i) => ((fields.seq ?? 0) + i) & 255);
  const usual = { sourcePort: PEER_PORT, destinationPort: PORT, flags: ACK, window: 65_535 };
  return tcpPacket(ends, { ...usual, ...fields }, text);
}

/** Sums are made right again, so that what was changed is all that is wrong. */
function completed(packet: Uint8Array): Uint8Array {
  const header = (packet[0] & 15) * 4;
  if (header < 20 || packet.length < header + 20) return packet;
  const view = new DataView(packet.buffer, packet.byteOffset, packet.length);
  view.setUint16(10, 0);
  view.setUint16(10, checksum(packet, 0, header));
  finishTcpChecksum(packet, header, packet.length - header, parseAddress(PEER), parseAddress(US), true);
  return packet;
}

const below = (random: Random, limit: number) => randomBelow(random, limit);

for (const timestamps of [false, true]) {
  const headers = timestamps ? 52 : 40;
  describe(`a packet${timestamps ? " with timestamps" : ""} with`, () => {
    for (let at = 0; at <= headers; at++) {
      const tcp = at < headers ? `byte ${at - 20} of TCP's header` : "text";
      test(`${at < 20 ? `byte ${at} of IP's header` : tcp} changed, with right sums and with wrong ones`, () => {
        for (const repaired of [true, false]) {
          for (const bit of [1, 2, 4, 8, 16, 32, 64, 128]) {
            const both = new Both(timestamps);
            both.open();
            const ack = both.iss + 1;
            both.arrives(both.segment({ seq: IRS + 1, ack }, 100));
            const changed = both.segment({ seq: IRS + 101, ack }, 100);
            changed[at] ^= bit;
            both.arrives(repaired ? completed(changed) : changed);
            both.arrives(both.segment({ seq: IRS + 101, ack }, 100));
            both.arrives(both.segment({ seq: IRS + 201, ack }, 100));
            // The same in the middle of a train.
            const [first, second, third, fourth] = [301, 401, 501, 601].map((seq) =>
              both.segment({ seq: IRS + seq, ack }, 100),
            );
            const other = third.slice();
            other[at] ^= bit;
            both.arrive([first, second, repaired ? completed(other) : other, third, fourth]);
          }
        }
      });
    }
  });
}

test("trains that exceed the window are treated alike", () => {
  for (const timestamps of [false, true]) {
    const both = new Both(timestamps);
    both.open();
    both.reads = false;
    const ack = both.iss + 1;
    // The buffer holds 256 KiB, and nobody reads.
    for (let round = 0; round < 6; round++) {
      const seq = IRS + 1 + both.bytesReceived;
      both.arrive(Array.from({ length: 50 }, (_, i) => both.segment({ seq: seq + i * 1_000, ack }, 1_000)));
    }
    expect(both.bytesReceived).toBeGreaterThan(200_000);
    expect(both.stats.tcpUnacceptable).toBeGreaterThan(0);
  }
});

test("any packets of a conversation, in any order, are treated alike", () => {
  const random = seededRandom(7);
  let predicted = 0;
  for (let round = 0; round < 8; round++) {
    const both = new Both((round & 2) !== 0);
    both.open();
    const ack = both.iss + 1;
    let seq = IRS + 1;
    let waiting: Uint8Array[] = [];
    for (let i = 0; i < PACKETS / 8; i++) {
      // Many of one length, for trains.
      const length = below(random, 4) === 0 ? 1 + below(random, 1_000) : below(random, 12) === 0 ? 0 : 700;
      const flags = below(random, 3) === 0 ? ACK | PSH : ACK;
      let packet = both.segment({ seq, ack, flags }, length);
      const fate = below(random, 12);
      if (fate === 0) packet = both.segment({ seq: seq + 500 - below(random, 1_000), ack }, length);
      else if (fate === 1) packet = both.segment({ seq, ack, window: below(random, 65_536) }, length);
      else if (fate === 2) packet = packet.slice(0, below(random, packet.length + 1));
      else if (fate === 3) packet = Uint8Array.from([...packet, 1, 2, 3]);
      else if (fate === 5) packet = both.segment({ seq, ack, tsVal: CLOCK - below(random, 50) }, length);
      else if (fate === 4) packet[below(random, packet.length)] ^= 1 << below(random, 8);
      waiting.push(packet);
      if (below(random, 4) === 0) {
        both.arrive(waiting, below(random, 3) === 0);
        waiting = [];
      }
      if (fate > 5) {
        seq += length;
        predicted++;
      }
    }
    if (waiting.length > 0) both.arrive(waiting);
    both.arrives(both.segment({ seq, ack, flags: round & 1 ? ACK | FIN : ACK | RST }, 5));
    both.arrives(both.segment({ seq: seq + 6, ack }, 5));
  }
  expect(predicted).toBeGreaterThan(PACKETS / 4);
});
