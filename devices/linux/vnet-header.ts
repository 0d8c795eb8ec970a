/**
 * The virtio-net header (`linux/virtio_net.h`, VIRTIO 1.2 section 5.1.6) that TUN, TAP and packet sockets put before a
 * frame when asked to: what is still to be done to the frame, or was done already.
 *
 * ```text
 *  0      1         2          4         6            8             10
 *  flags  gso_type  hdr_len    gso_size  csum_start   csum_offset   frame
 * ```
 *
 * The 16-bit fields are in the processor's byte order, which is little-endian on everything that Bun runs on. Reading
 * and writing allocate nothing, and no value of a field does harm: one that makes no sense reads as "nothing was done".
 */

import type { Frame, Medium } from "../../src/device.ts";
import { PROTOCOL_TCP, PROTOCOL_UDP } from "../../src/wire/ipv4.ts";
import { findTransport, TransportPlace } from "../../src/wire/offload.ts";
import { TCP_HEADER_LENGTH } from "../../src/wire/tcp.ts";
import { UDP_HEADER_LENGTH } from "../../src/wire/udp.ts";

/** Bytes of the header, without the two of `num_buffers` that only virtual machines use. */
export const VNET_HEADER_LENGTH = 10;

/** The checksum field holds the sum of the pseudo-header; it is to be completed. */
const F_NEEDS_CSUM = 1;
/** The checksum was found right. */
const F_DATA_VALID = 2;

const GSO_TCPV4 = 1;
const GSO_TCPV6 = 4;
/** UDP datagrams of `gso_size` bytes each (not to be confused with 3, which is one datagram in IP fragments). */
const GSO_UDP_L4 = 5;
/** A flag in `gso_type`: the CWR bit is to be on the first segment only. */
const GSO_ECN = 0x80;

const TCP_CHECKSUM_AT = 16;
const UDP_CHECKSUM_AT = 6;

/** How long a frame may be without the kernel laying it out in one piece of memory, if it has no `hdr_len`. */
const LINEAR_LIMIT = 3072;

const place = new TransportPlace();

/**
 * Reads the header at `bytes[at ..]` into the frame that lies behind it: `checksumOffloaded` and `segmentSize`.
 *
 * @example
 * ```ts
 * const header = new Uint8Array([1, 1, 54, 0, 0xb4, 5, 20, 0, 16, 0]);
 * readVnetHeader(header, 0, frame);
 * frame.checksumOffloaded; // true
 * frame.segmentSize; // 1_460
 * ```
 */
export function readVnetHeader(bytes: Uint8Array, at: number, frame: Frame): void {
  frame.checksumOffloaded = (bytes[at] & (F_NEEDS_CSUM | F_DATA_VALID)) !== 0;
  const type = bytes[at + 1] & ~GSO_ECN;
  const isKnown = type === GSO_TCPV4 || type === GSO_TCPV6 || type === GSO_UDP_L4;
  frame.segmentSize = isKnown ? bytes[at + 4] | (bytes[at + 5] << 8) : 0;
}

/**
 * Writes the header for a frame to `bytes[at ..]`: what its `checksumOffloaded` and `segmentSize` ask for. A frame that
 * turns out to be no TCP or UDP over IP, or a fragment, is sent as it is.
 *
 * @param medium what the frame starts with
 */
export function writeVnetHeader(bytes: Uint8Array, at: number, frame: Frame, medium: Medium): void {
  for (let i = 0; i < VNET_HEADER_LENGTH; i++) bytes[at + i] = 0;
  const { offset, length } = frame;
  // Of a long frame the kernel wants to know how much of it are headers, or it asks its allocator for one long piece.
  if (length > LINEAR_LIMIT) write16le(bytes, at + 2, 128);
  if (!frame.checksumOffloaded || !findTransport(frame.bytes, offset, length, medium, place)) return;
  const { protocol } = place;
  const headerLength =
    protocol === PROTOCOL_TCP ? tcpHeaderLength(frame.bytes, place.offset) : UDP_HEADER_LENGTH;
  const payload = place.length - headerLength;
  if ((protocol !== PROTOCOL_TCP && protocol !== PROTOCOL_UDP) || payload < 0) return;
  const start = place.offset - offset;
  bytes[at] = F_NEEDS_CSUM;
  write16le(bytes, at + 2, start + headerLength);
  write16le(bytes, at + 6, start);
  write16le(bytes, at + 8, protocol === PROTOCOL_TCP ? TCP_CHECKSUM_AT : UDP_CHECKSUM_AT);
  const { segmentSize } = frame;
  if (segmentSize === 0 || payload <= segmentSize) return;
  bytes[at + 1] = gsoType(protocol, place.version);
  write16le(bytes, at + 4, segmentSize);
}

function gsoType(protocol: number, version: number): number {
  if (protocol === PROTOCOL_UDP) return GSO_UDP_L4;
  return version === 4 ? GSO_TCPV4 : GSO_TCPV6;
}

/** From the data offset field; never less than a header has, so that what is cut short is seen to be. */
function tcpHeaderLength(bytes: Uint8Array, offset: number): number {
  return Math.max((bytes[offset + 12] >>> 4) << 2, TCP_HEADER_LENGTH);
}

function write16le(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >>> 8;
}
