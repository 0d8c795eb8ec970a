import { cidrBroadcast, type EchoError, type EchoReply, parseCidr } from "../../src/index.ts";

/** Whom ping.ts asks, and so whose answers count. */
export class PingTarget {
  readonly address: string;
  /** Every host of the network is asked, and any of them answers. */
  readonly isBroadcast: boolean;
  /** Sequence numbers of requests to many of which somebody has answered. */
  private readonly answered = new Set<number>();

  /** @param own the addresses of the interface, with their prefixes */
  constructor(address: string, own: readonly string[]) {
    this.address = address;
    const broadcasts = own.map((cidr) => `${cidrBroadcast(parseCidr(cidr))}`);
    this.isBroadcast = ["255.255.255.255", ...broadcasts].includes(address);
  }

  /** A request with this number is sent; they come again after 65,535. */
  asking(sequence: number): void {
    this.answered.delete(sequence);
  }

  /** An answer as it counts: to a broadcast, all but the first are duplicates. `null` for one that is not for us. */
  accept(answer: EchoReply | EchoError): EchoReply | EchoError | null {
    if (!this.isBroadcast || answer.type === "error") return answer.target === this.address ? answer : null;
    const duplicate = this.answered.has(answer.sequence);
    this.answered.add(answer.sequence);
    return { ...answer, duplicate };
  }
}
