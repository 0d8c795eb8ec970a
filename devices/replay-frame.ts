/** From a captured packet to a frame of a device's medium. */

import { type Capabilities, Frame, type Medium } from "../src/device.ts";
import { StackError } from "../src/errors.ts";
import { read16 } from "../src/wire/bytes.ts";
import {
  ETHERNET_HEADER_LENGTH,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  parseHardwareAddress,
  VLAN_TAG_LENGTH,
  writeEthernet,
} from "../src/wire/ethernet.ts";
import { completeChecksum, findIp } from "../src/wire/offload.ts";
import { LINKTYPE_ETHERNET, LINKTYPE_RAW } from "./capture.ts";
import type { CaptureReader } from "./capture-reader.ts";
import { INBOUND, OUTBOUND } from "./pcapng.ts";

// What else there is whose packets are IP: https://www.tcpdump.org/linktypes.html
const LINKTYPE_NULL = 0;
const LINKTYPE_LOOP = 108;
const LINKTYPE_LINUX_SLL = 113;
const LINKTYPE_IPV4 = 228;
const LINKTYPE_IPV6 = 229;
const LINKTYPE_LINUX_SLL2 = 276;
/** What some systems wrote for LINKTYPE_RAW. */
const RAW_BY_OTHER_NAMES: readonly number[] = [12, 14];

const SLL_HEADER = 16;
const SLL2_HEADER = 20;
const SLL_OUTGOING = 4;

/** IP packets that become Ethernet frames are given these addresses. */
export interface LinkAddresses {
  readonly source: string;
  /** That of the stack on the device unless told. */
  readonly destination?: string;
}

/** What became of a packet: a frame, or why it is none. */
export type Conversion = "frame" | "notIp" | "truncated" | "tooLong";

const LARGEST_PACKET = 65_535;
/** The largest IP packet, and the longest link header in front of it. */
const LARGEST_FRAME = LARGEST_PACKET + ETHERNET_HEADER_LENGTH + VLAN_TAG_LENGTH;
// Offsets that leave the IP header on a multiple of four.
const IP_AT = 4;
const ETHERNET_AT = 2;

/** Turns packets of any link type that carries IP into frames of one medium, in one piece of memory. */
export class FrameConverter {
  /** The frame that `convert` has made last. */
  readonly frame: Frame;
  private readonly name: string;
  private readonly medium: Medium;
  private readonly completeChecksums: boolean;
  private readonly source: Uint8Array | null;
  private readonly destination: Uint8Array | null;

  /** @throws StackError `EINVAL` where an address is none */
  constructor(
    name: string,
    { medium, hardwareAddress }: Capabilities,
    link: LinkAddresses | undefined,
    completeChecksums: boolean,
  ) {
    this.name = name;
    this.medium = medium;
    this.completeChecksums = completeChecksums;
    this.source = link === undefined ? null : parseHardwareAddress(link.source);
    this.destination =
      link?.destination === undefined ? (hardwareAddress ?? null) : parseHardwareAddress(link.destination);
    this.frame = new Frame(new Uint8Array(new ArrayBuffer(ETHERNET_AT + LARGEST_FRAME + 2)));
  }

  /**
   * Makes a frame of the packet that `reader` has found.
   *
   * @throws StackError `EINVAL` where that can't be done: the link type is not known, or addresses are missing
   */
  convert(reader: CaptureReader): Conversion {
    if (reader.length < reader.originalLength) return "truncated";
    const { frame, medium } = this;
    frame.checksumOffloaded = false;
    frame.segmentSize = 0;
    if (medium === "ethernet" && reader.linkType === LINKTYPE_ETHERNET) {
      if (reader.length > LARGEST_FRAME) return "tooLong";
      this.copy(reader, reader.offset, ETHERNET_AT);
    } else {
      const at = ipOffset(reader, this.name);
      if (at < 0) return "notIp";
      if (reader.offset + reader.length - at > LARGEST_PACKET) return "tooLong";
      this.copy(reader, at, medium === "ip" ? IP_AT : ETHERNET_AT + ETHERNET_HEADER_LENGTH);
      if (medium === "ethernet") this.addLinkHeader();
    }
    if (this.completeChecksums) completeChecksum(frame.bytes, frame.offset, frame.length, medium);
    return "frame";
  }

  /** Copies the packet from index `at` of the reader's bytes on to offset `to` of the frame's. */
  private copy(reader: CaptureReader, at: number, to: number): void {
    const { frame } = this;
    const end = reader.offset + reader.length;
    frame.bytes.set(reader.bytes.subarray(at, end), to);
    frame.offset = to;
    frame.length = end - at;
  }

  private addLinkHeader(): void {
    const { frame, source, destination } = this;
    if (source === null || destination === null) {
      throw new StackError(
        "EINVAL",
        `The capture ${this.name} holds packets without an Ethernet header, which frames of this device must have: give the hardware addresses to put there (\`link\`, or \`link-source\` in a configuration).`,
      );
    }
    const type = frame.bytes[frame.offset] >>> 4 === 6 ? ETHERTYPE_IPV6 : ETHERTYPE_IPV4;
    frame.offset -= ETHERNET_HEADER_LENGTH;
    frame.length += ETHERNET_HEADER_LENGTH;
    writeEthernet(frame.bytes, frame.offset, destination, 0, source, 0, type);
  }
}

/** Where the IP packet begins, as an index of the reader's bytes; -1 where there is none. */
function ipOffset(reader: CaptureReader, name: string): number {
  const { bytes, offset, length, linkType } = reader;
  switch (linkType) {
    case LINKTYPE_ETHERNET:
      return findIp(bytes, offset, length, true);
    case LINKTYPE_RAW:
    case LINKTYPE_IPV4:
    case LINKTYPE_IPV6:
      return findIp(bytes, offset, length, false);
    case LINKTYPE_NULL:
    case LINKTYPE_LOOP: {
      const version = length > 4 ? bytes[offset + 4] >>> 4 : 0;
      return version === 4 || version === 6 ? offset + 4 : -1;
    }
    case LINKTYPE_LINUX_SLL:
      return behindHeader(bytes, offset, length, SLL_HEADER, 14);
    case LINKTYPE_LINUX_SLL2:
      return behindHeader(bytes, offset, length, SLL2_HEADER, 0);
    default:
      if (RAW_BY_OTHER_NAMES.includes(linkType)) return findIp(bytes, offset, length, false);
      throw new StackError(
        "EINVAL",
        `The capture ${name} has packets of link type ${linkType}, which is not Ethernet, Linux cooked or IP: capture on another interface.`,
      );
  }
}

function behindHeader(
  bytes: Uint8Array,
  offset: number,
  length: number,
  header: number,
  typeAt: number,
): number {
  if (length <= header) return -1;
  const type = read16(bytes, offset + typeAt);
  return type === ETHERTYPE_IPV4 || type === ETHERTYPE_IPV6 ? offset + header : -1;
}

/** The packet's direction: what the capture says of it, or a "cooked" header. */
export function directionOf(reader: CaptureReader): number {
  const { bytes, offset, length, linkType } = reader;
  if (linkType === LINKTYPE_LINUX_SLL && length >= SLL_HEADER) {
    return read16(bytes, offset) === SLL_OUTGOING ? OUTBOUND : INBOUND;
  }
  if (linkType === LINKTYPE_LINUX_SLL2 && length >= SLL2_HEADER) {
    return bytes[offset + 10] === SLL_OUTGOING ? OUTBOUND : INBOUND;
  }
  return reader.direction;
}
