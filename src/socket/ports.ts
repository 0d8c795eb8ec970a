import { StackError } from "../errors.ts";
import type { Random } from "../random.ts";
import { formatAddress, type IpAddress, isUnspecified, sameAddress } from "../wire/ip-address.ts";
import { keyedSipHash, type SipHash } from "./siphash.ts";

/** The dynamic ports of RFC 6056 3.2: 49152 to 65535. */
const FIRST_EPHEMERAL = 49152;
const EPHEMERAL_COUNT = 65536 - FIRST_EPHEMERAL;
/** Counters of RFC 6056 3.3.4: destinations share one of these, so that a busy one tells little of the others. */
const COUNTERS = 256;

/** Is this local port free for this remote end? */
export type PortTest = (port: number) => boolean;

/**
 * The local ports of one protocol: which are bound to which address, and which to choose for a connection.
 */
export class PortRegistry {
  private readonly protocol: string;
  private readonly bound = new Map<number, IpAddress[]>();
  private readonly offsetHash: SipHash;
  private readonly counterHash: SipHash;
  private readonly counters = new Uint16Array(COUNTERS);
  private readonly words = new Int32Array(9);

  /** @param protocol its name in error messages */
  constructor(protocol: string, random: Random) {
    this.protocol = protocol;
    this.offsetHash = keyedSipHash(random);
    this.counterHash = keyedSipHash(random);
    for (let i = 0; i < COUNTERS; i++) this.counters[i] = random.next();
  }

  /**
   * Reserves `port` on `address`; the unspecified address collides with every other.
   *
   * @throws StackError EADDRINUSE
   */
  bind(address: IpAddress, port: number): void {
    const owners = this.bound.get(port);
    if (owners === undefined) {
      this.bound.set(port, [address]);
      return;
    }
    for (const owner of owners) {
      if (isUnspecified(owner) || isUnspecified(address) || sameAddress(owner, address)) {
        throw new StackError(
          "EADDRINUSE",
          `${this.protocol} port ${port} on ${formatAddress(owner)} is in use on this stack: ` +
            "close the socket that has it, or choose another port",
        );
      }
    }
    owners.push(address);
  }

  release(address: IpAddress, port: number): void {
    const owners = this.bound.get(port);
    if (owners === undefined) return;
    const at = owners.findIndex((owner) => sameAddress(owner, address));
    if (at !== -1) owners.splice(at, 1);
    if (owners.length === 0) this.bound.delete(port);
  }

  isBound(port: number): boolean {
    return this.bound.has(port);
  }

  /**
   * A local port for a connection to this remote end: RFC 6056 3.3.4, algorithm 4. The first candidate depends on both
   * ends and a secret, the next ones follow it, so that a peer sees ports in turn and nobody else can guess them.
   *
   * @throws StackError EADDRNOTAVAIL when every port is taken
   */
  choose(local: IpAddress, remote: IpAddress, remotePort: number, isFree: PortTest): number {
    const words = this.words;
    words.set([local.w0, local.w1, local.w2, local.w3, remote.w0, remote.w1, remote.w2, remote.w3]);
    words[8] = remotePort;
    const offset = (this.offsetHash.hash(words, 9) >>> 0) % EPHEMERAL_COUNT;
    const counter = (this.counterHash.hash(words, 9) >>> 0) % COUNTERS;
    for (let tries = 0; tries < EPHEMERAL_COUNT; tries++) {
      const port = FIRST_EPHEMERAL + ((offset + this.counters[counter]++) % EPHEMERAL_COUNT);
      if (!this.bound.has(port) && isFree(port)) return port;
    }
    throw new StackError(
      "EADDRNOTAVAIL",
      `all ${EPHEMERAL_COUNT} ephemeral ${this.protocol} ports are in use towards ` +
        `${formatAddress(remote)}:${remotePort}: close connections, or bind a local port below ${FIRST_EPHEMERAL}`,
    );
  }
}

/** @throws StackError EINVAL */
export function requirePort(port: number, lowest: number, what: string): void {
  if (!Number.isInteger(port) || port < lowest || port > 65535) {
    throw new StackError("EINVAL", `${what} must be a whole number from ${lowest} to 65535, not ${port}`);
  }
}
