import { OK, StackError } from "../errors.ts";
import {
  ARP_REPLY,
  ARP_REQUEST,
  arpOperation,
  arpSenderAddress,
  arpSenderHardware,
  arpTargetAddress,
  arpTargetHardware,
  checkArp,
} from "../wire/arp.ts";
import {
  formatHardwareAddress,
  isGroupHardwareAddress,
  isZeroHardwareAddress,
  sameHardwareAddress,
} from "../wire/ethernet.ts";
import { formatAddress, IpAddress, isLoopback, isMulticast } from "../wire/ip-address.ts";
import { sendAnnouncement, sendQuestion, sendReply } from "./arp-output.ts";
import type { EthernetLink } from "./ethernet-link.ts";
import type { Interface } from "./interface.ts";
import { sendParked } from "./link-output.ts";
import { HARDWARE_STRIDE, INCOMPLETE } from "./neighbours.ts";

/** The sender of the packet that is being processed. */
const sender = new IpAddress(4, 0, 0, 0xffff, 0);

/**
 * RFC 826, as RFC 5227 amends it: a packet of at most `length` bytes.
 *
 * Unlike RFC 826 says, nothing is learned from requests, not even from those to us, and nothing from replies that nobody
 * asked for: anybody on the link can send either. What a request could tell us we ask for ourselves, which takes two
 * packets once in a while. Not even an entry that waits for its answer takes it from a request, for the same reason.
 */
export function arpInput(
  iface: Interface,
  link: EthernetLink,
  bytes: Uint8Array,
  offset: number,
  length: number,
): void {
  const { stats } = iface.context;
  if (checkArp(bytes, offset, length) !== OK) {
    stats.arpMalformed++;
    return;
  }
  const operation = arpOperation(bytes, offset);
  if (operation !== ARP_REQUEST && operation !== ARP_REPLY) {
    stats.arpMalformed++;
    return;
  }
  sender.w3 = arpSenderAddress(bytes, offset);
  if (!isPossibleSender(iface, link, bytes, arpSenderHardware(offset))) {
    stats.arpBadSender++;
    return;
  }
  const target = arpTargetAddress(bytes, offset);
  const aboutUs = iface.isOwnAddress(target);
  if (iface.hasAddress(sender)) {
    onConflict(iface, link, bytes, offset, sender.w3);
    return;
  }
  if (link.detection.state !== "ready") {
    // RFC 5227 2.1.1: somebody else probes an address that we are probing.
    const probe = operation === ARP_REQUEST && sender.w3 === 0;
    if (probe && aboutUs) onConflict(iface, link, bytes, offset, target);
    return;
  }
  if (operation === ARP_REPLY) {
    replyInput(iface, link, bytes, offset, aboutUs);
    return;
  }
  noteClaim(iface, link, bytes, offset);
  if (!aboutUs) {
    stats.arpNotForUs++;
    return;
  }
  stats.arpRequestsReceived++;
  sendReply(iface, link, bytes, offset, target, sender.w3);
}

/** One other station, with an address of one host, or none as in a probe. */
function isPossibleSender(iface: Interface, link: EthernetLink, bytes: Uint8Array, at: number): boolean {
  if (isGroupHardwareAddress(bytes, at) || isZeroHardwareAddress(bytes, at)) return false;
  if (sameHardwareAddress(bytes, at, link.hardwareAddress, 0)) return false;
  return !isMulticast(sender) && !isLoopback(sender) && !iface.isBroadcastAddress(sender);
}

function replyInput(
  iface: Interface,
  link: EthernetLink,
  bytes: Uint8Array,
  offset: number,
  aboutUs: boolean,
): void {
  const { neighbours } = link;
  const { stats, now } = iface.context;
  const entry = neighbours.find(sender.w3);
  const at = arpSenderHardware(offset);
  // Replies may be broadcast (RFC 3927 2.5), so it is the packet that says whom it is for, not the frame.
  const forUs = aboutUs && sameHardwareAddress(bytes, arpTargetHardware(offset), link.hardwareAddress, 0);
  if (forUs && entry !== -1 && neighbours.answer(entry, bytes, at, now)) {
    stats.arpAnswers++;
    sendParked(iface, link, entry);
    return;
  }
  stats.arpUnsolicited++;
  noteClaim(iface, link, bytes, offset);
}

/**
 * Somebody says where a host is. If we know it to be elsewhere, whoever is there is asked, at most once a second; as long
 * as it answers, it stays there.
 */
function noteClaim(iface: Interface, link: EthernetLink, bytes: Uint8Array, offset: number): void {
  const { neighbours } = link;
  const { stats, now } = iface.context;
  const entry = neighbours.find(sender.w3);
  if (entry === -1 || neighbours.state[entry] === INCOMPLETE) return;
  const at = arpSenderHardware(offset);
  if (sameHardwareAddress(bytes, at, neighbours.hardware, entry * HARDWARE_STRIDE)) return;
  stats.arpClaims++;
  if (!neighbours.mayAsk(entry, now)) return;
  neighbours.startProbe(entry, now);
  sendQuestion(iface, link, entry);
}

/** RFC 5227 2.1.1 and 2.4: the sender of the packet at `offset` has, or is about to have, our address `own`. */
function onConflict(
  iface: Interface,
  link: EthernetLink,
  bytes: Uint8Array,
  offset: number,
  own: number,
): void {
  const { detection } = link;
  const { stats, now } = iface.context;
  if (detection.state === "conflict") return;
  stats.arpConflicts++;
  if (detection.state === "probing") {
    detection.giveUp();
    iface.conflict = conflictError(bytes, offset, own);
    iface.noteStateChange();
    return;
  }
  if (!detection.mayDefend(now)) return;
  if (detection.mode !== "off") sendAnnouncement(iface, link, own);
  iface.noteConflict(conflictError(bytes, offset, own));
}

function conflictError(bytes: Uint8Array, offset: number, own: number): StackError {
  const address = formatAddress(new IpAddress(4, 0, 0, 0xffff, own));
  const other = formatHardwareAddress(bytes, arpSenderHardware(offset));
  return new StackError(
    "EADDRINUSE",
    `the address ${address} is in use by the station ${other} on this link: give this interface another address, or take it away from that station`,
  );
}
