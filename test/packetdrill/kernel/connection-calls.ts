import { CLOSED, FIN_WAIT_2, SYN_SENT, TIME_WAIT } from "../../../src/socket/tcp/tcb.ts";
import type { TcpSocket } from "../../../src/socket/tcp/tcp-socket.ts";
import { abort } from "../../../src/socket/tcp/user-calls.ts";
import { formatAddress, parseAddress } from "../../../src/wire/ip-address.ts";
import type { Call, Value } from "../script.ts";
import { fromEndpoint, SOCKADDR_LENGTH, type Sockaddr, toSockaddr } from "./addresses.ts";
import { type Begun, type CallResult, fails, gives } from "./call.ts";
import { constant } from "./constants.ts";
import { fileOf, open } from "./descriptors.ts";
import type { Machine } from "./machine.ts";
import { adoptOptions, connectionOptions, connectTimeout } from "./tcp-effects.ts";
import { type Connection, type Endpoint, errnoOf, TcpFile } from "./tcp-file.ts";
import { UdpFile } from "./udp-file.ts";
import { argument, array, number, numberOr, toNumber } from "./values.ts";

/** The calls that make, name and end connections. */

const NONBLOCK = constant("O_NONBLOCK");
const TYPE_FLAGS = constant("SOCK_NONBLOCK") | constant("SOCK_CLOEXEC");

export function socket(machine: Machine, call: Call): CallResult {
  const family = numberOr(argument(call.args, 0), constant("AF_INET"));
  const type = toNumber(argument(call.args, 1));
  const protocol = numberOr(argument(call.args, 2), 0);
  if (family !== constant("AF_INET") && family !== constant("AF_INET6")) return fails("EAFNOSUPPORT");
  const flags = constant("O_RDWR") | (type & constant("SOCK_NONBLOCK"));
  const kind = type & ~TYPE_FLAGS;
  const isProtocol = (name: string) => protocol === 0 || protocol === constant(name);
  if (kind === constant("SOCK_STREAM")) {
    if (!isProtocol("IPPROTO_TCP")) return fails("EPROTONOSUPPORT");
    return gives(open(machine, new TcpFile(machine, flags), call.result));
  }
  if (kind === constant("SOCK_DGRAM")) {
    if (!isProtocol("IPPROTO_UDP")) return fails("EPROTONOSUPPORT");
    return gives(open(machine, new UdpFile(machine, flags), call.result));
  }
  return fails("ESOCKTNOSUPPORT");
}

export function bind(machine: Machine, call: Call): CallResult {
  const file = fileOf(machine, argument(call.args, 0));
  if (file === null) return fails("EBADF");
  const ours = { address: machine.localAddress, port: machine.bindPort };
  const endpoint = toSockaddr(argument(call.args, 1), ours);
  if (file.kind !== "tcp" && file.kind !== "udp") return fails("ENOTSOCK");
  if (typeof endpoint === "string") return fails("EAFNOSUPPORT");
  if (file.kind === "udp") {
    if (file.socket !== null) return fails("EINVAL");
    const errno = errnoOf(() => file.bind(endpoint));
    return errno === null ? gives(0) : fails(errno);
  }
  if (file.bound !== null || file.state !== CLOSED) return fails("EINVAL");
  if (!isOurs(machine, endpoint)) return fails("EADDRNOTAVAIL");
  if (isTaken(machine, file, endpoint)) return fails("EADDRINUSE");
  file.bound = endpoint;
  return gives(0);
}

function isOurs(machine: Machine, { address }: Endpoint): boolean {
  const routing = machine.stack.sockets.context.routing;
  return address === "0.0.0.0" || routing.isLocal(parseAddress(address));
}

/** Does another socket have the port? Those that all reuse addresses may share it, as long as none listens. */
function isTaken(machine: Machine, file: TcpFile, wanted: Endpoint): boolean {
  if (wanted.port === 0) return false;
  for (const other of machine.descriptors.values()) {
    if (other.kind !== "tcp" || other === file || other.bound?.port !== wanted.port) continue;
    const { address } = other.bound;
    if (address !== wanted.address && address !== "0.0.0.0" && wanted.address !== "0.0.0.0") continue;
    const share = (option: string) => file.options.get(option) !== 0 && other.options.get(option) !== 0;
    if (share("SO_REUSEPORT") || (share("SO_REUSEADDR") && other.listener === null)) continue;
    return true;
  }
  return false;
}

export function listen(machine: Machine, call: Call): CallResult {
  const file = fileOf(machine, argument(call.args, 0));
  if (file === null) return fails("EBADF");
  if (file.kind === "udp") return fails("EOPNOTSUPP");
  if (file.kind !== "tcp") return fails("ENOTSOCK");
  const asked = toNumber(argument(call.args, 1));
  // One more than asked for fits in; a negative number is as many as there may be.
  const backlog = Math.min(asked < 0 ? machine.mostBacklog : asked, machine.mostBacklog) + 1;
  if (file.listener !== null) {
    Object.assign(file.listener.queue, { backlog });
    return gives(0);
  }
  if (file.state !== CLOSED) return fails("EINVAL");
  const { sockets } = machine.stack;
  const errno = errnoOf(() => {
    const { address, port } = file.bound ?? { address: "0.0.0.0", port: 0 };
    const local = parseAddress(address);
    const chosen = port !== 0 ? port : sockets.context.tcpPorts.choose(local, local, 0, () => true);
    file.listener = sockets.listen({ ...connectionOptions(file), address: local, port: chosen, backlog });
    file.bound = { address, port: chosen };
  });
  return errno === null ? gives(0) : fails(errno);
}

