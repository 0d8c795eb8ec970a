import { cloneAddress, type IpAddress, parseAddress, sameAddress } from "../wire/ip-address.ts";

/**
 * Records of addresses that connections share, as most have one end or the other in common: whoever opens many connects to
 * the same host again, and whoever accepts many has one address. Nobody changes them.
 */
export class KnownAddresses {
  /** What was read last. */
  private text = "";
  private parsed: IpAddress | null = null;
  /** What was asked for last. */
  private last: IpAddress | null = null;

  /** @throws StackError EINVAL */
  read(given: string | IpAddress): IpAddress {
    if (typeof given !== "string") return given;
    if (this.parsed !== null && given === this.text) return this.parsed;
    this.parsed = parseAddress(given);
    this.text = given;
    return this.parsed;
  }

  /** A record of `address`, which is decoded into again. */
  keep(address: IpAddress): IpAddress {
    if (this.last === null || !sameAddress(this.last, address)) this.last = cloneAddress(address);
    return this.last;
  }
}
