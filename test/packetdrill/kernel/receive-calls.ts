import { CLOSED } from "../../../src/socket/tcp/tcb.ts";
import type { Call, Value } from "../script.ts";
import { fromEndpoint, SOCKADDR_LENGTH } from "./addresses.ts";
import { type Begun, CallError, type CallResult, fails, gives } from "./call.ts";
import { timeout } from "./connection-calls.ts";
import { constant } from "./constants.ts";
import { fileOf } from "./descriptors.ts";
import type { Machine } from "./machine.ts";
import { MSG, type Transfer, toTransfer } from "./messages.ts";
import type { TcpFile } from "./tcp-file.ts";
import type { UdpFile } from "./udp-file.ts";
import { ANY, argument, array, number, structure } from "./values.ts";

/** The calls that take bytes in: read, readv, recv, recvfrom, recvmsg. */

const NONBLOCK = constant("O_NONBLOCK");
const sink = new Uint8Array(65_536);

export function receive(machine: Machine, call: Call): Begun | CallResult {
  const file = fileOf(machine, argument(call.args, 0));
  if (file === null) return fails("EBADF");
  const transfer = toTransfer(call);
  switch (file.kind) {
    case "tcp":
      return receiveTcp(machine, file, transfer);
    case "udp":
      return receiveUdp(machine, call, file, transfer);
    case "memory": {
      const taken = Math.max(Math.min(transfer.length, file.length - file.offset), 0);
      file.offset += taken;
      return gives(taken);
    }
    case "pipe": {
      const { pipe, side, flags } = file;
      if (side === "write") return fails("EBADF");
      return {
        attempt: () => {
          if (pipe.bytes === 0)
            return pipe.writers === 0 ? gives(0) : flags & NONBLOCK ? fails("EAGAIN") : null;
          const taken = Math.min(transfer.length, pipe.bytes);
          pipe.bytes -= taken;
          return gives(taken);
        },
      };
    }
    default:
      return fails("EINVAL");
  }
}

function receiveTcp(machine: Machine, file: TcpFile, transfer: Transfer): Begun | CallResult {
  const { length, flags, isPlain } = transfer;
  if (flags & MSG.ERRQUEUE) return takeCompletion(file);
  // Urgent text is delivered in line, so none waits beside the stream.
  if (flags & MSG.OOB) return fails("EINVAL");
  if (isPlain && length === 0) return gives(0);
  const isNonblocking = ((file.flags & NONBLOCK) | (flags & MSG.DONTWAIT)) !== 0;
  const peeks = (flags & MSG.PEEK) !== 0;
  const wanted =
    flags & MSG.WAITALL ? length : Math.min(Math.max(file.options.get("SO_RCVLOWAT"), 1), length);
  let taken = 0;
  const result = () => gives(taken, receivedOut(file, transfer, taken));
  return {
    attempt: () => {
      const unread = file.unread;
      if (transfer.hasNoBuffer && unread > 0) return fails("EFAULT");
      if (!peeks || unread >= wanted || isOver(file)) taken += take(file, length - taken, peeks);
      if (taken >= Math.max(wanted, 1) || (taken > 0 && (isNonblocking || isOver(file)))) return result();
      if (unread > 0 && peeks && isNonblocking) {
        taken = take(file, length, true);
        return result();
      }
      return nothing(file) ?? (isNonblocking ? fails("EAGAIN") : null);
    },
    ...timeout(machine, file.options.receiveTimeout, () => (taken > 0 ? result() : fails("EAGAIN"))),
  };
}

/** Nothing comes behind what there is. */
function isOver(file: TcpFile): boolean {
  return file.isAtFin || file.error !== null || file.readShut || file.state === CLOSED;
}

