import type { InterfaceConfig, OpenedConfig, OpenedDevice } from "../../devices/index.ts";
import {
  cidrBroadcast,
  cidrContains,
  type Host,
  IpAddress,
  open,
  parseCidr,
  StackError,
  sameAddress,
} from "../../src/index.ts";
import { Failure } from "./command.ts";

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

/**
 * The host at the other end of a memory pair; `null` where the other end is the kernel or a network.
 *
 * @param address what a program wants to reach; with a prefix or without
 * @param exitCode for the Failure where that address is the program's own
 */
export async function otherHost(opened: OpenedConfig, address: string, exitCode = 1): Promise<Host | null> {
  const { peer, addresses, gateway: _, ...others } = opened;
  if (peer === null) return null;
  const [bare] = address.split("/");
  if (addresses.some((own) => own.startsWith(`${bare}/`))) {
    throw new Failure(`${bare} is this program itself: ask another one.`, exitCode);
  }
  const prefix = addresses[0].slice(addresses[0].indexOf("/"));
  return open({ ...others, routes: [], device: peer, addresses: [bare + prefix] });
}

/**
 * On a memory pair, where nothing passes by itself: a host at the other end that pings the program's address, ten times
 * a second, until the function that is returned is called.
 */
export async function pingNeighbour(
  { peer }: OpenedDevice,
  iface: InterfaceConfig,
): Promise<() => Promise<void>> {
  if (peer === null) return async () => {};
  const [own] = iface.addresses;
  const host = await open({ device: peer, addresses: [neighbourOf(own)] });
  const pinger = host.pinger();
  const timer = setInterval(() => {
    void pinger.send({ address: own.slice(0, own.indexOf("/")) }).catch(() => {});
  }, 100);
  return async () => {
    clearInterval(timer);
    await host.close();
  };
}
