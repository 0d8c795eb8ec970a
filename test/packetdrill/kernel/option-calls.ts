import { CLOSED } from "../../../src/socket/tcp/tcb.ts";
import type { Call, Value } from "../script.ts";
import { CallError, type CallResult, fails, gives } from "./call.ts";
import { ERRNO_NUMBERS } from "./constants.ts";
import { fileOf } from "./descriptors.ts";
import type { Machine } from "./machine.ts";
import { connectedValue, NUMERIC, type NumericOption } from "./options.ts";
import { applyOption, controlNamed } from "./tcp-effects.ts";
import type { TcpFile } from "./tcp-file.ts";
import { tcpInfo } from "./tcp-info.ts";
import type { UdpFile } from "./udp-file.ts";
import {
  argument,
  array,
  describe,
  member,
  nameOf,
  number,
  structure,
  text,
  toNumber,
  toText,
} from "./values.ts";

/** setsockopt and getsockopt. */

type SocketFile = TcpFile | UdpFile;

const INT = 4;
/** `struct linger` and `struct timeval`. */
const LINGER_LENGTH = 8;
const TIMEVAL_LENGTH = 16;

/** @throws CallError where the option is not known */
export function setsockopt(machine: Machine, call: Call): CallResult {
  const file = fileOf(machine, argument(call.args, 0));
  if (file === null) return fails("EBADF");
  if (file.kind !== "tcp" && file.kind !== "udp") return fails("ENOTSOCK");
  const name = optionName(call);
  const value = argument(call.args, 3);
  const length = argument(call.args, 4);
  const size = length.kind === "any" ? Number.POSITIVE_INFINITY : toNumber(length);
  const errno = setStructured(file, name, value, size) ?? setNumeric(file, name, value, size);
  return errno === DONE ? gives(0) : fails(errno);
}

/** The option's name; a level that is not the option's is an error of the script's. */
function optionName(call: Call): string {
  const name = nameOf(argument(call.args, 2));
  if (name === null) throw new CallError(`the option ${describe(argument(call.args, 2))} has no name`);
  return ALIASES[name] ?? name;
}

/** Names of other systems, or of before. */
const ALIASES: Readonly<Record<string, string>> = {
  TCP_NOPUSH: "TCP_CORK",
  TCP_KEEPALIVE: "TCP_KEEPIDLE",
  TCP_ULP_NAME: "TCP_ULP",
  IPV6_RECVERR: "IP_RECVERR",
  IPV6_MTU: "IP_MTU",
  SO_SNDBUFFORCE: "SO_SNDBUF",
  SO_RCVBUFFORCE: "SO_RCVBUF",
  SO_RCVTIMEO_OLD: "SO_RCVTIMEO",
  SO_SNDTIMEO_OLD: "SO_SNDTIMEO",
};

/** Not an errno: it went well. */
const DONE = "";

/** Sets an option that is no int: an errno, `DONE`, or `null` where it is an int. */
function setStructured(file: SocketFile, name: string, value: Value, size: number): string | null {
  switch (name) {
    case "SO_LINGER":
      return setLinger(file, value, size);
    case "SO_RCVTIMEO":
    case "SO_SNDTIMEO":
      return setTimeout(file, name, value, size);
    case "TCP_CONGESTION":
      return file.kind === "tcp" ? setCongestion(file, value) : "ENOPROTOOPT";
    case "TCP_FUNCTION_BLK":
      // FreeBSD: which of its implementations is to be used. There is one here.
      return DONE;
    case "TCP_FASTOPEN_CONNECT":
      // As where Fast Open is off.
      return toNumber(value) === 0 ? DONE : "EOPNOTSUPP";
    default:
      return null;
  }
}

function setLinger(file: SocketFile, value: Value, size: number): string {
  if (size < LINGER_LENGTH) return "EINVAL";
  const structured = value.kind === "array" ? value.items[0] : value;
  const onoff = member(structured, "onoff") ?? member(structured, "l_onoff");
  const seconds = member(structured, "linger") ?? member(structured, "l_linger");
  if (onoff === undefined || seconds === undefined) {
    throw new CallError(`${describe(value)} is no linger: {onoff=1, linger=0} is one`);
  }
  file.options.linger = { onoff: toNumber(onoff), linger: toNumber(seconds) };
  return DONE;
}

