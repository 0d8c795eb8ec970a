import { type Pointer, toArrayBuffer } from "bun:ffi";
import { Frame } from "../../src/device.ts";
import { StackError } from "../../src/errors.ts";
import { EAGAIN, EINTR, errnoCode, errnoName } from "./errno.ts";
import { type Libc, libc } from "./libc.ts";
import {
  MSG_DONTWAIT,
  PACKET_LOSS,
  PACKET_RESERVE,
  PACKET_RX_RING,
  PACKET_TX_RING,
  PACKET_VERSION,
  packInt,
  packRingRequest,
  TP_STATUS_AVAILABLE,
  TP_STATUS_SEND_REQUEST,
  TP_STATUS_USER,
  TPACKET_V2,
} from "./packet-abi.ts";
import { LARGEST_MESSAGE, type PacketIo, restoreTag } from "./packet-io.ts";
import type { PacketSocket } from "./packet-socket.ts";
import { readVnetHeader, VNET_HEADER_LENGTH, writeVnetHeader } from "./vnet-header.ts";

/** `struct tpacket2_hdr`, which begins every slot. */
const STATUS = 0;
const LENGTH = 4;
const SNAPPED = 8;
const MAC = 12;
const TAG = 24;
/** Where the kernel puts frames and expects them, with their virtio-net header: behind that header. */
const RECEIVE_AT = 68;
const SEND_AT = 32;
/** Pushes received frames on to where an IP header lies on a multiple of four. */
const RESERVE = 2;

/** Each slot holds the largest super-segment; none lies across the end of a block. */
const SLOT = (RECEIVE_AT + RESERVE + LARGEST_MESSAGE + 15) & ~15;
const BLOCK = 1 << 20;
const SLOTS_A_BLOCK = Math.floor(BLOCK / SLOT);
const RECEIVE_BLOCKS = 16;
const SEND_BLOCKS = 4;
const SEND_SLOTS = SEND_BLOCKS * SLOTS_A_BLOCK;
const RECEIVE_SLOTS = RECEIVE_BLOCKS * SLOTS_A_BLOCK;
/** Slots of the transmit ring that are filled before the kernel is told. */
const BATCH = 16;

const PROT_READ_WRITE = 3;
const MAP_SHARED = 1;
/** Private, fixed, anonymous, not reserved. */
const MAP_NOTHING = 0x2 | 0x10 | 0x20 | 0x4000;

/** Where the function lies in memory. */
interface Callable {
  readonly ptr: number;
}
/**
 * What Bun's documentation has and its types lack: a function of C that the engine calls with the address and a number,
 * here the length as munmap(2) wants it, when nobody has the array any more.
 */
const adopt = toArrayBuffer as unknown as (
  ...args: [at: Pointer, offset: number, length: number, number: number, release: number]
) => ArrayBuffer;

/**
 * Frames through rings of memory that the kernel shares with us (TPACKET_V2, `networking/packet_mmap` of the kernel's
 * documentation). Receiving needs no system call, sending one for up to 16 frames.
 *
 * Not TPACKET_V3, whose received frames come in blocks: one that is not full is handed over after a millisecond at the
 * earliest, and a TCP connection would wait for that every time its window is full.
 */
export class PacketRing implements PacketIo {
  errno = 0;
  private readonly c: Libc = libc();
  private readonly socket: PacketSocket;
  private readonly size = BLOCK * (RECEIVE_BLOCKS + SEND_BLOCKS);
  private readonly mapping: Pointer;
  private readonly bytes: Uint8Array;
  private readonly words: Int32Array;
  /** The slot that is to be received from next; the one before is still being read where `holding`. */
  private next = 0;
  private holding = false;
  private readonly outgoing: Frame;
  /** The slot that is to be filled next, and how many before it the kernel has not been told of. */
  private slot = 0;
  private waiting = 0;

  constructor(socket: PacketSocket) {
    this.socket = socket;
    check(socket.setOption(PACKET_VERSION, packInt(TPACKET_V2)));
    check(socket.setOption(PACKET_RESERVE, packInt(RESERVE)));
    // A frame that can't be sent does not stop those behind it.
    check(socket.setOption(PACKET_LOSS, packInt(1)));
    check(socket.setOption(PACKET_RX_RING, packRingRequest(BLOCK, RECEIVE_BLOCKS, SLOT)));
    check(socket.setOption(PACKET_TX_RING, packRingRequest(BLOCK, SEND_BLOCKS, SLOT)));
    const mapping = this.c.mmap(null, this.size, PROT_READ_WRITE, MAP_SHARED, socket.fd, 0);
    if (mapping === null || Number(mapping) < 0) {
      check(this.c.errno());
      throw new StackError("EIO", "The rings of the packet socket could not be mapped.");
    }
    this.mapping = Number(mapping) as Pointer;
    const memory = adopt(this.mapping, 0, this.size, this.size, (this.c.munmap as unknown as Callable).ptr);
    this.bytes = new Uint8Array(memory);
    this.words = new Int32Array(memory);
    this.outgoing = new Frame(this.bytes);
  }

