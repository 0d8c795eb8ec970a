import { HalfSipHash } from "./half-siphash.ts";

/** What the table needs of an address: four words, IPv4 as ::ffff:a.b.c.d. */
export interface AddressWords {
  readonly w0: number;
  readonly w1: number;
  readonly w2: number;
  readonly w3: number;
}

// A slot: value + 1 (0: free), and the hash.
const SLOT = 2;
const VALUE = 0;
const HASH = 1;
// What is known of a flow, by its value: both ports, local address, remote address, and the hash of them.
const ROW = 10;
const PORTS = 0;
const LOCAL = 1;
const REMOTE = 5;
const ROW_HASH = 9;

/**
 * (local address, local port, remote address, remote port) -> socket number: open addressing with linear probing in
 * fixed memory, at most half full, hashed under a secret key. Deleting shifts the followers back, so there are no
 * tombstones and a miss stays cheap however many connections have come and gone.
 *
 * Slots are small, and the addresses lie in rows by socket number: so many slots fit into the processor's cache, and the row
 * that is looked at is one of a connection which is at work.
 */
export class FlowTable {
  private readonly slots: Int32Array;
  private readonly rows: Int32Array;
  private readonly mask: number;
  private readonly hash: HalfSipHash;
  /** The flow that was found last, or -1: segments come in runs of the same flow, and a look costs less than a hash. */
  private last = -1;
  /** The hash that `locate` has computed last. */
  private located = 0;

  /** @param capacity most flows held at a time; their values are 0 .. capacity - 1, each another one */
  constructor(capacity: number, k0: number, k1: number) {
    let count = 16;
    while (count < capacity * 2) count *= 2;
    this.slots = new Int32Array(count * SLOT);
    this.rows = new Int32Array(capacity * ROW);
    this.mask = count - 1;
    this.hash = new HalfSipHash(k0, k1);
  }

  /** The socket number of the flow, or -1. */
  find(local: AddressWords, localPort: number, remote: AddressWords, remotePort: number): number {
    const ports = (localPort << 16) | remotePort;
    const { last } = this;
    if (last !== -1 && isAt(this.rows, last * ROW, local, remote, ports)) return last;
    const slot = this.locate(local, remote, ports);
    const value = this.slots[slot * SLOT + VALUE] - 1;
    if (value !== -1) this.last = value;
    return value;
  }

  /** Adds a flow that is not in the table yet; the caller keeps to the capacity. */
  add(local: AddressWords, localPort: number, remote: AddressWords, remotePort: number, value: number): void {
    const { rows, slots } = this;
    const ports = (localPort << 16) | remotePort;
    const slot = this.locate(local, remote, ports);
    slots[slot * SLOT + VALUE] = value + 1;
    slots[slot * SLOT + HASH] = this.located;
    const at = value * ROW;
    rows[at + PORTS] = ports;
    rows[at + LOCAL] = local.w0;
    rows[at + LOCAL + 1] = local.w1;
    rows[at + LOCAL + 2] = local.w2;
    rows[at + LOCAL + 3] = local.w3;
    rows[at + REMOTE] = remote.w0;
    rows[at + REMOTE + 1] = remote.w1;
    rows[at + REMOTE + 2] = remote.w2;
    rows[at + REMOTE + 3] = remote.w3;
    rows[at + ROW_HASH] = this.located;
  }

  /** Takes the flow with this value out; does nothing when it is not there. */
  delete(value: number): void {
    const { slots, mask } = this;
    let hole = this.rows[value * ROW + ROW_HASH] & mask;
    while (slots[hole * SLOT + VALUE] !== value + 1) {
      if (slots[hole * SLOT + VALUE] === 0) return;
      hole = (hole + 1) & mask;
    }
    // Its row stays as it is.
    if (this.last === value) this.last = -1;
    let slot = hole;
    for (;;) {
      slot = (slot + 1) & mask;
      const at = slot * SLOT;
      if (slots[at + VALUE] === 0) break;
      // Move it back unless its home lies cyclically behind the hole.
      const home = slots[at + HASH] & mask;
      if (((slot - home) & mask) >= ((slot - hole) & mask)) {
        slots[hole * SLOT + VALUE] = slots[at + VALUE];
        slots[hole * SLOT + HASH] = slots[at + HASH];
        hole = slot;
      }
    }
    slots[hole * SLOT + VALUE] = 0;
  }

  /** The slot that holds the flow, or the free one where it belongs. */
  private locate(local: AddressWords, remote: AddressWords, ports: number): number {
    const { slots, rows, mask } = this;
    const hash = this.hashOf(local, remote, ports);
    this.located = hash;
    let slot = hash & mask;
    for (;;) {
      const at = slot * SLOT;
      const value = slots[at + VALUE] - 1;
      if (value === -1) return slot;
      if (slots[at + HASH] === hash && isAt(rows, value * ROW, local, remote, ports)) return slot;
      slot = (slot + 1) & mask;
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

function isAt(
  rows: Int32Array,
  at: number,
  local: AddressWords,
  remote: AddressWords,
  ports: number,
): boolean {
  return (
    rows[at + PORTS] === ports &&
    rows[at + REMOTE + 3] === remote.w3 &&
    rows[at + LOCAL + 3] === local.w3 &&
    rows[at + REMOTE + 2] === remote.w2 &&
    rows[at + LOCAL + 2] === local.w2 &&
    rows[at + REMOTE + 1] === remote.w1 &&
    rows[at + LOCAL + 1] === local.w1 &&
    rows[at + REMOTE] === remote.w0 &&
    rows[at + LOCAL] === local.w0
  );
}
