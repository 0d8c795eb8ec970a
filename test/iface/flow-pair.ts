import { expect } from "bun:test";
import type { Frame } from "../../src/device.ts";
import { type InterfaceOptions, Stack, type TcpSocket } from "../../src/index.ts";
import { seededRandom } from "../../src/random.ts";
import type { TcpTrace } from "../../src/socket/tcp/trace.ts";
import { ACK, SYN, type TcpSegment } from "../../src/wire/tcp.ts";
import { EthernetDevice } from "../support/ethernet-device.ts";
import { tcpPacket } from "../support/packets.ts";
import { TestDevice } from "../support/test-device.ts";
import { arp, frameOf, mac, OUR_MAC } from "./ethernet-host.ts";

/**
 * A stack that can predict the headers of the flow seen last, and one that can't, whose packets lie where no words can be
 * compared: the same packets must do the same to both.
 */

export const PEER = "192.168.69.2";
export const US = "192.168.69.1";
const ends = { from: PEER, to: US };
const PORT = 9;
const PEER_PORT = 40_000;
export const IRS = 1_000;
/** The peer's clock at the start; its numbers wrap soon. */
export const CLOCK = 0x7fff_fff0;
/** The peer's hardware address. */
export const PEER_MAC = "02:00:00:00:00:02";

/** Moves the frame's bytes into `aside`, to an odd place, where `FlowMemo` has to pass. */
function moveAside(frame: Frame, aside: Uint8Array): void {
  aside.fill(0xdd, 0, 2_000);
  aside.set(frame.bytes.subarray(frame.offset, frame.offset + frame.length), 5);
  frame.bytes = aside;
  frame.offset = 5;
}

class OddDevice extends TestDevice {
  private readonly aside = new Uint8Array(65_600);

  override receive(frame: Frame): boolean {
    const isThere = super.receive(frame);
    if (isThere) moveAside(frame, this.aside);
    return isThere;
  }
}

class OddEthernetDevice extends EthernetDevice {
  private readonly aside = new Uint8Array(65_600);

  override receive(frame: Frame): boolean {
    const isThere = super.receive(frame);
    if (isThere) moveAside(frame, this.aside);
    return isThere;
  }
}

/** What the program's consumer does with the pieces that it is shown, the first being number 0: returns what it takes. */
export type Policy = (socket: TcpSocket, piece: number, length: number) => number;

/** How the packets get to the stacks. */
export interface Setting {
  readonly timestamps?: boolean;
  /** The program has a consumer. */
  readonly policy?: Policy;
  /** On Ethernet, with this tag or 0. */
  readonly vlan?: number;
  /** Bytes of each stack's pool. */
  readonly memory?: number;
}

/** A stack with one connection, and all that can be seen of it. */
class Subject {
  readonly device: TestDevice | EthernetDevice;
  readonly stack: Stack;
  private socket: TcpSocket | null = null;
  private readonly received: number[] = [];
  private readonly sent: string[] = [];
  private readonly target = new Uint8Array(65_536);

  constructor(device: TestDevice | EthernetDevice, { policy, vlan = 0, memory = 1 << 20 }: Setting) {
    this.device = device;
    this.stack = new Stack({ random: seededRandom(1), memory, maxSockets: 16 });
    const link: Partial<InterfaceOptions> = vlan > 0 ? { vlan } : {};
    this.stack.addInterface({ device, addresses: [`${US}/24`], conflictDetection: "off", ...link });
    const listener = this.stack.sockets.listen({ port: PORT });
    listener.handler = () => {
      this.socket ??= listener.accept();
      if (this.socket !== null && policy !== undefined) this.consume(this.socket, policy);
    };
  }

  private consume(socket: TcpSocket, policy: Policy): void {
    let piece = 0;
    socket.consumer = (bytes, offset, length) => {
      const text = Buffer.from(bytes.subarray(offset, offset + length)).toString("hex");
      const { bytesReceived, segmentsReceived, state } = socket.info();
      this.sent.push(`shown ${text} after ${bytesReceived} bytes, ${segmentsReceived} segments in ${state}`);
      return policy(socket, piece++, length);
    };
  }

  /** What one poll finds, however many packets it is. @param vouched the device says that the checksums are right */
  arrive(packets: readonly Uint8Array[], now: number, vouched: boolean, reads: boolean): void {
    for (const packet of packets) {
      if (vouched && this.device instanceof TestDevice) this.device.injectJoined(packet, 1_000);
      else this.device.inject(packet);
    }
    this.run(now);
    // Now and then a byte is left, so that not every piece meets an empty buffer.
    const { socket, target } = this;
    if (!reads || socket === null || socket.isClosed || socket.readableBytes === 0) return;
    const left = packets[0].length & 1;
    const count = socket.read(target, 0, Math.max(socket.readableBytes - left, 1));
    this.received.push(...target.subarray(0, Math.max(count, 0)));
  }

