import type { Random } from "../../random.ts";
import type { IpAddress } from "../../wire/ip-address.ts";
import { keyedSipHash, type SipHash } from "../siphash.ts";

/** The clock of RFC 9293 3.4.1 ticks every 4 microseconds. */
const TICKS_PER_MS = 250;
/** Sets the hash of a timestamp's offset apart from that of a sequence number. */
const TIMESTAMPS = 1;

/**
 * Initial sequence numbers: ISN = M + F(local address, local port, remote address, remote port, secret), RFC 6528 3 and
 * RFC 9293 3.4.1. A new connection between the same ports starts ahead of the old one; nobody else can tell where.
 */
export class IsnGenerator {
  private readonly hash: SipHash;
  private readonly words = new Int32Array(10);

  constructor(random: Random) {
    this.hash = keyedSipHash(random);
  }

  /** @param now ms */
  next(local: IpAddress, localPort: number, remote: IpAddress, remotePort: number, now: number): number {
    const count = this.fill(local, localPort, remote, remotePort);
    // The remainder keeps M exact; `| 0` of a number beyond 2^53 would not be.
    const m = Math.floor(now * TICKS_PER_MS) % 0x100000000;
    return (m + this.hash.hash(this.words, count)) | 0;
  }

  /**
   * What is added to the clock in timestamps (RFC 7323 5.4, 7.1): an offset of its own for each connection, lest they tell
   * since when the machine has run, and the same one for all between the same ports, so that a new one's are later.
   */
  timestampOffset(local: IpAddress, localPort: number, remote: IpAddress, remotePort: number): number {
    const count = this.fill(local, localPort, remote, remotePort);
    this.words[count] = TIMESTAMPS;
    return this.hash.hash(this.words, count + 1) | 0;
  }

  /** Puts both ends into the words to be hashed; returns how many these are. */
  private fill(local: IpAddress, localPort: number, remote: IpAddress, remotePort: number): number {
    const words = this.words;
    words[0] = (localPort << 16) | remotePort;
    words[1] = local.w3;
    words[2] = remote.w3;
    // What else there is of IPv4 addresses is the same for all.
    if (remote.family === 4) return 3;
    words[3] = local.w0;
    words[4] = local.w1;
    words[5] = local.w2;
    words[6] = remote.w0;
    words[7] = remote.w1;
    words[8] = remote.w2;
    return 9;
  }
}
