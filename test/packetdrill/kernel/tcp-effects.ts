import type { CongestionControlName } from "../../../src/socket/tcp/congestion/control.ts";
import { chooseControl } from "../../../src/socket/tcp/congestion.ts";
import type { ListenerSpec, TcpListener } from "../../../src/socket/tcp/listener.ts";
import type { ConnectOptions } from "../../../src/socket/tcp/open.ts";
import { ESTABLISHED } from "../../../src/socket/tcp/tcb.ts";
import { setKeepAlive } from "../../../src/socket/tcp/user-calls.ts";
import { notSentLimit, type TcpFile } from "./tcp-file.ts";

/** What a TCP socket's options do to the stack's connection, or will do to one that is not there yet. */

/** What IP_TTL is where nobody has set it. */
export const DEFAULT_TTL = 64;

/** An MSS in Ethernet, of IPv4 without options. */
const USUAL_SEGMENT = 1_460;

/** What kernels call the controls that the stack has. */
const CONTROLS: Readonly<Record<string, CongestionControlName>> = {
  cubic: "cubic",
  reno: "newreno",
  newreno: "newreno",
  bbr: "bbr",
};

/** The stack's name of a control that a kernel has, or `null`. */
export function controlNamed(name: string): CongestionControlName | null {
  return Object.hasOwn(CONTROLS, name) ? CONTROLS[name] : null;
}

/** What `listen` and `connect` take. */
export function connectionOptions(file: TcpFile): Partial<ConnectOptions> {
  const { options } = file;
  const control = options.congestion === null ? null : controlNamed(options.congestion);
  return {
    ...(options.get("TCP_MAXSEG") > 0 ? { maxSegmentSize: options.get("TCP_MAXSEG") } : {}),
    ...(receiveSpace(file) > 0 ? { receiveBuffer: receiveSpace(file) } : {}),
    ...(sendSpace(file) > 0 ? { sendBuffer: sendSpace(file) } : {}),
    ...(options.isSet("IP_TOS") ? { typeOfService: options.get("IP_TOS") } : {}),
    ...(options.get("IP_TTL") > 0 ? { timeToLive: options.get("IP_TTL") } : {}),
    ...(options.get("TCP_USER_TIMEOUT") > 0 ? { userTimeout: options.get("TCP_USER_TIMEOUT") } : {}),
    ...(control === null ? {} : { congestionControl: control }),
  };
}

/** Bytes of text that a receive buffer of SO_RCVBUF has room for: Linux's number counts as much again for its overhead. */
function receiveSpace(file: TcpFile): number {
  const { options, machine } = file;
  const buffer = options.get("SO_RCVBUF");
  const space = machine.flavour === "linux" ? buffer >> 1 : buffer;
  const clamp = options.get("TCP_WINDOW_CLAMP");
  const most = clamp > 0 ? Math.min(space || clamp, clamp) : space;
  return machine.isLikeLinux ? wholeOrLess(most) : most;
}

/** Linux: the first window is a whole number of segments as Ethernet has them. */
function wholeOrLess(bytes: number): number {
  return bytes > USUAL_SEGMENT ? bytes - (bytes % USUAL_SEGMENT) : bytes;
}

function sendSpace(file: TcpFile): number {
  return file.options.get("SO_SNDBUF");
}

/** FreeBSD's TCP_KEEPINIT; Linux's TCP_SYNCNT: the time, in ms, that so many retransmissions of a SYN take, and the wait for the last one's answer. */
export function connectTimeout(file: TcpFile): number {
  const { machine, options } = file;
  const { initialRtoMs, maxRtoMs, connectTimeoutMs } = machine.stack.sockets.context.tcp;
  if (machine.flavour === "freebsd") return options.get("TCP_KEEPINIT") * 1_000 || connectTimeoutMs;
  let total = 0;
  for (let i = 0; i <= (options.get("TCP_SYNCNT") || machine.synRetries); i++) {
    total += Math.min(initialRtoMs * 2 ** i, maxRtoMs);
  }
  return total;
}

/** A connection begins: it gets what was set before. */
export function adoptOptions(file: TcpFile): void {
  const { connection, options } = file;
  if (connection === null) return;
  for (const name of ["TCP_NODELAY", "TCP_CORK", "SO_KEEPALIVE", "TCP_USER_TIMEOUT"]) {
    if (options.isSet(name)) applyOption(file, name);
  }
  applyOption(file, "TCP_NOTSENT_LOWAT");
  if (options.isSet("TCP_QUICKACK")) applyOption(file, "TCP_QUICKACK");
}

