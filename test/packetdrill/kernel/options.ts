import { CLOSED, ESTABLISHED, LISTEN } from "../../../src/socket/tcp/tcb.ts";
import { CallError } from "./call.ts";
import { constant } from "./constants.ts";
import { DEFAULT_TTL, keepCount, keepIdle, keepInterval } from "./tcp-effects.ts";
import type { TcpFile } from "./tcp-file.ts";
import type { UdpFile } from "./udp-file.ts";

/** Options that are ints: what they may be set to, and what they are. */

type SocketFile = TcpFile | UdpFile;

export interface NumericOption {
  /** What is remembered of `value`, or an errno; absent where it cannot be set. */
  readonly set?: (value: number, file: SocketFile) => number | string;
  /** What getsockopt gives; what was set, else 0, where it is absent. */
  readonly get?: (file: SocketFile) => number;
  /** One byte is enough for it. */
  readonly mayBeByte?: boolean;
}

export function connectedValue(name: string, option: NumericOption, file: SocketFile): number {
  return option.get?.(file) ?? file.options.get(name);
}

const flag: NumericOption = { set: (value) => (value === 0 ? 0 : 1) };

function within(least: number, most: number): NumericOption {
  return { set: (value) => (value < least || value > most ? "EINVAL" : value) };
}

/** Remembered, and `otherwise` until then. */
function stored(name: string, least: number, most: number, otherwise: number): NumericOption {
  return {
    ...within(least, most),
    get: (file) => (file.options.isSet(name) ? file.options.get(name) : otherwise),
  };
}

/** What the stack has one way only: that way may be asked for. */
function only(name: string, ...allowed: number[]): NumericOption {
  return {
    set: (value) => {
      if (allowed.includes(value)) return value;
      throw new CallError(
        `${name} ${value} is not supported by the runner: it knows ${allowed.join(" and ")}`,
      );
    },
    get: (file) => (file.options.isSet(name) ? file.options.get(name) : allowed[0]),
    mayBeByte: true,
  };
}

function readOnly(get: (file: SocketFile) => number): NumericOption {
  return { get };
}

const SMALLEST_SEND_BUFFER = 4_608;
const SMALLEST_RECEIVE_BUFFER = 2_304;
const MOST_KEEP_SECONDS = 32_767;
const INT_MAX = 0x7fffffff;

/** SO_SNDBUF and SO_RCVBUF: Linux takes what is allowed, twice, to have room for its overhead. */
function buffer(name: "SO_SNDBUF" | "SO_RCVBUF"): NumericOption {
  const sends = name === "SO_SNDBUF";
  return {
    set: (value, { machine }) => {
      if (machine.flavour === "freebsd") return value > 0 ? value : "EINVAL";
      const most = sends ? machine.mostSendBuffer : machine.mostReceiveBuffer;
      const least = sends ? SMALLEST_SEND_BUFFER : SMALLEST_RECEIVE_BUFFER;
      // An unsigned comparison: a negative number is a large one.
      return Math.max(2 * Math.min(value >>> 0, most), least);
    },
    get: (file) => {
      if (file.options.isSet(name)) return file.options.get(name);
      const { tcp } = file.machine.stack.sockets.context;
      const tcb = file.kind === "tcp" ? file.connection?.tcb : undefined;
      if (sends) return tcb?.sendBuffer.limit ?? tcp.sendBuffer;
      if (tcb === undefined || tcb.state < ESTABLISHED) return file.machine.receiveSpace ?? tcp.receiveBuffer;
      return tcb.receiveBuffer.limit;
    },
  };
}

const maxSegment: NumericOption = {
  // 0 takes it back.
  set: (value) => (value === 0 || (value >= 88 && value <= 32_767) ? value : "EINVAL"),
  get: (file) => {
    if (file.kind !== "tcp") return 0;
    const { state, options, connection } = file;
    if ((state === CLOSED || state === LISTEN) && options.get("TCP_MAXSEG") > 0)
      return options.get("TCP_MAXSEG");
    return connection?.tcb.mss ?? 536;
  },
};

const typeOf = (file: SocketFile) => constant(file.kind === "tcp" ? "SOCK_STREAM" : "SOCK_DGRAM");
const protocolOf = (file: SocketFile) => constant(file.kind === "tcp" ? "IPPROTO_TCP" : "IPPROTO_UDP");
const isListening = (file: SocketFile) => (file.kind === "tcp" && file.listener !== null ? 1 : 0);
const seconds = (ms: number) => Math.round(ms / 1_000);

