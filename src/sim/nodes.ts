import type { Device, Medium } from "../device.ts";
import { StackError } from "../errors.ts";
import { Host, type HostSettings } from "../host/host.ts";
import { Pump } from "../host/pump.ts";
import type { Interface } from "../iface/interface.ts";
import { type Random, seededRandom } from "../random.ts";
import { type InterfaceOptions, Stack, type StackOptions } from "../stack.ts";
import { cidrContains, formatAddress, parseCidr } from "../wire/ip-address.ts";
import { type Port, SimNode } from "./node.ts";
import type { PacketPool } from "./packet-pool.ts";
import { Router, RouterDevice } from "./router.ts";
import { Station } from "./station.ts";
import { Switch, type SwitchOptions } from "./switch.ts";
import type { Timeline } from "./timeline.ts";
import type { VirtualRuntime } from "./virtual-runtime.ts";

/** An interface of a simulated host, stack or router. Addresses are not probed unless `conflictDetection` says so. */
export interface SimInterfaceOptions extends Omit<InterfaceOptions, "device"> {
  /** Puts something around its device, such as a capture of what it sends and receives. */
  readonly wrap?: ((device: Device) => Device) | undefined;
}

interface Named {
  /** What it is called in messages; its first address unless told. */
  readonly name?: string | undefined;
}

/** One interface, or several. */
type WithInterfaces =
  | (SimInterfaceOptions & { readonly interfaces?: undefined })
  | { readonly interfaces: readonly SimInterfaceOptions[]; readonly addresses?: undefined };

/**
 * What `Network.host` takes. Unless told, it has 16 MiB of memory for connections and 4,096 sockets: less than usual, for it
 * takes milliseconds to make more.
 */
export type SimHostOptions = Named & Omit<HostSettings, "random" | "runtime"> & WithInterfaces;
/** What `Network.stack` takes; the same goes for its memory. */
export type SimStackOptions = Named & Omit<StackOptions, "random"> & WithInterfaces;
/** What `Network.router` takes. */
export type SimRouterOptions = Named &
  WithInterfaces & {
    /** `false` where it drops in silence what it cannot send on, as behind a firewall that filters ICMP; `true` unless told. */
    readonly icmp?: boolean | undefined;
  };

/**
 * A stack without promises, which the network polls when there is a reason to. After you have written, closed or connected a
 * socket, or read from one, `wake` is the reason.
 */
export class SimStack {
  readonly stack: Stack;
  readonly interfaces: readonly Interface[];
  private readonly pump: Pump;

  /** Made by `Network.stack`. */
  constructor(stack: Stack, interfaces: readonly Interface[], pump: Pump) {
    this.stack = stack;
    this.interfaces = interfaces;
    this.pump = pump;
  }

  /** Times that the stack was polled. */
  get polls(): number {
    return this.pump.polls;
  }

  /** Has the network poll the stack at this time. Any number of calls make one poll. */
  wake(): void {
    this.pump.wake();
  }
}

/** What a link can be plugged into. */
export type Endpoint = Host | SimStack | Router | Switch | Port;

interface Known {
  readonly node: SimNode;
  readonly stations: readonly Station[];
}

/** The nodes of a network: makes them, and finds where links go. */
export class Nodes {
  private readonly medium: Medium;
  private readonly checksumOffload: boolean;
  private readonly timeline: Timeline;
  private readonly pool: PacketPool;
  private readonly runtime: VirtualRuntime;
  private readonly seeds: Random;
  private readonly known = new Map<object, Known>();
  private readonly byAddress = new Map<number, SimNode>();
  private stationCount = 0;

  constructor(
    medium: Medium,
    checksumOffload: boolean,
    timeline: Timeline,
    pool: PacketPool,
    runtime: VirtualRuntime,
    seeds: Random,
  ) {
    this.medium = medium;
    this.checksumOffload = checksumOffload;
    this.timeline = timeline;
    this.pool = pool;
    this.runtime = runtime;
    this.seeds = seeds;
  }

  host(options: SimHostOptions): Host {
    const { node, stations, devices, specs } = this.stationsOf(options);
    const interfaces = specs.map((spec, i) => ({ ...spec, device: devices[i] }));
    const settings = { ...SMALLER, ...options, runtime: this.runtime, random: this.random() };
    return this.remember(new Host(settings, interfaces), node, stations);
  }

  stack(options: SimStackOptions): SimStack {
    const { node, stations, devices, specs } = this.stationsOf(options);
    const stack = new Stack({ ...SMALLER, ...options, random: this.random() });
    const interfaces = specs.map((spec, i) => stack.addInterface({ ...spec, device: devices[i] }));
    const pump = this.pumpFor(stack, interfaces);
    return this.remember(new SimStack(stack, interfaces, pump), node, stations);
  }

  router(options: SimRouterOptions): Router {
    const { node, stations, devices, specs } = this.stationsOf(options);
    const stack = new Stack({ memory: ROUTER_MEMORY, maxSockets: 16, random: this.random() });
    const doors = devices.map((device, i) => new RouterDevice(stations[i], device));
    const router = new Router(
      node,
      stack,
      new Map(doors.map((door, i) => [door, stations[i]])),
      (address) => this.byAddress.get(address) ?? null,
      options.icmp ?? true,
    );
    const interfaces = specs.map((spec, i) => stack.addInterface({ ...spec, device: doors[i] }));
    for (const [i, door] of doors.entries()) door.serve(router, interfaces[i]);
    this.pumpFor(stack, interfaces);
    return this.remember(router, node, stations);
  }

