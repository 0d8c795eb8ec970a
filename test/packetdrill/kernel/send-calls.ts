import { CLOSED } from "../../../src/socket/tcp/tcb.ts";
import { NEVER } from "../../../src/storage/deadline-heap.ts";
import { parseAddress } from "../../../src/wire/ip-address.ts";
import type { Call, Value } from "../script.ts";
import { toSockaddr } from "./addresses.ts";
import { type Begun, CallError, type CallResult, fails, gives } from "./call.ts";
import { connectTcp, timeout } from "./connection-calls.ts";
import { constant } from "./constants.ts";
import { fileOf } from "./descriptors.ts";
import type { Machine } from "./machine.ts";
import { MSG, type Transfer, toTransfer } from "./messages.ts";
import { errnoOf, maySend, type TcpFile } from "./tcp-file.ts";
import type { UdpFile } from "./udp-file.ts";
import { argument } from "./values.ts";

/** The calls that give bytes away: write, writev, send, sendto, sendmsg. What the bytes are does not matter: they are 0. */

const NONBLOCK = constant("O_NONBLOCK");
const zeros = new Uint8Array(65_536);

export function send(machine: Machine, call: Call): Begun | CallResult {
  const file = fileOf(machine, argument(call.args, 0));
  if (file === null) return fails("EBADF");
  const transfer = toTransfer(call);
  switch (file.kind) {
    case "tcp":
      if (transfer.hasNoBuffer && maySend(file)) return fails("EFAULT");
      if (transfer.flags & MSG.FASTOPEN) return sendFastOpen(machine, file, transfer);
      return sendTcp(machine, file, transfer.length, transfer.flags);
    case "udp":
      return sendUdp(machine, file, transfer);
    case "memory":
      file.offset += transfer.length;
      file.length = Math.max(file.length, file.offset);
      return gives(transfer.length);
    case "pipe": {
      const { pipe, side, flags } = file;
      if (side === "read") return fails("EBADF");
      return {
        attempt: () => {
          if (pipe.readers === 0) return fails("EPIPE");
          if (pipe.room === 0) return flags & NONBLOCK ? fails("EAGAIN") : null;
          const taken = Math.min(transfer.length, pipe.room);
          pipe.bytes += taken;
          return gives(taken);
        },
      };
    }
    default:
      return fails("EINVAL");
  }
}

/** TCP Fast Open is off, as with the sysctl at 0: a SYN carries no text. */
function sendFastOpen(machine: Machine, file: TcpFile, { address }: Transfer): Begun | CallResult {
  const theirs = { address: machine.remoteAddress, port: machine.connectPort };
  const to = address === undefined ? theirs : toSockaddr(address, theirs);
  if (to === "unspecified") return connectTcp(machine, file, to);
  return fails("EOPNOTSUPP");
}

/** Writes `length` bytes to a connection, with the rules of `send` and its flags. */
export function sendTcp(
  machine: Machine,
  file: TcpFile,
  length: number,
  flags: number,
  onTaken: (count: number) => void = () => {},
): Begun | CallResult {
  if (flags & MSG.OOB) throw new CallError("MSG_OOB cannot be sent: this stack sends no urgent text");
  const isNonblocking = ((file.flags & NONBLOCK) | (flags & MSG.DONTWAIT)) !== 0;
  const zerocopy = (flags & MSG.ZEROCOPY) !== 0 && file.options.get("SO_ZEROCOPY") !== 0;
  let taken = 0;
  const finish = () => {
    const tcb = file.connection?.tcb;
    if (zerocopy && taken > 0 && tcb !== undefined) file.zerocopy.sent(tcb);
    return gives(taken);
  };
  return {
    attempt: () => {
      if (file.isOpening) return isNonblocking ? fails("EAGAIN") : null;
      if (file.error !== null || !maySend(file) || file.writeShut) {
        return taken > 0 ? finish() : fails(brokenPipe(machine, file));
      }
      const count = append(file, length - taken, flags);
      taken += count;
      onTaken(count);
      if (taken === length) return finish();
      file.noSpace = true;
      if (isNonblocking) return taken > 0 ? finish() : fails("EAGAIN");
      return null;
    },
    ...timeout(machine, file.options.sendTimeout, () => (taken > 0 ? finish() : fails("EAGAIN"))),
  };
}

/** The error that waits comes before EPIPE. */
function brokenPipe(machine: Machine, file: TcpFile): string {
  const errno = file.takeError();
  if (errno !== null) return errno;
  const wasNever = file.connection === null;
  return wasNever && machine.flavour === "freebsd" ? "ENOTCONN" : "EPIPE";
}

/** Gives the connection what it has room for. With MSG_MORE, and a cork, what fills no segment waits for the next bytes. */
function append(file: TcpFile, length: number, flags: number): number {
  const { connection, options } = file;
  if (connection === null || connection.tcb.state === CLOSED) return 0;
  const { socket, tcb } = connection;
  const corked = options.get("TCP_CORK") !== 0 || (flags & MSG.MORE) !== 0;
  if (corked && !tcb.corked) socket.corked = true;
  if (!corked && tcb.corked) {
    // What waited goes with these bytes, and Nagle's algorithm sees to the rest.
    tcb.corked = false;
    tcb.corkAt = NEVER;
  }
  let taken = 0;
  while (taken < length) {
    const part = Math.min(length - taken, zeros.length);
    const count = socket.write(zeros, 0, part);
    taken += count;
    if (count < part) break;
  }
  return taken;
}

function sendUdp(machine: Machine, file: UdpFile, { length, flags, address }: Transfer): Begun | CallResult {
  if (flags & MSG.OOB) return fails("EOPNOTSUPP");
  const theirs = { address: machine.remoteAddress, port: machine.connectPort };
  const to =
    addressOf(address, file) === null ? file.peer : toSockaddr(addressOf(address, file) as Value, theirs);
  if (to === "unsupported" || to === "unspecified") return fails("EAFNOSUPPORT");
  if (to === null) return fails("EDESTADDRREQ");
  if (file.writeShut) return fails("EPIPE");
  const isNonblocking = ((file.flags & NONBLOCK) | (flags & MSG.DONTWAIT)) !== 0;
  return {
    attempt: () => {
      const errno = file.takeError();
      if (errno !== null) return fails(errno);
      let queued = false;
      const wrong = errnoOf(() => {
        if (file.socket === null) file.bind(null);
        queued = file.socket?.send(new Uint8Array(length), parseAddress(to.address), to.port) ?? false;
      });
      if (wrong !== null) return fails(wrong);
      if (!queued) return isNonblocking ? fails("EAGAIN") : null;
      return gives(length);
    },
    ...timeout(machine, file.options.sendTimeout, () => fails("EAGAIN")),
  };
}

/** Where the script has `...` for an address, a connected socket goes to its peer, and another to the tester. */
function addressOf(address: Value | undefined, file: UdpFile): Value | null {
  if (address === undefined) return null;
  return address.kind === "any" && file.peer !== null ? null : address;
}
