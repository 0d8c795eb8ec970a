import type { Random } from "../../random.ts";
import { HalfSipHash } from "../../storage/half-siphash.ts";
import { ANY_IPV4, type IpAddress, sameAddress } from "../../wire/ip-address.ts";
import type { TcpSegment } from "../../wire/tcp.ts";
import { EVERY_PORT, type TcpListener } from "./listener.ts";

/**
 * The listeners of a stack. A segment is for the one on its address and port; else for the one on all of the stack's addresses
 * and that port; else, and wherever the address is not the stack's own, for the catch-all. Of several that share an address
 * and a port (`reusePort`) each has the flows for which a keyed hash of both ends and its number is the largest: so a flow
 * stays where it is as others come and go, and the flows of one that closes are spread over the rest.
 */
export class Listeners {
  /** Has there been a catch-all? Then packets to foreign addresses may be for its connections, even when it has closed. */
  hasCaughtAll = false;
  private readonly byPort = new Map<number, TcpListener[]>();
  private readonly random: Random;
  /** Made when the first port is shared. */
  private hash: HalfSipHash | null = null;

  constructor(random: Random) {
    this.random = random;
  }

  add(listener: TcpListener): void {
    const others = this.byPort.get(listener.port);
    if (listener.spec.isCatchAll) this.hasCaughtAll = true;
    if (others === undefined) {
      this.byPort.set(listener.port, [listener]);
      return;
    }
    this.shareCookies(listener, others);
    others.push(listener);
  }

  /** The cookies that `closed` has sent may be answered to those who share its port. */
  remove(closed: TcpListener): void {
    const rest = this.byPort.get(closed.port)?.filter((other) => other !== closed) ?? [];
    if (rest.length === 0) this.byPort.delete(closed.port);
    else this.byPort.set(closed.port, rest);
    this.shareCookies(closed, rest);
  }

  /** Who listens for `seg`, or `null`. */
  find(seg: TcpSegment, isForeign: boolean): TcpListener | null {
    const own = isForeign ? undefined : this.byPort.get(seg.destinationPort);
    return (
      this.choose(own, seg.destination, seg) ??
      this.choose(own, ANY_IPV4, seg) ??
      this.choose(this.byPort.get(EVERY_PORT), ANY_IPV4, seg)
    );
  }

  private choose(
    listeners: readonly TcpListener[] | undefined,
    address: IpAddress,
    seg: TcpSegment,
  ): TcpListener | null {
    if (listeners === undefined) return null;
    let chosen: TcpListener | null = null;
    let heaviest = -1;
    for (const listener of listeners) {
      if (!sameAddress(listener.address, address)) continue;
      const weight = listener.spec.reusePort ? this.weight(listener, seg) : 0;
      if (weight <= heaviest) continue;
      heaviest = weight;
      chosen = listener;
    }
    return chosen;
  }

  private weight(listener: TcpListener, seg: TcpSegment): number {
    this.hash ??= new HalfSipHash(this.random.next(), this.random.next());
    const { hash } = this;
    const { source, destination } = seg;
    hash.start();
    hash.add(listener.index);
    hash.add((seg.destinationPort << 16) | seg.sourcePort);
    hash.add(source.w0);
    hash.add(source.w1);
    hash.add(source.w2);
    hash.add(source.w3);
    hash.add(destination.w0);
    hash.add(destination.w1);
    hash.add(destination.w2);
    hash.add(destination.w3);
    return hash.finish(40) >>> 0;
  }

  private shareCookies(listener: TcpListener, others: readonly TcpListener[]): void {
    for (const other of others) {
      if (!sameAddress(other.address, listener.address)) continue;
      const until = Math.max(other.queue.cookiesUntil, listener.queue.cookiesUntil);
      other.queue.cookiesUntil = until;
      listener.queue.cookiesUntil = until;
    }
  }
}
