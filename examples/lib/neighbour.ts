import {
  cidrBroadcast,
  cidrContains,
  IpAddress,
  parseCidr,
  StackError,
  sameAddress,
} from "../../src/index.ts";

/**
 * Another address in the same network, for the host at the other end of a memory pair: the next one, or the one before.
 *
 * @param cidr an address with its prefix, such as `192.168.69.1/24`
 * @throws StackError EINVAL where the network has no other address
 */
export function neighbourOf(cidr: string): string {
  const own = parseCidr(cidr);
  for (const step of [1, -1]) {
    const { family, w0, w1, w2, w3 } = own.address;
    const other = new IpAddress(family, w0, w1, w2, (w3 + step) | 0);
    const broadcast = cidrBroadcast(own);
    if (cidrContains(own, other) && (broadcast === null || !sameAddress(other, broadcast))) {
      return `${other}/${own.prefixLength}`;
    }
  }
  throw new StackError(
    "EINVAL",
    `The network of ${cidr} has no room for a second host: use a shorter prefix, such as /24.`,
  );
}
