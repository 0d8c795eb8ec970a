import type { Capabilities, Device, DeviceEvent, Frame } from "../device.ts";
import { OK } from "../errors.ts";
import type { Interface } from "../iface/interface.ts";
import { commitIpv4, lendFrame, payloadOffset } from "../iface/ipv4-output.ts";
import { linkOutput } from "../iface/link-output.ts";
import type { Stack } from "../stack.ts";
import { copyBytes } from "../storage/copy.ts";
import { read16, read32, write16 } from "../wire/bytes.ts";
import { updateChecksum } from "../wire/checksum.ts";
import {
  ETHERNET_HEADER_LENGTH,
  ETHERTYPE_IPV4,
  etherType,
  HARDWARE_ADDRESS_LENGTH,
  sameHardwareAddress,
} from "../wire/ethernet.ts";
import {
  CODE_FRAGMENTATION_NEEDED,
  CODE_NET_UNREACHABLE,
  CODE_TTL_EXCEEDED,
  ICMP_DESTINATION_UNREACHABLE,
  ICMP_TIME_EXCEEDED,
  ICMPV4_HEADER_LENGTH,
  icmpType,
  isIcmpv4Error,
  writeIcmpv4,
} from "../wire/icmpv4.ts";
import { IpAddress, isMulticast } from "../wire/ip-address.ts";
import {
  checkIpv4,
  IPV4_HEADER_LENGTH,
  ipv4DontFragment,
  ipv4FragmentOffset,
  ipv4HeaderLength,
  ipv4Protocol,
  ipv4TotalLength,
  ipv4Ttl,
  PROTOCOL_ICMP,
  readIpv4Destination,
  readIpv4Source,
} from "../wire/ipv4.ts";
import { isSeparated, type SimNode } from "./node.ts";
import type { Station } from "./station.ts";

/** What a router has done with packets that were not for itself. */
export class RouterStats {
  forwarded = 0;
  malformed = 0;
  ttlExceeded = 0;
  noRoute = 0;
  /** Larger than the MTU of the next link. */
  tooLarge = 0;
  /** A partition lies between who sent it and whom it is for. */
  partitioned = 0;
}

/** Where the time to live stands in an IPv4 header, in one word with the protocol. */
const TTL_WORD = 8;
const ONE_HOP = 0x100;
const CHECKSUM = 10;
const IPV4_DESTINATION = 16;
/** RFC 1812 4.3.2.3. */
const LARGEST_ICMP_ERROR = 576;

/**
 * A router: what comes to one of its interfaces and is for somebody else goes on towards there (RFC 1812 5). What is for
 * itself, its stack answers: ARP and ping.
 */
export class Router {
  readonly node: SimNode;
  readonly stats = new RouterStats();
  /** Has its interfaces, and answers for it. */
  readonly stack: Stack;
  private readonly stations: ReadonlyMap<Device, Station>;
  private readonly saysWhy: boolean;
  private readonly nodeAt: (address: number) => SimNode | null;
  private readonly source = new IpAddress(4, 0, 0, 0xffff, 0);
  private readonly destination = new IpAddress(4, 0, 0, 0xffff, 0);

  /** Made by `Network.router`. */
  constructor(
    node: SimNode,
    stack: Stack,
    stations: ReadonlyMap<Device, Station>,
    nodeAt: (address: number) => SimNode | null,
    saysWhy: boolean,
  ) {
    this.node = node;
    this.stack = stack;
    this.stations = stations;
    this.nodeAt = nodeAt;
    this.saysWhy = saysWhy;
  }

  /** Sends on the packet at `offset` that has come to `from`. */
  forward(
    from: Interface,
    bytes: Uint8Array,
    offset: number,
    length: number,
    frame: Frame,
    origin: SimNode,
  ): void {
    const { stats, source, destination } = this;
    if (checkIpv4(bytes, offset, length) !== OK) {
      stats.malformed++;
      return;
    }
    readIpv4Source(bytes, offset, source);
    readIpv4Destination(bytes, offset, destination);
    const target = this.nodeAt(destination.w3);
    if (target !== null && isSeparated(origin, target)) {
      stats.partitioned++;
      return;
    }
    if (ipv4Ttl(bytes, offset) <= 1) {
      stats.ttlExceeded++;
      this.sendError(from, bytes, offset, ICMP_TIME_EXCEEDED, CODE_TTL_EXCEEDED, 0);
      return;
    }
    const route = this.stack.sockets.context.routing.route(destination);
    if (route === null) {
      stats.noRoute++;
      this.sendError(from, bytes, offset, ICMP_DESTINATION_UNREACHABLE, CODE_NET_UNREACHABLE, 0);
      return;
    }
    const to = route.path as Interface;
    const total = ipv4TotalLength(bytes, offset);
    if (total > to.mtu) {
      // Nobody here sends what may be fragmented, so that is not done: it is as lost as one that may not.
      stats.tooLarge++;
      if (!ipv4DontFragment(bytes, offset)) return;
      this.sendError(from, bytes, offset, ICMP_DESTINATION_UNREACHABLE, CODE_FRAGMENTATION_NEEDED, to.mtu);
      return;
    }
    const station = this.stations.get(to.device);
    station?.sendFor(origin);
    const out = lendFrame(to, total - IPV4_HEADER_LENGTH);
    if (out !== null) {
      const at = out.offset + to.linkHeaderLength;
      copyBytes(bytes, offset, out.bytes, at, total);
      const word = read16(out.bytes, at + TTL_WORD);
      write16(out.bytes, at + TTL_WORD, word - ONE_HOP);
      const sum = read16(out.bytes, at + CHECKSUM);
      write16(out.bytes, at + CHECKSUM, updateChecksum(sum, word, word - ONE_HOP));
      out.checksumOffloaded = frame.checksumOffloaded;
      stats.forwarded++;
      linkOutput(to, out, destination);
    }
    station?.sendFor(this.node);
  }

