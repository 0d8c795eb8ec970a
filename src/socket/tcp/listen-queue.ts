import { ACCEPTABLE } from "../events.ts";
import type { Tcb } from "./tcb.ts";

/** What a listener's queue signals to. */
export interface ListenOwner {
  signal(event: number): void;
}

/** Half-open connections of all listeners of a stack. */
export class HalfOpenCount {
  count = 0;
  /** Most of them. */
  readonly limit: number;

  constructor(limit: number) {
    this.limit = limit;
  }
}

/**
 * The connections of one listener: half-open ones, those whose handshake is complete, in the order in which it was, and how
 * many the program has accepted and not closed yet.
 */
export class ListenQueue {
  /** Most complete connections that wait to be accepted. */
  readonly backlog: number;
  /** Most half-open connections. */
  readonly halfOpenLimit: number;
  /** Most connections whose handshake is complete, accepted or not. */
  readonly maxConnections: number;
  /** Until when ACKs may bring SYN cookies, in ms: none were sent that would be valid later. */
  cookiesUntil = Number.NEGATIVE_INFINITY;
  /** Connections whose handshake is complete, accepted or not, up to TIME-WAIT. */
  connections = 0;
  private readonly owner: ListenOwner;
  private readonly all: HalfOpenCount;
  private readonly halfOpen = new Set<Tcb>();
  private readonly complete = new Set<Tcb>();

  constructor(
    owner: ListenOwner,
    all: HalfOpenCount,
    backlog: number,
    halfOpenLimit: number,
    maxConnections: number,
  ) {
    this.owner = owner;
    this.all = all;
    this.backlog = backlog;
    this.halfOpenLimit = halfOpenLimit;
    this.maxConnections = maxConnections;
  }

  get acceptable(): number {
    return this.complete.size;
  }

  /** Is there room for another half-open connection, here and in the stack? */
  get mayOpen(): boolean {
    return this.halfOpen.size < this.halfOpenLimit && this.all.count < this.all.limit;
  }

  /** Is there room for a handshake to complete? */
  get mayComplete(): boolean {
    return this.complete.size < this.backlog;
  }

  /** Are there as many connections as there may be? */
  get isAtLimit(): boolean {
    return this.connections >= this.maxConnections;
  }

  addHalfOpen(tcb: Tcb): void {
    this.halfOpen.add(tcb);
    this.all.count++;
    tcb.listen = this;
  }

  /** The handshake of a half-open connection is complete. */
  promote(tcb: Tcb): void {
    this.halfOpen.delete(tcb);
    this.all.count--;
    this.complete.add(tcb);
    this.connections++;
    this.owner.signal(ACCEPTABLE);
  }

  /** Takes the oldest complete connection out, or returns `null`. */
  accept(): Tcb | null {
    for (const tcb of this.complete) {
      this.complete.delete(tcb);
      return tcb;
    }
    return null;
  }

  /** The connection is over, or of no more concern. */
  remove(tcb: Tcb): void {
    if (this.halfOpen.delete(tcb)) {
      this.all.count--;
    } else {
      this.complete.delete(tcb);
      this.connections--;
    }
    tcb.listen = null;
  }

  /** Everyone who was not accepted, for a listener that closes. */
  *pending(): Iterable<Tcb> {
    yield* [...this.halfOpen, ...this.complete];
  }
}
