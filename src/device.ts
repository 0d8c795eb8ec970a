/**
 * The contract between the stack and whatever carries its frames.
 *
 * A device lends frames instead of giving them away: `receive` and `transmit` hand out records that the device
 * owns and reuses, so that moving a frame allocates nothing.
 */

import type { StackError } from "./errors.ts";

/** What a frame starts with: an IP header (TUN) or an Ethernet header (TAP). */
export type Medium = "ip" | "ethernet";

/** What a device can do. It stays the same while the device is open, but for the MTU (see `DeviceEvent`). */
export interface Capabilities {
  readonly medium: Medium;
  /** Largest IP packet in bytes, without any link header. */
  readonly mtu: number;
  /**
   * `true` where the device fills in TCP and UDP checksums of frames that are committed with `checksumOffloaded`;
   * `false` where the stack computes all of them. Whether a received one needs a check, the frame says.
   */
  readonly checksumOffload: boolean;
  /**
   * Largest IP packet in bytes, headers included, that `commit` cuts into TCP segments by itself (see
   * `Frame.segmentSize`); 0 where the device can't. Only with `checksumOffload`.
   */
  readonly maxSuperSegment: number;
  /** Ethernet only, and there always: the six bytes of the address that the stack has on this device. */
  readonly hardwareAddress?: Uint8Array;
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
  /**
   * On receive: the TCP or UDP checksum needs no check; the field itself may hold only the sum of the pseudo-header.
   * On transmit: the field holds that sum, and the device is to complete it.
   */
  checksumOffloaded = false;
  /**
   * On transmit: payload bytes of each TCP segment that the device is to cut from this frame. On receive: payload bytes
   * of each TCP segment or UDP datagram that the frame was put together from. 0 for a packet as it is.
   */
  segmentSize = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }
}

/**
 * What befalls a device while it is open. Frames that are sent while it is `"down"` or `"removed"` are lost, as on a
 * cable that is unplugged; it works again after `"up"`.
 */
export type DeviceEvent =
  | { readonly type: "up" }
  | { readonly type: "down" }
  /** The interface is gone. The device takes it up again when one of that name appears. */
  | { readonly type: "removed" }
  /** `capabilities.mtu` has changed. */
  | { readonly type: "mtu"; readonly mtu: number }
  /** The system refused something that it will hardly allow the next time; the sentence says what to do. */
  | { readonly type: "error"; readonly error: StackError };

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
   * Does what `receive` does, but the frames that were received before stay valid as well, until the next call of `receive`.
   * Devices whose frames are overwritten by the next one do without.
   */
  receiveMore?(frame: Frame): boolean;

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

  /**
   * Registers the one callback for what befalls the device. It is called outside of any call into the device but
   * `wait`. Devices that nothing can befall do without.
   */
  onEvent?(callback: (event: DeviceEvent) => void): void;

  /**
   * Whether the wait for a callback keeps the process running, as it does unless told otherwise. Devices that never keep it
   * running do without.
   */
  setRef?(ref: boolean): void;

  /** Blocks until readable or until `timeoutMs` have passed; for programs that poll in a loop of their own. */
  wait?(timeoutMs: number): boolean;

  /** Gives everything back to the system. A closed device receives and transmits nothing; closing twice is fine. */
  close(): void;
}