export function accept(machine: Machine, call: Call): Begun | CallResult {
  const file = fileOf(machine, argument(call.args, 0));
  if (file === null) return fails("EBADF");
  if (file.kind === "udp") return fails("EOPNOTSUPP");
  if (file.kind !== "tcp") return fails("ENOTSOCK");
  const flags = call.name === "accept4" ? numberOr(argument(call.args, 3), 0) : 0;
  if (flags & ~TYPE_FLAGS) return fails("EINVAL");
  if (file.listener === null) return fails("EINVAL");
  return {
    attempt: () => {
      if (file.listener === null) return fails("EINVAL");
      const accepted = file.listener.accept();
      if (accepted === null) return file.flags & NONBLOCK ? fails("EAGAIN") : null;
      return gives(openAccepted(machine, file, accepted, flags, call), addressOut(accepted));
    },
    ...timeout(machine, file.options.receiveTimeout, () => fails("EAGAIN")),
  };
}

function openAccepted(
  machine: Machine,
  file: TcpFile,
  accepted: TcpSocket,
  flags: number,
  call: Call,
): number {
  const made = new TcpFile(machine, constant("O_RDWR") | (flags & NONBLOCK));
  // FreeBSD: the connection is as non-blocking as its listener, unless accept4 says so.
  if (machine.flavour === "freebsd" && call.name === "accept") made.flags |= file.flags & NONBLOCK;
  made.options = file.options.inherit();
  made.bound = { address: formatAddress(accepted.localAddress), port: accepted.localPort };
  made.connect(connectionOf(machine, accepted));
  adoptOptions(made);
  return open(machine, made, call.result);
}

function addressOut(accepted: TcpSocket): ReadonlyMap<number, Value> {
  const peer = { address: formatAddress(accepted.remoteAddress), port: accepted.remotePort };
  return new Map([
    [1, fromEndpoint(peer)],
    [2, array(number(SOCKADDR_LENGTH))],
  ]);
}

function connectionOf(machine: Machine, opened: TcpSocket): Connection {
  const { localAddress, localPort, remoteAddress, remotePort } = opened;
  const tcb = machine.stack.sockets.findTcb(localAddress, localPort, remoteAddress, remotePort);
  if (tcb === null) throw new Error("a connection that was just made is not there");
  return { socket: opened, tcb };
}

export function timeout(machine: Machine, ms: number, atEnd: () => CallResult): Partial<Begun> {
  return ms === 0 ? {} : { until: machine.now + ms, atEnd };
}

export function connect(machine: Machine, call: Call): Begun | CallResult {
  const file = fileOf(machine, argument(call.args, 0));
  if (file === null) return fails("EBADF");
  if (file.kind !== "tcp" && file.kind !== "udp") return fails("ENOTSOCK");
  const theirs = { address: machine.remoteAddress, port: machine.connectPort };
  const to = toSockaddr(argument(call.args, 1), theirs);
  return file.kind === "udp" ? connectUdp(file, to) : connectTcp(machine, file, to);
}

function connectUdp(file: UdpFile, to: Sockaddr): CallResult {
  if (to === "unsupported") return fails("EAFNOSUPPORT");
  const errno = errnoOf(() => {
    if (file.socket === null) file.bind(null);
  });
  if (errno !== null) return fails(errno);
  file.peer = to === "unspecified" ? null : to;
  return gives(0);
}

export function connectTcp(machine: Machine, file: TcpFile, to: Sockaddr): Begun | CallResult {
  if (to === "unspecified") return disconnect(file);
  if (to === "unsupported") return fails("EAFNOSUPPORT");
  if (file.listener !== null) return fails("EISCONN");
  const wasOpening = file.connecting;
  if (!wasOpening) {
    if (file.connection !== null && file.state !== CLOSED) return fails("EISCONN");
    const errno = errnoOf(() => openConnection(machine, file, to));
    if (errno !== null) return fails(errno);
    file.connecting = true;
  }
  const isNonblocking = (file.flags & NONBLOCK) !== 0;
  return {
    attempt: () => {
      if (file.isOpening) {
        if (!isNonblocking) return null;
        return fails(wasOpening ? "EALREADY" : "EINPROGRESS");
      }
      file.connecting = false;
      if (file.state !== CLOSED)
        return wasOpening && machine.flavour === "freebsd" ? fails("EISCONN") : gives(0);
      const errno = file.takeError() ?? "ECONNABORTED";
      file.disconnect();
      return fails(errno);
    },
    ...timeout(machine, file.options.sendTimeout, () => fails(wasOpening ? "EALREADY" : "EINPROGRESS")),
  };
}

