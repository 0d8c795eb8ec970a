import { requireWhole, StackError } from "../errors.ts";
import type { Random } from "../random.ts";
import { formatAddress, type IpAddress, isUnspecified, sameAddress } from "../wire/ip-address.ts";
import {
  ALONE,
  EPHEMERAL_BITS,
  FIRST_EPHEMERAL,
  portOwner,
  shareStart,
  type WorkerPlace,
} from "../wire/worker-share.ts";
import { keyedSipHash, type SipHash } from "./siphash.ts";

/** Counters of RFC 6056 3.3.4: destinations share one of these, so that a busy one tells little of the others. */
const COUNTERS = 256;

interface Binding {
  readonly address: IpAddress;
  readonly shared: boolean;
}

/** Is this local port free for a connection from this address to this remote end? */
export type PortTest = (port: number, local: IpAddress, remote: IpAddress, remotePort: number) => boolean;

/**
 * The local ports of one protocol: which are bound to which address, and which to choose for a connection.
 */
export class PortRegistry {
  private readonly protocol: string;
  private readonly isShadowing: boolean;
  private readonly worker: WorkerPlace;
  /** The ephemeral ports that are chosen from: `[first, first + count)`. */
  private readonly first: number;
  private readonly count: number;
  private readonly bound = new Map<number, Binding[]>();
  private readonly offsetHash: SipHash;
  private readonly counterHash: SipHash;
  private readonly counters = new Uint16Array(COUNTERS);
  /** Both ends of the connection that a port was chosen for last, at first of none; and what their hashes have led to. */
  private readonly words = new Int32Array(9).fill(-1);
  private offset = 0;
  private counter = 0;

  /**
   * @param protocol its name in error messages
   * @param isShadowing a port may be bound to all addresses and to some of them besides, which then have it for themselves
   * @param worker whose share of the ephemeral ports is chosen from
   */
  constructor(protocol: string, random: Random, isShadowing = false, worker: WorkerPlace = ALONE) {
    const { index, count } = worker;
    this.protocol = protocol;
    this.isShadowing = isShadowing;
    this.worker = worker;
    this.first = FIRST_EPHEMERAL + shareStart(index, count, EPHEMERAL_BITS);
    this.count = FIRST_EPHEMERAL + shareStart(index + 1, count, EPHEMERAL_BITS) - this.first;
    this.offsetHash = keyedSipHash(random);
    this.counterHash = keyedSipHash(random);
    for (let i = 0; i < COUNTERS; i++) this.counters[i] = random.next();
  }

  /**
   * Reserves `port` on `address`.
   *
   * @param shared whoever else has it must share it, too
   * @throws StackError EADDRINUSE
   */
  bind(address: IpAddress, port: number, shared = false): void {
    const owners = this.bound.get(port);
    if (owners === undefined) {
      this.bound.set(port, [{ address, shared }]);
      return;
    }
    for (const owner of owners) {
      if (!this.collide(owner.address, address) || (owner.shared && shared)) continue;
      const what = port === 0 ? "every port" : `port ${port} on ${formatAddress(owner.address)}`;
      throw new StackError(
        "EADDRINUSE",
        `${this.protocol} ${what} is in use on this stack: close the socket that has it, or choose another port`,
      );
    }
    owners.push({ address, shared });
  }

  private collide(a: IpAddress, b: IpAddress): boolean {
    return sameAddress(a, b) || (!this.isShadowing && (isUnspecified(a) || isUnspecified(b)));
  }

  release(address: IpAddress, port: number): void {
    const owners = this.bound.get(port);
    if (owners === undefined) return;
    const at = owners.findIndex((owner) => sameAddress(owner.address, address));
    if (at !== -1) owners.splice(at, 1);
    if (owners.length === 0) this.bound.delete(port);
  }

  isBound(port: number): boolean {
    return this.bound.has(port);
  }

  /**
   * A connection that is opened from `port` has to get its answers: of several workers, each has ports of its own.
   *
   * @throws StackError EADDRNOTAVAIL
   */
  requireOwn(port: number): void {
    const { index, count } = this.worker;
    if (count === 1 || portOwner(port, count) === index) return;
    throw new StackError(
      "EADDRNOTAVAIL",
      `answers to local ${this.protocol} port ${port} would go to another worker than this one, number ${index} of ${count}: ` +
        `choose a port from ${this.first} to ${this.first + this.count - 1}, or none`,
    );
  }

  /**
   * A local port for a connection to this remote end: RFC 6056 3.3.4, algorithm 4. The first candidate depends on both
   * ends and a secret, the next ones follow it, so that a peer sees ports in turn and nobody else can guess them.
   *
   * @throws StackError EADDRNOTAVAIL when every port is taken
   */
  choose(local: IpAddress, remote: IpAddress, remotePort: number, isFree: PortTest): number {
    this.turnTo(local, remote, remotePort);
    const { first, count, offset, counter } = this;
    for (let tries = 0; tries < count; tries++) {
      const port = first + ((offset + this.counters[counter]++) % count);
      if (!this.bound.has(port) && isFree(port, local, remote, remotePort)) return port;
    }
    throw new StackError(
      "EADDRNOTAVAIL",
      `all ${count} ephemeral ${this.protocol} ports are in use towards ` +
        `${formatAddress(remote)}:${remotePort}: close connections, or bind a local port below ${FIRST_EPHEMERAL}`,
    );
  }

  /** Computes both hashes; the next connection is often to where the last one went. */
  private turnTo(local: IpAddress, remote: IpAddress, remotePort: number): void {
    const { words } = this;
    let isSame = words[8] === remotePort;
    isSame = this.note(0, local) && isSame;
    isSame = this.note(4, remote) && isSame;
    if (isSame) return;
    words[8] = remotePort;
    this.offset = (this.offsetHash.hash(words, 9) >>> 0) % this.count;
    this.counter = (this.counterHash.hash(words, 9) >>> 0) % COUNTERS;
  }

  /** Puts an address into the words to be hashed; returns whether it was there. */
  private note(at: number, address: IpAddress): boolean {
    const { words } = this;
    const { w0, w1, w2, w3 } = address;
    if (words[at] === w0 && words[at + 1] === w1 && words[at + 2] === w2 && words[at + 3] === w3) return true;
    words[at] = w0;
    words[at + 1] = w1;
    words[at + 2] = w2;
    words[at + 3] = w3;
    return false;
  }
}

/** @throws StackError EINVAL */
export function requirePort(port: number, lowest: number, what: string): void {
  requireWhole(what, port, lowest, 65535);
}
