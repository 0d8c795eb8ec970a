/**
 * A device behind which there are a million clients. They remember nothing: what one says next follows from the segment
 * that it was sent. So the memory of a program that has them for peers is that of its own ends of the connections.
 */

import { type Capabilities, type Device, Frame } from "../../src/device.ts";
import { frameMemory } from "../../src/wire/frame-memory.ts";
import {
  IPV4_HEADER_LENGTH,
  PROTOCOL_TCP,
  readIpv4Destination,
  readIpv4Source,
  writeIpv4,
} from "../../src/wire/ipv4.ts";
import { ACK, FIN, PSH, parseTcp, RST, SYN, TcpSegment, writeTcp } from "../../src/wire/tcp.ts";

/** A stack's address in the network that the clients are in, which is 10.0.0.0/16. */
export const STACK_ADDRESS = "10.0.255.254/16";
const STACK = 0x0a00fffe;
const FIRST_CLIENT = 0x0a000001;
/** So many clients share an address. */
const PORTS = 50_000;
const FIRST_PORT = 10_000;

/** What a client on Linux says. */
const MSS = 1_460;
const WINDOW_SCALE = 7;
const SYN_WINDOW = 64_240;
const WINDOW = 502;
const TTL = 64;
/** Bytes that a client asks with. */
export const REQUEST = 64;

const MTU = 1_500;
/** Frames on their way to the stack: there is an answer to whatever it is lent a frame for. */
const SLOTS = 1_024;
const SLOT_SIZE = 256;

export class Clients implements Device {
  readonly capabilities: Capabilities = {
    medium: "ip",
    mtu: MTU,
    checksumOffload: true,
    maxSuperSegment: 0,
  };
  /** Connections whose SYN was answered. */
  established = 0;
  /** Segments with text from the stack. */
  responses = 0;
  /** Resets and FINs from the stack. */
  ended = 0;
  /** ms, which the clients' timestamps tell. */
  now = 0;
  private readonly slab = frameMemory(SLOTS * SLOT_SIZE);
  private readonly lengths = new Int32Array(SLOTS);
  private head = 0;
  private queued = 0;
  private readonly outgoing = new Frame(frameMemory(MTU));
  private readonly received = new TcpSegment();
  /** What follows from the last segment with a SYN or text. */
  private readonly answer = new TcpSegment();
  private readonly syn = new TcpSegment();
  /** Clients are numbered in the order in which they connect. The next one, and where to end. */
  private next = 0;
  private end = 0;
  private asks = false;

  constructor() {
    const { syn, answer } = this;
    syn.destination.w3 = STACK;
    syn.flags = SYN;
    syn.window = SYN_WINDOW;
    syn.mss = MSS;
    syn.windowScale = WINDOW_SCALE;
    syn.sackPermitted = true;
    syn.hasTimestamp = true;
    answer.window = WINDOW;
    answer.hasTimestamp = true;
  }

  /**
   * Lets so many more clients connect to a port, as fast as the stack takes their frames.
   *
   * @param asks each asks with 64 bytes in the segment that completes the handshake, and acknowledges the response
   */
  connect(count: number, port: number, asks: boolean): void {
    this.end = this.next + count;
    this.syn.destinationPort = port;
    this.asks = asks;
  }

  /** The client that got something last asks, and acknowledges what it got by that. */
  ask(): void {
    this.say(REQUEST);
  }

  /** It only acknowledges what it got. */
  acknowledge(): void {
    this.say(0);
  }

  receive(frame: Frame): boolean {
    if (this.queued === 0 && this.next < this.end) this.sendSyn();
    if (this.queued === 0) return false;
    frame.bytes = this.slab;
    frame.offset = this.head * SLOT_SIZE;
    frame.length = this.lengths[this.head];
    frame.checksumOffloaded = true;
    frame.segmentSize = 0;
    this.head = (this.head + 1) % SLOTS;
    this.queued--;
    return true;
  }

  transmit(length: number): Frame | null {
    // The slot that the stack looks at is not written to.
    if (this.queued + 1 >= SLOTS) return null;
    const { outgoing } = this;
    outgoing.length = length;
    outgoing.checksumOffloaded = false;
    outgoing.segmentSize = 0;
    return outgoing;
  }

  commit(frame: Frame): void {
    const { received } = this;
    const { bytes, offset, length } = frame;
    parseTcp(bytes, offset + IPV4_HEADER_LENGTH, length - IPV4_HEADER_LENGTH, received);
    if (received.flags & (FIN | RST)) {
      this.ended++;
    } else if (received.flags & SYN) {
      this.established++;
      this.prepareAnswer(bytes, offset, 1);
      this.say(this.asks ? REQUEST : 0);
    } else if (received.payloadLength > 0) {
      this.responses++;
      this.prepareAnswer(bytes, offset, received.payloadLength);
      if (this.asks) this.say(0);
    }
  }

  onReadable(): void {}

  onWritable(): void {}

  close(): void {}

  /** @param taken sequence numbers that `received` takes */
  private prepareAnswer(bytes: Uint8Array, offset: number, taken: number): void {
    const { received, answer } = this;
    readIpv4Source(bytes, offset, answer.destination);
    readIpv4Destination(bytes, offset, answer.source);
    answer.sourcePort = received.destinationPort;
    answer.destinationPort = received.sourcePort;
    answer.seq = received.ack;
    answer.ack = (received.seq + taken) | 0;
    answer.tsEcr = received.tsVal;
  }

  private say(length: number): void {
    const { answer } = this;
    answer.flags = length > 0 ? ACK | PSH : ACK;
    this.send(answer, length);
  }

  private sendSyn(): void {
    const { syn } = this;
    const client = this.next++;
    syn.source.w3 = FIRST_CLIENT + Math.floor(client / PORTS);
    syn.sourcePort = FIRST_PORT + (client % PORTS);
    // Spread by the golden ratio, as secret ones would be.
    syn.seq = Math.imul(client, 0x9e3779b9);
    this.send(syn, 0);
  }

  private send(segment: TcpSegment, payloadLength: number): void {
    const { slab } = this;
    const slot = (this.head + this.queued) % SLOTS;
    const offset = slot * SLOT_SIZE;
    segment.tsVal = this.now | 0;
    const headers = IPV4_HEADER_LENGTH + writeTcp(slab, offset + IPV4_HEADER_LENGTH, segment);
    slab.fill(0x61, offset + headers, offset + headers + payloadLength);
    const total = headers + payloadLength;
    writeIpv4(slab, offset, total, PROTOCOL_TCP, TTL, segment.source, segment.destination);
    this.lengths[slot] = total;
    this.queued++;
  }
}
