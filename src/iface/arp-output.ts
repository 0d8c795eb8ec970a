import { ARP_LENGTH, ARP_REPLY, ARP_REQUEST, arpSenderHardware, writeArp } from "../wire/arp.ts";
import { BROADCAST_HARDWARE, ETHERTYPE_ARP, writeEthernet } from "../wire/ethernet.ts";
import type { EthernetLink } from "./ethernet-link.ts";
import type { Interface } from "./interface.ts";
import { HARDWARE_STRIDE, INCOMPLETE } from "./neighbours.ts";

/** What stands where a request asks for a hardware address. */
const UNKNOWN_HARDWARE = new Uint8Array(6);

/**
 * Asks for the entry's hardware address: everybody where we have none or doubt it, else the station that had it; a second
 * after the last time at the earliest.
 */
export function sendQuestion(iface: Interface, link: EthernetLink, entry: number): void {
  const { neighbours } = link;
  if (!neighbours.ask(entry, iface.context.now)) return;
  const address = neighbours.address[entry];
  const source = iface.sourceFor(address);
  if (source === 0) return;
  const everybody = neighbours.state[entry] === INCOMPLETE || neighbours.doubtful[entry] === 1;
  const to = everybody ? BROADCAST_HARDWARE : neighbours.hardware;
  const at = everybody ? 0 : entry * HARDWARE_STRIDE;
  if (sendArp(iface, link, to, at, ARP_REQUEST, source, UNKNOWN_HARDWARE, 0, address)) {
    iface.context.stats.arpQuestionsSent++;
  }
}

/** RFC 826: answers the request at `bytes[offset ..]`, whose sender has `address`, that `own` is at our station. */
export function sendReply(
  iface: Interface,
  link: EthernetLink,
  bytes: Uint8Array,
  offset: number,
  own: number,
  address: number,
): void {
  const at = arpSenderHardware(offset);
  if (sendArp(iface, link, bytes, at, ARP_REPLY, own, bytes, at, address)) {
    iface.context.stats.arpRepliesSent++;
  }
}

/** RFC 5227 2.1.1: asks for each of our addresses, without saying that we would like to have it. */
export function sendProbes(iface: Interface, link: EthernetLink): void {
  for (const { address } of iface.addresses) {
    if (sendArp(iface, link, BROADCAST_HARDWARE, 0, ARP_REQUEST, 0, UNKNOWN_HARDWARE, 0, address.w3)) {
      iface.context.stats.arpProbesSent++;
    }
  }
}

/** RFC 5227 2.3: tells everybody where our addresses are. */
export function sendAnnouncements(iface: Interface, link: EthernetLink): void {
  for (const { address } of iface.addresses) sendAnnouncement(iface, link, address.w3);
}

/** The same of one address. */
export function sendAnnouncement(iface: Interface, link: EthernetLink, own: number): void {
  if (sendArp(iface, link, BROADCAST_HARDWARE, 0, ARP_REQUEST, own, UNKNOWN_HARDWARE, 0, own)) {
    iface.context.stats.arpAnnouncementsSent++;
  }
}

function sendArp(
  iface: Interface,
  link: EthernetLink,
  to: Uint8Array,
  toOffset: number,
  operation: number,
  senderAddress: number,
  targetHardware: Uint8Array,
  targetOffset: number,
  targetAddress: number,
): boolean {
  const { device } = iface;
  const { stats } = iface.context;
  const frame = device.transmit(link.headerLength + ARP_LENGTH);
  if (frame === null) {
    iface.blocked = true;
    stats.framesDroppedDeviceFull++;
    return false;
  }
  const { bytes, offset } = frame;
  const own = link.hardwareAddress;
  const header = writeEthernet(bytes, offset, to, toOffset, own, 0, ETHERTYPE_ARP, link.vlan);
  writeArp(
    bytes,
    offset + header,
    operation,
    own,
    senderAddress,
    targetHardware,
    targetOffset,
    targetAddress,
  );
  frame.length = header + ARP_LENGTH;
  device.commit(frame);
  stats.framesSent++;
  return true;
}
