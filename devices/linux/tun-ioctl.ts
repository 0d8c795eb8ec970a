/** What `linux/if_tun.h` and `struct ifreq` say, as far as TUN and TAP interfaces need it. */

export const TUN_PATH = "/dev/net/tun";
export const TUNSETIFF = 0x400454ca;
/** What an open descriptor is attached to; EBADFD where that is nothing. */
export const TUNGETIFF = 0x800454d2;
/** The flags that TUNSETIFF knows. */
export const TUNGETFEATURES = 0x800454cf;
/** What frames from the kernel may leave to us: the argument is a set of TUN_F_ flags, not an address. */
export const TUNSETOFFLOAD = 0x400454d0;
export const TUNSETVNETHDRSZ = 0x400454d8;
/** Whether the fields of the virtio-net header are little-endian. */
export const TUNSETVNETLE = 0x400454dc;

/** Frames start with an IP header. */
export const IFF_TUN = 0x0001;
/** Frames start with an Ethernet header. */
export const IFF_TAP = 0x0002;
/** The interface has a queue for each descriptor that is attached to it, up to 256. */
export const IFF_MULTI_QUEUE = 0x0100;
/** No four bytes of flags and protocol in front of each frame. */
export const IFF_NO_PI = 0x1000;
/** A virtio-net header in front of each frame. */
export const IFF_VNET_HDR = 0x4000;

export const TUN_F_CSUM = 0x01;
export const TUN_F_TSO4 = 0x02;
export const TUN_F_TSO6 = 0x04;
export const TUN_F_TSO_ECN = 0x08;
export const TUN_F_USO4 = 0x20;
export const TUN_F_USO6 = 0x40;

/** Bytes of an interface name, with the NUL at its end. */
const IFNAMSIZ = 16;
const IFREQ_SIZE = 40;

/** A `struct ifreq` that asks for the interface `name`, or for a new one where `name` is empty. */
export function packInterfaceRequest(name: string, flags: number): Uint8Array {
  const request = new Uint8Array(IFREQ_SIZE);
  new TextEncoder().encodeInto(name, request.subarray(0, IFNAMSIZ - 1));
  new DataView(request.buffer).setUint16(IFNAMSIZ, flags, true);
  return request;
}

/** The name that the kernel wrote into the request. */
export function interfaceName(request: Uint8Array): string {
  const end = request.indexOf(0);
  return new TextDecoder().decode(request.subarray(0, end < 0 || end >= IFNAMSIZ ? IFNAMSIZ - 1 : end));
}

/**
 * What is wrong with an interface name, or `null`. The kernel's rule (`dev_valid_name`), plus one `%d` at most, which
 * it replaces by the first free number.
 */
export function interfaceNameProblem(name: string): string | null {
  const length = new TextEncoder().encode(name).length;
  if (length === 0 || length >= IFNAMSIZ) return `has ${length} bytes`;
  if (name === "." || name === "..") return "means a directory";
  // biome-ignore lint/suspicious/noControlCharactersInRegex: a NUL would cut the name short
  const bad = name.match(/[/:\s\x00]/);
  if (bad !== null) return `has ${JSON.stringify(bad[0])} in it`;
  if (name.replace("%d", "").includes("%")) return "has a % that is not the one of a single %d";
  return null;
}
