import { type IpAddress, isUnspecified, sameAddress } from "../wire/ip-address.ts";
import type { UdpSocket } from "./udp-socket.ts";

/** The UDP sockets of a stack, by port: several have one where each is bound to another address. */
export class UdpSockets {
  private readonly byPort = new Map<number, UdpSocket[]>();

  add(socket: UdpSocket): void {
    const sockets = this.byPort.get(socket.port);
    if (sockets === undefined) this.byPort.set(socket.port, [socket]);
    else sockets.push(socket);
  }

  remove(socket: UdpSocket): void {
    const rest = this.byPort.get(socket.port)?.filter((other) => other !== socket) ?? [];
    if (rest.length === 0) this.byPort.delete(socket.port);
    else this.byPort.set(socket.port, rest);
  }

  /** The socket bound to exactly this address, else the one bound to all, else `null`. */
  find(address: IpAddress, port: number): UdpSocket | null {
    const sockets = this.byPort.get(port);
    if (sockets === undefined) return null;
    for (const socket of sockets) {
      if (sameAddress(socket.address, address)) return socket;
    }
    for (const socket of sockets) {
      if (isUnspecified(socket.address)) return socket;
    }
    return null;
  }
}
