import type { Frame } from "../device.ts";
import type { SocketContext } from "../socket/context.ts";
import type { PacketRing } from "../storage/packet-ring.ts";
import { IPV4_HEADER_LENGTH } from "../wire/ipv4.ts";
import type { Interface } from "./interface.ts";
import { lendFrame } from "./ipv4-output.ts";

/** Packets that a socket sends before the next one has its turn. */
const TURN = 32;

/** A socket whose packets wait one by one. */
interface QueueingSocket {
  readonly context: SocketContext;
  readonly index: number;
  readonly outgoing: PacketRing;
  /** The first one is dealt with. */
  shift(): void;
}

/**
 * Sends what waits in `socket`, each packet with `headerLength` bytes in front of its payload; returns how many went out.
 *
 * @param put sends the first packet in a frame; the addresses are in `iface.outgoing`
 */
export function sendQueued<S extends QueueingSocket>(
  iface: Interface,
  socket: S,
  headerLength: number,
  put: (iface: Interface, frame: Frame, socket: S) => void,
): number {
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
    const length = headerLength + ring.length;
    if (IPV4_HEADER_LENGTH + length > iface.mtu) {
      // The MTU has become smaller since.
      stats.packetsTooLarge++;
      socket.shift();
      continue;
    }
    const frame = lendFrame(iface, length);
    if (frame === null) break;
    put(iface, frame, socket);
    socket.shift();
    sent++;
  }
  if (ring.size > 0) iface.ready.push(socket.index);
  return sent;
}
