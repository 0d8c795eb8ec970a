import type { Frame } from "../device.ts";
import type { IcmpSocket } from "../socket/icmp-socket.ts";
import { copyBytes } from "../storage/copy.ts";
import { ICMP_ECHO_REQUEST, ICMPV4_HEADER_LENGTH, writeIcmpv4 } from "../wire/icmpv4.ts";
import { isMulticast } from "../wire/ip-address.ts";
import { PROTOCOL_ICMP } from "../wire/ipv4.ts";
import type { Interface } from "./interface.ts";
import { commitIpv4, payloadOffset } from "./ipv4-output.ts";
import { sendQueued } from "./queued-packets.ts";

/** Sends the echo requests that wait in `socket`; returns how many went out. */
export function sendEchoRequests(iface: Interface, socket: IcmpSocket): number {
  return sendQueued(iface, socket, ICMPV4_HEADER_LENGTH, sendEchoRequest);
}

function sendEchoRequest(iface: Interface, frame: Frame, socket: IcmpSocket): void {
  const ring = socket.outgoing;
  const { source, destination } = iface.outgoing;
  const length = ICMPV4_HEADER_LENGTH + ring.length;
  const at = payloadOffset(iface, frame);
  copyBytes(ring.bytes, ring.start, frame.bytes, at + ICMPV4_HEADER_LENGTH, ring.length);
  const rest = (socket.identifier << 16) | ring.localPort;
  writeIcmpv4(frame.bytes, at, length, ICMP_ECHO_REQUEST, 0, rest);
  const ttl = ring.remotePort;
  commitIpv4(iface, frame, length, PROTOCOL_ICMP, source, destination, ttl);
  socket.context.stats.icmpEchoRequestsSent++;
  socket.sent(destination, iface.isBroadcastAddress(destination) || isMulticast(destination));
}
