import { StackError } from "../errors.ts";
import type { Line, OnFrame } from "./line.ts";
import type { LineOptions } from "./line-options.ts";

/** What {@link Network.link} takes. */
export interface LinkOptions extends LineOptions {
  /** Largest IP packet in bytes that fits, in both directions; 1,500 unless told. */
  readonly mtu?: number;
}

const SMALLEST_MTU = 68;
const LARGEST_MTU = 65_535;

/** @throws StackError EINVAL */
export function checkMtu(mtu: number): void {
  if (Number.isInteger(mtu) && mtu >= SMALLEST_MTU && mtu <= LARGEST_MTU) return;
  throw new StackError("EINVAL", `mtu is ${mtu}: give a whole number from ${SMALLEST_MTU} to ${LARGEST_MTU}`);
}

/**
 * A cable between two nodes, with a line for each direction.
 *
 * @example
 * ```ts
 * const link = net.link(left, right, { rateMbit: 10, delayMs: 20 });
 * link.set({ loss: 0.01 });
 * link.back.set({ delayMs: 200 });
 * link.down();
 * ```
 */
export class Link {
  /** From the first node to the second, and back. */
  readonly there: Line;
  readonly back: Line;
  private carried: number;
  private plugged = true;

  /** Made by `Network.link`. */
  constructor(there: Line, back: Line, mtu: number) {
    this.there = there;
    this.back = back;
    this.carried = mtu;
  }

  /** Largest IP packet in bytes that fits, in both directions. */
  get mtu(): number {
    return this.carried;
  }

  get isUp(): boolean {
    return this.plugged;
  }

  /**
   * Changes options of both directions: see `Line.set`.
   *
   * @throws StackError EINVAL
   */
  set(options: LineOptions): void {
    this.there.set(options);
    this.back.set(options);
  }

  /**
   * From now on packets of `mtu` bytes at most fit. Both ends are told; what is on the way already arrives.
   *
   * @param mtu 68 .. 65,535
   * @throws StackError EINVAL
   */
  setMtu(mtu: number): void {
    checkMtu(mtu);
    this.carried = mtu;
    for (const line of [this.there, this.back]) {
      line.setMtu(mtu);
      line.to.onLink(this.plugged, mtu);
    }
  }

  /** Has every frame that enters a line shown to `onFrame`, or no more with `null`. */
  watch(onFrame: OnFrame | null): void {
    this.there.onFrame = onFrame;
    this.back.onFrame = onFrame;
  }

  /** Unplugs the cable: what is on the way is lost, and hosts at its ends are told that their link is down. */
  down(): void {
    this.setUp(false);
  }

  /** Plugs it in again. */
  up(): void {
    this.setUp(true);
  }

  private setUp(up: boolean): void {
    if (up === this.plugged) return;
    this.plugged = up;
    for (const line of [this.there, this.back]) {
      line.setUp(up);
      line.to.onLink(up, this.mtu);
    }
  }
}
