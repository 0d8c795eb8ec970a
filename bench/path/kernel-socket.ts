/** Sockets of the kernel without the event loop: Bun's own have no choice of the congestion control. */

import { dlopen, FFIType, read } from "bun:ffi";

const { i32, u32, u64, i64_fast, ptr } = FFIType;

const c = dlopen("libc.so.6", {
  socket: { args: [i32, i32, i32], returns: i32 },
  setsockopt: { args: [i32, i32, i32, ptr, u32], returns: i32 },
  getsockopt: { args: [i32, i32, i32, ptr, ptr], returns: i32 },
  bind: { args: [i32, ptr, u32], returns: i32 },
  listen: { args: [i32, i32], returns: i32 },
  accept: { args: [i32, ptr, ptr], returns: i32 },
  connect: { args: [i32, ptr, u32], returns: i32 },
  send: { args: [i32, ptr, u64, i32], returns: i64_fast },
  recv: { args: [i32, ptr, u64, i32], returns: i64_fast },
  shutdown: { args: [i32, i32], returns: i32 },
  poll: { args: [ptr, u64, i32], returns: i32 },
  close: { args: [i32], returns: i32 },
  __errno_location: { args: [], returns: ptr },
}).symbols;

const AF_INET = 2;
const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const SO_RCVBUFFORCE = 33;
const IPPROTO_TCP = 6;
const TCP_INFO = 11;
const TCP_CONGESTION = 13;
const SHUT_WR = 1;
const DONTWAIT_NOSIGNAL = 0x4040;
const EAGAIN = 11;
export const POLLIN = 1;
export const POLLOUT = 4;

/** What `struct tcp_info` tells of a sender; the offsets are in linux/tcp.h. */
export interface KernelTcpInfo {
  readonly srttMs: number;
  /** Segments. */
  readonly cwnd: number;
  readonly ssthresh: number;
  readonly reordering: number;
  readonly retransmissions: number;
}

function check(result: number, what: string): number {
  if (result >= 0) return result;
  throw new Error(`${what} failed with error number ${read.i32(c.__errno_location()!, 0)}`);
}

function socketAddress(address: string, port: number): Uint8Array {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, AF_INET, true);
  view.setUint16(2, port);
  bytes.set(address.split(".").map(Number), 4);
  return bytes;
}

/** A connected socket of the kernel. */
export class KernelSocket {
  private readonly fd: number;
  /** `struct pollfd` of the socket and of standard input. */
  private readonly requests: Int32Array;

  private constructor(fd: number) {
    this.fd = fd;
    this.requests = new Int32Array([fd, 0, 0, POLLIN]);
  }

  /** Blocks until there is a connection. */
  static connect(address: string, port: number, congestionControl: string): KernelSocket {
    const fd = check(c.socket(AF_INET, SOCK_STREAM, 0), "socket");
    const name = new TextEncoder().encode(congestionControl);
    check(c.setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, name.length), congestionControl);
    check(c.connect(fd, socketAddress(address, port), 16), `connecting to ${address}`);
    return new KernelSocket(fd);
  }

  /** Blocks until a connection has come; `listening` is called when one may. */
  static accept(port: number, listening: () => void): KernelSocket {
    const fd = check(c.socket(AF_INET, SOCK_STREAM, 0), "socket");
    check(c.setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, new Int32Array([1]), 4), "SO_REUSEADDR");
    check(c.bind(fd, socketAddress("0.0.0.0", port), 16), `bind to ${port}`);
    check(c.listen(fd, 1), "listen");
    listening();
    return new KernelSocket(check(c.accept(fd, null, null), "accept"));
  }

  /** Waits for the socket or for the end of standard input; returns whether that goes on. */
  wait(events: number, timeoutMs: number): boolean {
    this.requests[1] = events;
    c.poll(this.requests, 2, Math.ceil(timeoutMs));
    return this.requests[3] >>> 16 === 0;
  }

  /** Bytes that the socket has taken; 0 where it is full, -1 where the connection is over. */
  send(bytes: Uint8Array): number {
    return this.result(c.send(this.fd, bytes, bytes.length, DONTWAIT_NOSIGNAL));
  }

  /** Bytes that have arrived; 0 for none yet, -1 at the end. */
  receive(into: Uint8Array): number {
    const count = c.recv(this.fd, into, into.length, DONTWAIT_NOSIGNAL);
    return Number(count) === 0 ? -1 : this.result(count);
  }

  private result(count: number | bigint): number {
    if (count >= 0) return Number(count);
    return read.i32(c.__errno_location()!, 0) === EAGAIN ? 0 : -1;
  }

  /** Sends a FIN behind what was written. */
  finish(): void {
    c.shutdown(this.fd, SHUT_WR);
  }

  info(): KernelTcpInfo {
    const info = new Uint32Array(64);
    check(c.getsockopt(this.fd, IPPROTO_TCP, TCP_INFO, info, new Uint32Array([256])), "TCP_INFO");
    const at = (offset: number) => info[offset / 4];
    return {
      srttMs: at(68) / 1000,
      cwnd: at(80),
      ssthresh: at(76),
      reordering: at(88),
      retransmissions: at(100),
    };
  }
}

/** Datagrams from the namespace that the thread is in when this is made. */
export class DatagramSocket {
  private readonly fd = check(c.socket(AF_INET, SOCK_DGRAM, 0), "socket");

  /** @param receiveBuffer bytes that may wait to be received */
  constructor(address: string, port: number, receiveBuffer: number) {
    check(c.setsockopt(this.fd, SOL_SOCKET, SO_RCVBUFFORCE, new Int32Array([receiveBuffer]), 4), "SO_RCVBUF");
    check(c.bind(this.fd, socketAddress(address, port), 16), `bind to ${port}`);
  }

  /** Whom `send` sends to. */
  connect(address: string, port: number): void {
    check(c.connect(this.fd, socketAddress(address, port), 16), `connecting to ${address}`);
  }

  send(bytes: Uint8Array): void {
    check(Number(c.send(this.fd, bytes, bytes.length, DONTWAIT_NOSIGNAL)), "send");
  }

  /** Length of a datagram, or a number below 0 where there is none. */
  receive(into: Uint8Array): number {
    return Number(c.recv(this.fd, into, into.length, DONTWAIT_NOSIGNAL));
  }

  close(): void {
    c.close(this.fd);
  }
}
