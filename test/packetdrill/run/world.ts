import type { Interface } from "../../../src/iface/interface.ts";
import { seededRandom } from "../../../src/random.ts";
import { Stack } from "../../../src/stack.ts";
import { Kernel } from "../kernel/kernel.ts";
import type { Settings } from "./settings.ts";
import { Wire } from "./wire.ts";

/** A stack that moves so often without time passing is going in circles. */
const MOST_ROUNDS = 10_000;
const SEED = 1;
/** Enough for a script; tables for more take longer to make than most scripts to run. */
const MOST_SOCKETS = 1_024;
/** The stack under test with its wire and its kernel, in virtual time. */
export class World {
  readonly wire: Wire;
  readonly stack: Stack;
  readonly kernel: Kernel;
  private readonly iface: Interface;
  /** ms, from 0. */
  now = 0;
  /** Is called whenever everything has come to rest. */
  onRest: () => void = () => {};

  /** @throws StackError where addresses or the MTU are wrong */
  constructor(settings: Settings) {
    const { localIp, remoteIp, bindPort, connectPort, mtu } = settings;
    this.wire = new Wire(mtu);
    this.stack = new Stack({
      random: seededRandom(SEED),
      maxSockets: MOST_SOCKETS,
      memory: settings.memory,
    });
    // All the world is behind the device, as it is behind a TUN that a router's address leads to.
    this.iface = this.stack.addInterface({
      device: this.wire,
      addresses: [`${localIp}/${prefixLength(settings.netmaskIp)}`],
      routes: [{ to: "0.0.0.0/0" }],
    });
    this.kernel = new Kernel({
      stack: this.stack,
      localAddress: localIp,
      remoteAddress: remoteIp,
      bindPort,
      connectPort,
      now: this.now,
    });
    this.settle();
  }

  /** The link carries packets of so many bytes from now on. */
  setMtu(mtu: number): void {
    this.wire.setMtu(mtu);
    this.iface.setMtu(mtu);
  }

  /** Has everything happen that happens now. */
  settle(): void {
    const { stack, kernel, now } = this;
    this.wire.now = now;
    for (let round = 0; round < MOST_ROUNDS; round++) {
      while (stack.poll(now));
      kernel.progress(now);
      if (stack.nextDeadline(now) > now) {
        this.onRest();
        return;
      }
    }
    throw new Error(`the stack does not come to rest at ${now} ms`);
  }

  /** When something happens next: ms, or infinity. */
  get nextAt(): number {
    return Math.max(this.now, Math.min(this.stack.nextDeadline(this.now), this.kernel.nextDeadline()));
  }

  /** Moves to what happens next, unless that is behind `limit` (ms). Returns whether it did. */
  step(limit: number): boolean {
    const at = this.nextAt;
    if (!(at <= limit)) return false;
    // What is due and does not happen would be due for ever.
    this.now = at > this.now ? at : this.now + 0.001;
    this.settle();
    return true;
  }

  advanceTo(at: number): void {
    while (this.step(at));
    if (at > this.now) {
      this.now = at;
      this.settle();
    }
  }
}

/** 16 of `255.255.0.0`. */
function prefixLength(netmask: string): number {
  const bits = netmask
    .split(".")
    .map((part) => Number(part).toString(2).padStart(8, "0"))
    .join("");
  return bits.includes("0") ? bits.indexOf("0") : 32;
}
