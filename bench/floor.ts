/**
 * What the machine allows: the system calls that a device makes, and no stack. A fixed, minimal responder stands behind
 * them. It completes handshakes, acknowledges whatever is sent to port 9 without looking at it, and sends the same
 * bytes from port 19 for ever, as far as the peer's window goes. One connection at a time, no options but MSS and window
 * scale, no congestion control, checksums adjusted instead of computed, none verified.
 *
 *   bun bench/floor.ts --device tun|tap|raw --name tun0 --address 10.77.0.1 [--offload] [--window BYTES]
 *
 * The interface exists and is up. Runs until it is killed.
 */

import { parseArgs } from "node:util";
import { type DeviceType, IP_AT, Link } from "./floor-link.ts";

const { values } = parseArgs({
  options: {
    device: { type: "string", default: "tun" },
    name: { type: "string", default: "tun0" },
    address: { type: "string", default: "10.77.0.1" },
    offload: { type: "boolean", default: false },
    window: { type: "string", default: "" },
    "read-batch": { type: "string", default: "64" },
    "write-batch": { type: "string", default: "" },
    flight: { type: "string", default: "" },
  },
});

const { offload } = values;
const type = values.device as DeviceType;
const address = values.address.split(".").reduce((word, byte) => (word << 8) | Number(byte), 0);

const DISCARD = 9;
const CHARGEN = 19;
const MSS = 1460;
const HEADERS = 40;
/** As many whole segments as an IP packet holds. */
const SEGMENTS = offload ? Math.floor((65535 - HEADERS) / MSS) : 1;
const TEXT = SEGMENTS * MSS;
const WINDOW_SHIFT = 10;
const WINDOW = Number(values.window || (offload ? 1 << 20 : 512 << 10));
/** Most bytes in flight, whatever the peer's window is. */
const FLIGHT = Number(values.flight || (offload ? 1 << 20 : 512 << 10));
const READ_BATCH = Number(values["read-batch"]);
const WRITE_BATCH = Number(values["write-batch"] || (offload ? 4 : 64));
/** After so long without an ACK everything in flight is sent again. */
const PATIENCE_MS = 20;

const FIN = 1;
const SYN = 2;
const RST = 4;
const ACK = 16;
const OWN_MAC = [0x02, 0, 0, 0, 0xf1, 0x00];

const link = new Link(type, values.name, offload);
const ethernet = type !== "tun";
const outgoing = link.buffer();
const acknowledging = link.buffer();
const sending = link.buffer();
const { incoming } = link;
const input = new DataView(incoming.buffer);
const TCP_AT = IP_AT + 20;

/** The one's complement sum of 16-bit words, not yet folded. */
function sum(view: DataView, from: number, to: number): number {
  let total = 0;
  for (let i = from; i < to; i += 2) total += view.getUint16(i);
  return total;
}

function fold(total: number): number {
  while (total > 0xffff) total = (total & 0xffff) + Math.floor(total / 0x10000);
  return total;
}

/** A TCP packet whose fields stay the same but for `seq`, `ack` and the checksum. */
class Template {
  readonly view: DataView;
  private readonly frame: Uint8Array;
  private readonly length: number;
  /** The checksum's words that stay the same. */
  private base = 0;

  constructor(buffer: { bytes: Uint8Array; frame: Uint8Array }, textLength: number) {
    this.view = new DataView(buffer.bytes.buffer);
    this.frame = buffer.frame;
    this.length = HEADERS + textLength;
  }

  /** Addresses it to who sent the packet in `input`. */
  address(flags: number, textLength: number): void {
    const { view } = this;
    const length = HEADERS + textLength;
    if (ethernet) replyEthernet(view);
    view.setUint32(IP_AT, 0x45000000 | length);
    view.setUint32(IP_AT + 4, 0x00004000);
    view.setUint32(IP_AT + 8, 0x40060000);
    view.setUint32(IP_AT + 12, address);
    view.setUint32(IP_AT + 16, input.getUint32(link.at + 12));
    view.setUint16(IP_AT + 10, ~fold(sum(view, IP_AT, TCP_AT)));
    view.setUint16(TCP_AT, input.getUint16(link.at + 22));
    view.setUint16(TCP_AT + 2, input.getUint16(link.at + 20));
    view.setUint32(TCP_AT + 4, 0);
    view.setUint32(TCP_AT + 8, 0);
    view.setUint16(TCP_AT + 12, 0x5000 | flags);
    view.setUint16(TCP_AT + 14, WINDOW >> WINDOW_SHIFT);
    view.setUint32(TCP_AT + 16, 0);
    const pseudoHeader = sum(view, IP_AT + 12, TCP_AT) + 6 + 20 + textLength;
    if (offload) {
      partialChecksum(view, textLength > MSS ? MSS : 0);
      view.setUint16(TCP_AT + 16, fold(pseudoHeader));
    } else {
      this.base = fold(pseudoHeader + sum(view, TCP_AT, TCP_AT + 20 + textLength));
    }
  }

