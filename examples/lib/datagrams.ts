import type { Device, Frame } from "../../src/index.ts";
import { read16, write16 } from "../../src/wire/bytes.ts";
import { checksum } from "../../src/wire/checksum.ts";
import { ipv4HeaderLength, PROTOCOL_UDP } from "../../src/wire/ipv4.ts";
import { completeChecksum, findTransport, TransportPlace } from "../../src/wire/offload.ts";
import { UDP_HEADER_LENGTH } from "../../src/wire/udp.ts";

/**
 * Joined datagrams: several UDP datagrams of one sender that a device hands over as one frame, with the size of each. A
 * device takes such frames of TCP only (see `Frame.segmentSize`), so who passes them on sends one datagram at a time.
 */

const place = new TransportPlace();

/** Bytes of the longest frame that the joined datagrams of an Ethernet frame make; 0 where it holds none. */
export function joinedLength({ bytes, offset, length, segmentSize }: Frame): number {
  if (segmentSize === 0 || !findTransport(bytes, offset, length, "ethernet", place)) return 0;
  const payload = place.length - UDP_HEADER_LENGTH;
  if (place.protocol !== PROTOCOL_UDP || payload < 0) return 0;
  return place.offset + UDP_HEADER_LENGTH - offset + Math.min(segmentSize, payload);
}

/**
 * Sends the datagrams of the frame that {@link joinedLength} was asked about last, each with headers and checksums of its
 * own. Returns `false` where `device` had no room for all of them.
 */
export function sendDatagrams({ bytes, offset, segmentSize }: Frame, device: Device): boolean {
  const first = place.offset + UDP_HEADER_LENGTH;
  const end = place.offset + place.length;
  const headers = first - offset;
  // One at least: a datagram may be empty.
  for (let at = first, index = 0; index === 0 || at < end; at += segmentSize, index++) {
    const payload = Math.min(segmentSize, end - at);
    const out = device.transmit(headers + payload);
    if (out === null) return false;
    out.bytes.set(bytes.subarray(offset, first), out.offset);
    out.bytes.set(bytes.subarray(at, at + payload), out.offset + headers);
    const shift = out.offset - offset;
    finish(out, place.ipOffset + shift, place.offset + shift, index);
    device.commit(out);
  }
  return true;
}

/** Puts right what differs between datagrams: lengths, identification (one more for each), checksums. */
function finish(frame: Frame, ip: number, udp: number, index: number): void {
  const { bytes, offset, length } = frame;
  const end = offset + length;
  if (place.version === 4) {
    write16(bytes, ip + 2, end - ip);
    write16(bytes, ip + 4, (read16(bytes, ip + 4) + index) & 0xffff);
    write16(bytes, ip + 10, 0);
    write16(bytes, ip + 10, checksum(bytes, ip, ipv4HeaderLength(bytes, ip)));
  } else {
    write16(bytes, ip + 4, end - ip - 40);
  }
  write16(bytes, udp + 4, end - udp);
  frame.checksumOffloaded = false;
  frame.segmentSize = 0;
  completeChecksum(bytes, offset, length, "ethernet");
}
