import { type IpAddress, type Medium, parseAddress, StackError } from "../../src/index.ts";

/** Filter expressions of tcpdump, the small part that is used every day: see `FILTER_USAGE`. */

export const FILTER_USAGE = `\
  ip, ip6, arp, icmp, icmp6, tcp, udp        frames of a protocol
  host ADDRESS, src ADDRESS, dst ADDRESS     from or to an address
  [tcp|udp] [src|dst] port NUMBER            from or to a port
  not, and, or, ( )                          "and" and "or" bind alike, from left to right`;

/** Whether a frame, which is in `bytes[offset .. offset + length)`, is of interest. */
export type Filter = (bytes: Uint8Array, offset: number, length: number) => boolean;

/** What filters look at; decoded once a frame, into the same record. */
class Packet {
  bytes: Uint8Array = new Uint8Array(0);
  end = 0;
  etherType = 0;
  /** Where the network header begins. */
  network = 0;
  protocol = NONE;
  /** Where the transport header begins, or -1 where it is not in this fragment. */
  transport = -1;
}

type Test = (packet: Packet) => boolean;
type Side = "src" | "dst" | "both";

const NONE = -1;
const IPV4 = 0x0800;
const ARP = 0x0806;
const IPV6 = 0x86dd;
const [ICMP, TCP, UDP, FRAGMENT, ICMP6] = [1, 6, 17, 44, 58];

const PROTOCOLS: Readonly<Record<string, Test>> = {
  ip: ({ etherType }) => etherType === IPV4,
  ip6: ({ etherType }) => etherType === IPV6,
  arp: ({ etherType }) => etherType === ARP,
  icmp: ({ etherType, protocol }) => etherType === IPV4 && protocol === ICMP,
  icmp6: ({ etherType, protocol }) => etherType === IPV6 && protocol === ICMP6,
  tcp: ({ protocol }) => protocol === TCP,
  udp: ({ protocol }) => protocol === UDP,
};

/**
 * Reads a filter expression.
 *
 * @param medium what frames start with
 * @throws StackError EINVAL, with the word that it stumbled on
 *
 * @example
 * ```ts
 * const filter = parseFilter("tcp port 80 and not src host 192.168.69.1", "ip");
 * ```
 */
export function parseFilter(text: string, medium: Medium): Filter {
  const words = text.match(/[()!]|&&|\|\||[^\s()!&|]+|\S/g) ?? [];
  const test = words.length === 0 ? () => true : new Parser(words).parse();
  const packet = new Packet();
  return (bytes, offset, length) => {
    decode(packet, bytes, offset, offset + length, medium);
    return test(packet);
  };
}

function decode(packet: Packet, bytes: Uint8Array, offset: number, end: number, medium: Medium): void {
  packet.bytes = bytes;
  packet.end = end;
  packet.protocol = NONE;
  packet.transport = -1;
  if (medium === "ethernet") {
    packet.network = offset + 14;
    packet.etherType = offset + 14 <= end ? read16(bytes, offset + 12) : NONE;
  } else {
    packet.network = offset;
    const version = offset < end ? bytes[offset] >>> 4 : 0;
    packet.etherType = version === 4 ? IPV4 : version === 6 ? IPV6 : NONE;
  }
  const at = packet.network;
  if (packet.etherType === IPV4 && at + 20 <= end) {
    packet.protocol = bytes[at + 9];
    if ((read16(bytes, at + 6) & 0x1fff) === 0) packet.transport = at + ((bytes[at] & 15) << 2);
  } else if (packet.etherType === IPV6 && at + 40 <= end) {
    packet.protocol = bytes[at + 6];
    if (packet.protocol !== FRAGMENT) packet.transport = at + 40;
    else if (at + 41 <= end) packet.protocol = bytes[at + 40];
  }
}

class Parser {
  private readonly words: readonly string[];
  private at = 0;
  /** What a bare value means: `host A or B` is `host A or host B`. */
  private primitive: ((value: string) => Test) | null = null;

  constructor(words: readonly string[]) {
    this.words = words;
  }

  parse(): Test {
    const test = this.alternatives();
    if (this.at < this.words.length) throw this.unexpected();
    return test;
  }

  private alternatives(): Test {
    let left = this.negation();
    for (;;) {
      const before = left;
      if (this.take("and", "&&")) {
        const right = this.negation();
        left = (packet) => before(packet) && right(packet);
      } else if (this.take("or", "||")) {
        const right = this.negation();
        left = (packet) => before(packet) || right(packet);
      } else {
        return left;
      }
    }
  }

