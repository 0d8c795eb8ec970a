import { RecencyList } from "../../storage/recency-list.ts";
import type { Tcb } from "./tcb.ts";

/** Connections in the order in which each was added or touched last; in fixed memory, and any of them can be taken out. */
export class TcbList {
  private readonly order: RecencyList;
  private readonly tcbs: (Tcb | null)[];

  /** @param capacity as many connections as there may be */
  constructor(capacity: number) {
    this.order = new RecencyList(capacity);
    this.tcbs = new Array<Tcb | null>(capacity).fill(null);
  }

  get size(): number {
    return this.order.size;
  }

  has(tcb: Tcb): boolean {
    return this.tcbs[tcb.index] === tcb;
  }

  /** The one that has not been touched for longest, or `null`. */
  get oldest(): Tcb | null {
    return this.order.size === 0 ? null : this.tcbs[this.order.oldest];
  }

  /** Puts it behind all others, whether it is in the list already or not. */
  touch(tcb: Tcb): void {
    this.order.use(tcb.index);
    this.tcbs[tcb.index] = tcb;
  }

  /** Takes it out; does nothing where it is not in. */
  remove(tcb: Tcb): void {
    if (!this.has(tcb)) return;
    this.order.remove(tcb.index);
    this.tcbs[tcb.index] = null;
  }
}
