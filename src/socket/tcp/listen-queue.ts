import { ACCEPTABLE } from "../events.ts";
import { SYN_RECEIVED, type Tcb } from "./tcb.ts";

/** So many connections that are over may be among those that wait to be accepted, and as many as these. */
const SLACK = 64;

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
  private halfOpen = 0;
  /** Those that wait to be accepted, from `first` on, and such as were over before; how many wait. */
  private readonly complete: Tcb[] = [];
  private first = 0;
  acceptable = 0;

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

  /** Is there room for another half-open connection, here and in the stack? */
  get mayOpen(): boolean {
    return this.halfOpen < this.halfOpenLimit && this.all.count < this.all.limit;
  }

  /** Is there room for a handshake to complete? */
  get mayComplete(): boolean {
    return this.acceptable < this.backlog;
  }

  /** Are there as many connections as there may be? */
  get isAtLimit(): boolean {
    return this.connections >= this.maxConnections;
  }

  addHalfOpen(tcb: Tcb): void {
    this.halfOpen++;
    this.all.count++;
    tcb.listen = this;
  }

  /** The handshake of a half-open connection is complete. */
  promote(tcb: Tcb): void {
    this.halfOpen--;
    this.all.count--;
    this.tidy();
    this.complete.push(tcb);
    this.acceptable++;
    this.connections++;
    this.owner.signal(ACCEPTABLE);
  }

  /** Takes the oldest complete connection out, or returns `null`; the caller makes the program its holder. */
  accept(): Tcb | null {
    const { complete } = this;
    while (this.first < complete.length) {
      const tcb = complete[this.first++];
      if (!this.isPending(tcb)) continue;
      this.acceptable--;
      return tcb;
    }
    this.first = 0;
    complete.length = 0;
    return null;
  }

  /** The connection, which has its state yet, is over, or of no more concern. */
  remove(tcb: Tcb): void {
    tcb.listen = null;
    if (tcb.state === SYN_RECEIVED) {
      this.halfOpen--;
      this.all.count--;
      return;
    }
    this.connections--;
    if (tcb.holder !== null) return;
    this.acceptable--;
    this.tidy();
  }

  /** Is the connection here, and not accepted? */
  isPending(tcb: Tcb): boolean {
    return tcb.listen === this && tcb.holder === null;
  }

  /** Forgets those that were accepted, and those that are over without, where they are many. */
  private tidy(): void {
    if (this.complete.length <= 2 * this.acceptable + SLACK) return;
    let kept = 0;
    for (let at = this.first; at < this.complete.length; at++) {
      const tcb = this.complete[at];
      if (this.isPending(tcb)) this.complete[kept++] = tcb;
    }
    this.complete.length = kept;
    this.first = 0;
  }
}
