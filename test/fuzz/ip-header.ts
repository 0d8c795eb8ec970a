import { write16, write32 } from "../../src/wire/bytes.ts";
import { checksum } from "../../src/wire/checksum.ts";
import { IPV4_HEADER_LENGTH, ipv4HeaderLength } from "../../src/wire/ipv4.ts";
import type { Dice } from "./dice.ts";

const LARGEST_PACKET = 65_535;
/** Routes, timestamps, ends, and lengths. */
const OPTION_BYTES: readonly number[] = [0, 1, 4, 7, 68, 131, 137, 148];
const EDGES: readonly number[] = [0, 19, 20, 0xffff];

/** Begins a packet: all of the header but its lengths and its checksum. Returns the header's length. */
export function writeIp(
  dice: Dice,
  bytes: Uint8Array,
  at: number,
  protocol: number,
  source: number,
  destination: number,
): number {
  let headerLength = IPV4_HEADER_LENGTH;
  if (dice.chance(1, 40)) headerLength += writeIpOptions(dice, bytes, at + IPV4_HEADER_LENGTH);
  bytes[at] = 0x40 | (headerLength >> 2);
  bytes[at + 1] = dice.chance(1, 4) ? dice.below(256) : 0;
  write16(bytes, at + 4, dice.below(0x1_0000));
  write16(bytes, at + 6, fragmentBits(dice));
  bytes[at + 8] = dice.chance(1, 10) ? dice.below(256) : 64;
  bytes[at + 9] = protocol;
  write32(bytes, at + 12, source);
  write32(bytes, at + 16, destination);
  return headerLength;
}

/** DF or nothing; in one of forty a fragment, or what claims to be one. */
function fragmentBits(dice: Dice): number {
  if (!dice.chance(1, 40)) return dice.chance(1, 2) ? 0x4000 : 0;
  return dice.chance(1, 2) ? 0x2000 : dice.below(0x1_0000);
}

/** Routes, timestamps, ends, and options that reach beyond the header. */
function writeIpOptions(dice: Dice, bytes: Uint8Array, at: number): number {
  const length = 4 * (1 + dice.below(10));
  for (let i = 0; i < length; i++) {
    bytes[at + i] = dice.chance(1, 2) ? dice.below(256) : dice.pick(OPTION_BYTES);
  }
  return length;
}

/**
 * Ends a packet of `length` bytes: its total length, which lies at times, and its checksum. Returns how long the frame is: the
 * link may add padding, or cut something off.
 */
export function finishIp(dice: Dice, bytes: Uint8Array, at: number, length: number): number {
  write16(bytes, at + 2, dice.chance(1, 60) ? lie(dice, length) : length);
  write16(bytes, at + 10, 0);
  const headerLength = Math.min(ipv4HeaderLength(bytes, at), length);
  write16(bytes, at + 10, checksum(bytes, at, headerLength));
  if (dice.chance(1, 80)) bytes[at + 10] ^= 1 << dice.below(8);
  const kind = dice.below(60);
  if (kind === 0) return dice.below(length + 1);
  return kind === 1 ? Math.min(length + dice.below(64), LARGEST_PACKET) : length;
}

/** A length that is not the packet's. */
function lie(dice: Dice, length: number): number {
  const kind = dice.below(3);
  if (kind === 0) return dice.pick(EDGES);
  return kind === 1 ? length + (dice.chance(1, 2) ? 1 : -1) : dice.below(length + 1);
}
