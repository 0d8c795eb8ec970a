import type { Route, Routing } from "../socket/routing.ts";
import { type IpAddress, isBroadcast } from "../wire/ip-address.ts";
import type { Interface } from "./interface.ts";

/** Which interface leads to an address: its own networks, longest prefix first, then a gateway (RFC 1122 3.3.1). */
export class Routes implements Routing {
  private readonly interfaces: Interface[] = [];

  add(iface: Interface): void {
    this.interfaces.push(iface);
  }

  route(remote: IpAddress): Route | null {
    let path: Interface | null = null;
    let source: IpAddress | null = null;
    let longest = -1;
    for (const iface of this.interfaces) {
      const cidr = iface.addressTowards(remote);
      if (cidr === null || cidr.prefixLength <= longest) continue;
      path = iface;
      source = cidr.address;
      longest = cidr.prefixLength;
    }
    if (path !== null && source !== null) return { path, source };
    return this.byGateway() ?? (isBroadcast(remote) ? this.first() : null);
  }

  isLocal(address: IpAddress): boolean {
    return this.interfaces.some((iface) => iface.hasAddress(address));
  }

  isBroadcast(address: IpAddress): boolean {
    return isBroadcast(address) || this.interfaces.some((iface) => iface.isBroadcastAddress(address));
  }

  private byGateway(): Route | null {
    for (const iface of this.interfaces) {
      if (iface.gateway === null) continue;
      const source = iface.addressTowards(iface.gateway) ?? iface.addresses[0];
      if (source !== undefined) return { path: iface, source: source.address };
    }
    return null;
  }

  private first(): Route | null {
    const [iface] = this.interfaces;
    const source = iface?.addresses[0];
    return source === undefined ? null : { path: iface, source: source.address };
  }
}