/** @throws StackError */
function openConnection(machine: Machine, file: TcpFile, to: Endpoint): void {
  const { bound } = file;
  const opened = machine.stack.sockets.connect({
    ...connectionOptions(file),
    address: to.address === "0.0.0.0" ? machine.localAddress : to.address,
    port: to.port,
    ...(bound === null || bound.address === "0.0.0.0" ? {} : { localAddress: bound.address }),
    ...(bound === null || bound.port === 0 ? {} : { localPort: bound.port }),
    connectTimeout: connectTimeout(file),
  });
  file.connect(connectionOf(machine, opened));
  adoptOptions(file);
}

/** connect to AF_UNSPEC: the connection ends, with a reset where the peer knows of it. */
function disconnect(file: TcpFile): CallResult {
  const { connection } = file;
  if (connection !== null && file.state !== CLOSED) {
    if (file.state !== TIME_WAIT) abort(connection.tcb);
  }
  file.listener?.close();
  file.listener = null;
  file.disconnect();
  file.error = null;
  return gives(0);
}

export function shutdown(machine: Machine, call: Call): CallResult {
  const file = fileOf(machine, argument(call.args, 0));
  if (file === null) return fails("EBADF");
  if (file.kind !== "tcp" && file.kind !== "udp") return fails("ENOTSOCK");
  const how = toNumber(argument(call.args, 1));
  if (how < 0 || how > 2) return fails("EINVAL");
  const reading = how !== constant("SHUT_WR");
  const writing = how !== constant("SHUT_RD");
  if (file.kind === "tcp") {
    if (file.listener !== null) {
      if (reading) {
        file.listener.close();
        file.listener = null;
      }
      return gives(0);
    }
    if (file.connection === null || file.state === CLOSED) return fails("ENOTCONN");
    if (file.state === SYN_SENT) {
      // A handshake that nobody has answered ends here.
      abort(file.connection.tcb);
      file.disconnect();
      return gives(0);
    }
    if (writing) file.connection.socket.shutdown();
  } else if (file.peer === null) {
    return fails("ENOTCONN");
  }
  file.readShut ||= reading;
  file.writeShut ||= writing;
  return gives(0);
}

export function close(machine: Machine, call: Call): Begun | CallResult {
  const fd = toNumber(argument(call.args, 0));
  const file = machine.descriptors.get(fd);
  if (file === undefined) return fails("EBADF");
  machine.descriptors.delete(fd);
  for (const other of machine.descriptors.values()) if (other.kind === "epoll") other.forget(fd);
  switch (file.kind) {
    case "tcp":
      return closeTcp(machine, file);
    case "udp":
      file.close();
      return gives(0);
    case "pipe":
      if (file.side === "read") file.pipe.readers--;
      else file.pipe.writers--;
      return gives(0);
    default:
      return gives(0);
  }
}

function closeTcp(machine: Machine, file: TcpFile): Begun | CallResult {
  file.listener?.close();
  const { connection } = file;
  if (connection === null) return gives(0);
  const { onoff, linger } = file.options.linger;
  const { socket: opened, tcb } = connection;
  if (onoff !== 0 && linger === 0) opened.abort();
  else opened.close();
  if (onoff === 0 || linger === 0) return gives(0);
  // The program waits until all that it wrote, and the FIN, have been acknowledged.
  return {
    attempt: () =>
      tcb.state === CLOSED || tcb.state === FIN_WAIT_2 || tcb.state === TIME_WAIT ? gives(0) : null,
    ...timeout(machine, linger * 1_000, () => gives(0)),
  };
}

/** getsockname and getpeername. */
export function name(machine: Machine, call: Call): CallResult {
  const file = fileOf(machine, argument(call.args, 0));
  if (file === null) return fails("EBADF");
  if (file.kind !== "tcp" && file.kind !== "udp") return fails("ENOTSOCK");
  const endpoint = call.name === "getsockname" ? localName(file) : remoteName(file);
  if (endpoint === null) return fails("ENOTCONN");
  return gives(
    0,
    new Map<number, Value>([
      [1, fromEndpoint(endpoint)],
      [2, array(number(SOCKADDR_LENGTH))],
    ]),
  );
}

function localName(file: TcpFile | UdpFile): Endpoint {
  if (file.kind === "udp") {
    const { socket: bound } = file;
    return bound === null ? NOWHERE : { address: formatAddress(bound.address), port: bound.port };
  }
  const opened = file.connection?.socket;
  if (opened === undefined) return file.bound ?? NOWHERE;
  return { address: formatAddress(opened.localAddress), port: opened.localPort };
}

function remoteName(file: TcpFile | UdpFile): Endpoint | null {
  if (file.kind === "udp") return file.peer;
  const opened = file.connection?.socket;
  if (opened === undefined || file.isOpening || file.state === CLOSED) return null;
  return { address: formatAddress(opened.remoteAddress), port: opened.remotePort };
}

const NOWHERE: Endpoint = { address: "0.0.0.0", port: 0 };
