import type { UdpOrigin, UdpSocket } from "../../../src/socket/udp-socket.ts";
import { ANY_IPV4, cloneAddress, formatAddress, parseAddress } from "../../../src/wire/ip-address.ts";
import { POLL } from "./events.ts";
import type { Machine } from "./machine.ts";
import { OptionValues } from "./option-values.ts";
import type { Endpoint } from "./tcp-file.ts";

export interface Datagram {
  readonly bytes: Uint8Array;
  readonly from: Endpoint;
}

const LONGEST = 65_535;
const arrived = new Uint8Array(LONGEST);

/** A UDP socket; it has one of the stack's as soon as it is bound, or has sent. */
export class UdpFile {
  readonly kind = "udp";
  readonly machine: Machine;
  flags: number;
  readonly options = new OptionValues();
  socket: UdpSocket | null = null;
  /** Where `connect` has pointed it; others' datagrams are not for it. */
  peer: Endpoint | null = null;
  readonly datagrams: Datagram[] = [];
  error: string | null = null;
  readShut = false;
  writeShut = false;
  edges = 0;
  private readonly origin: UdpOrigin = {
    remoteAddress: cloneAddress(ANY_IPV4),
    remotePort: 0,
    localAddress: cloneAddress(ANY_IPV4),
  };

  constructor(machine: Machine, flags: number) {
    this.machine = machine;
    this.flags = flags;
  }

  get hasDatagram(): boolean {
    return this.datagrams.length > 0;
  }

  /** Takes a port. @throws StackError EADDRINUSE, EADDRNOTAVAIL */
  bind(endpoint: Endpoint | null): void {
    const { sockets } = this.machine.stack;
    this.socket = sockets.bindUdp({
      ...(endpoint === null ? {} : { address: parseAddress(endpoint.address) }),
      ...(endpoint === null || endpoint.port === 0 ? {} : { port: endpoint.port }),
    });
  }

  takeError(): string | null {
    const { error } = this;
    this.error = null;
    return error;
  }

  /** The stack has been polled: takes what has come out of its queue. */
  notice(): void {
    const { socket, origin, peer } = this;
    if (socket === null) return;
    for (;;) {
      const length = socket.receive(arrived, origin);
      if (length === -1) break;
      const from = { address: formatAddress(origin.remoteAddress), port: origin.remotePort };
      if (peer !== null && !isSame(peer, from)) continue;
      this.datagrams.push({ bytes: arrived.slice(0, length), from });
      this.edges |= POLL.IN;
    }
    for (let code = socket.receiveError(origin); code !== null; code = socket.receiveError(origin)) {
      // RFC 1122 4.1.3.3; who has not called `connect` is told only where it asked for it.
      if (peer === null && this.options.get("IP_RECVERR") === 0) continue;
      this.error = code;
      this.edges |= POLL.ERR;
    }
  }

  close(): void {
    this.socket?.close();
    this.socket = null;
  }
}

function isSame(a: Endpoint, b: Endpoint): boolean {
  return a.address === b.address && a.port === b.port;
}
