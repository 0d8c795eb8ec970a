import type { Frame } from "../device.ts";
import { IcmpSocket } from "../socket/icmp-socket.ts";
import type { SocketSet } from "../socket/socket-set.ts";
import { followers, nextSegment } from "../socket/tcp/output.ts";
import { Tcb } from "../socket/tcp/tcb.ts";
import { UdpSocket } from "../socket/udp-socket.ts";
import { copyBytes } from "../storage/copy.ts";
import { copyAddress } from "../wire/ip-address.ts";
import { IPV4_HEADER_LENGTH } from "../wire/ipv4.ts";
import { UDP_HEADER_LENGTH } from "../wire/udp.ts";
import { sendEchoRequests } from "./icmp-output.ts";
import type { Interface } from "./interface.ts";
import { lendFrame, payloadOffset, sendTcpFrame, sendUdpFrame, tcpTextOffset } from "./ipv4-output.ts";
import { sendQueued } from "./queued-packets.ts";
import { sendFollowers } from "./tcp-burst.ts";

/** Segments that a connection sends before the next one has its turn. */
const TURN = 64;

/**
 * Lets the sockets that have something to send do so, in turn, until nobody has, the device is full, or `budget` frames
 * have gone out. Returns how many have.
 */
export function drainReady(iface: Interface, sockets: SocketSet, budget: number): number {
  let sent = 0;
  iface.blocked = false;
  while (sent < budget && !iface.blocked) {
    const index = iface.ready.shift();
    if (index === -1) break;
    const socket = sockets.get(index);
    if (socket instanceof Tcb) sent += sendSegments(iface, socket);
    else if (socket instanceof UdpSocket) sent += sendQueued(iface, socket, UDP_HEADER_LENGTH, sendDatagram);
    else if (socket instanceof IcmpSocket) sent += sendEchoRequests(iface, socket);
  }
  return sent;
}

function sendSegments(iface: Interface, tcb: Tcb): number {
  const { context } = tcb;
  const seg = iface.outgoing;
  const room = (tcb.maxText > tcb.mss ? iface.maxSuperSegment : iface.mtu) - IPV4_HEADER_LENGTH;
  for (let sent = 0; sent < TURN; sent++) {
    // The frame comes first: what `nextSegment` has handed out counts as sent.
    const frame = lendFrame(iface, room);
    if (frame === null) {
      iface.ready.push(tcb.index);
      return sent;
    }
    if (!nextSegment(tcb, seg, context.now)) return sent;
    tcb.trace?.sent(seg, context.now);
    copyAddress(tcb.local, seg.source);
    copyAddress(tcb.remote, seg.destination);
    if (seg.payloadLength > 0) {
      tcb.sendBuffer.copyTo(
        seg.payloadOffset,
        frame.bytes,
        tcpTextOffset(iface, frame, seg),
        seg.payloadLength,
      );
    }
    const count = Math.min(followers(tcb, seg), TURN - sent - 1);
    sendTcpFrame(iface, frame, seg, context.stats, count > 0);
    if (count > 0) sent += sendFollowers(iface, tcb, seg, count);
  }
  iface.ready.push(tcb.index);
  return TURN;
}

function sendDatagram(iface: Interface, frame: Frame, socket: UdpSocket): void {
  const ring = socket.outgoing;
  const { source, destination } = iface.outgoing;
  const at = payloadOffset(iface, frame) + UDP_HEADER_LENGTH;
  copyBytes(ring.bytes, ring.start, frame.bytes, at, ring.length);
  const { stats } = socket.context;
  sendUdpFrame(iface, frame, ring.length, source, ring.localPort, destination, ring.remotePort, stats);
}
