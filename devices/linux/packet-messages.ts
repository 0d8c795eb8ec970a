import { Frame } from "../../src/device.ts";
import { frameMemory } from "../../src/wire/frame-memory.ts";
import { EINTR } from "./errno.ts";
import { type Libc, libc } from "./libc.ts";
import { MSG_DONTWAIT, MSG_TRUNC, PACKET_AUXDATA, packInt } from "./packet-abi.ts";
import { LARGEST_MESSAGE, type PacketIo, restoreTag } from "./packet-io.ts";
import { addressOf, type PacketSocket } from "./packet-socket.ts";
import { readVnetHeader, VNET_HEADER_LENGTH, writeVnetHeader } from "./vnet-header.ts";

/** Where the virtio-net header lies in a slot, so that an IP header lies on a multiple of four behind it. */
const HEADER_AT = 8;
/** The frame; in front of it is room for a tag, over the virtio-net header that has been read by then. */
const FRAME_AT = HEADER_AT + VNET_HEADER_LENGTH;
/** Not a multiple of 4,096: the beginnings of all slots would compete for the same lines of the cache. */
const SLOT = (FRAME_AT + LARGEST_MESSAGE + 63) & ~63;

/** Frames that one call receives. */
const SLOTS = 16;

/** `struct mmsghdr`, `struct iovec` and a control message with `struct tpacket_auxdata`, as 64-bit systems have them. */
const MESSAGE = 64;
const MESSAGE_CONTROL_LENGTH = 40;
const MESSAGE_FLAGS = 48;
const MESSAGE_LENGTH = 56;
const VECTOR = 16;
const CONTROL = 40;
const AUXDATA = 16;

/** Frames through recvmmsg(2), many a call, and send(2), one a call. */
export class PacketMessages implements PacketIo {
  errno = 0;
  /** One that was refused is offered again a while later: there is nothing to be gained by asking sooner. */
  readonly unsent = false;
  truncated = 0;
  taken = 0;
  private readonly c: Libc = libc();
  private readonly fd: number;
  private readonly slab: Uint8Array;
  /** Messages, vectors and control messages: one array that stays where it is, for the kernel has addresses of it. */
  private readonly table: Uint8Array;
  private readonly words: Uint32Array;
  private readonly controlAt: number;
  /** Slots of the last call that hold frames, and the next one to hand out. */
  private filled = 0;
  private next = 0;
  private readonly outgoing: Frame;
  private readonly message: Uint8Array;
  /** The frame that is to be sent, with its virtio-net header; 0 where there is none. */
  private waiting = 0;

  constructor(socket: PacketSocket) {
    this.fd = socket.fd;
    socket.setOption(PACKET_AUXDATA, packInt(1));
    this.slab = frameMemory(SLOTS * SLOT);
    const vectorAt = SLOTS * MESSAGE;
    this.controlAt = vectorAt + SLOTS * VECTOR;
    this.table = new Uint8Array(new ArrayBuffer(Math.max(4096, this.controlAt + SLOTS * CONTROL)));
    this.words = new Uint32Array(this.table.buffer);
    const view = new DataView(this.table.buffer);
    const slab = addressOf(this.slab);
    const table = addressOf(this.table);
    for (let i = 0; i < SLOTS; i++) {
      const vector = vectorAt + i * VECTOR;
      view.setBigUint64(vector, BigInt(slab + i * SLOT + HEADER_AT), true);
      view.setBigUint64(vector + 8, BigInt(LARGEST_MESSAGE), true);
      const message = i * MESSAGE;
      view.setBigUint64(message + 16, BigInt(table + vector), true);
      view.setBigUint64(message + 24, 1n, true);
      view.setBigUint64(message + 32, BigInt(table + this.controlAt + i * CONTROL), true);
      view.setBigUint64(message + MESSAGE_CONTROL_LENGTH, BigInt(CONTROL), true);
    }
    this.outgoing = new Frame(frameMemory(SLOT));
    this.message = this.outgoing.bytes.subarray(HEADER_AT);
  }

  receive(frame: Frame): boolean {
    for (;;) {
      if (this.next === this.filled && !this.fill()) return false;
      const i = this.next++;
      const message = (i * MESSAGE) >> 2;
      if ((this.words[message + MESSAGE_FLAGS / 4] & MSG_TRUNC) !== 0) {
        this.truncated++;
        continue;
      }
      const at = i * SLOT + FRAME_AT;
      frame.bytes = this.slab;
      frame.offset = at;
      frame.length = this.words[message + MESSAGE_LENGTH / 4] - VNET_HEADER_LENGTH;
      readVnetHeader(this.slab, at - VNET_HEADER_LENGTH, frame);
      // The only control message that was asked for: it is there, or nothing is.
      if (this.words[message + MESSAGE_CONTROL_LENGTH / 4] !== 0) this.readAuxdata(frame, i);
      return true;
    }
  }

  get pending(): boolean {
    return this.next < this.filled;
  }

  private readAuxdata(frame: Frame, slot: number): void {
    const at = (this.controlAt + slot * CONTROL + AUXDATA) >> 2;
    const tag = this.words[at + 4];
    restoreTag(frame, this.words[at], tag & 0xffff, tag >>> 16);
  }

  private fill(): boolean {
    // The kernel wrote there how much of the room it used.
    for (let i = 0; i < this.filled; i++) this.words[(i * MESSAGE + MESSAGE_CONTROL_LENGTH) >> 2] = CONTROL;
    this.next = 0;
    this.filled = 0;
    const count = this.c.recvmmsg(this.fd, this.table, SLOTS, MSG_DONTWAIT, null);
    if (count <= 0) {
      this.errno = this.c.errno();
      return false;
    }
    this.filled = count;
    return true;
  }

  transmit(length: number): Frame | null {
    if (this.waiting !== 0) return null;
    const frame = this.outgoing;
    frame.offset = FRAME_AT;
    frame.length = length;
    return frame;
  }

  get hasRoom(): boolean {
    return this.waiting === 0;
  }

  commit(frame: Frame): number {
    writeVnetHeader(frame.bytes, HEADER_AT, frame, "ethernet");
    this.waiting = VNET_HEADER_LENGTH + frame.length;
    return this.flush();
  }

  flush(): number {
    if (this.waiting === 0) return 0;
    for (;;) {
      if (this.c.send(this.fd, this.message, this.waiting, MSG_DONTWAIT) >= 0) break;
      const errno = this.c.errno();
      if (errno !== EINTR) return errno;
    }
    this.waiting = 0;
    this.taken++;
    return 0;
  }

  drop(): number {
    if (this.waiting === 0) return 0;
    this.waiting = 0;
    return 1;
  }

  close(): void {}
}
