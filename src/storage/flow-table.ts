import { HalfSipHash } from "./half-siphash.ts";

/** What the table needs of an address: four words, IPv4 as ::ffff:a.b.c.d. */
export interface AddressWords {
  readonly w0: number;
  readonly w1: number;
  readonly w2: number;
  readonly w3: number;
}

// A slot: value + 1 (0: free), hash, both ports, local address, remote address, one word of padding.
const STRIDE = 12;
const VALUE = 0;
const HASH = 1;
const PORTS = 2;
const LOCAL = 3;
const REMOTE = 7;

/**
 * (local address, local port, remote address, remote port) -> socket number: open addressing with linear probing in
 * fixed memory, at most half full, hashed under a secret key. Deleting shifts the followers back, so there are no
 * tombstones and a miss stays cheap however many connections have come and gone.
 */
export class FlowTable {
  private readonly words: Int32Array;
  private readonly mask: number;
  private readonly hash: HalfSipHash;
  /** The slot that was found last, or -1: segments come in runs of the same flow, and a look costs less than a hash. */
  private last = -1;
  /** The hash that `locate` has computed last. */
  private located = 0;

  /** @param capacity most flows held at a time */
  constructor(capacity: number, k0: number, k1: number) {
    let slots = 16;
    while (slots < capacity * 2) slots *= 2;
    this.words = new Int32Array(slots * STRIDE);
    this.mask = slots - 1;
    this.hash = new HalfSipHash(k0, k1);
  }

  /** The socket number of the flow, or -1. */
  find(local: AddressWords, localPort: number, remote: AddressWords, remotePort: number): number {
    const w = this.words;
    const ports = (localPort << 16) | remotePort;
    if (this.last !== -1 && isAt(w, this.last * STRIDE, local, remote, ports)) {
      return w[this.last * STRIDE + VALUE] - 1;
    }
    const slot = this.locate(local, remote, ports);
    const value = w[slot * STRIDE + VALUE] - 1;
    if (value !== -1) this.last = slot;
    return value;
  }

  /** Adds a flow that is not in the table yet; the caller keeps to the capacity. */
  add(local: AddressWords, localPort: number, remote: AddressWords, remotePort: number, value: number): void {
    const ports = (localPort << 16) | remotePort;
    const slot = this.locate(local, remote, ports);
    const w = this.words;
    const at = slot * STRIDE;
    w[at + VALUE] = value + 1;
    w[at + HASH] = this.located;
    w[at + PORTS] = ports;
    w[at + LOCAL] = local.w0;
    w[at + LOCAL + 1] = local.w1;
    w[at + LOCAL + 2] = local.w2;
    w[at + LOCAL + 3] = local.w3;
    w[at + REMOTE] = remote.w0;
    w[at + REMOTE + 1] = remote.w1;
    w[at + REMOTE + 2] = remote.w2;
    w[at + REMOTE + 3] = remote.w3;
  }

  /** Takes a flow out; does nothing when it is not there. */
  delete(local: AddressWords, localPort: number, remote: AddressWords, remotePort: number): void {
    const w = this.words;
    this.last = -1; // Slots are about to move.
    let hole = this.locate(local, remote, (localPort << 16) | remotePort);
    if (w[hole * STRIDE + VALUE] === 0) return;
    let slot = hole;
    for (;;) {
      slot = (slot + 1) & this.mask;
      const at = slot * STRIDE;
      if (w[at + VALUE] === 0) break;
      // Move it back unless its home lies cyclically behind the hole.
      const home = w[at + HASH] & this.mask;
      if (((slot - home) & this.mask) >= ((slot - hole) & this.mask)) {
        w.copyWithin(hole * STRIDE, at, at + STRIDE);
        hole = slot;
      }
    }
    w[hole * STRIDE + VALUE] = 0;
  }

  /** The slot that holds the flow, or the free one where it belongs. */
  private locate(local: AddressWords, remote: AddressWords, ports: number): number {
    const w = this.words;
    const hash = this.hashOf(local, remote, ports);
    this.located = hash;
    let slot = hash & this.mask;
    for (;;) {
      const at = slot * STRIDE;
      if (w[at + VALUE] === 0) return slot;
      if (w[at + HASH] === hash && isAt(w, at, local, remote, ports)) return slot;
      slot = (slot + 1) & this.mask;
    }
  }

  private hashOf(local: AddressWords, remote: AddressWords, ports: number): number {
    const hash = this.hash;
    hash.start();
    hash.add(ports);
    hash.add(remote.w3);
    hash.add(local.w3);
    // The other words of IPv4 addresses are the same for every flow.
    if (remote.w2 === 0xffff && remote.w1 === 0 && remote.w0 === 0) return hash.finish(12);
    hash.add(remote.w2);
    hash.add(remote.w1);
    hash.add(remote.w0);
    hash.add(local.w2);
    hash.add(local.w1);
    hash.add(local.w0);
    return hash.finish(36);
  }
}

function isAt(w: Int32Array, at: number, local: AddressWords, remote: AddressWords, ports: number): boolean {
  return (
    w[at + PORTS] === ports &&
    w[at + REMOTE + 3] === remote.w3 &&
    w[at + LOCAL + 3] === local.w3 &&
    w[at + REMOTE + 2] === remote.w2 &&
    w[at + LOCAL + 2] === local.w2 &&
    w[at + REMOTE + 1] === remote.w1 &&
    w[at + LOCAL + 1] === local.w1 &&
    w[at + REMOTE] === remote.w0 &&
    w[at + LOCAL] === local.w0
  );
}