  receive(frame: Frame): boolean {
    const { words } = this;
    if (this.holding) {
      Atomics.store(words, slotAt(0, this.next) >> 2, TP_STATUS_AVAILABLE);
      this.holding = false;
      this.next = this.next + 1 === RECEIVE_SLOTS ? 0 : this.next + 1;
    }
    const at = slotAt(0, this.next);
    const status = Atomics.load(words, (at + STATUS) >> 2);
    if ((status & TP_STATUS_USER) === 0) {
      // An error is told to nobody who does not ask, and poll(2) finds it again and again until then.
      this.errno = this.socket.takeError();
      return false;
    }
    this.holding = true;
    frame.bytes = this.bytes;
    frame.offset = at + (words[(at + MAC) >> 2] & 0xffff);
    frame.length = words[(at + SNAPPED) >> 2];
    readVnetHeader(this.bytes, frame.offset - VNET_HEADER_LENGTH, frame);
    const tag = words[(at + TAG) >> 2];
    restoreTag(frame, status, tag & 0xffff, tag >>> 16);
    return true;
  }

  transmit(length: number): Frame | null {
    const at = slotAt(RECEIVE_BLOCKS, this.slot);
    if (Atomics.load(this.words, (at + STATUS) >> 2) !== TP_STATUS_AVAILABLE) return null;
    const frame = this.outgoing;
    frame.offset = at + SEND_AT + VNET_HEADER_LENGTH;
    frame.length = length;
    return frame;
  }

  commit(frame: Frame): number {
    const at = slotAt(RECEIVE_BLOCKS, this.slot);
    writeVnetHeader(this.bytes, at + SEND_AT, frame, "ethernet");
    this.words[(at + LENGTH) >> 2] = VNET_HEADER_LENGTH + frame.length;
    Atomics.store(this.words, (at + STATUS) >> 2, TP_STATUS_SEND_REQUEST);
    this.slot = this.slot + 1 === SEND_SLOTS ? 0 : this.slot + 1;
    this.waiting++;
    return this.waiting < BATCH ? 0 : this.flush();
  }

  get unsent(): boolean {
    return this.waiting > 0;
  }

  flush(): number {
    if (this.waiting === 0) return 0;
    for (;;) {
      if (this.c.send(this.socket.fd, null, 0, MSG_DONTWAIT) >= 0) break;
      const errno = this.c.errno();
      if (errno !== EINTR) return errno;
    }
    // Where the socket's buffer is full, the kernel takes some and says nothing of the others.
    const last = slotAt(RECEIVE_BLOCKS, before(this.slot));
    if (Atomics.load(this.words, (last + STATUS) >> 2) === TP_STATUS_SEND_REQUEST) return EAGAIN;
    this.waiting = 0;
    return 0;
  }

  drop(): number {
    // The kernel takes them in order, so those that it has not taken are the last ones; it will look for the next one
    // at the first of them.
    let dropped = 0;
    while (dropped < SEND_SLOTS) {
      const slot = before(this.slot);
      const status = (slotAt(RECEIVE_BLOCKS, slot) + STATUS) >> 2;
      if (Atomics.load(this.words, status) !== TP_STATUS_SEND_REQUEST) break;
      Atomics.store(this.words, status, TP_STATUS_AVAILABLE);
      this.slot = slot;
      dropped++;
    }
    this.waiting = 0;
    return dropped;
  }

  /**
   * The program may still hold a frame of ours and look into it. So the rings go, and with them the mapping's hold on the
   * socket, but the array keeps pages that are all zero.
   */
  close(): void {
    this.c.mmap(this.mapping, this.size, PROT_READ_WRITE, MAP_NOTHING, -1, 0);
  }
}

function before(slot: number): number {
  return slot === 0 ? SEND_SLOTS - 1 : slot - 1;
}

/** Where a slot begins, of the ring that begins with this block. */
function slotAt(firstBlock: number, slot: number): number {
  const block = Math.floor(slot / SLOTS_A_BLOCK);
  return (firstBlock + block) * BLOCK + (slot - block * SLOTS_A_BLOCK) * SLOT;
}

function check(errno: number): void {
  if (errno === 0) return;
  throw new StackError(
    errnoCode(errno),
    `The rings of the packet socket could not be made (${errnoName(errno)}): leave "ring" out, or free memory.`,
  );
}
