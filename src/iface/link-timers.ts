import type { SocketSet } from "../socket/socket-set.ts";
import { onIcmpError } from "../socket/tcp/icmp-error.ts";
import { SYN_SENT } from "../socket/tcp/tcb.ts";
import { enterClosed } from "../socket/tcp/transitions.ts";
import { read16, read32 } from "../wire/bytes.ts";
import {
  CODE_HOST_UNREACHABLE,
  ICMP_DESTINATION_UNREACHABLE,
  ICMP_ECHO_REQUEST,
  icmpIdentifier,
  icmpSequence,
  icmpType,
} from "../wire/icmpv4.ts";
import {
  ipv4HeaderLength,
  ipv4Protocol,
  ipv4Ttl,
  PROTOCOL_ICMP,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
  readIpv4Destination,
  readIpv4Source,
} from "../wire/ipv4.ts";
import { sendAnnouncements, sendProbes, sendQuestion } from "./arp-output.ts";
import { SEND_ANNOUNCEMENT, SEND_PROBE } from "./conflict-detection.ts";
import type { EthernetLink } from "./ethernet-link.ts";
import type { Interface } from "./interface.ts";
import { GIVE_UP } from "./neighbours.ts";

/** Runs what is due on the interface's link: probes and announcements of our addresses, questions to neighbours. */
export function runLinkTimers(iface: Interface, link: EthernetLink, sockets: SocketSet): void {
  const { detection, neighbours } = link;
  const { now, stats } = sockets.context;
  if (detection.deadline <= now) {
    const before = detection.state;
    const due = detection.step(now);
    if (due === SEND_PROBE) sendProbes(iface, link);
    else if (due === SEND_ANNOUNCEMENT) sendAnnouncements(iface, link);
    if (detection.state !== before) iface.noteStateChange();
  }
  for (let entry = neighbours.due(now); entry !== -1; entry = neighbours.due(now)) {
    if (neighbours.runTimer(entry, now) === GIVE_UP) {
      stats.neighboursUnreachable++;
      reportUnreachable(iface, link, sockets, entry);
      neighbours.remove(entry);
    } else {
      sendQuestion(iface, link, entry);
    }
  }
}

/**
 * The neighbour has not answered. What waits for it is told as by an ICMP error of its own (RFC 1122 3.2.2.1, 4.2.3.9):
 * connections take it as a reason to wait, datagrams as an error. Only those who wait to be connected give up.
 */
function reportUnreachable(iface: Interface, link: EthernetLink, sockets: SocketSet, entry: number): void {
  const { neighbours } = link;
  const { parked } = neighbours;
  for (let slot = parked.oldestOf(entry); slot !== -1; slot = parked.oldestOf(entry)) {
    reportPacket(iface, sockets, parked.bytes, parked.start(slot));
    parked.free(slot);
    sockets.context.stats.neighbourPacketsDropped++;
  }
  // More may be connecting than have packets parked. Only our own SYNs lead here, so nobody can make us look for nothing.
  if (neighbours.connecting[entry] === 0) return;
  const hop = neighbours.address[entry];
  sockets.forEachConnection(iface, (tcb) => {
    if (tcb.state === SYN_SENT && iface.nextHop(tcb.remote) === hop) enterClosed(tcb, "EHOSTUNREACH");
  });
}

/** A packet of ours, whole, has not been sent. */
function reportPacket(iface: Interface, sockets: SocketSet, bytes: Uint8Array, packet: number): void {
  const { source, destination } = iface.outgoing;
  readIpv4Source(bytes, packet, source);
  readIpv4Destination(bytes, packet, destination);
  const at = packet + ipv4HeaderLength(bytes, packet);
  switch (ipv4Protocol(bytes, packet)) {
    case PROTOCOL_TCP: {
      const tcb = sockets.findTcb(source, read16(bytes, at), destination, read16(bytes, at + 2));
      if (tcb !== null) onIcmpError(tcb, read32(bytes, at + 4), "EHOSTUNREACH", false);
      return;
    }
    case PROTOCOL_UDP: {
      const socket = sockets.findUdp(source, read16(bytes, at));
      const port = read16(bytes, at + 2);
      socket?.deliverError(ICMP_DESTINATION_UNREACHABLE, CODE_HOST_UNREACHABLE, destination, port, source, 0);
      return;
    }
    case PROTOCOL_ICMP: {
      if (icmpType(bytes, at) !== ICMP_ECHO_REQUEST) return;
      const socket = sockets.findIcmp(icmpIdentifier(bytes, at));
      const type = ICMP_DESTINATION_UNREACHABLE;
      const code = CODE_HOST_UNREACHABLE;
      const sequence = icmpSequence(bytes, at);
      socket?.deliver(bytes, at, 0, type, code, sequence, ipv4Ttl(bytes, packet), source, destination);
    }
  }
}
