import type { Medium } from "../device.ts";
import { StackError } from "../errors.ts";
import type { Host } from "../host/host.ts";
import { type Random, seededRandom } from "../random.ts";
import { NEVER } from "../storage/deadline-heap.ts";
import { Line } from "./line.ts";
import type { LineOptions } from "./line-options.ts";
import { checkMtu, Link, type LinkOptions } from "./link.ts";
import type { Port } from "./node.ts";
import {
  type Endpoint,
  Nodes,
  type SimHostOptions,
  type SimRouterOptions,
  type SimStack,
  type SimStackOptions,
} from "./nodes.ts";
import { PacketPool } from "./packet-pool.ts";
import { ProgramRun, withSeed } from "./program-run.ts";
import type { Router } from "./router.ts";
import type { Switch, SwitchOptions } from "./switch.ts";
import { Occurrence, Timeline } from "./timeline.ts";
import { VirtualRuntime } from "./virtual-runtime.ts";

/** What {@link Network} takes. */
export interface NetworkOptions {
  /** 0 .. 2^32 - 1: the same seed gives the same run, to the last byte; 1 unless told. */
  readonly seed?: number;
  /** What frames start with: an IP header, or an Ethernet header, which switches need; `"ip"` unless told. */
  readonly medium?: Medium;
  /** `true` where hosts neither compute nor verify TCP and UDP checksums, which is faster. `false` unless told. */
  readonly checksumOffload?: boolean;
  /** Bytes of memory for frames on their way; what does not fit is lost. 256 MiB unless told, taken as it is needed. */
  readonly memory?: number;
}

/** What {@link Network.run} takes. */
export interface RunOptions {
  /** Virtual time in ms that the program has; 24 hours unless told. */
  readonly timeout?: number;
}

const DEFAULT_MEMORY = 256 * 1024 * 1024;
const DEFAULT_MTU = 1_500;
const DAY_MS = 86_400_000;

/**
 * A network of hosts, links, switches and routers in virtual time: nothing waits, an hour passes in the time that its
 * packets take to be computed, and the same seed gives the same run.
 *
 * Build it, and then `run` a program in it that uses the hosts' sockets with `await`; or move it by hand with `step`,
 * `runFor` and `runUntilIdle`, for programs that look at stacks between any two events.
 *
 * @example
 * ```ts
 * const net = new Network({ seed: 7 });
 * const server = net.host("10.0.0.1/24");
 * const client = net.host("10.0.0.2/24");
 * net.link(server, client, { rateMbit: 10, delayMs: 25, loss: 0.01 });
 * await net.run(async () => {
 *   const listener = server.listen({ port: 80 });
 *   const connection = await client.connect({ address: "10.0.0.1", port: 80 });
 *   await connection.write("hello");
 *   const accepted = await listener.accept();
 *   new TextDecoder().decode((await accepted.read()) ?? undefined); // "hello"
 *   await net.sleep(3_600_000);
 * });
 * net.now > 3_600_000; // true
 * ```
 */
export class Network {
  readonly seed: number;
  /** Randomness for the program: drawn from the seed, too. */
  readonly random: Random;
  /** Is called after each event, to look at everything; what it throws ends the run. */
  onStep: (() => void) | null = null;
  private readonly timeline = new Timeline();
  private readonly runtime = new VirtualRuntime(this.timeline);
  private readonly medium: Medium;
  private readonly pool: PacketPool;
  private readonly seeds: Random;
  private readonly nodes: Nodes;
  private running: ProgramRun | null = null;

  /** @throws StackError EINVAL */
  constructor(options: NetworkOptions = {}) {
    const { seed = 1, medium = "ip", checksumOffload = false, memory = DEFAULT_MEMORY } = options;
    if (!Number.isInteger(seed) || seed < 0 || seed > 0xffff_ffff) {
      throw new StackError("EINVAL", `seed is ${seed}: give a whole number from 0 to 2^32 - 1`);
    }
    if (!(memory >= 1)) throw new StackError("EINVAL", `memory is ${memory}: give a number of bytes`);
    this.seed = seed;
    this.medium = medium;
    this.pool = new PacketPool(memory);
    this.seeds = seededRandom(seed);
    this.random = seededRandom(this.seeds.next());
    this.nodes = new Nodes(medium, checksumOffload, this.timeline, this.pool, this.runtime, this.seeds);
  }

