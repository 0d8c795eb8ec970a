import { type Pointer, ptr } from "bun:ffi";
import { StackError } from "../../src/errors.ts";
import { EACCES, EPERM, errnoCode, errnoName } from "./errno.ts";
import { type Libc, libc } from "./libc.ts";
import {
  AF_PACKET,
  PACKET_ADD_MEMBERSHIP,
  PACKET_FANOUT,
  PACKET_FANOUT_CBPF,
  PACKET_FANOUT_DATA,
  PACKET_FANOUT_FLAG_UNIQUEID,
  PACKET_IGNORE_OUTGOING,
  PACKET_MR_ALLMULTI,
  PACKET_MR_PROMISC,
  PACKET_QDISC_BYPASS,
  PACKET_STATISTICS,
  PACKET_VNET_HDR,
  packInt,
  packLinkAddress,
  packMembership,
  SO_ATTACH_FILTER,
  SO_ERROR,
  SO_RCVBUF,
  SO_RCVBUFFORCE,
  SO_SNDBUF,
  SO_SNDBUFFORCE,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_RAW,
  SOL_PACKET,
  SOL_SOCKET,
} from "./packet-abi.ts";

/**
 * A packet socket (packet(7)) that sends and receives whole Ethernet frames, each behind a virtio-net header.
 *
 * It begins with protocol 0, for which the kernel queues nothing: so no frame that the filter would have kept out is
 * waiting when `attach` names interface and protocol.
 */
export class PacketSocket {
  readonly fd: number;
  private readonly c: Libc = libc();
  private closed = false;
  private readonly answer = new Int32Array(3);
  private readonly answerLength = new Int32Array(1);

  constructor() {
    this.fd = this.c.socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (this.fd < 0) throw socketError(this.c.errno());
    // Kernels before 4.20 lack this one; there the filter keeps our own frames out.
    this.setOption(PACKET_IGNORE_OUTGOING, packInt(1));
    const errno = this.setOption(PACKET_VNET_HDR, packInt(1));
    if (errno !== 0) {
      this.close();
      throw new StackError(
        errnoCode(errno),
        `This kernel has no virtio-net headers on packet sockets (${errnoName(errno)}); Linux 2.6.37 is the first that has.`,
      );
    }
  }

  /** Sets an option of the packet layer; returns the error number, 0 for success. */
  setOption(name: number, value: Uint8Array): number {
    return this.set(SOL_PACKET, name, value);
  }

  /** Bytes of frames that may wait, each way. More than the administrator's limit only with CAP_NET_ADMIN. */
  setBuffers(bytes: number): void {
    const value = packInt(bytes);
    if (this.set(SOL_SOCKET, SO_RCVBUFFORCE, value) !== 0) this.set(SOL_SOCKET, SO_RCVBUF, value);
    if (this.set(SOL_SOCKET, SO_SNDBUFFORCE, value) !== 0) this.set(SOL_SOCKET, SO_SNDBUF, value);
  }

  /** Frames go to the driver at once, without the interface's queue; returns the error number, 0 for success. */
  bypassQueue(): number {
    return this.setOption(PACKET_QDISC_BYPASS, packInt(1));
  }

  /** Lets the kernel run `program` on every frame; returns the error number, 0 for success. */
  filter(program: Uint8Array): number {
    return this.setProgram(SOL_SOCKET, SO_ATTACH_FILTER, program);
  }

  /**
   * Joins a group of sockets on the same interface, each of which gets a part of the frames, after `attach`. For group -1
   * it makes a new one. Returns the error number, 0 for success.
   */
  joinGroup(group: number): number {
    const isNew = group < 0;
    const type = PACKET_FANOUT_CBPF | (isNew ? PACKET_FANOUT_FLAG_UNIQUEID : 0);
    return this.setOption(PACKET_FANOUT, packInt((isNew ? 0 : group) | (type << 16)));
  }

  /** The group that it has joined; 0 is one, too. */
  get group(): number {
    this.answerLength[0] = 4;
    this.c.getsockopt(this.fd, SOL_PACKET, PACKET_FANOUT, this.answer, this.answerLength);
    return this.answer[0] & 0xffff;
  }

  /** The program that says which member of its group gets a frame; returns the error number, 0 for success. */
  divide(program: Uint8Array): number {
    return this.setProgram(SOL_PACKET, PACKET_FANOUT_DATA, program);
  }

  private setProgram(level: number, option: number, program: Uint8Array): number {
    // `struct sock_fprog` has the program's address: so both lie in memory that stays where it is.
    const memory = new Uint8Array(new ArrayBuffer(4096));
    const view = new DataView(memory.buffer);
    memory.set(program, 16);
    view.setUint16(0, program.length / 8, true);
    view.setBigUint64(8, BigInt(ptr(memory)) + 16n, true);
    return this.set(level, option, memory.subarray(0, 16));
  }

  /** From now on frames of that interface come, and ours go out there; returns the error number, 0 for success. */
  attach(index: number): number {
    const address = packLinkAddress(index, true);
    return this.c.bind(this.fd, address, address.length) < 0 ? this.c.errno() : 0;
  }

  /** The interface takes frames to every address, for as long as this socket is open. Returns the error number. */
  promiscuous(index: number): number {
    return this.setOption(PACKET_ADD_MEMBERSHIP, packMembership(index, PACKET_MR_PROMISC));
  }

  /** The interface takes frames to every group, for as long as this socket is open. Returns the error number. */
  allMulticast(index: number): number {
    return this.setOption(PACKET_ADD_MEMBERSHIP, packMembership(index, PACKET_MR_ALLMULTI));
  }

  /** The error that waits to be told, such as ENETDOWN; it is told once, and poll(2) does not sleep before it was. */
  takeError(): number {
    this.answerLength[0] = 4;
    if (this.c.getsockopt(this.fd, SOL_SOCKET, SO_ERROR, this.answer, this.answerLength) < 0)
      return this.c.errno();
    return this.answer[0];
  }

  /** Frames that were for us and found no room since the last time that this was asked; none after `close`. */
  takeDrops(): number {
    if (this.closed) return 0;
    // `struct tpacket_stats_v3` has a third number, which is not of interest.
    this.answerLength[0] = 12;
    if (this.c.getsockopt(this.fd, SOL_PACKET, PACKET_STATISTICS, this.answer, this.answerLength) < 0)
      return 0;
    return this.answer[1] >>> 0;
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.c.close(this.fd);
  }

  private set(level: number, name: number, value: Uint8Array): number {
    return this.c.setsockopt(this.fd, level, name, value, value.length) < 0 ? this.c.errno() : 0;
  }
}

/** Where an array lies that the engine does not move: one with a buffer of its own of 4,096 bytes or more. */
export function addressOf(bytes: Uint8Array): Pointer {
  return ptr(bytes);
}

function socketError(errno: number): StackError {
  const code = errnoCode(errno);
  if (errno === EPERM || errno === EACCES) {
    return new StackError(
      code,
      "A packet socket may not be opened: run as root or grant CAP_NET_RAW, or use the memory device, which needs no privileges.",
    );
  }
  return new StackError(code, `A packet socket could not be opened (${errnoName(errno)}).`);
}
