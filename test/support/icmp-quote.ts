import { icmpPacket } from "./packets.ts";
import type { Conversation } from "./tcp.ts";
import { OUR_ADDRESS } from "./tcp-host.ts";

/** ICMP errors about segments of a conversation's stack, as a router on the way sends them. */

const ends = { from: "10.0.0.254", to: OUR_ADDRESS };

/** A packet of ours with this sequence number, as far as a router quotes it; it claims to have been `length` bytes long. */
export function quoted(s: Conversation, seq: number, bytes = 28, length = 40): Uint8Array {
  // What the peer would send, the other way round.
  const packet = s.packet({ seq: 0, ack: 0 });
  const view = new DataView(packet.buffer, packet.byteOffset);
  const [source, destination] = [view.getUint32(12), view.getUint32(16)];
  view.setUint16(2, length);
  view.setUint32(12, destination);
  view.setUint32(16, source);
  const [from, to] = [view.getUint16(20), view.getUint16(22)];
  view.setUint16(20, to);
  view.setUint16(22, from);
  view.setUint32(24, s.iss + seq);
  return packet.subarray(0, bytes);
}

/** A router says that our segment with this sequence number did not arrive. */
export function unreachable(s: Conversation, code: number, seq: number, bytes?: number): void {
  reports(s, 3, code, seq, bytes);
}

/** The same with any type of message. */
export function reports(s: Conversation, type: number, code: number, seq: number, bytes?: number): void {
  s.receivesPacket(icmpPacket(ends, type, code, 0, quoted(s, seq, bytes)));
}

/** A router says that our packet of `length` bytes with segment `seq` does not fit a link that carries `mtu`. */
export function tooLarge(s: Conversation, seq: number, mtu: number, length = 1_500): void {
  s.receivesPacket(icmpPacket(ends, 3, 4, mtu, quoted(s, seq, 28, length)));
}