  /** RFC 1122 3.2.2: tells who sent the packet at `offset` what is wrong, unless it must not be answered. */
  private sendError(
    from: Interface,
    bytes: Uint8Array,
    offset: number,
    type: number,
    code: number,
    restOfHeader: number,
  ): void {
    if (!this.saysWhy) return;
    const { source } = this;
    const header = ipv4HeaderLength(bytes, offset);
    const total = ipv4TotalLength(bytes, offset);
    if (ipv4FragmentOffset(bytes, offset) > 0 || isMulticast(this.destination)) return;
    if (ipv4Protocol(bytes, offset) === PROTOCOL_ICMP) {
      if (total <= header || isIcmpv4Error(icmpType(bytes, offset + header))) return;
    }
    const route = this.stack.sockets.context.routing.route(source);
    if (route === null || !from.icmpErrors.take(from.context.now)) return;
    const to = route.path as Interface;
    const room = Math.min(LARGEST_ICMP_ERROR, to.mtu) - IPV4_HEADER_LENGTH - ICMPV4_HEADER_LENGTH;
    const quoted = Math.min(total, room);
    const length = ICMPV4_HEADER_LENGTH + quoted;
    const frame = lendFrame(to, length);
    if (frame === null) return;
    const at = payloadOffset(to, frame);
    copyBytes(bytes, offset, frame.bytes, at + ICMPV4_HEADER_LENGTH, quoted);
    writeIcmpv4(frame.bytes, at, length, type, code, restOfHeader);
    commitIpv4(to, frame, length, PROTOCOL_ICMP, route.source, source);
  }
}

/** The device of a router's stack: what is for others does not come out of it, but goes on. */
export class RouterDevice implements Device {
  private readonly station: Station;
  private readonly inner: Device;
  private router: Router | null = null;
  private iface: Interface | null = null;

  constructor(station: Station, inner: Device) {
    this.station = station;
    this.inner = inner;
  }

  /** From now on it forwards. */
  serve(router: Router, iface: Interface): void {
    this.router = router;
    this.iface = iface;
  }

  get capabilities(): Capabilities {
    return this.inner.capabilities;
  }

  receive(frame: Frame): boolean {
    const { router, iface, inner } = this;
    while (inner.receive(frame)) {
      if (router === null || iface === null) return true;
      const packet = transitPacket(iface, frame);
      if (packet < 0) return true;
      const { bytes, offset, length } = frame;
      router.forward(iface, bytes, packet, offset + length - packet, frame, this.station.heldOrigin);
    }
    return false;
  }

  transmit(length: number): Frame | null {
    return this.inner.transmit(length);
  }

  commit(frame: Frame): void {
    this.inner.commit(frame);
  }

  onReadable(callback: () => void): void {
    this.inner.onReadable(callback);
  }

  onWritable(callback: () => void): void {
    this.inner.onWritable(callback);
  }

  onEvent(callback: (event: DeviceEvent) => void): void {
    this.inner.onEvent?.(callback);
  }

  close(): void {
    this.inner.close();
  }
}

/** Where the IPv4 packet begins that is for somebody else; -1 where the frame is for the router, or for all. */
function transitPacket(iface: Interface, { bytes, offset, length }: Frame): number {
  let packet = offset;
  if (iface.link !== null) {
    if (length < ETHERNET_HEADER_LENGTH || etherType(bytes, offset) !== ETHERTYPE_IPV4) return -1;
    if (!sameHardwareAddress(bytes, offset, iface.link.hardwareAddress, 0)) return -1;
    packet += 2 * HARDWARE_ADDRESS_LENGTH + 2;
  }
  if (offset + length - packet < IPV4_HEADER_LENGTH) return -1;
  const destination = read32(bytes, packet + IPV4_DESTINATION);
  return isForUs(iface, destination) ? -1 : packet;
}

/** One for all: it is used and forgotten within a call. */
const looked = new IpAddress(4, 0, 0, 0xffff, 0);

function isForUs(iface: Interface, destination: number): boolean {
  if (iface.isOwnAddress(destination)) return true;
  looked.w3 = destination;
  return isMulticast(looked) || iface.isBroadcastAddress(looked);
}