  private negation(): Test {
    if (this.take("not", "!")) {
      const test = this.negation();
      return (packet) => !test(packet);
    }
    if (this.take("(")) {
      const test = this.alternatives();
      if (!this.take(")")) throw this.unexpected('")"');
      return test;
    }
    return this.single();
  }

  private single(): Test {
    const word = this.words[this.at];
    const protocol = word !== undefined && Object.hasOwn(PROTOCOLS, word) ? PROTOCOLS[word] : null;
    if (protocol !== null) this.at++;
    const side: Side = this.take("src") ? "src" : this.take("dst") ? "dst" : "both";
    let primitive: ((value: string) => Test) | null = null;
    if (this.take("host")) primitive = (value) => host(value, side);
    else if (this.take("port")) primitive = (value) => port(value, side);
    else if (side !== "both") primitive = (value) => host(value, side);
    else if (protocol !== null) return protocol;
    else primitive = this.primitive;
    if (primitive === null) throw this.unexpected();
    const value = this.words[this.at];
    if (value === undefined || /^(and|or|not|src|dst|host|port|[()!]|&&|\|\|)$/.test(value)) {
      throw this.unexpected("an address or a port");
    }
    this.at++;
    const kind = primitive;
    this.primitive = protocol === null ? kind : (bare) => both(protocol, kind(bare));
    return protocol === null ? kind(value) : both(protocol, kind(value));
  }

  private take(...words: string[]): boolean {
    if (!words.includes(this.words[this.at])) return false;
    this.at++;
    return true;
  }

  private unexpected(wanted?: string): StackError {
    const word = this.words[this.at];
    const found = word === undefined ? "The filter ends too early" : `The filter has "${word}"`;
    const hint =
      wanted === undefined ? "write for example tcp port 80 and host 192.168.69.1" : `write ${wanted} there`;
    return new StackError("EINVAL", `${found}; ${hint}.`);
  }
}

function both(a: Test, b: Test): Test {
  return (packet) => a(packet) && b(packet);
}

function host(text: string, side: Side): Test {
  let address: IpAddress;
  try {
    address = parseAddress(text);
  } catch {
    throw new StackError("EINVAL", `The filter has "${text}"; write an address there, like 192.168.69.1.`);
  }
  const bytes = addressBytes(address);
  const isV4 = address.family === 4;
  return (packet) => {
    const { etherType, network } = packet;
    if (isV4 && etherType === IPV4) return matches(packet, bytes, network + 12, network + 16, side);
    if (isV4 && etherType === ARP) return matches(packet, bytes, network + 14, network + 24, side);
    if (!isV4 && etherType === IPV6) return matches(packet, bytes, network + 8, network + 24, side);
    return false;
  };
}

function port(text: string, side: Side): Test {
  const number = /^[0-9]{1,5}$/.test(text) ? Number(text) : 65_536;
  if (number > 65_535) {
    throw new StackError("EINVAL", `The filter has "${text}"; write a port there, a number up to 65535.`);
  }
  const bytes = Uint8Array.of(number >> 8, number & 255);
  return (packet) => {
    const { protocol, transport } = packet;
    if (transport < 0 || (protocol !== TCP && protocol !== UDP)) return false;
    return matches(packet, bytes, transport, transport + 2, side);
  };
}

/** Whether the value stands in the source's field, the destination's, or either. */
function matches(
  packet: Packet,
  value: Uint8Array,
  source: number,
  destination: number,
  side: Side,
): boolean {
  if (side !== "dst" && hasAt(packet, value, source)) return true;
  return side !== "src" && hasAt(packet, value, destination);
}

function hasAt({ bytes, end }: Packet, value: Uint8Array, at: number): boolean {
  if (at + value.length > end) return false;
  for (let i = 0; i < value.length; i++) if (bytes[at + i] !== value[i]) return false;
  return true;
}

function addressBytes({ family, w0, w1, w2, w3 }: IpAddress): Uint8Array {
  const words = family === 4 ? [w3] : [w0, w1, w2, w3];
  return Uint8Array.from(words.flatMap((word) => [word >>> 24, word >>> 16, word >>> 8, word]));
}

function read16(bytes: Uint8Array, at: number): number {
  return (bytes[at] << 8) | bytes[at + 1];
}
