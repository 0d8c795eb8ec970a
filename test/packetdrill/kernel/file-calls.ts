import { statSync } from "node:fs";
import type { Call } from "../script.ts";
import { type Begun, CallError, type CallResult, fails, gives } from "./call.ts";
import { constant } from "./constants.ts";
import { fileOf, open } from "./descriptors.ts";
import type { Machine } from "./machine.ts";
import { MSG } from "./messages.ts";
import { MemoryFile, Pipe, PipeEnd } from "./pipe.ts";
import { nothing, take } from "./receive-calls.ts";
import { sendTcp } from "./send-calls.ts";
import type { TcpFile } from "./tcp-file.ts";
import { argument, array, describe, nameOf, number, numberOr, toNumber, toText } from "./values.ts";

/** fcntl, ioctl, and what is there for sendfile and splice: open and pipe. */

const NONBLOCK = constant("O_NONBLOCK");

export function fcntl(machine: Machine, call: Call): CallResult {
  const file = fileOf(machine, argument(call.args, 0));
  if (file === null) return fails("EBADF");
  const operation = toNumber(argument(call.args, 1));
  if (operation === constant("F_GETFL")) return gives(file.flags);
  if (operation === constant("F_SETFL")) {
    const settable = NONBLOCK | constant("O_APPEND");
    file.flags = (file.flags & ~settable) | (toNumber(argument(call.args, 2)) & settable);
    return gives(0);
  }
  if (operation === constant("F_GETFD") || operation === constant("F_SETFD")) return gives(0);
  throw new CallError(`fcntl ${describe(argument(call.args, 1))} is not supported by the runner`);
}

export function ioctl(machine: Machine, call: Call): CallResult {
  const file = fileOf(machine, argument(call.args, 0));
  if (file === null) return fails("EBADF");
  const request = argument(call.args, 1);
  const told = (value: number) => gives(0, new Map([[2, array(number(value))]]));
  switch (nameOf(request)) {
    case "FIONBIO":
      file.flags = toNumber(argument(call.args, 2)) === 0 ? file.flags & ~NONBLOCK : file.flags | NONBLOCK;
      return gives(0);
    case "SIOCINQ":
    case "FIONREAD":
      if (file.kind === "tcp") return isOpenStream(file) ? told(file.unread) : fails("EINVAL");
      if (file.kind === "udp") return told(file.datagrams[0]?.bytes.length ?? 0);
      if (file.kind === "pipe") return told(file.pipe.bytes);
      return fails("ENOTTY");
    case "SIOCOUTQ":
    case "TIOCOUTQ":
    case "FIONWRITE":
      if (file.kind !== "tcp") return file.kind === "udp" ? told(0) : fails("ENOTTY");
      return isOpenStream(file) ? told(file.unacknowledged) : fails("EINVAL");
    case "SIOCOUTQNSD":
    case "FIONSPACE":
      if (file.kind !== "tcp") return fails("ENOTTY");
      return isOpenStream(file) ? told(file.unsent) : fails("EINVAL");
    default:
      throw new CallError(`ioctl ${describe(request)} is not supported by the runner`);
  }
}

function isOpenStream(file: TcpFile): boolean {
  return file.listener === null;
}

/** Files are those that commands have made, and those of this machine: only the length counts. With O_CREAT, empty ones of no name. */
export function openFile(machine: Machine, call: Call): CallResult {
  const path = toText(argument(call.args, 0));
  const flags = numberOr(argument(call.args, 1), 0);
  if (path === null) throw new CallError(`${describe(argument(call.args, 0))} is no path`);
  const length = flags & constant("O_CREAT") ? 0 : (machine.files.get(path) ?? lengthOf(path));
  if (length === null) return fails("ENOENT");
  return gives(open(machine, new MemoryFile(length, flags), call.result));
}

function lengthOf(path: string): number | null {
  // There is always more in it.
  if (path === "/dev/zero") return Number.MAX_SAFE_INTEGER;
  return statSync(path, { throwIfNoEntry: false })?.size ?? null;
}

export function pipe(machine: Machine, call: Call): CallResult {
  const ends = argument(call.args, 0);
  const [reading, writing] = ends.kind === "array" ? ends.items : [];
  const made = new Pipe();
  const read = open(machine, new PipeEnd(made, "read"), reading ?? { kind: "any" });
  const write = open(machine, new PipeEnd(made, "write"), writing ?? { kind: "any" });
  return gives(0, new Map([[0, array(number(read), number(write))]]));
}

/** sendfile(out, in, offset, count): Linux's order. */
export function sendfile(machine: Machine, call: Call): Begun | CallResult {
  const target = fileOf(machine, argument(call.args, 0));
  const source = fileOf(machine, argument(call.args, 1));
  if (target === null || source === null) return fails("EBADF");
  if (source.kind !== "memory") return fails("EINVAL");
  if (target.kind !== "tcp") throw new CallError("sendfile goes to TCP sockets only in this runner");
  const given = argument(call.args, 2);
  const hasOffset = given.kind !== "any" && nameOf(given) !== "NULL";
  const offset = hasOffset ? toNumber(given) : source.offset;
  const count = Math.max(Math.min(toNumber(argument(call.args, 3)), source.length - offset), 0);
  return sendTcp(machine, target, count, 0, (taken) => {
    if (!hasOffset) source.offset += taken;
  });
}

/** splice(in, NULL, out, NULL, length, flags), between a pipe and a TCP socket. */
export function splice(machine: Machine, call: Call): Begun | CallResult {
  const source = fileOf(machine, argument(call.args, 0));
  const target = fileOf(machine, argument(call.args, 2));
  if (source === null || target === null) return fails("EBADF");
  const length = toNumber(argument(call.args, 4));
  const flags = numberOr(argument(call.args, 5), 0);
  const waits = (flags & constant("SPLICE_F_NONBLOCK")) === 0;
  if (source.kind === "pipe" && source.side === "read" && target.kind === "tcp") {
    const { pipe: bytes } = source;
    const more = flags & constant("SPLICE_F_MORE") ? MSG.MORE : 0;
    return sendTcp(
      machine,
      target,
      Math.min(length, bytes.bytes),
      more | (waits ? 0 : MSG.DONTWAIT),
      (taken) => {
        bytes.bytes -= taken;
      },
    );
  }
  if (source.kind === "tcp" && target.kind === "pipe" && target.side === "write") {
    return spliceIn(source, target.pipe, length, waits && (source.flags & NONBLOCK) === 0);
  }
  return fails("EINVAL");
}

function spliceIn(source: TcpFile, target: Pipe, length: number, waits: boolean): Begun {
  return {
    attempt: () => {
      const taken = take(source, Math.min(length, target.room), false);
      target.bytes += taken;
      if (taken > 0) return gives(taken);
      return nothing(source) ?? (waits ? null : fails("EAGAIN"));
    },
  };
}