  send(seq: number, ack: number): void {
    const { view } = this;
    view.setInt32(TCP_AT + 4, seq);
    view.setInt32(TCP_AT + 8, ack);
    if (!offload) {
      const total = this.base + (seq >>> 16) + (seq & 0xffff) + (ack >>> 16) + (ack & 0xffff);
      view.setUint16(TCP_AT + 16, ~fold(total));
    }
    link.write(this.frame, this.length);
  }
}

/** Destination and source of an Ethernet frame that answers the one in `input`. */
function replyEthernet(view: DataView): void {
  for (let i = 0; i < 6; i++) {
    view.setUint8(IP_AT - 14 + i, input.getUint8(link.at - 8 + i));
    view.setUint8(IP_AT - 8 + i, OWN_MAC[i]);
  }
  view.setUint16(IP_AT - 2, input.getUint16(link.at - 2));
}

/** `struct virtio_net_hdr`: complete the TCP checksum, cut into segments of `segmentSize` if that is not 0. */
function partialChecksum(view: DataView, segmentSize: number): void {
  const at = link.start;
  const start = TCP_AT - at - 10;
  view.setUint8(at, 1);
  view.setUint8(at + 1, segmentSize === 0 ? 0 : 1);
  view.setUint16(at + 2, start + 20, true);
  view.setUint16(at + 4, segmentSize, true);
  view.setUint16(at + 6, start, true);
  view.setUint16(at + 8, 16, true);
}

const acknowledgement = new Template(acknowledging, 0);
const text = new Template(sending, TEXT);
sending.bytes.set(
  new Uint8Array(TEXT).map((_, i) => 32 + (i % 95)),
  TCP_AT + 20,
);

/** The connection: whose it is, and where it stands. Sequence numbers are 32-bit integers that wrap. */
let ports = 0;
let rcvNxt = 0;
let sndUna = 0;
let sndNxt = 0;
let sndWnd = 0;
let peerShift = 0;
let sends = false;
let ackDue = false;
let duplicates = 0;
let movedAt = 0;

function onFrame(length: number): void {
  if (ethernet && input.getUint16(link.at - 2) !== 0x0800) {
    if (input.getUint16(link.at - 2) === 0x0806) onArp();
    return;
  }
  if (length < HEADERS - 12 || input.getUint8(link.at) !== 0x45 || input.getInt32(link.at + 16) !== address)
    return;
  const protocol = input.getUint8(link.at + 9);
  if (protocol === 6) onTcp(input.getUint16(link.at + 2));
  else if (protocol === 1 && input.getUint8(link.at + 20) === 8) onEcho(length);
}

function onTcp(total: number): void {
  const flags = input.getUint8(link.at + 33);
  if (flags & SYN) {
    onSyn();
    return;
  }
  if (input.getInt32(link.at + 20) !== ports) return;
  if (flags & (RST | FIN)) {
    ports = 0;
    sends = false;
    return;
  }
  const length = total - 20 - (input.getUint8(link.at + 32) >> 4) * 4;
  if (length > 0) {
    if (input.getInt32(link.at + 24) === rcvNxt) rcvNxt = (rcvNxt + length) | 0;
    ackDue = true;
  }
  if (sends) onAck(input.getInt32(link.at + 28), input.getUint16(link.at + 34) << peerShift, length);
}

function onAck(ack: number, window: number, length: number): void {
  const acked = (ack - sndUna) | 0;
  if (acked > 0) {
    sndUna = ack;
    if (((sndNxt - ack) | 0) < 0) sndNxt = ack;
    duplicates = 0;
    movedAt = performance.now();
  } else if (acked === 0 && length === 0 && window === sndWnd && ++duplicates === 3) {
    // Something was dropped: once more from there.
    sndNxt = ack;
  }
  sndWnd = window;
}

