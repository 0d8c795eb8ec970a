import type { Stack } from "../../../src/stack.ts";
import type { File } from "./descriptors.ts";
import type { TcpFile } from "./tcp-file.ts";

/** Whose rules count where kernels differ. */
export type Flavour = "linux" | "freebsd";

/** What all calls of a kernel share. */
export class Machine {
  readonly stack: Stack;
  readonly localAddress: string;
  readonly remoteAddress: string;
  readonly bindPort: number;
  readonly connectPort: number;
  flavour: Flavour = "linux";
  /** Where the stack's TCP has settings for it, it is to do as Linux's. */
  isLikeLinux = false;
  now: number;
  readonly descriptors = new Map<number, File>();
  /** Lengths of the files that the script's commands have made, by path. */
  readonly files = new Map<string, number>();
  /** The connection that was accepted, or that `connect` was called for, last. */
  lastConnected: TcpFile | null = null;
  /** `net.core.rmem_max` and `wmem_max`: the most that SO_RCVBUF and SO_SNDBUF take. */
  mostReceiveBuffer = 212_992;
  mostSendBuffer = 212_992;
  /** `net.inet.tcp.recvspace`: what SO_RCVBUF says before there is a connection. */
  receiveSpace: number | null = null;
  /** `net.core.somaxconn`. */
  mostBacklog = 4_096;
  /** `net.ipv4.tcp_syn_retries`. */
  synRetries = 6;
  /** `net.ipv4.tcp_notsent_lowat`; 2^32 - 1 is none. */
  notSentLimit = 0xffffffff;

  constructor(
    stack: Stack,
    localAddress: string,
    remoteAddress: string,
    ports: [number, number],
    now: number,
  ) {
    this.stack = stack;
    this.localAddress = localAddress;
    this.remoteAddress = remoteAddress;
    this.bindPort = ports[0];
    this.connectPort = ports[1];
    this.now = now;
  }
}