  switch(options: SwitchOptions): Switch {
    if (this.medium === "ip") {
      throw new StackError(
        "EINVAL",
        'a switch needs Ethernet, and this network carries bare IP packets: new Network({ medium: "ethernet" })',
      );
    }
    const node = new SimNode(options.name ?? `switch ${this.known.size + 1}`);
    return this.remember(new Switch(node, options, this.timeline, this.pool), node, []);
  }

  /** @throws StackError EINVAL */
  nodeOf(endpoint: Endpoint): SimNode {
    return isPort(endpoint) ? endpoint.node : this.find(endpoint).node;
  }

  /** The interface of `endpoint` that has the address. @throws StackError EINVAL */
  portAt(endpoint: Endpoint, address: string): Port {
    const { node, stations } = this.find(endpoint);
    const found = stations.find(({ addresses }) =>
      addresses.some((cidr) => formatAddress(cidr.address) === address),
    );
    if (found !== undefined) return found;
    throw new StackError("EINVAL", `${node.name} has no interface with the address ${address}`);
  }

  /**
   * The ports that a link between the two goes into: those whose networks hold each other's addresses, or the first ones that
   * are free.
   *
   * @throws StackError EINVAL
   */
  portsBetween(a: Endpoint, b: Endpoint): readonly [Port, Port] {
    const [ours, theirs] = [this.freePorts(a), this.freePorts(b)];
    for (const left of ours) {
      for (const right of theirs) {
        if (areNeighbours(left, right)) return [left, right];
      }
    }
    return [ours[0], theirs[0]];
  }

  /** No node is in a part any more. */
  heal(): void {
    for (const { node } of this.known.values()) node.part = 0;
  }

  private freePorts(endpoint: Endpoint): readonly Port[] {
    if (endpoint instanceof Switch) return [endpoint.addPort()];
    const ports = isPort(endpoint) ? [endpoint] : this.find(endpoint).stations;
    const free = ports.filter(({ line }) => line === null);
    if (free.length > 0) return free;
    throw new StackError(
      "EINVAL",
      `${this.nodeOf(endpoint).name} has no interface left for another link: give it one more in interfaces, or use a switch`,
    );
  }

  private find(endpoint: object): Known {
    const known = this.known.get(endpoint);
    if (known !== undefined) return known;
    throw new StackError(
      "EINVAL",
      "this is no node of this network: make it with host, stack, switch or router",
    );
  }

  private remember<T extends object>(what: T, node: SimNode, stations: readonly Station[]): T {
    this.known.set(what, { node, stations });
    for (const { addresses } of stations) {
      for (const { address } of addresses) this.byAddress.set(address.w3, node);
    }
    return what;
  }

  private pumpFor(stack: Stack, interfaces: readonly Interface[]): Pump {
    const pump = new Pump(stack, this.runtime);
    for (const iface of interfaces) {
      iface.device.onEvent?.((event) => {
        if (event.type === "mtu") iface.setMtu(event.mtu);
        else iface.setLink(event.type === "up");
        pump.wake();
      });
      pump.watch(iface.device);
    }
    return pump;
  }

  private stationsOf(options: Named & WithInterfaces) {
    const specs = options.interfaces ?? [options];
    const node = new SimNode(options.name ?? specs[0]?.addresses[0] ?? `node ${this.known.size + 1}`);
    const stations = specs.map(
      ({ addresses }) =>
        new Station(
          node,
          addresses.map((each) => parseCidr(each)),
          this.capabilities(),
          this.pool,
        ),
    );
    const devices = stations.map((station, i) => specs[i].wrap?.(station) ?? station);
    const quick = specs.map((spec) => ({
      ...spec,
      conflictDetection: spec.conflictDetection ?? ("off" as const),
    }));
    return { node, stations, devices, specs: quick };
  }

  private capabilities() {
    const { medium, checksumOffload } = this;
    const number = ++this.stationCount;
    const common = { medium, mtu: DEFAULT_MTU, checksumOffload, maxSuperSegment: 0 };
    if (medium === "ip") return common;
    return { ...common, hardwareAddress: Uint8Array.of(2, 0, 0, 0, number >> 8, number) };
  }

  private random(): Random {
    return seededRandom(this.seeds.next());
  }
}

const SMALLER = { memory: 16 * 1024 * 1024, maxSockets: 4_096 };
const DEFAULT_MTU = 1_500;
/** A router has no connections. */
const ROUTER_MEMORY = 64 * 1024;

function isPort(endpoint: Endpoint): endpoint is Port {
  return "arrive" in endpoint;
}

function areNeighbours(a: Port, b: Port): boolean {
  if (!(a instanceof Station && b instanceof Station)) return false;
  return a.addresses.some((ours) => b.addresses.some((theirs) => cidrContains(ours, theirs.address)));
}
