import type { Frame } from "../device.ts";
import { OK } from "../errors.ts";
import type { SocketSet } from "../socket/socket-set.ts";
import { read32 } from "../wire/bytes.ts";
import {
  checkEthernet,
  ETHERTYPE_ARP,
  ETHERTYPE_IPV4,
  ethernetHeaderLength,
  etherType,
  HARDWARE_ADDRESS_LENGTH,
  hasVlanTag,
  isBroadcastHardwareAddress,
  isGroupHardwareAddress,
  sameHardwareAddress,
  vlanId,
} from "../wire/ethernet.ts";
import { IPV4_HEADER_LENGTH } from "../wire/ipv4.ts";
import { arpInput } from "./arp-input.ts";
import type { EthernetLink } from "./ethernet-link.ts";
import type { Interface } from "./interface.ts";
import { ipInput } from "./ipv4-input.ts";

/** Where the destination stands in an IPv4 header. */
const IPV4_DESTINATION = 16;

/** Takes one received Ethernet frame to where its payload belongs. */
export function ethernetInput(iface: Interface, link: EthernetLink, sockets: SocketSet, frame: Frame): void {
  const { stats } = sockets.context;
  const { bytes, offset, length } = frame;
  if (checkEthernet(bytes, offset, length) !== OK) {
    stats.ethernetRunts++;
    return;
  }
  let broadcast = false;
  if (!sameHardwareAddress(bytes, offset, link.hardwareAddress, 0)) {
    broadcast = isBroadcastHardwareAddress(bytes, offset);
    if (!broadcast) {
      if (isGroupHardwareAddress(bytes, offset)) stats.ethernetMulticast++;
      else stats.ethernetNotForUs++;
      return;
    }
  }
  if (isGroupHardwareAddress(bytes, offset + HARDWARE_ADDRESS_LENGTH)) {
    stats.ethernetBadSource++;
    return;
  }
  // A tag with VLAN 0 gives a priority only: the frame is of no VLAN (IEEE 802.1Q).
  if ((hasVlanTag(bytes, offset) ? vlanId(bytes, offset) : 0) !== link.vlan) {
    stats.ethernetWrongVlan++;
    return;
  }
  const header = ethernetHeaderLength(bytes, offset);
  const at = offset + header;
  const rest = length - header;
  switch (etherType(bytes, offset)) {
    case ETHERTYPE_IPV4:
      // RFC 5227 2.1: an address that is being probed is not ours as yet.
      if (link.detection.state !== "ready" || (broadcast && isForOne(iface, bytes, at, rest))) {
        stats.ipv4NotForUs++;
        return;
      }
      ipInput(iface, sockets, bytes, at, rest, frame.checksumOffloaded, frame.segmentSize);
      return;
    case ETHERTYPE_ARP:
      arpInput(iface, link, bytes, at, rest);
      return;
    default:
      stats.unknownNetworkProtocol++;
  }
}

/** RFC 1122 3.3.6: a packet to one host has no business in a frame to all. */
function isForOne(iface: Interface, bytes: Uint8Array, offset: number, length: number): boolean {
  return length >= IPV4_HEADER_LENGTH && iface.isOwnAddress(read32(bytes, offset + IPV4_DESTINATION));
}
