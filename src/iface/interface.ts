import type { Device, Frame as DeviceFrame } from "../device.ts";
import { Frame } from "../device.ts";
import { StackError } from "../errors.ts";
import type { Path } from "../socket/routing.ts";
import { ReadyQueue } from "../storage/ready-queue.ts";
import {
  type Cidr,
  cidrBroadcast,
  cidrContains,
  formatCidr,
  type IpAddress,
  isBroadcast,
  sameAddress,
} from "../wire/ip-address.ts";
import { TcpSegment } from "../wire/tcp.ts";
import { TokenBucket } from "./token-bucket.ts";

/** ICMP errors a second, and at once: what Linux allows (RFC 1812 4.3.2.8 asks for a limit). */
const ICMP_ERRORS_PER_SECOND = 1_000;
const ICMP_ERRORS_BURST = 50;

/** The smallest MTU that every IPv4 link has (RFC 791). */
const SMALLEST_MTU = 68;

/** A device with the addresses the stack has on it, and the records that its packets pass through. */
export class Interface implements Path {
  readonly device: Device;
  readonly mtu: number;
  readonly maxSuperSegment: number;
  readonly addresses: readonly Cidr[];
  /** Where packets go that no interface's network holds, or `null`. */
  readonly gateway: IpAddress | null;
  readonly ready: ReadyQueue;
  readonly icmpErrors = new TokenBucket(ICMP_ERRORS_PER_SECOND, ICMP_ERRORS_BURST);
  /** The device refused a frame: nothing is offered to it before it calls back or a poll tries again. */
  blocked = false;

  // Reused for every packet. `received` and `segment` hold the one that is being processed.
  readonly received: DeviceFrame = new Frame(new Uint8Array(0));
  readonly segment = new TcpSegment();
  readonly outgoing = new TcpSegment();

  constructor(device: Device, addresses: readonly Cidr[], gateway: IpAddress | null, maxSockets: number) {
    const { medium, mtu, maxSuperSegment } = device.capabilities;
    if (medium !== "ip") {
      throw new StackError(
        "ENOTSUP",
        "Ethernet devices are not supported yet: use one with IP frames, such as TUN",
      );
    }
    if (mtu < SMALLEST_MTU) {
      throw new StackError(
        "EINVAL",
        `the device's MTU of ${mtu} is too small: IPv4 needs ${SMALLEST_MTU} bytes`,
      );
    }
    for (const cidr of addresses) {
      if (cidr.address.family !== 4) {
        throw new StackError(
          "ENOTSUP",
          `${formatCidr(cidr)}: IPv6 is not supported yet, give IPv4 addresses`,
        );
      }
    }
    this.device = device;
    this.mtu = mtu;
    this.maxSuperSegment = maxSuperSegment;
    this.addresses = addresses;
    this.gateway = gateway;
    this.ready = new ReadyQueue(maxSockets);
  }

  /** Is `address` one of ours? */
  hasAddress(address: IpAddress): boolean {
    for (const cidr of this.addresses) {
      if (sameAddress(cidr.address, address)) return true;
    }
    return false;
  }

  /** Is `address` the limited broadcast address, or that of one of our networks? */
  isBroadcastAddress(address: IpAddress): boolean {
    if (isBroadcast(address)) return true;
    for (const broadcast of this.broadcasts()) {
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

  private networkBroadcasts: IpAddress[] | null = null;

  private broadcasts(): readonly IpAddress[] {
    this.networkBroadcasts ??= this.addresses.map(cidrBroadcast).filter((address) => address !== null);
    return this.networkBroadcasts;
  }
}
