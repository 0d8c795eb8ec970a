import { StackError } from "../errors.ts";
import type { Path, Route, Routing } from "../socket/routing.ts";
import {
  Cidr,
  cidrContains,
  formatAddress,
  formatCidr,
  type IpAddress,
  ipv4Address,
  isBroadcast,
} from "../wire/ip-address.ts";
import type { Interface } from "./interface.ts";

/** What a program says of a route: a network, and the router that leads there; without one, it is on the link. */
export interface RouteSpec {
  readonly to: Cidr;
  readonly via: IpAddress | null;
}

/** A network, and how it is reached. Routes are made once and handed out as they are. */
export class RouteEntry implements Route {
  readonly to: Cidr;
  /** The router, or `null` where the network's hosts are neighbours. */
  readonly via: IpAddress | null;
  readonly path: Path;
  readonly source: IpAddress;

  constructor(to: Cidr, via: IpAddress | null, path: Path, source: IpAddress) {
    this.to = to;
    this.via = via;
    this.path = path;
    this.source = source;
  }
}

const EVERYWHERE = new Cidr(ipv4Address(0, 0, 0, 0), 0);

/**
 * The routes of one interface: its networks, then what the program has given, then its gateway, the longest prefix first
 * (RFC 1812 5.2.4.3); of equal ones the first. Packets carry the address whose network holds the next hop.
 *
 * @throws StackError EINVAL: a router that is no neighbour
 */
export function interfaceRoutes(
  iface: Interface,
  specs: readonly RouteSpec[],
  gateway: IpAddress | null,
): RouteEntry[] {
  const routes = iface.addresses.map((cidr) => new RouteEntry(cidr, null, iface, cidr.address));
  const [first] = iface.addresses;
  const all = gateway === null ? specs : [...specs, { to: EVERYWHERE, via: gateway }];
  for (const { to, via } of all) {
    if (to.address.family !== 4) {
      throw new StackError(
        "ENOTSUP",
        `the route to ${formatCidr(to)}: IPv6 is not supported yet, give an IPv4 network`,
      );
    }
    if (via !== null) checkRouter(iface, to, via);
    if (first === undefined) continue;
    const nearest = via === null ? null : iface.addressTowards(via);
    routes.push(new RouteEntry(to, via, iface, (nearest ?? first).address));
  }
  return longestFirst(routes);
}

function checkRouter(iface: Interface, to: Cidr, via: IpAddress): void {
  const name = to === EVERYWHERE ? `the gateway ${formatAddress(via)}` : `the router ${formatAddress(via)}`;
  const purpose = to === EVERYWHERE ? "" : ` of the route to ${formatCidr(to)}`;
  if (via.family !== 4) {
    throw new StackError("ENOTSUP", `${name}${purpose}: IPv6 is not supported yet, give an IPv4 address`);
  }
  // A link that carries bare IP packets has one other end, which needs no address to be found by.
  if (iface.link === null) return;
  if (iface.addressTowards(via) === null) {
    const networks = iface.addresses.map(formatCidr).join(", ") || "none";
    throw new StackError(
      "EINVAL",
      `${name}${purpose} is in none of the interface's networks (${networks}): give one that is, or an address whose prefix covers it`,
    );
  }
  if (iface.hasAddress(via) || iface.isBroadcastAddress(via)) {
    throw new StackError("EINVAL", `${name}${purpose} is no other host's address: give that of the router`);
  }
}

function longestFirst(routes: RouteEntry[]): RouteEntry[] {
  return routes.sort((a, b) => b.to.prefixLength - a.to.prefixLength);
}

/** The first, and so the longest, prefix that holds `remote`. */
export function findRoute(routes: readonly RouteEntry[], remote: IpAddress): RouteEntry | null {
  for (let i = 0; i < routes.length; i++) {
    if (cidrContains(routes[i].to, remote)) return routes[i];
  }
  return null;
}

/** All interfaces' routes: which interface leads to an address (RFC 1122 3.3.1). */
export class Routes implements Routing {
  private readonly interfaces: Interface[] = [];
  private routes: RouteEntry[] = [];

  add(iface: Interface): void {
    this.interfaces.push(iface);
    this.routes = longestFirst([...this.routes, ...iface.routes]);
  }

  route(remote: IpAddress): Route | null {
    const found = findRoute(this.routes, remote);
    if (found !== null) return found;
    // RFC 919 7: everybody on the link, where there is no better idea, of the first one.
    return isBroadcast(remote) ? (this.interfaces[0]?.routes[0] ?? null) : null;
  }

  /** The next hop is asked for again: a station that is gone would not be noticed otherwise. */
  doubt(remote: IpAddress): void {
    const found = findRoute(this.routes, remote);
    const iface = this.interfaces.find((candidate) => candidate === found?.path);
    if (iface !== undefined && !iface.isDown) iface.link?.neighbours.suspect(iface.nextHop(remote));
  }

  isLocal(address: IpAddress): boolean {
    return this.interfaces.some((iface) => iface.hasAddress(address));
  }

  isBroadcast(address: IpAddress): boolean {
    return isBroadcast(address) || this.interfaces.some((iface) => iface.isBroadcastAddress(address));
  }
}
