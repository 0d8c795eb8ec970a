import type { Value } from "../script.ts";
import { CallError } from "./call.ts";
import { constant } from "./constants.ts";
import type { Endpoint } from "./tcp-file.ts";
import {
  describe,
  member,
  nameOf,
  number,
  numberOr,
  type Structure,
  structure,
  text,
  toAddressText,
} from "./values.ts";

/** What a sockaddr in a script says: an address, AF_UNSPEC, or a family that this kernel has not. */
export type Sockaddr = Endpoint | "unspecified" | "unsupported";

const MAPPED = "::ffff:";

/**
 * @param otherwise what `...` means, for the whole and for each of its members
 * @throws CallError where it is no sockaddr
 */
export function toSockaddr(value: Value, otherwise: Endpoint): Sockaddr {
  if (value.kind === "any") return otherwise;
  if (value.kind === "array" && value.items.length === 1) return toSockaddr(value.items[0], otherwise);
  if (nameOf(value) === "AF_UNSPEC") return "unspecified";
  if (value.kind !== "structure") throw new CallError(`${describe(value)} stands where an address should`);
  const family = numberOr(member(value, "sa_family"), constant("AF_INET"));
  if (family === constant("AF_UNSPEC")) return "unspecified";
  const port = numberOr(member(value, "sin_port") ?? member(value, "sin6_port"), otherwise.port);
  const address = member(value, "sin_addr") ?? member(value, "sin6_addr");
  const written = address === undefined || address.kind === "any" ? otherwise.address : addressText(address);
  if (family === constant("AF_INET")) return { address: written, port };
  if (family !== constant("AF_INET6")) return "unsupported";
  if (written === "::") return { address: "0.0.0.0", port };
  if (written.toLowerCase().startsWith(MAPPED)) return { address: written.slice(MAPPED.length), port };
  return address === undefined ? { address: written, port } : "unsupported";
}

function addressText(value: Value): string {
  const written = toAddressText(value);
  if (written !== null) return written;
  // INADDR_ANY, or a number in the host's order.
  const bits = numberOr(value, 0) >>> 0;
  return [bits >>> 24, (bits >>> 16) & 0xff, (bits >>> 8) & 0xff, bits & 0xff].join(".");
}

/** An address as a call gives it. */
export function fromEndpoint(endpoint: Endpoint): Structure {
  return structure({
    sa_family: number(constant("AF_INET")),
    sin_port: number(endpoint.port),
    sin_addr: text(endpoint.address),
  });
}

/** `sizeof(struct sockaddr_in)`. */
export const SOCKADDR_LENGTH = 16;
