import { write16, write32 } from "../../src/wire/bytes.ts";
import { checksum } from "../../src/wire/checksum.ts";
import { IpAddress } from "../../src/wire/ip-address.ts";
import { PROTOCOL_ICMP, PROTOCOL_TCP, PROTOCOL_UDP } from "../../src/wire/ipv4.ts";
import { writeUdp } from "../../src/wire/udp.ts";
import type { Dice } from "./dice.ts";
import { finishIp, writeIp } from "./ip-header.ts";
import { ICMP_IDENTIFIER, PEER_WORD, type Target, UDP_PORT, VICTIM_WORD } from "./target.ts";

const ICMP_TYPES: readonly number[] = [0, 3, 3, 3, 3, 4, 5, 8, 8, 11, 12, 13, 14, 17];
const UNREACHABLE_CODES: readonly number[] = [0, 1, 2, 3, 4, 4, 5, 9, 10, 13, 15, 255];
const EDGES_16: readonly number[] = [0, 1, 68, 296, 576, 1_006, 1_500, 0xffff];
const FIRST_BYTES: readonly number[] = [0x45, 0x46, 0x4f, 0x40, 0x60, 0x00];
const IGMP = 2;
/** How far from the truth a quoted sequence number is at most. */
const FAR = 2 ** 17;

/** Everything beside TCP segments: ICMP errors about the connection, echoes, datagrams, other protocols, bytes. */
export class NoiseMaker {
  private readonly dice: Dice;
  private readonly target: Target;
  private readonly source = new IpAddress(4, 0, 0, 0xffff, 0);
  private readonly destination = new IpAddress(4, 0, 0, 0xffff, 0);

  constructor(dice: Dice, target: Target) {
    this.dice = dice;
    this.target = target;
  }

  /** Writes a packet at `ip`, and returns its length with whatever follows it. */
  make(bytes: Uint8Array, ip: number): number {
    const { dice } = this;
    const kind = dice.below(16);
    if (kind < 8) return this.icmpError(bytes, ip);
    if (kind < 10) return this.icmpOther(bytes, ip);
    if (kind < 13) return this.datagram(bytes, ip);
    if (kind < 15) return this.otherProtocol(bytes, ip);
    return this.bytes(bytes, ip);
  }

  /** RFC 5927: an error that quotes a segment of the connection, as far as somebody can who has not seen one. */
  private icmpError(bytes: Uint8Array, ip: number): number {
    const { dice, target } = this;
    const header = writeIp(dice, bytes, ip, PROTOCOL_ICMP, this.anyone(), VICTIM_WORD);
    const at = ip + header;
    const type = dice.pick(ICMP_TYPES);
    bytes[at] = type;
    bytes[at + 1] = type === 3 ? dice.pick(UNREACHABLE_CODES) : dice.below(4);
    write16(bytes, at + 4, dice.chance(1, 8) ? dice.below(0x1_0000) : 0);
    write16(bytes, at + 6, dice.chance(1, 2) ? dice.pick(EDGES_16) : dice.below(0x1_0000));
    const quoted = at + 8;
    const quotedHeader = writeIp(dice, bytes, quoted, PROTOCOL_TCP, VICTIM_WORD, PEER_WORD);
    const segment = quoted + quotedHeader;
    write16(bytes, segment, target.localPort);
    write16(bytes, segment + 2, target.remotePort);
    write32(bytes, segment + 4, this.quotedSequence());
    write32(bytes, segment + 8, dice.word());
    const length = finishIp(dice, bytes, quoted, quotedHeader + (dice.chance(1, 2) ? 8 : 8 + dice.below(64)));
    return this.finishIcmp(bytes, ip, header, 8 + length);
  }

  private quotedSequence(): number {
    const { dice } = this;
    const { tcb } = this.target;
    const kind = dice.below(4);
    if (kind < 2) return dice.word();
    return ((kind === 2 ? tcb.sndNxt : tcb.sndUna - 1) + dice.around(FAR)) | 0;
  }

  private icmpOther(bytes: Uint8Array, ip: number): number {
    const { dice } = this;
    const destination = dice.chance(1, 8) ? VICTIM_WORD | 0xff : VICTIM_WORD;
    const header = writeIp(dice, bytes, ip, PROTOCOL_ICMP, this.anyone(), destination);
    const at = ip + header;
    bytes[at] = dice.chance(1, 2) ? dice.pick(ICMP_TYPES) : dice.below(256);
    bytes[at + 1] = dice.chance(1, 2) ? 0 : dice.below(256);
    write16(bytes, at + 4, dice.chance(1, 2) ? ICMP_IDENTIFIER : dice.below(0x1_0000));
    write16(bytes, at + 6, dice.below(0x1_0000));
    return this.finishIcmp(
      bytes,
      ip,
      header,
      dice.chance(1, 20) ? dice.below(8) : 8 + dice.logarithmic(1, 1_500),
    );
  }

  private finishIcmp(bytes: Uint8Array, ip: number, header: number, length: number): number {
    const { dice } = this;
    write16(bytes, ip + header + 2, 0);
    write16(bytes, ip + header + 2, checksum(bytes, ip + header, length));
    if (dice.chance(1, 40)) bytes[ip + header + 2] ^= 1 << dice.below(8);
    return finishIp(dice, bytes, ip, header + length);
  }

  private datagram(bytes: Uint8Array, ip: number): number {
    const { dice, source, destination } = this;
    source.w3 = this.anyone();
    destination.w3 = dice.chance(1, 6) ? VICTIM_WORD | 0xff : VICTIM_WORD;
    const header = writeIp(dice, bytes, ip, PROTOCOL_UDP, source.w3, destination.w3);
    const length = 8 + dice.logarithmic(1, 1_500) - 1;
    const port = dice.chance(1, 2) ? UDP_PORT : dice.below(0x1_0000);
    const checked = dice.chance(7, 8);
    writeUdp(bytes, ip + header, length, dice.below(0x1_0000), port, source, destination, true);
    if (!checked) write16(bytes, ip + header + 6, dice.below(2) * dice.below(0x1_0000));
    // A length that lies.
    if (dice.chance(1, 20)) write16(bytes, ip + header + 4, dice.below(length + 20));
    return finishIp(dice, bytes, ip, header + length);
  }

  private otherProtocol(bytes: Uint8Array, ip: number): number {
    const { dice } = this;
    const protocol = dice.chance(1, 2) ? IGMP : dice.below(256);
    const header = writeIp(dice, bytes, ip, protocol, this.anyone(), VICTIM_WORD);
    return finishIp(dice, bytes, ip, header + dice.logarithmic(1, 1_400) - 1);
  }

  /** Anything; half of it claims to be IP of some version. */
  private bytes(bytes: Uint8Array, ip: number): number {
    const { dice } = this;
    const length = dice.below(120);
    for (let i = 0; i < length; i += 4) write32(bytes, ip + i, dice.word());
    if (dice.chance(1, 2)) bytes[ip] = dice.pick(FIRST_BYTES);
    return length;
  }

  private anyone(): number {
    const { dice } = this;
    if (dice.chance(1, 2)) return PEER_WORD;
    return dice.chance(1, 2) ? (PEER_WORD & ~0xff) | (3 + dice.below(200)) : dice.word();
  }
}
