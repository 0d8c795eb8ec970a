import { type Device, Frame } from "../../src/index.ts";
import { formatHardwareAddress } from "../../src/wire/ethernet.ts";
import { completeChecksum } from "../../src/wire/offload.ts";
import { joinedLength, sendDatagrams } from "./datagrams.ts";

/**
 * A learning bridge between Ethernet devices (IEEE 802.1D-2004, 7): what comes in at one port leaves by another, a
 * super-segment as it is, joined datagrams one by one.
 */

export interface BridgeOptions {
  /** Stations that are remembered; 1,024 unless told. */
  readonly maxStations?: number;
  /** Seconds after which a station that was not heard of is forgotten; 300 unless told (802.1D table 7-5). */
  readonly ageSeconds?: number;
  /** Milliseconds from any origin. */
  readonly clock?: () => number;
}

/** What became of frames. */
export class BridgeCounts {
  received = 0;
  /** Sent, once for each port. */
  forwarded = 0;
  /** Frames to groups and to stations that nobody has heard of, which go to every other port. */
  flooded = 0;
  /** Frames between stations of the same port: nothing to do. */
  local = 0;
  /** Frames that end at a bridge (802.1D-2004 table 7-10), or are none. */
  reserved = 0;
  malformed = 0;
  /** Frames that the other port has no room for, now or ever. */
  full = 0;
  tooLong = 0;
}

interface Station {
  port: number;
  heardAt: number;
}

const HEADER = 14;
/** With a tag, which does not count against the MTU. */
const TAGGED_HEADER = 18;
const BATCH = 64;
/** A station's place in the table, which is ordered by time, is looked after this often. */
const REFRESH_MS = 1000;

export class Bridge {
  readonly counts = new BridgeCounts();
  private readonly ports: readonly Device[];
  private readonly maxStations: number;
  private readonly ageMs: number;
  private readonly clock: () => number;
  /** By address, as a number of 48 bits; those not heard of for the longest time are first. */
  private readonly stations = new Map<number, Station>();
  private readonly frame = new Frame(new Uint8Array(0));

  constructor(ports: readonly Device[], options: BridgeOptions = {}) {
    this.ports = ports;
    this.maxStations = options.maxStations ?? 1024;
    this.ageMs = (options.ageSeconds ?? 300) * 1000;
    this.clock = options.clock ?? (() => performance.now());
  }

  /** Passes on what a port has received, a bounded number of frames; returns whether there may be more. */
  forward(port: number): boolean {
    const { frame } = this;
    const now = this.clock();
    for (let i = 0; i < BATCH; i++) {
      if (!this.ports[port].receive(frame)) return false;
      this.counts.received++;
      this.pass(port, now);
    }
    return true;
  }

  /** Where each station is: address and port. */
  table(): (readonly [string, number])[] {
    const bytes = new Uint8Array(6);
    const view = new DataView(bytes.buffer);
    return [...this.stations].map(([address, { port }]) => {
      view.setUint16(0, Math.floor(address / 2 ** 32));
      view.setUint32(2, address % 2 ** 32);
      return [formatHardwareAddress(bytes), port];
    });
  }

  /** Forgets the stations of a port, which may be elsewhere by now. */
  forget(port: number): void {
    for (const [address, station] of this.stations) if (station.port === port) this.stations.delete(address);
  }

  private pass(port: number, now: number): void {
    const { bytes, offset, length } = this.frame;
    // No station has the address of a group, nor none.
    if (length < HEADER || (bytes[offset + 6] & 1) !== 0 || addressAt(bytes, offset + 6) === 0) {
      this.counts.malformed++;
      return;
    }
    if (isReserved(bytes, offset)) {
      this.counts.reserved++;
      return;
    }
    this.learn(addressAt(bytes, offset + 6), port, now);
    const isGroup = (bytes[offset] & 1) !== 0;
    const station = isGroup ? undefined : this.stations.get(addressAt(bytes, offset));
    if (station === undefined || now - station.heardAt > this.ageMs) {
      this.counts.flooded++;
      for (let other = 0; other < this.ports.length; other++) if (other !== port) this.send(port, other);
    } else if (station.port === port) this.counts.local++;
    else this.send(port, station.port);
  }

  private learn(address: number, port: number, now: number): void {
    const { stations } = this;
    const station = stations.get(address);
    if (station !== undefined && now - station.heardAt < REFRESH_MS) {
      station.port = port;
      return;
    }
    stations.delete(address);
    if (stations.size >= this.maxStations) {
      for (const oldest of stations.keys()) {
        stations.delete(oldest);
        break;
      }
    }
    stations.set(address, { port, heardAt: now });
  }

  private send(from: number, to: number): void {
    const { frame, counts } = this;
    const device = this.ports[to];
    const { mtu, maxSuperSegment, checksumOffload } = device.capabilities;
    const joined = joinedLength(frame);
    const largest = frame.segmentSize > 0 && joined === 0 ? maxSuperSegment : mtu;
    if ((joined > 0 ? joined : frame.length) > largest + TAGGED_HEADER) {
      counts.tooLong++;
      return;
    }
    if (joined > 0) {
      if (sendDatagrams(frame, device)) counts.forwarded++;
      else counts.full++;
      return;
    }
    // A super-segment's checksum is unfinished, and stays so. Another frame's may be, or not: here it ends being in doubt.
    if (frame.checksumOffloaded && frame.segmentSize === 0) {
      completeChecksum(frame.bytes, frame.offset, frame.length, this.ports[from].capabilities.medium);
      frame.checksumOffloaded = false;
    }
    const out = device.transmit(frame.length);
    if (out === null) {
      counts.full++;
      return;
    }
    out.bytes.set(frame.bytes.subarray(frame.offset, frame.offset + frame.length), out.offset);
    out.checksumOffloaded = frame.checksumOffloaded && checksumOffload;
    out.segmentSize = frame.segmentSize;
    device.commit(out);
    counts.forwarded++;
  }
}

/** 01:80:c2:00:00:00 to :0f: frames for the bridge itself, such as those of spanning trees. */
function isReserved(bytes: Uint8Array, at: number): boolean {
  const address = addressAt(bytes, at);
  return address >= 0x0180_c200_0000 && address <= 0x0180_c200_000f;
}

/** The address as a number. */
function addressAt(bytes: Uint8Array, at: number): number {
  const high = (bytes[at] << 8) | bytes[at + 1];
  const low = (bytes[at + 2] << 24) | (bytes[at + 3] << 16) | (bytes[at + 4] << 8) | bytes[at + 5];
  return high * 2 ** 32 + (low >>> 0);
}