  /** Virtual time in ms, from 0. */
  get now(): number {
    return this.timeline.now;
  }

  /** When something happens next, in ms, or `NEVER`. */
  get nextAt(): number {
    return this.timeline.nextAt;
  }

  /** Bytes of memory for frames on their way, and kept for the next ones. */
  get memoryUsed(): number {
    return this.pool.size;
  }

  /** Frames on their way: in queues, on lines, being read, and one at most that each interface has ready to be written. */
  get framesInUse(): number {
    return this.pool.inUse;
  }

  /**
   * A host with all sockets of `Host`, on one interface or several.
   *
   * @param options its address with the prefix length, or more
   * @throws StackError EINVAL, ENOTSUP
   */
  host(options: string | SimHostOptions): Host {
    return this.nodes.host(typeof options === "string" ? { addresses: [options] } : options);
  }

  /**
   * A bare stack, without promises, that the network polls.
   *
   * @param options its address with the prefix length, or more
   * @throws StackError EINVAL, ENOTSUP
   */
  stack(options: string | SimStackOptions): SimStack {
    return this.nodes.stack(typeof options === "string" ? { addresses: [options] } : options);
  }

  /**
   * A router between the networks of its interfaces.
   *
   * @param options the addresses of its interfaces, one each, or more
   * @throws StackError EINVAL, ENOTSUP
   */
  router(options: readonly string[] | SimRouterOptions): Router {
    return this.nodes.router(
      isAddresses(options) ? { interfaces: options.map((address) => ({ addresses: [address] })) } : options,
    );
  }

  /** A switch with a port for each link. @throws StackError EINVAL on a network without Ethernet */
  switch(options: SwitchOptions = {}): Switch {
    return this.nodes.switch(options);
  }

  /**
   * The interface of a node with several that has the address, to plug a link into. Where only one has neighbours at the
   * other end, `link` finds it by itself.
   *
   * @throws StackError EINVAL
   */
  port(node: Endpoint, address: string): Port {
    return this.nodes.portAt(node, address);
  }

  /**
   * Plugs a link into two nodes.
   *
   * @param options of both directions
   * @param back what is different on the way back, from `b` to `a`
   * @throws StackError EINVAL
   */
  link(a: Endpoint, b: Endpoint, options: LinkOptions = {}, back: LineOptions = {}): Link {
    const { mtu = DEFAULT_MTU } = options;
    checkMtu(mtu);
    const [left, right] = this.nodes.portsBetween(a, b);
    if (left === right)
      throw new StackError("EINVAL", "a link has two ends: give it two nodes, or two interfaces");
    const line = (from: Port, to: Port, its: LineOptions) =>
      new Line(from, to, its, mtu, this.medium, this.timeline, this.pool, seededRandom(this.seeds.next()));
    const link = new Link(line(left, right, options), line(right, left, { ...options, ...back }), mtu);
    left.line = link.there;
    right.line = link.back;
    left.onLink(true, mtu);
    right.onLink(true, mtu);
    return link;
  }

  /**
   * Cuts the network into parts: what a node of one part has sent does not arrive at one of another, whatever lies between,
   * from now until `heal`. Frames under way are cut off, too. Nodes that are in no part hear everybody, and switches and
   * routers that are in none pass on what stays within a part. Takes the place of a partition before.
   *
   * @throws StackError EINVAL
   */
  partition(...parts: readonly (readonly Endpoint[])[]): void {
    const nodes = parts.map((part) => part.map((each) => this.nodes.nodeOf(each)));
    if (new Set(nodes.flat()).size < nodes.flat().length) {
      throw new StackError("EINVAL", "a node is in two parts of the partition: give each one once");
    }
    this.heal();
    for (const [i, part] of nodes.entries()) {
      for (const node of part) node.part = i + 1;
    }
  }