/** Takes the connection, whatever was before. */
function onSyn(): void {
  const at = link.at + 40;
  const end = link.at + 20 + (input.getUint8(link.at + 32) >> 4) * 4;
  peerShift = 0;
  for (let i = at; i < end; ) {
    const kind = input.getUint8(i);
    if (kind === 3) peerShift = input.getUint8(i + 2);
    i += kind > 1 ? input.getUint8(i + 1) : 1;
  }
  ports = input.getInt32(link.at + 20);
  const port = ports & 0xffff;
  if (port !== DISCARD && port !== CHARGEN) return;
  sends = port === CHARGEN;
  rcvNxt = (input.getInt32(link.at + 24) + 1) | 0;
  const iss = 0x1000;
  sndUna = (iss + 1) | 0;
  sndNxt = sndUna;
  // The window of a SYN is not scaled; the first ACK brings the real one.
  sndWnd = input.getUint16(link.at + 34);
  duplicates = 0;
  ackDue = false;
  movedAt = performance.now();
  acknowledgement.address(ACK, 0);
  text.address(ACK, TEXT);
  sendSynAck(iss);
}

const SYN_ACK_LENGTH = HEADERS + 8;

function sendSynAck(seq: number): void {
  const view = new DataView(outgoing.bytes.buffer);
  outgoing.bytes.set(acknowledging.bytes.subarray(0, TCP_AT + 20));
  view.setUint16(IP_AT + 2, SYN_ACK_LENGTH);
  view.setUint16(IP_AT + 10, 0);
  view.setUint16(IP_AT + 10, ~fold(sum(view, IP_AT, TCP_AT)));
  view.setInt32(TCP_AT + 4, seq);
  view.setInt32(TCP_AT + 8, rcvNxt);
  view.setUint16(TCP_AT + 12, 0x7000 | SYN | ACK);
  view.setUint16(TCP_AT + 14, 65535);
  view.setUint16(TCP_AT + 16, 0);
  view.setUint32(TCP_AT + 20, 0x02040000 | MSS);
  view.setUint32(TCP_AT + 24, 0x01030300 | WINDOW_SHIFT);
  const pseudoHeader = sum(view, IP_AT + 12, TCP_AT) + 6 + 28;
  const checksum = offload ? fold(pseudoHeader) : ~fold(pseudoHeader + sum(view, TCP_AT, TCP_AT + 28));
  view.setUint16(TCP_AT + 16, checksum);
  link.write(outgoing.frame, SYN_ACK_LENGTH);
}

/** Answers an echo request in the packet that it came in. */
function onEcho(length: number): void {
  outgoing.bytes.set(incoming.subarray(link.at, link.at + length), IP_AT);
  const view = new DataView(outgoing.bytes.buffer);
  outgoing.bytes.fill(0, link.start, IP_AT - (ethernet ? 14 : 0));
  if (ethernet) replyEthernet(view);
  view.setUint32(IP_AT + 12, address);
  view.setUint32(IP_AT + 16, input.getUint32(link.at + 12));
  view.setUint8(TCP_AT, 0);
  const checksum = view.getUint16(TCP_AT + 2) + 0x0800;
  view.setUint16(TCP_AT + 2, fold(checksum));
  link.write(outgoing.frame, length);
}

/** Answers a request for the address. */
function onArp(): void {
  if (input.getUint16(link.at + 6) !== 1 || input.getInt32(link.at + 24) !== address) return;
  const { bytes } = outgoing;
  const view = new DataView(bytes.buffer);
  bytes.fill(0, 0, IP_AT + 46);
  bytes.set(incoming.subarray(link.at, link.at + 8), IP_AT);
  replyEthernet(view);
  view.setUint16(IP_AT + 6, 2);
  bytes.set(OWN_MAC, IP_AT + 8);
  view.setInt32(IP_AT + 14, address);
  bytes.set(incoming.subarray(link.at + 8, link.at + 18), IP_AT + 18);
  link.write(outgoing.frame, 46);
}

/** Sends what the window lets go, a batch at most; returns whether anything went. */
function sendText(): boolean {
  const window = Math.min(sndWnd, FLIGHT);
  let sent = 0;
  while (sent < WRITE_BATCH && ((sndNxt - sndUna) | 0) + TEXT <= window) {
    text.send(sndNxt, rcvNxt);
    sndNxt = (sndNxt + TEXT) | 0;
    sent++;
  }
  return sent > 0;
}

console.log(`the floor of ${type} serves 9 and 19 on ${values.address} (${values.name})`);
for (;;) {
  let count = 0;
  for (let length = 0; count < READ_BATCH && (length = link.read()) > 0; count++) {
    onFrame(length);
  }
  if (ackDue) {
    ackDue = false;
    acknowledgement.send(sndNxt, rcvNxt);
  }
  if (sends && sendText()) continue;
  if (count > 0) continue;
  link.poll(sends ? PATIENCE_MS : 1000);
  if (sends && performance.now() - movedAt > PATIENCE_MS) {
    // A window's rest that is too small for `TEXT` is no loss, and sending it again does no harm.
    sndNxt = sndUna;
    movedAt = performance.now();
  }
}
