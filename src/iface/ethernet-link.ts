import type { Capabilities } from "../device.ts";
import { requireWhole, StackError } from "../errors.ts";
import type { SocketContext } from "../socket/context.ts";
import {
  ETHERNET_HEADER_LENGTH,
  HARDWARE_ADDRESS_LENGTH,
  isGroupHardwareAddress,
  isZeroHardwareAddress,
  VLAN_TAG_LENGTH,
} from "../wire/ethernet.ts";
import { ConflictDetection, type ConflictDetectionMode } from "./conflict-detection.ts";
import { NeighbourCache } from "./neighbours.ts";

const LARGEST_VLAN = 4_094;
const DEFAULT_NEIGHBOURS = 1_024;
const MOST_NEIGHBOURS = 65_536;

/** Destinations whose neighbours are at hand: a power of two. */
const MEMO_SIZE = 256;
export const MEMO_MASK = MEMO_SIZE - 1;

/** What can be chosen about an interface on an Ethernet device. */
export interface EthernetOptions {
  /** 802.1Q: frames carry the tag of this VLAN, 1 .. 4,094, and only those that do are taken. None unless told. */
  readonly vlan?: number | undefined;
  /** Most neighbours whose hardware addresses are kept; 1,024 unless told. */
  readonly maxNeighbours?: number | undefined;
  /**
   * RFC 5227: before an address is used, it is probed, `"fast"` in about 200 ms or `"rfc5227"` in 4 to 7 s, and then
   * announced. `"off"` does neither. `"fast"` unless told.
   */
  readonly conflictDetection?: ConflictDetectionMode | undefined;
}

/** What an interface on an Ethernet device has beside the others: our place on the link, and the neighbours there. */
export class EthernetLink {
  readonly hardwareAddress: Uint8Array;
  /** The tag that frames carry, or 0. */
  readonly vlan: number;
  /** Bytes in front of the IP header of what we send. */
  readonly headerLength: number;
  readonly neighbours: NeighbourCache;
  readonly detection: ConflictDetection;

  // Where the last packets to some destinations went, each at the place that the end of its address says: finding the route
  // and the neighbour costs ten times as much. Valid until the time given, and as long as the cache is of the version given.
  readonly memoDestination = new Int32Array(MEMO_SIZE);
  readonly memoEntry = new Int32Array(MEMO_SIZE);
  readonly memoVersion = new Int32Array(MEMO_SIZE).fill(-1);
  readonly memoUntil = new Float64Array(MEMO_SIZE);

  /** @throws StackError EINVAL */
  constructor(capabilities: Capabilities, options: EthernetOptions, context: SocketContext) {
    const { vlan, maxNeighbours = DEFAULT_NEIGHBOURS, conflictDetection = "fast" } = options;
    requireWhole("vlan", vlan ?? 1, 1, LARGEST_VLAN);
    requireWhole("maxNeighbours", maxNeighbours, 1, MOST_NEIGHBOURS);
    if (!["off", "fast", "rfc5227"].includes(conflictDetection)) {
      throw new StackError(
        "EINVAL",
        `conflictDetection must be "off", "fast" or "rfc5227", not "${conflictDetection}"`,
      );
    }
    this.hardwareAddress = ownAddress(capabilities.hardwareAddress);
    this.vlan = vlan ?? 0;
    this.headerLength = ETHERNET_HEADER_LENGTH + (this.vlan === 0 ? 0 : VLAN_TAG_LENGTH);
    this.neighbours = new NeighbourCache(maxNeighbours, capabilities.mtu, context.random, context.stats);
    this.detection = new ConflictDetection(conflictDetection, context.random);
  }

  /** When there is something to do, in ms, or `NEVER`. */
  get deadline(): number {
    return Math.min(this.detection.deadline, this.neighbours.deadline);
  }
}

function ownAddress(address: Uint8Array | undefined): Uint8Array {
  if (address?.length !== HARDWARE_ADDRESS_LENGTH) {
    throw new StackError(
      "EINVAL",
      "the Ethernet device names no hardware address: its capabilities need six bytes of hardwareAddress",
    );
  }
  if (isGroupHardwareAddress(address, 0) || isZeroHardwareAddress(address, 0)) {
    throw new StackError(
      "EINVAL",
      "the Ethernet device's hardware address is not that of one station: its first byte must be even, and not all may be 0",
    );
  }
  // The device may do with its own what it likes.
  return address.slice();
}
