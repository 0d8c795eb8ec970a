/**
 * The contract between the stack and whatever carries its frames.
 *
 * A device lends frames instead of giving them away: `receive` and `transmit` hand out records that the device
 * owns and reuses, so that moving a frame allocates nothing.
 */

/** What a frame starts with: an IP header (TUN) or an Ethernet header (TAP). */
export type Medium = "ip" | "ethernet";

/** What a device can do, fixed while it is open. */
export interface Capabilities {
  readonly medium: Medium;
  /** Largest IP packet in bytes, without any link header. */
  readonly mtu: number;
  /**
   * `true` where the device fills in TCP and UDP checksums of what is transmitted and vouches for those of what is
   * received; `false` where the stack computes and verifies them.
   */
  readonly checksumOffload: boolean;
  /** Largest TCP super-segment in bytes that `commit` splits by itself; 0 where the device can't. */
  readonly maxSuperSegment: number;
}

/**
 * One frame in memory that the device owns. The data are `bytes[offset .. offset + length)`.
 *
 * `offset` is chosen so that the IP header lies on a multiple of four bytes. A device hands out frames of as few
 * distinct `bytes` arrays as it can (one slab, many offsets): the checksum keeps a word view per array.
 */
export class Frame {
  bytes: Uint8Array;
  offset = 0;
  length = 0;
  /** On receive: the transport checksum needs no check. On transmit: the device is to compute it. */
  checksumOffloaded = false;
  /** On transmit: payload bytes of each segment the device is to cut from this super-segment; 0 for one packet. */
  segmentSize = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }
}

/** A network device: a memory pair, a TUN or TAP interface, a raw socket, or one of these wrapped by another. */
export interface Device {
  readonly capabilities: Capabilities;

  /**
   * Points `frame` at the next received frame and returns `true`, or returns `false` when there is none.
   * The frame's contents are valid, and may be overwritten by the caller, until the next call of `receive`.
   * After `false` the device calls back (see `onReadable`) as soon as there is something again.
   */
  receive(frame: Frame): boolean;

  /**
   * Lends a frame with room for `length` bytes at `offset` (its `length` is set to it), or `null` when the transmit
   * queue is full; then the device calls back (see `onWritable`) when there is room again. A lent frame that is not
   * committed is forgotten at the next call of `transmit`.
   */
  transmit(length: number): Frame | null;

  /** Sends the frame lent last; its `length` may have been made smaller since. */
  commit(frame: Frame): void;

  /**
   * Registers the one callback for "there may be something to receive". It is called at some time after `receive`
   * returned `false`, outside of any call into the device, possibly spuriously, and not again before `receive`
   * returned `false` again.
   */
  onReadable(callback: () => void): void;

  /** Registers the one callback for "there may be room to transmit", called after `transmit` returned `null`. */
  onWritable(callback: () => void): void;

  /** Blocks until readable or until `timeoutMs` have passed; for programs that poll in a loop of their own. */
  wait?(timeoutMs: number): boolean;

  /** Gives everything back to the system. A closed device receives and transmits nothing; closing twice is fine. */
  close(): void;
}
