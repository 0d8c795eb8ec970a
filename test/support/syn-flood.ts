import { type Random, seededRandom } from "../../src/random.ts";
import { parseAddress } from "../../src/wire/ip-address.ts";
import { IPV4_HEADER_LENGTH, PROTOCOL_TCP, writeIpv4 } from "../../src/wire/ipv4.ts";
import { finishTcpChecksum, SYN, TcpSegment, writeTcp } from "../../src/wire/tcp.ts";

/** The longest packet that `SynFlood` writes. */
export const LONGEST_SYN = IPV4_HEADER_LENGTH + 60;

/** Forged SYNs: each from another address, port and sequence number, none of which anybody has. */
export class SynFlood {
  count = 0;
  private readonly seg = new TcpSegment();
  private readonly random: Random;

  /** @param withOptions each has the options of a Linux host's SYN */
  constructor(to: string, port: number, seed = 1, withOptions = false) {
    this.random = seededRandom(seed);
    const { seg } = this;
    seg.destination = parseAddress(to);
    seg.destinationPort = port;
    seg.flags = SYN;
    seg.window = 64_240;
    seg.mss = 1_460;
    if (!withOptions) return;
    seg.sackPermitted = true;
    seg.windowScale = 7;
    seg.hasTimestamp = true;
  }

  /** Writes the next one at `offset`, and returns its length in bytes. Nothing is allocated. */
  write(bytes: Uint8Array, offset: number): number {
    const { seg, random } = this;
    const word = random.next();
    // 32.0.0.0 to 95.255.255.255: unicast, and no address of any test.
    seg.source.w3 = (0x2000_0000 + (word >>> 2)) | 0;
    seg.sourcePort = 1_024 + (random.next() % 64_000);
    seg.seq = random.next() | 0;
    if (seg.hasTimestamp) seg.tsVal = word | 0;
    const at = offset + IPV4_HEADER_LENGTH;
    const header = writeTcp(bytes, at, seg);
    finishTcpChecksum(bytes, at, header, seg.source, seg.destination, true);
    writeIpv4(bytes, offset, IPV4_HEADER_LENGTH + header, PROTOCOL_TCP, 64, seg.source, seg.destination);
    this.count++;
    return IPV4_HEADER_LENGTH + header;
  }
}