function setTimeout(file: SocketFile, name: string, value: Value, size: number): string {
  if (size < TIMEVAL_LENGTH) return "EINVAL";
  const structured = value.kind === "array" ? value.items[0] : value;
  const seconds = member(structured, "tv_sec");
  const rest = member(structured, "tv_usec");
  if (seconds === undefined)
    throw new CallError(`${describe(value)} is no timeval: {tv_sec=1, tv_usec=0} is one`);
  const ms = toNumber(seconds) * 1_000 + (rest === undefined ? 0 : toNumber(rest)) / 1_000;
  if (ms < 0) return "EDOM";
  if (name === "SO_RCVTIMEO") file.options.receiveTimeout = ms;
  else file.options.sendTimeout = ms;
  return DONE;
}

function setCongestion(file: TcpFile, value: Value): string {
  const wanted = toText(value.kind === "array" && value.items.length === 1 ? value.items[0] : value);
  if (wanted === null) throw new CallError(`${describe(value)} is no name of a congestion control`);
  if (controlNamed(wanted) === null) return "ENOENT";
  file.options.congestion = wanted;
  applyOption(file, "TCP_CONGESTION");
  return DONE;
}

function setNumeric(file: SocketFile, name: string, value: Value, size: number): string {
  const option = numericOption(name, file);
  if (option?.set === undefined) return "ENOPROTOOPT";
  if (size < (option.mayBeByte ? 1 : INT)) return "EINVAL";
  const wanted = Number(BigInt.asIntN(32, BigInt(toNumber(value))));
  const checked = option.set(wanted, file);
  if (typeof checked === "string") return checked;
  file.options.set(name, checked);
  if (file.kind === "tcp") applyOption(file, name);
  return DONE;
}

/** The option; `null` where sockets of this kind have none of the name. */
function numericOption(name: string, file: SocketFile): NumericOption | null {
  const option = Object.hasOwn(NUMERIC, name) ? NUMERIC[name] : undefined;
  if (option === undefined) throw new CallError(`the option ${name} is not supported by the runner`);
  return name.startsWith("TCP_") && file.kind !== "tcp" ? null : option;
}

/** @throws CallError where the option is not known */
export function getsockopt(machine: Machine, call: Call): CallResult {
  const file = fileOf(machine, argument(call.args, 0));
  if (file === null) return fails("EBADF");
  if (file.kind !== "tcp" && file.kind !== "udp") return fails("ENOTSOCK");
  const name = optionName(call);
  const told = (value: Value, length: number) =>
    gives(
      0,
      new Map([
        [3, value],
        [4, array(number(length))],
      ]),
    );
  const { options } = file;
  switch (name) {
    case "SO_ERROR": {
      const errno = file.takeError();
      return told(array(number(errno === null ? 0 : ERRNO_NUMBERS[errno])), INT);
    }
    case "SO_LINGER":
      return told(structure(options.linger), LINGER_LENGTH);
    case "SO_RCVTIMEO":
      return told(timeval(options.receiveTimeout), TIMEVAL_LENGTH);
    case "SO_SNDTIMEO":
      return told(timeval(options.sendTimeout), TIMEVAL_LENGTH);
    case "TCP_CONGESTION":
      if (file.kind !== "tcp") return fails("ENOPROTOOPT");
      // The length depends on the room that the program has given.
      return gives(0, new Map([[3, text(options.congestion ?? defaultCongestion(machine))]]));
    case "TCP_INFO": {
      if (file.kind !== "tcp") return fails("ENOPROTOOPT");
      return gives(0, new Map([[3, structure(tcpInfo(file))]]));
    }
    case "IP_MTU":
      if (file.kind !== "tcp" || file.connection === null || file.state === CLOSED) return fails("ENOTCONN");
      break;
    case "TCP_FUNCTION_BLK":
    case "TCP_FASTOPEN_CONNECT":
      throw new CallError(`the option ${name} cannot be read in this runner`);
  }
  const option = numericOption(name, file);
  if (option === null) return fails("ENOPROTOOPT");
  return told(array(number(connectedValue(name, option, file))), INT);
}

function timeval(ms: number): Value {
  return structure({ tv_sec: Math.floor(ms / 1_000), tv_usec: Math.round((ms % 1_000) * 1_000) });
}

function defaultCongestion(machine: Machine): string {
  const name = machine.stack.sockets.context.tcp.congestionControl;
  return name === "newreno" && machine.flavour === "linux" ? "reno" : name;
}
