import type { Medium } from "../../src/device.ts";
import { STATE_NAMES, type Tcb, type TcpState } from "../../src/socket/tcp/tcb.ts";

/** Addresses as 32-bit words, as `IpAddress.w3` has them. */
const address = (a: number, b: number, c: number, d: number) => (a << 24) | (b << 16) | (c << 8) | d;

export const VICTIM = "10.0.0.1";
export const VICTIM_WORD = address(10, 0, 0, 1);
export const PEER = "10.0.0.2";
export const PEER_WORD = address(10, 0, 0, 2);
/** The victim listens here, whether the connection came in through it or not. */
export const LISTEN_PORT = 80;
/** A UDP socket that nobody reads from, with a queue that is soon full. */
export const UDP_PORT = 53;
/** An ICMP socket that nobody reads from. */
export const ICMP_IDENTIFIER = 77;

/** Link addresses, as the simulated network gives them to its first two stations. */
export const VICTIM_HARDWARE = Uint8Array.of(2, 0, 0, 0, 0, 1);
export const PEER_HARDWARE = Uint8Array.of(2, 0, 0, 0, 0, 2);

/** The connection under attack. What the attacker knows of it is the medium, the addresses and the ports. */
export class Target {
  readonly medium: Medium;
  readonly localPort: number;
  readonly remotePort: number;
  /** The victim's state. Nothing is made from it but near misses: see `luck.ts`. */
  readonly tcb: Tcb;

  constructor(medium: Medium, tcb: Tcb) {
    this.medium = medium;
    this.localPort = tcb.localPort;
    this.remotePort = tcb.remotePort;
    this.tcb = tcb;
  }

  get state(): TcpState {
    return STATE_NAMES[this.tcb.state];
  }
}
