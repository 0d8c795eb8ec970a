import { StackError } from "../errors.ts";
import type { ReadyQueue } from "../storage/ready-queue.ts";
import { formatAddress, type IpAddress } from "../wire/ip-address.ts";

/** One way out of the stack: an interface, as sockets see it. */
export interface Path {
  /** Largest IP packet in bytes. */
  readonly mtu: number;
  /** The largest MSS of connections on this way, in bytes. */
  readonly maxSegmentSize: number;
  /** Largest IP packet in bytes that is cut into TCP segments further down; 0 where none is. */
  readonly maxSuperSegment: number;
  /** Sockets that have something to send on this way. */
  readonly ready: ReadyQueue;
}

/** How a remote address is reached. */
export interface Route {
  readonly path: Path;
  /** The address of ours that a packet to there carries. */
  readonly source: IpAddress;
}

/** Finds ways; the interfaces implement it, sockets ask it. */
export interface Routing {
  /** The way to `remote`, or `null`. */
  route(remote: IpAddress): Route | null;
  /** Is `address` the broadcast address of everybody, or of a network we are on? */
  isBroadcast(address: IpAddress): boolean;
  /** RFC 9293 3.8.3: `remote` does not answer, and the way there may be the reason. */
  doubt(remote: IpAddress): void;
  /** Is `address` one of ours? */
  isLocal(address: IpAddress): boolean;
}

/**
 * The way to `remote`, where there has to be one.
 *
 * @param route what was found
 * @throws StackError ENETUNREACH
 */
export function requireRoute(route: Route | null, remote: IpAddress): Route {
  if (route !== null) return route;
  throw new StackError(
    "ENETUNREACH",
    `no route to ${formatAddress(remote)}: give the interface an address in its network, or a gateway`,
  );
}
