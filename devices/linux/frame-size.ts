/** How long frames of the kernel's interfaces may be. */

import { StackError } from "../../src/errors.ts";
import { ETHERNET_HEADER_LENGTH, VLAN_TAG_LENGTH } from "../../src/wire/ethernet.ts";

/** The largest IP packet: the most that an MTU means, even where an interface has a larger one. */
export const LARGEST_PACKET = 65535;
/** The header of an Ethernet frame, with the tag that it may have. */
export const LINK_HEADER = ETHERNET_HEADER_LENGTH + VLAN_TAG_LENGTH;

/** What is thrown at whoever asks for a frame of `length` bytes, which no MTU ever allowed here. */
export function tooLong(name: string, length: number, mtu: number, largest: number): StackError {
  return new StackError(
    "EMSGSIZE",
    `A frame of ${length} bytes is too long for ${name}: its MTU is ${mtu}, and the longest frame ${largest}.`,
  );
}
