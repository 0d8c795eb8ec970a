/**
 * A script as it was parsed: what happens when, in the script's own numbers. Nothing is resolved here: sequence numbers
 * are relative, names of flags and options are as written, and times count from what the script says.
 */

/** Where something stands, both from 1. */
export interface Place {
  readonly file: string;
  readonly line: number;
}

export interface Script {
  readonly file: string;
  /** `--name=value` lines at the top and the like on the command line, in order; a flag's value is "". */
  readonly options: readonly { readonly name: string; readonly value: string; readonly place: Place }[];
  readonly events: readonly Event[];
}

/** When an event happens, in seconds. Relative times count from the event before, absolute ones from the start. */
export type EventTime =
  | { readonly kind: "absolute"; readonly at: number }
  | { readonly kind: "relative"; readonly after: number }
  | { readonly kind: "range"; readonly from: number; readonly to: number; readonly relative: boolean }
  | { readonly kind: "any" };

export interface Event {
  readonly place: Place;
  readonly time: EventTime;
  /** The end of a blocking call, in seconds from where `time` counts: `0.1...0.2`, `+0...+.2`. */
  readonly until?: { readonly at: number; readonly relative: boolean };
  readonly action: Packet | Call | Shell | Assertion;
}

/** `` `sysctl -q net.ipv4.tcp_timestamps=0` `` */
export interface Shell {
  readonly kind: "shell";
  readonly command: string;
}

/** `%{ assert tcpi_snd_cwnd == 10, tcpi_snd_cwnd }%`: Python, a line a statement. */
export interface Assertion {
  readonly kind: "assertion";
  readonly text: string;
}

/** A system call and what it gives. */
export interface Call {
  readonly kind: "call";
  readonly name: string;
  readonly args: readonly Value[];
  /** After `=`; absent where the script does not say. */
  readonly result: Value;
  /** `ECONNREFUSED`, behind a result of -1. */
  readonly errno?: string;
}

/** What stands as an argument, a member or a result. */
export type Value =
  | { readonly kind: "number"; readonly value: bigint }
  /** `0.5`. */
  | { readonly kind: "float"; readonly value: number }
  | { readonly kind: "string"; readonly value: Uint8Array }
  /** Names of constants joined by `|`, each as written: `O_RDWR`, `0x2`. */
  | { readonly kind: "flags"; readonly names: readonly string[] }
  /** `...`: anything. */
  | { readonly kind: "any" }
  | { readonly kind: "array"; readonly items: readonly Value[] }
  /** `{onoff=1, linger=0}`, `{events=POLLIN, fd=4}`, and those whose members have a type and colons. */
  | {
      readonly kind: "structure";
      readonly members: readonly { readonly name: string; readonly value: Value }[];
    }
  /** Something that is called: `inet_addr("192.0.2.1")`, `htons(8080)`. */
  | { readonly kind: "function"; readonly name: string; readonly args: readonly Value[] }
  /** `-x`, `~x`, `a + b` and the like where they do not reduce to a number. */
  | { readonly kind: "expression"; readonly operator: string; readonly operands: readonly Value[] };

/** A packet put on the wire (`<`) or expected from it (`>`). */
export interface Packet {
  readonly kind: "packet";
  readonly direction: "in" | "out";
  /** `ect0`, `ect1`, `ect01`, `ce`, `noecn`; absent where nothing is said. */
  readonly ecn?: string;
  /** Other words in the brackets or the parentheses before the segment: `ttl 64`, `tos 0x10`, `flowlabel 0x1`. */
  readonly ip: readonly { readonly name: string; readonly value: number }[];
  /** Outer headers, outermost first; what the runner does not know is an error of the runner's. */
  readonly encapsulation: readonly string[];
  /** `192.0.2.1:1024 > 192.168.0.1:8080`: the addresses, where the script names them. */
  readonly endpoints?: {
    readonly source: string;
    readonly sourcePort: number;
    readonly destination: string;
    readonly destinationPort: number;
  };
  readonly body: TcpBody | UdpBody | IcmpBody;
}

export interface TcpBody {
  readonly protocol: "tcp";
  /** Of `S F R P . U E W A C`, in any order; `-` alone is none. */
  readonly flags: string;
  /** Relative to the sender's ISN; absolute where `absoluteSequence` (a `@`) says so. */
  readonly sequence: number;
  readonly end: number;
  readonly length: number;
  readonly ack?: number;
  readonly window?: number;
  readonly urgent?: number;
  /** Absent: none (in), not looked at where the script has no `<...>` and no options (see the runner's README). */
  readonly options?: readonly TcpOption[] | "any";
}

export type TcpOption =
  | { readonly kind: "mss"; readonly value: number }
  | { readonly kind: "wscale"; readonly value: number }
  | { readonly kind: "sackOK" }
  | { readonly kind: "sack"; readonly blocks: readonly { readonly left: number; readonly right: number }[] }
  /** A value that is absent is anything: `TS val ... ecr 100`. */
  | { readonly kind: "TS"; readonly value?: number; readonly echo?: number }
  | { readonly kind: "nop" }
  | { readonly kind: "eol" }
  /** RFC 7413 34, or the experimental 254; a cookie may be empty. */
  | { readonly kind: "FO" | "FOEXP"; readonly cookie: Uint8Array }
  /** Any other, as the script spells it out; `data` is what follows kind and length. */
  | { readonly kind: "other"; readonly name: string; readonly number: number; readonly data: Uint8Array };

export interface UdpBody {
  readonly protocol: "udp";
  /** Of the payload. */
  readonly length: number;
}

export interface IcmpBody {
  readonly protocol: "icmp";
  /** `unreachable`, `time_exceeded`, `echo_request`, ... as written. */
  readonly type: string;
  /** `frag_needed`, `port`, ...; "" where there is none. */
  readonly code: string;
  readonly mtu?: number;
  /** The segment or datagram that it is about: `[1:1461(1460)]`, `[udp (1000)]`. */
  readonly original?:
    | { readonly protocol: "tcp"; readonly sequence: number; readonly end: number; readonly length: number }
    | { readonly protocol: "udp"; readonly length: number };
}