/** What a read gives that finds no bytes, or `null` where some may come. The end of the stream comes before an error. */
export function nothing(file: TcpFile): CallResult | null {
  if (file.listener !== null) return fails("ENOTCONN");
  if (file.isAtFin) return gives(0);
  const errno = file.takeError();
  if (errno !== null) return fails(errno);
  if (file.readShut) return gives(0);
  if (file.state === CLOSED) return file.connection === null ? fails("ENOTCONN") : gives(0);
  return null;
}

/** Moves up to `length` bytes out of the socket; a peek leaves them there. */
export function take(file: TcpFile, length: number, peeks: boolean): number {
  if (peeks) return Math.min(length, file.unread);
  let taken = file.takeLeftBehind(length);
  const { connection } = file;
  while (connection !== null && taken < length && connection.tcb.receiveBuffer.length > 0) {
    taken += connection.socket.read(sink, 0, Math.min(length - taken, sink.length));
  }
  return taken;
}

/** What recvmsg writes beside the bytes. */
function receivedOut(file: TcpFile, { header }: Transfer, taken: number): ReadonlyMap<number, Value> {
  if (header === undefined) return new Map();
  const control: Value[] = [];
  if (file.options.get("TCP_INQ") !== 0 && taken > 0) {
    const left = file.unread + (file.isAtFin ? 1 : 0);
    control.push(
      structure({
        cmsg_level: constant("SOL_TCP"),
        cmsg_type: constant("TCP_CM_INQ"),
        cmsg_data: left,
      }),
    );
  }
  return new Map([[1, messageHeader(0, control)]]);
}

/** A msghdr as it comes back; its iovecs are as they were. */
function messageHeader(flags: number, control: readonly Value[], name: Value = ANY): Value {
  return structure({ msg_name: name, msg_iov: ANY, msg_flags: flags, msg_control: array(...control) });
}

/** MSG_ERRQUEUE: the next sends of MSG_ZEROCOPY that are over. */
function takeCompletion(file: TcpFile): CallResult {
  const completion = file.zerocopy.take();
  if (completion === null) return fails("EAGAIN");
  const data = structure({
    ee_errno: 0,
    ee_origin: constant("SO_EE_ORIGIN_ZEROCOPY"),
    ee_type: 0,
    ee_code: constant("SO_EE_CODE_ZEROCOPY_COPIED"),
    ee_info: completion.first,
    ee_data: completion.last,
  });
  const message = structure({
    cmsg_level: constant("CMSG_LEVEL_IP"),
    cmsg_type: constant("CMSG_TYPE_RECVERR"),
    cmsg_data: data,
  });
  return gives(0, new Map([[1, messageHeader(MSG.ERRQUEUE, [message])]]));
}

function receiveUdp(machine: Machine, call: Call, file: UdpFile, transfer: Transfer): Begun | CallResult {
  const { length, flags, header } = transfer;
  if (flags & MSG.ERRQUEUE) return fails("EAGAIN");
  if (flags & MSG.OOB) throw new CallError("MSG_OOB of a UDP socket is not known");
  const isNonblocking = ((file.flags & NONBLOCK) | (flags & MSG.DONTWAIT)) !== 0;
  return {
    attempt: () => {
      const errno = file.takeError();
      if (errno !== null) return fails(errno);
      const datagram = flags & MSG.PEEK ? file.datagrams[0] : file.datagrams.shift();
      if (datagram === undefined) {
        if (file.readShut) return gives(0);
        return isNonblocking ? fails("EAGAIN") : null;
      }
      const full = datagram.bytes.length;
      const out = new Map<number, Value>();
      const from = fromEndpoint(datagram.from);
      if (call.name === "recvfrom") {
        out.set(4, from);
        out.set(5, array(number(SOCKADDR_LENGTH)));
      }
      if (header !== undefined) {
        const told = full > length ? MSG.TRUNC : 0;
        out.set(1, messageHeader(told, [], from));
      }
      return gives(flags & MSG.TRUNC ? full : Math.min(full, length), out);
    },
    ...timeout(machine, file.options.receiveTimeout, () => fails("EAGAIN")),
  };
}
