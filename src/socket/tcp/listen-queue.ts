import { ACCEPTABLE } from "../events.ts";
import type { Tcb } from "./tcb.ts";

/** What a listener's queue signals to. */
export interface ListenOwner {
  signal(event: number): void;
}

/**
 * The connections of one listener that the program has not accepted: half-open ones, and those whose handshake is
 * complete, in the order in which it was.
 */
export class ListenQueue {
  /** Most complete connections that wait to be accepted. */
  readonly backlog: number;
  /** Most half-open connections. */
  readonly halfOpenLimit: number;
  private readonly owner: ListenOwner;
  private readonly halfOpen = new Set<Tcb>();
  private readonly complete = new Set<Tcb>();

  constructor(owner: ListenOwner, backlog: number, halfOpenLimit: number) {
    this.owner = owner;
    this.backlog = backlog;
    this.halfOpenLimit = halfOpenLimit;
  }

  get acceptable(): number {
    return this.complete.size;
  }

  /** Is there room for another SYN? */
  get mayOpen(): boolean {
    return this.halfOpen.size < this.halfOpenLimit && this.complete.size < this.backlog;
  }

  /** Is there room for a handshake to complete? */
  get mayComplete(): boolean {
    return this.complete.size < this.backlog;
  }

  addHalfOpen(tcb: Tcb): void {
    this.halfOpen.add(tcb);
    tcb.listen = this;
  }

  /** The handshake of a half-open connection is complete. */
  promote(tcb: Tcb): void {
    this.halfOpen.delete(tcb);
    this.complete.add(tcb);
    this.owner.signal(ACCEPTABLE);
  }

  /** Takes the oldest complete connection out, or returns `null`. */
  accept(): Tcb | null {
    for (const tcb of this.complete) {
      this.complete.delete(tcb);
      tcb.listen = null;
      return tcb;
    }
    return null;
  }

  remove(tcb: Tcb): void {
    this.halfOpen.delete(tcb);
    this.complete.delete(tcb);
    tcb.listen = null;
  }

  /** Everyone who was not accepted, for a listener that closes. */
  *pending(): Iterable<Tcb> {
    yield* [...this.halfOpen, ...this.complete];
  }
}
