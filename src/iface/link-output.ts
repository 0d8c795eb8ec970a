import type { Frame } from "../device.ts";
import { copyBytes } from "../storage/copy.ts";
import { BROADCAST_HARDWARE, ETHERTYPE_IPV4, writeEthernet } from "../wire/ethernet.ts";
import { type IpAddress, isMulticast } from "../wire/ip-address.ts";
import { IPV4_HEADER_LENGTH, ipv4Protocol, PROTOCOL_TCP } from "../wire/ipv4.ts";
import { ACK, SYN } from "../wire/tcp.ts";
import { sendQuestion } from "./arp-output.ts";
import { type EthernetLink, MEMO_MASK } from "./ethernet-link.ts";
import type { Interface } from "./interface.ts";
import { HARDWARE_STRIDE, INCOMPLETE, REACHABLE } from "./neighbours.ts";

/** Where the flags stand in a TCP header. */
const TCP_FLAGS = 13;

/** RFC 1112 6.4: the group address of a multicast destination; its last three bytes follow. */
const groupHardware = Uint8Array.of(0x01, 0x00, 0x5e, 0, 0, 0);

/**
 * Sends `frame`, in which the IP packet to `destination` lies behind room for the link's header: to the next hop's
 * station, or to nobody as yet where that is to be asked for.
 */
export function linkOutput(iface: Interface, frame: Frame, destination: IpAddress): void {
  const { link } = iface;
  if (link === null) {
    iface.device.commit(frame);
    iface.context.stats.framesSent++;
    return;
  }
  const { neighbours } = link;
  const place = destination.w3 & MEMO_MASK;
  if (
    link.memoDestination[place] === destination.w3 &&
    link.memoVersion[place] === neighbours.version &&
    iface.context.now < link.memoUntil[place]
  ) {
    const entry = link.memoEntry[place];
    neighbours.use(entry);
    commitTo(iface, link, frame, neighbours.hardware, entry * HARDWARE_STRIDE);
    return;
  }
  findStation(iface, link, frame, destination);
}

function findStation(iface: Interface, link: EthernetLink, frame: Frame, destination: IpAddress): void {
  const { stats } = iface.context;
  if (iface.isBroadcastAddress(destination)) {
    commitTo(iface, link, frame, BROADCAST_HARDWARE, 0);
    return;
  }
  if (isMulticast(destination)) {
    groupHardware[3] = (destination.w3 >>> 16) & 0x7f;
    groupHardware[4] = destination.w3 >>> 8;
    groupHardware[5] = destination.w3;
    commitTo(iface, link, frame, groupHardware, 0);
    return;
  }
  const hop = iface.nextHop(destination);
  if (hop === 0) stats.ipv4NoNextHop++;
  else sendToNeighbour(iface, link, frame, destination, hop);
}

function sendToNeighbour(
  iface: Interface,
  link: EthernetLink,
  frame: Frame,
  destination: IpAddress,
  hop: number,
): void {
  const { neighbours } = link;
  const { now } = iface.context;
  const known = neighbours.find(hop);
  const entry = known === -1 ? neighbours.add(hop, now) : known;
  neighbours.use(entry);
  if (neighbours.state[entry] === INCOMPLETE) {
    park(iface, link, entry, frame);
    // The lent frame is forgotten with the next one, so the question comes behind the copy.
    if (known === -1) sendQuestion(iface, link, entry);
    return;
  }
  commitTo(iface, link, frame, neighbours.hardware, entry * HARDWARE_STRIDE);
  if (neighbours.isStale(entry, now)) {
    neighbours.startProbe(entry, now);
    sendQuestion(iface, link, entry);
  }
  const place = destination.w3 & MEMO_MASK;
  link.memoDestination[place] = destination.w3;
  link.memoEntry[place] = entry;
  link.memoVersion[place] = neighbours.version;
  // Whoever is being probed stays in use, and its timer says when that is over.
  const reachable = neighbours.state[entry] === REACHABLE;
  link.memoUntil[place] = reachable ? neighbours.reachableUntil[entry] : Infinity;
}

function park(iface: Interface, link: EthernetLink, entry: number, frame: Frame): void {
  const { neighbours } = link;
  const { stats } = iface.context;
  const { bytes } = frame;
  const packet = frame.offset + link.headerLength;
  const length = frame.length - link.headerLength;
  // A super-segment does not fit. TCP repairs it.
  if (length > neighbours.parked.slotSize) {
    stats.neighbourPacketsDropped++;
    return;
  }
  if (ipv4Protocol(bytes, packet) === PROTOCOL_TCP) {
    const flags = bytes[packet + IPV4_HEADER_LENGTH + TCP_FLAGS];
    if ((flags & (SYN | ACK)) === SYN) neighbours.connecting[entry] = 1;
  }
  stats.neighbourPacketsParked++;
  if (neighbours.parked.park(entry, bytes, packet, length, frame.checksumOffloaded)) {
    stats.neighbourPacketsDropped++;
  }
}

/** Sends what has been waiting for the entry's hardware address. */
export function sendParked(iface: Interface, link: EthernetLink, entry: number): void {
  const { neighbours } = link;
  const { parked } = neighbours;
  const { stats } = iface.context;
  while (parked.size > 0) {
    const slot = parked.oldestOf(entry);
    if (slot === -1) return;
    const length = parked.length(slot);
    const frame = iface.device.transmit(link.headerLength + length);
    if (frame === null) {
      iface.blocked = true;
      stats.framesDroppedDeviceFull += parked.drop(entry);
      return;
    }
    copyBytes(parked.bytes, parked.start(slot), frame.bytes, frame.offset + link.headerLength, length);
    frame.checksumOffloaded = parked.checksumOffloaded(slot);
    frame.segmentSize = 0;
    parked.free(slot);
    commitTo(iface, link, frame, neighbours.hardware, entry * HARDWARE_STRIDE);
  }
}

function commitTo(iface: Interface, link: EthernetLink, frame: Frame, to: Uint8Array, at: number): void {
  writeEthernet(frame.bytes, frame.offset, to, at, link.hardwareAddress, 0, ETHERTYPE_IPV4, link.vlan);
  iface.device.commit(frame);
  iface.context.stats.framesSent++;
}