/** An option was set: the connection, or those that a listener will get, go by it. */
export function applyOption(file: TcpFile, name: string): void {
  const { connection, listener, options } = file;
  if (listener !== null) applyToListener(file, name);
  if (connection === null || connection.socket.isClosed) return;
  const { socket, tcb } = connection;
  switch (name) {
    case "TCP_NODELAY":
      socket.noDelay = options.get(name) !== 0;
      break;
    case "TCP_CORK":
      socket.corked = options.get(name) !== 0;
      break;
    case "TCP_QUICKACK":
      socket.quickAck(options.get(name) !== 0);
      break;
    case "TCP_NOTSENT_LOWAT": {
      const limit = notSentLimit(file);
      if (limit < 0xffffffff || options.isSet(name)) socket.tune({ notSentLimit: Math.max(limit, 1) });
      break;
    }
    case "SO_RCVBUF":
    case "TCP_WINDOW_CLAMP":
      socket.tune({ receiveBuffer: receiveSpace(file) });
      break;
    case "SO_SNDBUF":
      socket.tune({ sendBuffer: sendSpace(file) });
      break;
    case "IP_TOS":
      socket.tune({ typeOfService: options.get(name) });
      break;
    case "IP_TTL":
      socket.tune({ timeToLive: options.get(name) || DEFAULT_TTL });
      break;
    case "TCP_USER_TIMEOUT":
      socket.setUserTimeout(options.get(name));
      break;
    case "SO_KEEPALIVE":
    case "TCP_KEEPIDLE":
    case "TCP_KEEPINTVL":
    case "TCP_KEEPCNT":
      setKeepAlive(
        tcb,
        options.get("SO_KEEPALIVE") === 0 ? 0 : keepIdle(file),
        keepInterval(file),
        keepCount(file),
      );
      break;
    case "TCP_CONGESTION":
      changeControl(file);
      break;
  }
}

function applyToListener(file: TcpFile, name: string): void {
  const { listener, options } = file;
  if (listener === null) return;
  switch (name) {
    case "TCP_MAXSEG":
      change(listener, { maxSegmentSize: options.get(name) || Number.POSITIVE_INFINITY });
      break;
    case "SO_RCVBUF":
    case "TCP_WINDOW_CLAMP":
      listener.tune({ receiveBuffer: receiveSpace(file) });
      break;
    case "SO_SNDBUF":
      listener.tune({ sendBuffer: sendSpace(file) });
      break;
    case "IP_TOS":
      listener.tune({ typeOfService: options.get(name) });
      break;
    case "IP_TTL":
      listener.tune({ timeToLive: options.get(name) || DEFAULT_TTL });
      break;
    case "TCP_USER_TIMEOUT":
      change(listener, { userTimeoutMs: options.get(name) });
      break;
    case "TCP_CONGESTION": {
      const control = options.congestion === null ? null : controlNamed(options.congestion);
      if (control !== null) change(listener, { congestionControl: control });
      break;
    }
  }
}

/** What a listener of the stack is made of is settled when it is made; here it may change as long as it listens. */
function change(listener: TcpListener, changes: Partial<ListenerSpec>): void {
  Object.assign(listener.spec, changes);
}

function changeControl(file: TcpFile): void {
  const { connection, options, machine } = file;
  const control = options.congestion === null ? null : controlNamed(options.congestion);
  if (connection === null || control === null || connection.tcb.control.name === control) return;
  chooseControl(connection.tcb, control);
  // The window stays; what the new control wants to know of the connection it is told.
  if (connection.tcb.state >= ESTABLISHED) connection.tcb.control.start(connection.tcb, machine.now);
}

/** Times of keep-alive, in ms; the options count seconds. */
export function keepIdle(file: TcpFile): number {
  return file.options.get("TCP_KEEPIDLE") * 1_000 || file.machine.stack.sockets.context.tcp.keepAliveIdleMs;
}

export function keepInterval(file: TcpFile): number {
  return (
    file.options.get("TCP_KEEPINTVL") * 1_000 || file.machine.stack.sockets.context.tcp.keepAliveIntervalMs
  );
}

export function keepCount(file: TcpFile): number {
  return file.options.get("TCP_KEEPCNT") || file.machine.stack.sockets.context.tcp.keepAliveProbes;
}
