import type { Line } from "./line.ts";
import type { Packet } from "./packet-pool.ts";

/** One end of a link. */
export interface Port {
  readonly node: SimNode;
  /** What leads away from it, or `null` where no cable is plugged in. */
  line: Line | null;
  /** Takes a packet that has come over the link, to keep or to give back to the pool. */
  arrive(packet: Packet): void;
  /** A cable is plugged in that carries IP packets of `mtu` bytes at most, works, or works no more. */
  onLink(up: boolean, mtu: number): void;
}

/** A host, stack, switch or router, as the network sees it. */
export class SimNode {
  readonly name: string;
  /** What part of a partitioned network it is in; 0 for one that everybody can hear. */
  part = 0;

  constructor(name: string) {
    this.name = name;
  }
}

/** Whether a partition lies between the two. */
export function isSeparated(a: SimNode, b: SimNode): boolean {
  return a.part !== b.part && a.part !== 0 && b.part !== 0;
}
