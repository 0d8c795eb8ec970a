/** What both ways of moving frames through a packet socket have in common: single messages, and rings in shared memory. */

import type { Frame } from "../../src/device.ts";
import { ETHERTYPE_VLAN, VLAN_TAG_LENGTH } from "../../src/wire/ethernet.ts";
import { LARGEST_PACKET, LINK_HEADER } from "./frame-size.ts";
import { TP_STATUS_VLAN_TPID_VALID, TP_STATUS_VLAN_VALID } from "./packet-abi.ts";
import { VNET_HEADER_LENGTH } from "./vnet-header.ts";

/**
 * The largest super-segment that is sent. The kernel's limit of an interface (`gso_max_size`) counts the link header,
 * and what exceeds it is cut up by the processor at once, before it reaches the other end of a veth pair.
 */
export const LARGEST_SUPER_SEGMENT = LARGEST_PACKET - LINK_HEADER;
/**
 * Bytes of a frame as the kernel has it: a virtio-net header, and all that may follow. Only where an administrator has
 * raised an interface's limit does the kernel make longer super-segments.
 */
export const LARGEST_MESSAGE = VNET_HEADER_LENGTH + LINK_HEADER + LARGEST_PACKET;

/** The means by which a raw device receives and sends. */
export interface PacketIo {
  /**
   * Points `frame` at the next frame; `false` where there is none: `errno` is then the error number, 0 or EAGAIN where
   * there is nothing but to wait. What is longer than a frame may be is skipped, and counted in `truncated`.
   */
  receive(frame: Frame): boolean;
  errno: number;
  readonly truncated: number;

  /** Whether a frame has been fetched that was not handed out yet, of which poll(2) does not know. */
  readonly pending: boolean;

  /** Lends a frame at whose `offset` there is room for `length` bytes; `null` where none is free. */
  transmit(length: number): Frame | null;

  /** Whether `transmit` has a frame to lend. */
  readonly hasRoom: boolean;

  /**
   * Sends the frame lent last, at once or with others at `flush`. Returns 0, or the error number; what the kernel did not
   * take is kept then, until a `flush` has sent it or `drop` forgets it.
   */
  commit(frame: Frame): number;

  /** Whether frames wait for a `flush` that the kernel may take as soon as it is told of them. */
  readonly unsent: boolean;

  /** Frames that the kernel took so far. */
  readonly taken: number;

  /** Sends what waits; returns as `commit` does. */
  flush(): number;

  /** Forgets what waits, and the frame that is lent; returns how many frames waited. */
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
