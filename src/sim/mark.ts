import type { Frame, Medium } from "../device.ts";
import { type Random, randomBelow } from "../random.ts";
import { read16, write16 } from "../wire/bytes.ts";
import { updateChecksum } from "../wire/checksum.ts";
import { IPV4_HEADER_LENGTH, ipv4Tos } from "../wire/ipv4.ts";
import { completeChecksum, findIp } from "../wire/offload.ts";

/** What a line changes in frames. */

/** RFC 3168 5: the field of two bits. */
const ECN_MASK = 3;
const NOT_ECT = 0;
const CE = 3;

/** Marks an IPv4 packet whose ends know ECN as one that has met congestion; `false` where it may not be marked. */
export function markCongestion(frame: Frame, medium: Medium): boolean {
  const { bytes, offset, length } = frame;
  const at = findIp(bytes, offset, length, medium === "ethernet");
  if (at < 0 || offset + length - at < IPV4_HEADER_LENGTH || bytes[at] >> 4 !== 4) return false;
  if ((ipv4Tos(bytes, at) & ECN_MASK) === NOT_ECT) return false;
  const before = read16(bytes, at);
  write16(bytes, at, before | CE);
  write16(bytes, at + 10, updateChecksum(read16(bytes, at + 10), before, before | CE));
  return true;
}

/** Changes one byte, which the Internet checksum always notices where it covers it. */
export function corruptFrame(frame: Frame, medium: Medium, random: Random): void {
  const { bytes, offset, length } = frame;
  if (length === 0) return;
  // Where the sender left the checksum to its device, the receiver would not look.
  if (frame.checksumOffloaded) {
    completeChecksum(bytes, offset, length, medium);
    frame.checksumOffloaded = false;
  }
  bytes[offset + randomBelow(random, length)] ^= 1 + randomBelow(random, 255);
}