  /** Ends a partition. */
  heal(): void {
    this.nodes.heal();
  }

  /** Resolves `ms` later, in virtual time. */
  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => this.after(ms, resolve));
  }

  /** Calls `task` at a time, in ms; returns what takes that back. */
  at(time: number, task: () => void): () => void {
    if (!(time >= this.now)) {
      throw new StackError("EINVAL", `${time} ms is in the past: give a time from ${this.now} on`);
    }
    const occurrence = new Occurrence(() => {
      this.runtime.programIsDue();
      task();
    });
    this.timeline.set(occurrence, time);
    return () => this.timeline.set(occurrence, NEVER);
  }

  /** Calls `task` in `ms` ms; returns what takes that back. */
  after(ms: number, task: () => void): () => void {
    return this.at(this.now + ms, task);
  }

  /** A signal that aborts in `ms` ms of virtual time, as `AbortSignal.timeout` does in real time. */
  timeoutSignal(ms: number): AbortSignal {
    const controller = new AbortController();
    this.after(ms, () => controller.abort(new DOMException("The operation timed out.", "TimeoutError")));
    return controller.signal;
  }

  /**
   * Runs a program in virtual time, to its end. It may await whatever the network's hosts and `sleep` promise; what comes
   * from elsewhere goes through `outside`. Time stands still while the program computes, and after it has ended.
   *
   * What the program throws is thrown, with the seed in its message.
   *
   * @throws StackError ETIMEDOUT (it takes too much virtual time, or nothing is left to happen, and it still waits), EBUSY
   */
  run<T>(program: () => Promise<T> | T, options: RunOptions = {}): Promise<T> {
    this.checkIdle();
    const run = new ProgramRun(
      (limit) => this.next(limit),
      this.runtime,
      this.timeline,
      this.timeline.now + (options.timeout ?? DAY_MS),
      this.seed,
    );
    this.running = run;
    return run.start(program).finally(() => {
      this.running = null;
    });
  }

  /** Starts a part of the program that nobody awaits: `run` rejects with what it throws. */
  spawn(part: () => Promise<unknown>): void {
    part().catch((error) => {
      if (this.running === null) throw error;
      this.running.fail(error);
    });
  }

  /** Holds the time until a promise settles that does not come from the network: of a file, a hash, a worker. */
  outside<T>(promise: Promise<T>): Promise<T> {
    return this.running === null ? promise : this.running.hold(promise);
  }

  /**
   * By hand: has the next thing happen; `false` where there is none. Programs do not run, but handlers of sockets do.
   *
   * @throws what happens throws, with the seed in its message; StackError EBUSY within `run`
   */
  step(): boolean {
    this.checkIdle();
    return this.stepUntil(NEVER);
  }

  /** By hand: has everything happen that does until `ms` from now, and lets that time pass. */
  runFor(ms: number): void {
    this.checkIdle();
    const until = this.now + ms;
    while (this.stepUntil(until));
    this.timeline.moveTo(until);
  }

  /** By hand: runs until nothing is left to happen; `false` where that is not so after `ms`. */
  runUntilIdle(ms = DAY_MS): boolean {
    this.checkIdle();
    const until = this.now + ms;
    while (this.stepUntil(until));
    return this.timeline.isEmpty;
  }

  private stepUntil(limit: number): boolean {
    try {
      return this.next(limit);
    } catch (error) {
      throw withSeed(error, this.seed, this.now);
    }
  }

  private next(limit: number): boolean {
    if (!this.timeline.step(limit)) return false;
    this.onStep?.();
    return true;
  }

  private checkIdle(): void {
    if (this.running === null) return;
    throw new StackError("EBUSY", "a program runs in this network: await its end, or wait in it with sleep");
  }
}

function isAddresses(options: readonly string[] | SimRouterOptions): options is readonly string[] {
  return Array.isArray(options);
}
