import type { Random } from "../../random.ts";
import type { IpAddress } from "../../wire/ip-address.ts";
import { keyedSipHash, putAddresses, type SipHash } from "../siphash.ts";

/** The clock of RFC 9293 3.4.1 ticks every 4 microseconds. */
const TICKS_PER_MS = 250;
/** What is hashed where both ends have IPv4 addresses: the ports and those. */
const IPV4_WORDS = 3;

/**
 * Initial sequence numbers: ISN = M + F(local address, local port, remote address, remote port, secret), RFC 6528 3 and
 * RFC 9293 3.4.1. A new connection between the same ports starts ahead of the old one; nobody else can tell where.
 */
export class IsnGenerator {
  private readonly hash: SipHash;
  /** Both ends of the connection that was asked for last, and the two halves of their hash: one says nothing of the other. */
  private readonly words = new Int32Array(9);
  private count = 0;
  private low = 0;
  private high = 0;

  constructor(random: Random) {
    this.hash = keyedSipHash(random);
  }

  /** @param now ms */
  next(local: IpAddress, localPort: number, remote: IpAddress, remotePort: number, now: number): number {
    this.turnTo(local, localPort, remote, remotePort);
    // The remainder keeps M exact; `| 0` of a number beyond 2^53 would not be.
    const m = Math.floor(now * TICKS_PER_MS) % 0x100000000;
    return (m + this.low) | 0;
  }

  /**
   * What is added to the clock in timestamps (RFC 7323 5.4, 7.1): an offset of its own for each connection, lest they tell
   * since when the machine has run, and the same one for all between the same ports, so that a new one's are later.
   */
  timestampOffset(local: IpAddress, localPort: number, remote: IpAddress, remotePort: number): number {
    this.turnTo(local, localPort, remote, remotePort);
    return this.high;
  }

  /** Computes the hash of both ends, unless it is that of the last call. */
  private turnTo(local: IpAddress, localPort: number, remote: IpAddress, remotePort: number): void {
    const { hash, words } = this;
    const ports = (localPort << 16) | remotePort;
    const isKnown =
      remote.family === 4 &&
      this.count === IPV4_WORDS &&
      words[0] === ports &&
      words[1] === local.w3 &&
      words[2] === remote.w3;
    if (isKnown) return;
    words[0] = ports;
    const count = putAddresses(words, 1, local, remote);
    this.count = count;
    this.low = hash.hash(words, count);
    this.high = hash.high;
  }
}
