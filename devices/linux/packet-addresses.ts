import { StackError } from "../../src/errors.ts";
import { type Cidr, formatAddress, IpAddress, parseAddress, parseCidr } from "../../src/wire/ip-address.ts";
import { RouteSocket } from "./netlink.ts";

/**
 * Makes sure that the kernel has none of the addresses that a stack is to have beside it, on any interface of this
 * network namespace. Where both have one, the kernel gets the answers too, finds no socket of its own that would want
 * them, and resets the stack's connections. `openRaw` does this with its `addresses`; a program that learns its addresses
 * later can do it itself.
 *
 * @param addresses as text, with or without a prefix, or parsed
 * @throws StackError `EADDRINUSE` with what to do about it; `EINVAL` where a text is no address; `ENOTSUP` (not Linux)
 */
export function checkNotKernels(addresses: readonly (string | Cidr | IpAddress)[]): void {
  const parsed = addresses.map(addressOf);
  const routes = new RouteSocket();
  try {
    for (const address of parsed) {
      const index = routes.ownerOf(address);
      if (index === 0) continue;
      const text = formatAddress(address);
      const name = routes.link(index)?.name;
      throw new StackError(
        "EADDRINUSE",
        `The kernel has ${text} itself, on ${name}, and would reset the stack's connections: choose another address, take it from the kernel with "ip address del ${text} dev ${name}", or keep the kernel out of it with a network namespace.`,
      );
    }
  } finally {
    routes.close();
  }
}

function addressOf(value: string | Cidr | IpAddress): IpAddress {
  if (typeof value !== "string") return value instanceof IpAddress ? value : value.address;
  return value.includes("/") ? parseCidr(value).address : parseAddress(value);
}
