import type { IpAddress } from "../wire/ip-address.ts";

/** RFC 1191 6.3: how long what is known of a path is believed, in ms; then something larger may be tried. */
export const PATH_MTU_AGE_MS = 600_000;

/** Hosts whose paths are known; of more, those are forgotten that were heard of first. */
export const MOST_PATHS = 1_024;

/**
 * RFC 1191 7.1: sizes that links have had. A router which does not say what its next link takes leaves to guess: the next
 * one down.
 */
const PLATEAUS = [32_000, 17_914, 8_166, 4_352, 2_002, 1_492, 1_280, 1_006, 576, 552, 508, 296, 68] as const;

/** The largest plateau below `size`, in bytes of an IP packet; 68 at least. */
export function plateauBelow(size: number): number {
  for (const plateau of PLATEAUS) {
    if (plateau < size) return plateau;
  }
  return 68;
}

interface Known {
  readonly mtu: number;
  readonly until: number;
}

/**
 * What the paths to other hosts carry, where it is less than our interface does. Only connections teach it, which know what
 * they have in flight and what has arrived (RFC 5927 7); everybody asks it. Sizes are those of IP packets, in bytes.
 */
export class PathMtus {
  /** By the host's IPv4 address, as a word; in the order in which they were learned. */
  private readonly known = new Map<number, Known>();

  /** Paths that are known to carry less than they might. */
  get size(): number {
    return this.known.size;
  }

  /** The largest packet to `remote`, `Infinity` where nothing is known. */
  find(remote: IpAddress, now: number): number {
    if (this.known.size === 0) return Number.POSITIVE_INFINITY;
    const found = this.known.get(remote.w3);
    return found === undefined || found.until <= now ? Number.POSITIVE_INFINITY : found.mtu;
  }

  /** When what `find` tells of the path to `remote` has aged, in ms. */
  agesAt(remote: IpAddress, now: number): number {
    return this.known.get(remote.w3)?.until ?? now;
  }

  learn(remote: IpAddress, mtu: number, now: number): void {
    const key = remote.w3;
    this.known.delete(key);
    if (this.known.size >= MOST_PATHS) {
      const [oldest] = this.known.keys();
      if (oldest !== undefined) this.known.delete(oldest);
    }
    this.known.set(key, { mtu, until: now + PATH_MTU_AGE_MS });
  }

  /** The path to `remote` carries all that our interface does. */
  forget(remote: IpAddress): void {
    this.known.delete(remote.w3);
  }
}
