import type { Medium } from "../../src/device.ts";
import { write16, write32 } from "../../src/wire/bytes.ts";
import { checksum } from "../../src/wire/checksum.ts";
import { IPV4_HEADER_LENGTH, ipv4HeaderLength, PROTOCOL_TCP } from "../../src/wire/ipv4.ts";
import { completeChecksum, findIp, findTransport, TransportPlace } from "../../src/wire/offload.ts";
import { leaveOut } from "./leave-out.ts";

/** Of a text of 64 KiB nothing is left. */
const HALVINGS = 16;

/** Where the checksum is in a segment. */
const TCP_CHECKSUM = 16;

const place = new TransportPlace();

/**
 * Makes a frame simpler by what `tries` takes: a segment without text, without options, without what its header need not have, its
 * checksums right; of any other frame fewer bytes, and more zeros.
 */
export function simplerFrames(
  frame: Uint8Array,
  medium: Medium,
  tries: (frame: Uint8Array) => boolean,
): void {
  let best = frame;
  const attempt = (candidate: Uint8Array): boolean => {
    if (Buffer.compare(candidate, best) === 0 || !tries(candidate)) return false;
    best = candidate;
    return true;
  };
  const edits: readonly ((bytes: Uint8Array) => Uint8Array | null)[] = [
    (bytes) => repaired(bytes, medium),
    (bytes) => withoutText(bytes, medium),
    ...Array.from({ length: HALVINGS }, () => (bytes: Uint8Array) => withHalfTheText(bytes, medium)),
    (bytes) => withoutTcpOptions(bytes, medium),
    (bytes) => withoutIpOptions(bytes, medium),
    (bytes) => plainIp(bytes, medium),
    ...[0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80].map(
      (flag) => (bytes: Uint8Array) => withoutFlag(bytes, medium, flag),
    ),
    (bytes) => withField(bytes, medium, 18, 0),
    (bytes) => withField(bytes, medium, 14, 0xffff),
    (bytes) => withZeroText(bytes, medium),
  ];
  for (const edit of edits) {
    const edited = edit(best);
    // It may be the wrong checksum that matters.
    if (edited !== null && !attempt(edited)) attempt(withWrongChecksum(edited, medium));
  }
  if (isSegment(best, medium)) return;
  leaveOut([...best], (bytes) => attempt(Uint8Array.from(bytes)));
  const places = [...best.keys()].filter((at) => best[at] !== 0);
  const shortest = best;
  leaveOut(places, (kept) => {
    const zeroed = new Uint8Array(shortest.length);
    for (const at of kept) zeroed[at] = shortest[at];
    return attempt(zeroed);
  });
}

function withWrongChecksum(bytes: Uint8Array, medium: Medium): Uint8Array {
  const copy = bytes.slice();
  if (isSegment(copy, medium)) copy[place.offset + TCP_CHECKSUM] ^= 1;
  return copy;
}

/** Finds the segment, or returns `false`. */
function isSegment(bytes: Uint8Array, medium: Medium): boolean {
  return (
    findTransport(bytes, 0, bytes.length, medium, place) &&
    place.protocol === PROTOCOL_TCP &&
    place.length >= 20
  );
}

/** Makes the checksums right for what the frame says. */
function finish(bytes: Uint8Array, medium: Medium): Uint8Array {
  const ip = findIp(bytes, 0, bytes.length, medium === "ethernet");
  if (ip >= 0 && bytes.length - ip >= IPV4_HEADER_LENGTH) {
    write16(bytes, ip + 10, 0);
    write16(bytes, ip + 10, checksum(bytes, ip, Math.min(ipv4HeaderLength(bytes, ip), bytes.length - ip)));
  }
  completeChecksum(bytes, 0, bytes.length, medium);
  return bytes;
}

function repaired(bytes: Uint8Array, medium: Medium): Uint8Array | null {
  return isSegment(bytes, medium) ? finish(bytes.slice(0, place.ipEnd), medium) : null;
}

/** The packet without `[from, end)`, which is behind `header` bytes of its own. */
function without(bytes: Uint8Array, medium: Medium, from: number, end: number): Uint8Array {
  const shorter = new Uint8Array(bytes.length - (end - from));
  shorter.set(bytes.subarray(0, from));
  shorter.set(bytes.subarray(end), from);
  write16(shorter, place.ipOffset + 2, place.ipEnd - place.ipOffset - (end - from));
  return finish(shorter, medium);
}

function headerEnd(bytes: Uint8Array): number {
  return Math.min(place.offset + ((bytes[place.offset + 12] >> 4) << 2), place.ipEnd);
}

function withoutText(bytes: Uint8Array, medium: Medium): Uint8Array | null {
  if (!isSegment(bytes, medium)) return null;
  return without(bytes, medium, headerEnd(bytes), place.ipEnd);
}

function withHalfTheText(bytes: Uint8Array, medium: Medium): Uint8Array | null {
  if (!isSegment(bytes, medium)) return null;
  const text = place.ipEnd - headerEnd(bytes);
  return text < 2 ? null : without(bytes, medium, place.ipEnd - (text >> 1), place.ipEnd);
}

function withoutTcpOptions(bytes: Uint8Array, medium: Medium): Uint8Array | null {
  if (!isSegment(bytes, medium)) return null;
  const from = place.offset + 20;
  const end = headerEnd(bytes);
  if (end <= from) return null;
  const copy = bytes.slice();
  copy[place.offset + 12] = 0x50;
  return without(copy, medium, from, end);
}

function withoutIpOptions(bytes: Uint8Array, medium: Medium): Uint8Array | null {
  if (!isSegment(bytes, medium)) return null;
  const from = place.ipOffset + IPV4_HEADER_LENGTH;
  if (place.offset <= from) return null;
  const copy = bytes.slice();
  copy[place.ipOffset] = 0x45;
  return without(copy, medium, from, place.offset);
}

/** No type of service, no identification, no fragment, the usual time to live. */
function plainIp(bytes: Uint8Array, medium: Medium): Uint8Array | null {
  if (!isSegment(bytes, medium)) return null;
  const copy = bytes.slice();
  copy[place.ipOffset + 1] = 0;
  write32(copy, place.ipOffset + 4, 0);
  copy[place.ipOffset + 8] = 64;
  return finish(copy, medium);
}

function withoutFlag(bytes: Uint8Array, medium: Medium, flag: number): Uint8Array | null {
  if (!isSegment(bytes, medium) || !(bytes[place.offset + 13] & flag)) return null;
  const copy = bytes.slice();
  copy[place.offset + 13] &= ~flag;
  return finish(copy, medium);
}

function withField(bytes: Uint8Array, medium: Medium, at: number, value: number): Uint8Array | null {
  if (!isSegment(bytes, medium)) return null;
  const copy = bytes.slice();
  write16(copy, place.offset + at, value);
  return finish(copy, medium);
}

function withZeroText(bytes: Uint8Array, medium: Medium): Uint8Array | null {
  if (!isSegment(bytes, medium)) return null;
  const copy = bytes.slice();
  copy.fill(0, headerEnd(bytes), place.ipEnd);
  return finish(copy, medium);
}
