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
  readonly text: string;
  /** `--name=value` lines at the top and the like on the command line, in order; a flag's value is "". */
  readonly options: readonly { readonly name: string; readonly value: string; readonly place: Place }[];
  /** Commands without a time before the first event, and after the last. */
  readonly init: readonly Shell[];
  readonly cleanup: readonly Shell[];
  readonly events: readonly Event[];
  /** What the script expects, piece by piece, as `falsify.ts` takes it for falsifying. */
  readonly claims: readonly Claim[];
}

/** Something that a script says that will happen: characters `start .. end` of its text, from 0. */
export interface Claim {
  readonly kind:
    | "time"
    | "flags"
    | "sequence"
    | "ack"
    | "window"
    | "urgent"
    | "option"
    | "ip"
    | "length"
    | "icmp"
    | "result"
    | "errno"
    | "value"
    | "assertion";
  readonly start: number;
  readonly end: number;
  /** The place of its event in `events`. */
  readonly event: number;
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
  /** A string without its quotes and escapes; `open` where `...` follows: it goes on in some way. */
  | { readonly kind: "string"; readonly value: Uint8Array; readonly open?: boolean }
  /** Names of constants joined by `|`, each as written: `O_RDWR`, `0x2`. */
  | { readonly kind: "flags"; readonly names: readonly string[] }
  /** `...`: anything. */
  | { readonly kind: "any" }
  | { readonly kind: "array"; readonly items: readonly Value[] }
  /**
   * `{onoff=1, linger=0}`, `{msg_name(...)=..., msg_iov(1)=[{..., 10}], msg_flags=0}`. Members without a name, as those of
   * `{..., 10}`, have the name "".
   */
  | { readonly kind: "structure"; readonly members: readonly Member[] }
  /** Something that is called: `inet_addr("192.0.2.1")`, `htons(8080)`. */
  | { readonly kind: "function"; readonly name: string; readonly args: readonly Value[] }
  /** `NAME=value` as an argument; and `|` where not all that it joins are names or numbers. */
  | { readonly kind: "expression"; readonly operator: "=" | "|"; readonly operands: readonly Value[] };

export interface Member {
  readonly name: string;
  /** What stands in parentheses behind the name: `1` of `msg_iov(1)`. */
  readonly count?: Value;
  readonly value: Value;
}

/** A packet put on the wire (`<`) or expected from it (`>`). */
export interface Packet {
  readonly kind: "packet";
  readonly direction: "in" | "out";
  readonly ip: IpFields;
  /** `1024 > 8080`, where the script names the ports. */
  readonly ports?: { readonly source: number; readonly destination: number };
  readonly body: TcpBody | UdpBody | IcmpBody;
}

/** What stands in brackets or parentheses before the segment. Only what is given is compared. */
export interface IpFields {
  /** `ect01` is either of `ect0` and `ect1`, and only expected. */
  readonly ecn?: "noecn" | "ect0" | "ect1" | "ce" | "ect01";
  /** The whole byte. */
  readonly tos?: number;
  /** Its upper six bits. */
  readonly dscp?: number;
  readonly ttl?: number;
  readonly flowLabel?: number;
}

export interface TcpBody {
  readonly protocol: "tcp";
  /** Of `F S R P . U E W A`, in any order; "" is none. */
  readonly flags: string;
  /** RFC 9768's counter of three bits, given as a digit among the flags in place of `E`, `W` and `A`. */
  readonly ace?: number;
  /** Relative to the sender's ISN, but for a SYN; absent (`...(10)`): any. */
  readonly sequence?: number;
  /** As on the wire: `1:1(0)!`. */
  readonly absolute: boolean;
  readonly length: number;
  readonly ack?: number;
  readonly window?: number;
  readonly urgent: number;
  /** `<...>` is any; none given is none, both put on the wire and expected. */
  readonly options: readonly TcpOption[] | "any";
}

export type TcpOption =
  | { readonly kind: "sack"; readonly blocks: readonly { readonly left: number; readonly right: number }[] }
  | {
      readonly kind: "TS";
      /** Absent: any, `TS val ... ecr 100`. */
      readonly value?: number;
      readonly echo: number;
      /** The echo is as on the wire: `ecr 100!`. */
      readonly absoluteEcho: boolean;
    }
  /** All others: the whole option, kind and length included. */
  | { readonly kind: "other"; readonly name: string; readonly bytes: Uint8Array };

export interface UdpBody {
  readonly protocol: "udp";
  /** Of the payload. */
  readonly length: number;
}

export interface IcmpBody {
  readonly protocol: "icmp";
  /** `unreachable`, `time_exceeded`, `echo_request`, ... as written. */
  readonly type: string;
  /** `frag_needed`, `port_unreachable`, ...; "" where there is none. */
  readonly code: string;
  readonly mtu?: number;
  readonly id?: number;
  /** The packet that it is about: `[1:1461(1460)]`, `[udp (1000)]`; or bytes of its own: `[raw (100)]`. */
  readonly original:
    | { readonly protocol: "tcp"; readonly sequence: number; readonly length: number }
    | { readonly protocol: "udp"; readonly length: number }
    | { readonly protocol: "raw"; readonly length: number };
}
