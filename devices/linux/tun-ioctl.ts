/** What `linux/if_tun.h` and `struct ifreq` say, as far as opening a TUN interface needs it. */

export const TUN_PATH = "/dev/net/tun";
export const TUNSETIFF = 0x400454ca;
/** Frames start with an IP header. */
export const IFF_TUN = 0x0001;
/** No four bytes of flags and protocol in front of each frame. */
export const IFF_NO_PI = 0x1000;
/** Bytes of an interface name, with the NUL at its end. */
export const IFNAMSIZ = 16;
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
