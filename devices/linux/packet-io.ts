/** What both ways of moving frames through a packet socket have in common: single messages, and rings in shared memory. */

import type { Frame } from "../../src/device.ts";
import { ETHERNET_HEADER_LENGTH, ETHERTYPE_VLAN, VLAN_TAG_LENGTH } from "../../src/wire/ethernet.ts";
import { TP_STATUS_VLAN_TPID_VALID, TP_STATUS_VLAN_VALID } from "./packet-abi.ts";
import { VNET_HEADER_LENGTH } from "./vnet-header.ts";

/** The largest IP packet, which is also the largest super-segment that the kernel hands over. */
export const LARGEST_PACKET = 65535;
/** The header of a frame, with the tag that it may have. */
export const LINK_HEADER = ETHERNET_HEADER_LENGTH + VLAN_TAG_LENGTH;
/**
 * The largest super-segment that is sent. The kernel's limit of an interface (`gso_max_size`) counts the link header,
 * and what exceeds it is cut up by the processor at once, before it reaches the other end of a veth pair.
 */
export const LARGEST_SUPER_SEGMENT = LARGEST_PACKET - LINK_HEADER;
/** Bytes of a frame as the kernel has it: a virtio-net header, and all that may follow. */
export const LARGEST_MESSAGE = VNET_HEADER_LENGTH + LINK_HEADER + LARGEST_PACKET;

/** The means by which a raw device receives and sends. */
export interface PacketIo {
  /**
   * Points `frame` at the next frame; `false` where there is none: `errno` is then the error number, 0 or EAGAIN where
   * there is nothing but to wait.
   */
  receive(frame: Frame): boolean;
  errno: number;

  /** Lends a frame at whose `offset` there is room for `length` bytes; `null` where none is free. */
  transmit(length: number): Frame | null;

  /**
   * Sends the frame lent last, at once or with others at `flush`. Returns 0, or the error number; the frame is kept then,
   * until `flush` has sent it or `drop` forgets it.
   */
  commit(frame: Frame): number;

  /** Whether committed frames wait for `flush`, though nothing is in their way. */
  readonly unsent: boolean;

  /** Sends what waits; returns as `commit` does. */
  flush(): number;

  /** Forgets what waits; returns how many frames that were. */
  drop(): number;

  close(): void;
}

/**
 * Puts the tag back that the kernel took out of the frame: the addresses move four bytes to the front, where the
 * caller has left room.
 *
 * @param status `tp_status`, which says whether there was one
 * @param tag `tp_vlan_tci`: priority and VLAN
 * @param type `tp_vlan_tpid`, in the processor's order; kernels before 3.14 do not tell
 */
export function restoreTag(frame: Frame, status: number, tag: number, type: number): void {
  if ((status & TP_STATUS_VLAN_VALID) === 0) return;
  const { bytes } = frame;
  const at = frame.offset - VLAN_TAG_LENGTH;
  bytes.copyWithin(at, frame.offset, frame.offset + 12);
  const ether = (status & TP_STATUS_VLAN_TPID_VALID) === 0 ? ETHERTYPE_VLAN : type;
  bytes[at + 12] = ether >>> 8;
  bytes[at + 13] = ether;
  bytes[at + 14] = tag >>> 8;
  bytes[at + 15] = tag;
  frame.offset = at;
  frame.length += VLAN_TAG_LENGTH;
}
