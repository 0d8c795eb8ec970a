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
/** What the kernel leaves free in front of received frames, so that an IP header lies on a multiple of four. */
const RESERVE = 2;
/** Where in a slot the kernel puts the virtio-net header of a received frame, and where it expects that of one to send. */
const RECEIVE_AT = 66 + RESERVE;
const SEND_AT = 32;

/** Each slot holds a frame of any length; none lies across the end of a block. */
const SLOT = (RECEIVE_AT + LARGEST_MESSAGE + 15) & ~15;
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
  truncated = 0;
  taken = 0;
  /** The kernel knows which slots were not released. */
  readonly pending = false;
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
    this.mapping = mapRings(socket.fd, this.size);
    const memory = adopt(this.mapping, 0, this.size, this.size, (this.c.munmap as unknown as Callable).ptr);
    this.bytes = new Uint8Array(memory);
    this.words = new Int32Array(memory);
    this.outgoing = new Frame(this.bytes);
  }

  receive(frame: Frame): boolean {
    const { words } = this;
    for (;;) {
      if (this.holding) this.release();
      const at = slotAt(0, this.next);
      const status = Atomics.load(words, (at + STATUS) >> 2);
      if ((status & TP_STATUS_USER) === 0) {
        // An error is told to nobody who does not ask, and poll(2) finds it again and again until then.
        this.errno = this.socket.takeError();
        return false;
      }
      this.holding = true;
      const length = words[(at + LENGTH) >> 2];
      if (length !== words[(at + SNAPPED) >> 2]) {
        this.truncated++;
        continue;
      }
      frame.bytes = this.bytes;
      frame.offset = at + (words[(at + MAC) >> 2] & 0xffff);
      frame.length = length;
      readVnetHeader(this.bytes, frame.offset - VNET_HEADER_LENGTH, frame);
      const tag = words[(at + TAG) >> 2];
      restoreTag(frame, status, tag & 0xffff, tag >>> 16);
      return true;
    }
  }

  /** The slot that was being read is the kernel's again. */
  private release(): void {
    Atomics.store(this.words, slotAt(0, this.next) >> 2, TP_STATUS_AVAILABLE);
    this.holding = false;
    this.next = this.next + 1 === RECEIVE_SLOTS ? 0 : this.next + 1;
  }

  transmit(length: number): Frame | null {
    if (!this.hasRoom) return null;
    const frame = this.outgoing;
    frame.offset = slotAt(RECEIVE_BLOCKS, this.slot) + SEND_AT + VNET_HEADER_LENGTH;
    frame.length = length;
    return frame;
  }

  get hasRoom(): boolean {
    return this.statusOf(this.slot) === TP_STATUS_AVAILABLE;
  }

  private statusOf(slot: number): number {
    return Atomics.load(this.words, (slotAt(RECEIVE_BLOCKS, slot) + STATUS) >> 2);
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
    let errno: number;
    do {
      errno = this.c.send(this.socket.fd, null, 0, MSG_DONTWAIT) >= 0 ? 0 : this.c.errno();
    } while (errno === EINTR);
    const left = this.countLeft();
    this.taken += this.waiting - left;
    this.waiting = left;
    // Where the socket's buffer is full, the kernel takes some and says nothing of the others.
    return errno === 0 && left > 0 ? EAGAIN : errno;
  }

  /** The kernel takes them in order, so those that it has not taken are the last ones. */
  private countLeft(): number {
    let left = 0;
    for (let slot = before(this.slot); left < this.waiting; left++, slot = before(slot)) {
      if (this.statusOf(slot) !== TP_STATUS_SEND_REQUEST) break;
    }
    return left;
  }

  drop(): number {
    const dropped = this.countLeft();
    // The kernel will look for the next one at the first of them.
    for (let i = 0; i < dropped; i++) {
      this.slot = before(this.slot);
      Atomics.store(this.words, (slotAt(RECEIVE_BLOCKS, this.slot) + STATUS) >> 2, TP_STATUS_AVAILABLE);
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

/**
 * The rings of a packet socket, `length` bytes, in our memory.
 *
 * @throws StackError where the kernel does not map them
 */
export function mapRings(fd: number, length: number): Pointer {
  const c = libc();
  const mapping = Number(c.mmap(null, length, PROT_READ_WRITE, MAP_SHARED, fd, 0));
  if (mapping < 0) check(c.errno());
  return mapping as Pointer;
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