/** By the name that scripts use. */
export const NUMERIC: Readonly<Record<string, NumericOption>> = {
  SO_REUSEADDR: flag,
  SO_REUSEPORT: flag,
  SO_KEEPALIVE: flag,
  SO_BROADCAST: flag,
  SO_DEBUG: flag,
  SO_ZEROCOPY: flag,
  SO_NOSIGPIPE: flag,
  SO_NO_CHECK: flag,
  // Urgent text is always in line.
  SO_OOBINLINE: { ...flag, get: () => 1 },
  SO_DONTROUTE: flag,
  SO_PRIORITY: stored("SO_PRIORITY", 0, 6, 0),
  SO_MARK: stored("SO_MARK", 0, INT_MAX, 0),
  SO_RCVLOWAT: {
    set: (value) => (value < 0 ? INT_MAX : value || 1),
    get: (file) => file.options.get("SO_RCVLOWAT") || 1,
  },
  SO_SNDLOWAT: readOnly(() => 1),
  SO_SNDBUF: buffer("SO_SNDBUF"),
  SO_RCVBUF: buffer("SO_RCVBUF"),
  // -1, and what no test's rate comes near to, is no limit.
  SO_MAX_PACING_RATE: stored("SO_MAX_PACING_RATE", -INT_MAX - 1, INT_MAX, -1),
  SO_TYPE: readOnly(typeOf),
  SO_PROTOCOL: readOnly(protocolOf),
  SO_DOMAIN: readOnly(() => constant("AF_INET")),
  SO_ACCEPTCONN: readOnly(isListening),

  TCP_NODELAY: flag,
  TCP_CORK: flag,
  TCP_MAXSEG: maxSegment,
  TCP_QUICKACK: {
    set: (value) => (value === 0 ? 0 : 1),
    get: (file) => (file.kind === "tcp" && file.connection?.tcb.isInteractive ? 0 : 1),
  },
  TCP_NOTSENT_LOWAT: { set: (value) => value >>> 0 },
  TCP_USER_TIMEOUT: within(0, INT_MAX),
  TCP_KEEPIDLE: {
    ...within(1, MOST_KEEP_SECONDS),
    get: (file) => (file.kind === "tcp" ? seconds(keepIdle(file)) : 0),
  },
  TCP_KEEPINTVL: {
    ...within(1, MOST_KEEP_SECONDS),
    get: (file) => (file.kind === "tcp" ? seconds(keepInterval(file)) : 0),
  },
  TCP_KEEPCNT: { ...within(1, 127), get: (file) => (file.kind === "tcp" ? keepCount(file) : 0) },
  TCP_KEEPINIT: {
    ...within(1, MOST_KEEP_SECONDS),
    get: (file) => {
      const { connectTimeoutMs } = file.machine.stack.sockets.context.tcp;
      return file.options.get("TCP_KEEPINIT") || seconds(connectTimeoutMs);
    },
  },
  TCP_SYNCNT: {
    ...within(1, 127),
    get: (file) => file.options.get("TCP_SYNCNT") || file.machine.synRetries,
  },
  TCP_LINGER2: {
    set: (value) => (value < 0 ? -1 : value),
    get: (file) => {
      const { finWait2Ms } = file.machine.stack.sockets.context.tcp;
      return file.options.get("TCP_LINGER2") || seconds(finWait2Ms);
    },
  },
  TCP_DEFER_ACCEPT: only("TCP_DEFER_ACCEPT", 0),
  TCP_WINDOW_CLAMP: {
    set: (value, file) => (value === 0 && !(file.kind === "tcp" && file.state === CLOSED) ? "EINVAL" : value),
  },
  TCP_INQ: { set: (value) => (value < 0 || value > 1 ? "EINVAL" : value) },
  TCP_SAVE_SYN: { set: (value) => (value < 0 || value > 2 ? "EINVAL" : value) },
  TCP_FASTOPEN: { set: (value) => (value < 0 ? "EINVAL" : value) },
  TCP_FASTOPEN_NO_COOKIE: flag,
  TCP_THIN_LINEAR_TIMEOUTS: only("TCP_THIN_LINEAR_TIMEOUTS", 0),
  TCP_THIN_DUPACK: flag,
  TCP_TIMESTAMP: readOnly((file) => (file.kind === "tcp" ? timestampOf(file) : 0)),
  TCP_NOOPT: only("TCP_NOOPT", 0),

  IP_RECVERR: { ...flag, mayBeByte: true },
  IP_FREEBIND: flag,
  IP_TTL: {
    // -1 is the usual one.
    set: (value) => (value === -1 ? 0 : value < 1 || value > 255 ? "EINVAL" : value),
    get: (file) => file.options.get("IP_TTL") || DEFAULT_TTL,
    mayBeByte: true,
  },
  // Of a connection, the two ECN bits stay what the stack has made of them.
  IP_TOS: { set: (value, file) => value & (file.kind === "tcp" ? 0xfc : 0xff), mayBeByte: true },
  // Without it, Linux leaves DF out, which no script can see.
  IP_MTU_DISCOVER: only(
    "IP_MTU_DISCOVER",
    constant("IP_PMTUDISC_WANT"),
    constant("IP_PMTUDISC_DO"),
    constant("IP_PMTUDISC_DONT"),
  ),
  IP_DONTFRAG: only("IP_DONTFRAG", 1),
  IP_MTU: readOnly((file) => (file.kind === "tcp" ? (file.connection?.tcb.rcvMss ?? 0) + 40 : 0)),
  IP_RECVTOS: flag,
  IP_RECVTTL: flag,
  IPV6_V6ONLY: flag,
};

/** Our clock, as the next segment would tell it. */
function timestampOf({ connection, machine }: TcpFile): number {
  return connection === null ? 0 : Math.floor(machine.now + connection.tcb.tsOffset) >>> 0;
}
