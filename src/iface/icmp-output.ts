import type { IcmpSocket } from "../socket/icmp-socket.ts";
import { copyBytes } from "../storage/copy.ts";
import { ICMP_ECHO_REQUEST, ICMPV4_HEADER_LENGTH, writeIcmpv4 } from "../wire/icmpv4.ts";
import { isMulticast } from "../wire/ip-address.ts";
import { IPV4_HEADER_LENGTH, PROTOCOL_ICMP } from "../wire/ipv4.ts";
import type { Interface } from "./interface.ts";
import { commitIpv4, lendFrame, payloadOffset } from "./ipv4-output.ts";

/** Requests that a socket sends before the next one has its turn. */
const TURN = 32;

/** Sends the echo requests that wait in `socket`; returns how many went out. */
export function sendEchoRequests(iface: Interface, socket: IcmpSocket): number {
  const { stats, routing } = socket.context;
  const ring = socket.outgoing;
  const { source, destination } = iface.outgoing;
  let sent = 0;
  while (ring.size > 0 && sent < TURN) {
    ring.readLocal(source);
    ring.readRemote(destination);
    const path = routing.route(destination)?.path;
    if (path !== undefined && path !== iface) {
      path.ready.push(socket.index);
      return sent;
    }
    const length = ICMPV4_HEADER_LENGTH + ring.length;
    if (IPV4_HEADER_LENGTH + length > iface.mtu) {
      // The MTU has become smaller since.
      stats.packetsTooLarge++;
      socket.shift();
      continue;
    }
    const frame = lendFrame(iface, length);
    if (frame === null) break;
    const at = payloadOffset(iface, frame);
    copyBytes(ring.bytes, ring.start, frame.bytes, at + ICMPV4_HEADER_LENGTH, ring.length);
    const rest = (socket.identifier << 16) | ring.localPort;
    writeIcmpv4(frame.bytes, at, length, ICMP_ECHO_REQUEST, 0, rest);
    const ttl = ring.remotePort;
    commitIpv4(iface, frame, length, PROTOCOL_ICMP, source, destination, ttl);
    stats.icmpEchoRequestsSent++;
    socket.sent(destination, iface.isBroadcastAddress(destination) || isMulticast(destination));
    sent++;
  }
  if (ring.size > 0) iface.ready.push(socket.index);
  return sent;
}
