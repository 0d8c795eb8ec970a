import type { Device, Frame as DeviceFrame } from "../device.ts";
import { Frame } from "../device.ts";
import { StackError } from "../errors.ts";
import type { SocketContext } from "../socket/context.ts";
import type { Path } from "../socket/routing.ts";
import { checkSegmentSize } from "../socket/tcp/settings.ts";
import { NEVER } from "../storage/deadline-heap.ts";
import { ReadyQueue } from "../storage/ready-queue.ts";
import {
  type Cidr,
  cidrBroadcast,
  cidrContains,
  formatCidr,
  IpAddress,
  isBroadcast,
  sameAddress,
} from "../wire/ip-address.ts";
import { TcpSegment } from "../wire/tcp.ts";
import type { InterfaceState } from "./conflict-detection.ts";
import { EthernetLink, type EthernetOptions } from "./ethernet-link.ts";
import { FlowMemo } from "./flow-memo.ts";
import { HeaderTemplate } from "./header-template.ts";
import { findRoute, interfaceRoutes, type RouteEntry, type RouteSpec } from "./routes.ts";
import { TokenBucket } from "./token-bucket.ts";

/** ICMP errors a second, and at once: what Linux allows (RFC 1812 4.3.2.8 asks for a limit). */
const ICMP_ERRORS_PER_SECOND = 1_000;
const ICMP_ERRORS_BURST = 50;

/** More than any word: every one is some packet's address. */
const NO_ADDRESS = 2 ** 32;

/** The smallest MTU that every IPv4 link has, and the longest packet there is (RFC 791). */
const SMALLEST_MTU = 68;
const LARGEST_MTU = 65_535;

/** What an interface is made of, read and parsed. */
export interface InterfaceSpec extends EthernetOptions {
  readonly device: Device;
  readonly addresses: readonly Cidr[];
  readonly gateway: IpAddress | null;
  readonly routes: readonly RouteSpec[];
  readonly maxSegmentSize?: number;
}

/** A device with the addresses the stack has on it, and the records that its packets pass through. */
export class Interface implements Path {
  readonly device: Device;
  readonly context: SocketContext;
  readonly maxSuperSegment: number;
  readonly maxSegmentSize: number;
  readonly addresses: readonly Cidr[];
  /** Where packets go that no other route leads to, or `null`. */
  readonly gateway: IpAddress | null;
  /** The way to everything that this interface leads to, the longest prefix first. */
  readonly routes: readonly RouteEntry[];
  /** What there is of Ethernet, or `null` where the device carries bare IP packets. */
  readonly link: EthernetLink | null;
  /** Bytes that frames have in front of the IP header. */
  readonly linkHeaderLength: number;
  readonly ready: ReadyQueue;
  readonly icmpErrors = new TokenBucket(ICMP_ERRORS_PER_SECOND, ICMP_ERRORS_BURST);
  /** The device refused a frame: nothing is offered to it before it calls back or a poll tries again. */
  blocked = false;

  /** While the addresses were probed, another station had one of them: which, who, and what to do. */
  conflict: StackError | null = null;
  /** Is called at the end of the `poll` in which `state` has changed. */
  onStateChange: (() => void) | null = null;
  /**
   * Is called at the end of a `poll` in which another station was found to use an address of ours that is in use, at most
   * once in ten seconds. We have told everybody that it is ours, and keep it.
   */
  onConflict: ((error: StackError) => void) | null = null;

  // Reused for every packet. `received` and `segment` hold the one that is being processed.
  readonly received: DeviceFrame = new Frame(new Uint8Array(0));
  readonly segment = new TcpSegment();
  readonly outgoing = new TcpSegment();
  readonly template = new HeaderTemplate();
  readonly flow = new FlowMemo(this.received, this.segment);

  /** What the next poll is to see to: see `link-events.ts`. */
  mtuChanged = false;
  linkCameUp = false;
  /** The link is down, and nobody can be blamed for not answering. */
  isDown = false;

  private currentMtu: number;
  private readonly broadcasts: readonly IpAddress[];
  private readonly neighbour = new IpAddress(4, 0, 0, 0xffff, 0);
  private knownSource = NO_ADDRESS;
  private knownDestination = 0;
  private stateChanged = false;
  private reported: StackError | null = null;

  /** @throws StackError EINVAL, ENOTSUP */
  constructor(spec: InterfaceSpec, context: SocketContext, maxSockets: number) {
    const { device, addresses, gateway, routes } = spec;
    const { medium, mtu, maxSuperSegment } = device.capabilities;
    checkMtu(mtu);
    for (const cidr of addresses) {
      if (cidr.address.family !== 4) {
        throw new StackError(
          "ENOTSUP",
          `${formatCidr(cidr)}: IPv6 is not supported yet, give IPv4 addresses`,
        );
      }
    }
    if (medium === "ip" && spec.vlan !== undefined) {
      throw new StackError(
        "EINVAL",
        "vlan needs an Ethernet device, such as TAP: this one carries bare IP packets, which have no tags",
      );
    }
    this.device = device;
    this.context = context;
    this.currentMtu = mtu;
    this.maxSuperSegment = maxSuperSegment;
    this.maxSegmentSize =
      spec.maxSegmentSize === undefined ? LARGEST_MTU : checkSegmentSize(spec.maxSegmentSize);
    this.addresses = addresses;
    this.broadcasts = addresses.map(cidrBroadcast).filter((address) => address !== null);
    this.gateway = gateway;
    this.link = medium === "ethernet" ? new EthernetLink(device.capabilities, spec, context) : null;
    this.linkHeaderLength = this.link?.headerLength ?? 0;
    this.routes = interfaceRoutes(this, routes, gateway);
    this.ready = new ReadyQueue(maxSockets);
  }