  /** The program writes, and what may leave does. */
  write(length: number, now: number): void {
    this.socket?.write(new Uint8Array(length));
    this.run(now);
  }

  /** Polls, and notes what is sent. */
  private run(now: number): void {
    this.poll(now);
    this.sent.push(...this.device.take().map((bytes) => Buffer.from(bytes).toString("hex")));
  }

  /** A consumer may throw: the poll is over then, and the next one goes on. */
  poll(now: number): void {
    for (let more = true; more; ) {
      try {
        more = this.stack.poll(now);
      } catch (error) {
        this.sent.push(String(error));
      }
    }
  }

  /** Since it was asked last. */
  seen() {
    const { state, sndWnd, rcvWnd, bytesReceived, segmentsReceived, flightSize, mss } =
      this.socket?.info() ?? {};
    // The program may have started one.
    const trace = (this.socket as unknown as { block: { trace: TcpTrace | null } } | null)?.block.trace;
    this.sent.push(JSON.stringify(trace?.events() ?? []));
    const [received, sent] = [this.received.splice(0), this.sent.splice(0)];
    const numbers = { sndWnd, rcvWnd, bytesReceived, segmentsReceived, flightSize, mss };
    return { received, sent, state, ...numbers, ...this.stack.stats };
  }
}

export class Both {
  private readonly setting: Setting;
  private readonly timestamps: boolean;
  private now = 1_000;
  private readonly predicting: Subject;
  private readonly plodding: Subject;

  constructor(setting: Setting = {}) {
    this.setting = setting;
    this.timestamps = setting.timestamps ?? false;
    const isEthernet = setting.vlan !== undefined;
    const [usual, odd] = isEthernet
      ? [new EthernetDevice(mac(OUR_MAC)), new OddEthernetDevice(mac(OUR_MAC))]
      : [new TestDevice(), new OddDevice()];
    this.predicting = new Subject(usual, setting);
    this.plodding = new Subject(odd, setting);
  }

  /** A segment of the peer's; with timestamps, one of its clock. */
  segment(fields: Partial<TcpSegment>, length: number): Uint8Array {
    const clock = this.timestamps ? { hasTimestamp: true, tsVal: (CLOCK + this.now - 1_000) | 0 } : {};
    return this.framed(segment({ ...clock, ...fields }, length));
  }

  /** Bytes in front of the IP header. */
  get linkLength(): number {
    const { vlan } = this.setting;
    return vlan === undefined ? 0 : vlan === 0 ? 14 : 18;
  }

  private framed(packet: Uint8Array): Uint8Array {
    const { vlan } = this.setting;
    return vlan === undefined ? packet : frameOf(packet, { from: PEER_MAC, vlan });
  }

  arrives(packet: Uint8Array, vouched = false): void {
    this.arrive([packet], vouched);
  }

  /** The program writes so much. */
  writes(length: number): void {
    this.now += 1;
    this.predicting.write(length, this.now);
    this.plodding.write(length, this.now);
    this.compare();
  }

  /** All of them between two polls. */
  arrive(packets: readonly Uint8Array[], vouched = false): void {
    this.now += 1;
    this.predicting.arrive(packets, this.now, vouched, this.reads);
    this.plodding.arrive(packets, this.now, vouched, this.reads);
    this.compare();
  }

  private compare(): void {
    const seen = this.predicting.seen();
    expect(seen).toEqual(this.plodding.seen());
    this.bytesReceived = seen.bytesReceived ?? 0;
    this.flightSize = seen.flightSize ?? 0;
    this.mss = seen.mss ?? 0;
  }

  /** Of both, when they were looked at last. */
  flightSize = 0;
  mss = 0;

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
    const { vlan } = this.setting;
    for (const { device, stack } of [this.predicting, this.plodding]) {
      device.inject(this.framed(tcpPacket(ends, syn)));
      while (stack.poll(this.now));
      if (vlan !== undefined) {
        // The answer waits for the peer's hardware address, which is asked for.
        device.take();
        const [from, to] = [PEER, US];
        device.inject(arp({ op: "reply", from, fromMac: PEER_MAC, to, toMac: OUR_MAC }, { vlan }));
        while (stack.poll(this.now));
      }
      const [answer] = device.take();
      this.lastSeq = new DataView(answer.buffer, answer.byteOffset).getInt32(24 + this.linkLength);
    }
    this.arrives(this.segment({ seq: IRS + 1, ack: this.lastSeq + 1 }, 0));
  }
}

function segment(fields: Partial<TcpSegment>, length: number): Uint8Array {
  const text = Uint8Array.from({ length }, (_, i) => ((fields.seq ?? 0) + i) & 255);
  const usual = { sourcePort: PEER_PORT, destinationPort: PORT, flags: ACK, window: 65_535 };
  return tcpPacket(ends, { ...usual, ...fields }, text);
}