  /** Largest IP packet in bytes. */
  get mtu(): number {
    return this.currentMtu;
  }

  /**
   * Takes over that the device carries packets of another size from now on. Connections send no larger segments than fit;
   * those opened from now on may send larger ones.
   *
   * @param mtu bytes of an IP packet, 68 .. 65,535
   * @throws StackError EINVAL
   */
  setMtu(mtu: number): void {
    checkMtu(mtu);
    if (mtu === this.currentMtu) return;
    this.currentMtu = mtu;
    this.mtuChanged = true;
    this.link?.neighbours.resizeParking(mtu);
  }

  /**
   * Takes over that the link has come up again, or gone down.
   *
   * When it is up again, the next poll doubts where neighbours were: the next packet to one still goes there, and everybody
   * is asked for it at once, a second after it was asked for before at the earliest (RFC 1122 2.3.2.1). The poll also lets
   * every connection that waits for its retransmission timer, or to probe a closed window, do so at once. Addresses that
   * were still being probed are probed from the beginning (RFC 5227 2.1). Those in use are announced (2.3) and stay in use:
   * 2.1 asks to probe them, too, but connections would have to stand still meanwhile, at every loose contact. Another
   * station that has one by now answers the announcement, and is told to `onConflict` (2.4). A conflict that was found
   * before stays one.
   *
   * While it is down what is sent is lost, and TCP sends it again; probing waits, for nobody could object.
   */
  setLink(up: boolean): void {
    this.linkCameUp = up;
    this.isDown = !up;
    if (!up) this.link?.detection.linkDown();
  }

  /** Whether the addresses may be used: see RFC 5227. Nothing is sent from and received at them before. */
  get state(): InterfaceState {
    return this.link === null ? "ready" : this.link.detection.state;
  }

  /** When the interface itself has something to do, in ms, or `NEVER`. */
  get deadline(): number {
    if (this.mtuChanged || this.linkCameUp) return 0;
    return this.link === null ? NEVER : this.link.deadline;
  }

  /** Is `address` one of ours? */
  hasAddress(address: IpAddress): boolean {
    for (const cidr of this.addresses) {
      if (sameAddress(cidr.address, address)) return true;
    }
    return false;
  }

  /** Were these the IPv4 source and destination, as words, of the last packet to us alone? */
  isKnownPair(source: number, destination: number): boolean {
    return source === this.knownSource && destination === this.knownDestination;
  }

  /** A packet to us alone came from `source`, which is one that packets may come from. */
  notePair(source: number, destination: number): void {
    this.knownSource = source;
    this.knownDestination = destination;
  }

  /** Is this IPv4 address, as a word, one of ours? */
  isOwnAddress(word: number): boolean {
    for (const cidr of this.addresses) {
      if (cidr.address.w3 === word) return true;
    }
    return false;
  }

  /** Is `address` the limited broadcast address, or that of one of our networks? */
  isBroadcastAddress(address: IpAddress): boolean {
    if (isBroadcast(address)) return true;
    for (const broadcast of this.broadcasts) {
      if (sameAddress(broadcast, address)) return true;
    }
    return false;
  }

  /** The address of ours in whose network `remote` lies, the longest prefix first, or `null`. */
  addressTowards(remote: IpAddress): Cidr | null {
    let best: Cidr | null = null;
    for (const cidr of this.addresses) {
      if (cidrContains(cidr, remote) && (best === null || cidr.prefixLength > best.prefixLength)) best = cidr;
    }
    return best;
  }

  /** The address that we ask a neighbour from, both as words; 0 where we have none. */
  sourceFor(neighbour: number): number {
    this.neighbour.w3 = neighbour;
    const nearest = this.addressTowards(this.neighbour) ?? this.addresses[0];
    return nearest === undefined ? 0 : nearest.address.w3;
  }

  /** The neighbour, as a word, that a packet to `remote` goes to; 0 where there is none. */
  nextHop(remote: IpAddress): number {
    const route = findRoute(this.routes, remote);
    if (route === null) return 0;
    const hop = route.via === null ? remote.w3 : route.via.w3;
    return this.isOwnAddress(hop) ? 0 : hop;
  }

  /** `state` is another one than before: the program is told at the end of the poll. */
  noteStateChange(): void {
    this.stateChanged = true;
  }

  /** The same of a conflict about an address in use. */
  noteConflict(error: StackError): void {
    this.reported = error;
  }

  /** Tells the program what has happened: called at the end of a poll. */
  deliverEvents(): void {
    const { reported } = this;
    this.reported = null;
    if (this.stateChanged) {
      this.stateChanged = false;
      this.onStateChange?.();
    }
    if (reported !== null) this.onConflict?.(reported);
  }
}

function checkMtu(mtu: number): void {
  if (Number.isInteger(mtu) && mtu >= SMALLEST_MTU && mtu <= LARGEST_MTU) return;
  throw new StackError(
    "EINVAL",
    `the device's MTU must be a whole number of bytes from ${SMALLEST_MTU} to ${LARGEST_MTU}, as IPv4 has it, not ${mtu}`,
  );
}
