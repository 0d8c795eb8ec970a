import type { Call, Value } from "../script.ts";
import { type Begun, CallError, type CallResult, fails, gives } from "./call.ts";
import { constant } from "./constants.ts";
import { fileOf, open } from "./descriptors.ts";
import { Epoll, type EpollEvent } from "./epoll.ts";
import { POLL, toldBits } from "./events.ts";
import type { Machine } from "./machine.ts";
import { expectRoom, readiness } from "./readiness.ts";
import { argument, array, describe, member, number, numberOr, structure, toBig, toNumber } from "./values.ts";

/** poll, and epoll_create, epoll_ctl and epoll_wait. */

interface PollEntry {
  readonly fd: Value;
  readonly events: number;
}

export function poll(machine: Machine, call: Call): Begun | CallResult {
  const list = argument(call.args, 0);
  if (list.kind !== "array") throw new CallError(`${describe(list)} stands where poll's array should`);
  const entries = list.items.map(toEntry);
  const timeout = numberOr(argument(call.args, 2), 0);
  const look = (mayWait: boolean): CallResult | null => {
    const found = entries.map((entry) => revents(machine, entry));
    const ready = found.filter((mask) => mask !== 0).length;
    if (ready === 0 && mayWait) return null;
    const out = array(
      ...entries.map(({ fd, events }, i) => structure({ fd, events, revents: toldBits(found[i], "POLL") })),
    );
    return gives(ready, new Map([[0, out]]));
  };
  return {
    attempt: () => look(timeout !== 0),
    ...(timeout > 0 ? { until: machine.now + timeout, atEnd: () => look(false) as CallResult } : {}),
  };
}

function toEntry(value: Value): PollEntry {
  const fd = member(value, "fd");
  const events = member(value, "events");
  if (fd === undefined || events === undefined) {
    throw new CallError(`${describe(value)} is no pollfd: {fd=3, events=POLLIN, revents=0} is one`);
  }
  return { fd, events: toNumber(events) };
}

function revents(machine: Machine, { fd, events }: PollEntry): number {
  if (toNumber(fd) < 0) return 0;
  const file = fileOf(machine, fd);
  if (file === null) return POLL.NVAL;
  if (events & POLL.OUT) expectRoom(file);
  return readiness(file) & (events | POLL.ERR | POLL.HUP);
}

export function epollCreate(machine: Machine, call: Call): CallResult {
  if (call.name === "epoll_create" && numberOr(argument(call.args, 0), 1) <= 0) return fails("EINVAL");
  return gives(open(machine, new Epoll(), call.result));
}

export function epollControl(machine: Machine, call: Call): CallResult {
  const epoll = fileOf(machine, argument(call.args, 0));
  const fd = toNumber(argument(call.args, 2));
  const file = fileOf(machine, argument(call.args, 2));
  if (epoll === null || file === null) return fails("EBADF");
  if (epoll.kind !== "epoll" || epoll === file) return fails("EINVAL");
  // Linux: a file of a disk is always ready, and so is refused.
  if (file.kind === "memory") return fails("EPERM");
  const operation = toNumber(argument(call.args, 1));
  if (operation === constant("EPOLL_CTL_DEL")) return outcome(epoll.remove(fd));
  const wanted = argument(call.args, 3);
  const event = wanted.kind === "array" && wanted.items.length === 1 ? wanted.items[0] : wanted;
  const events = member(event, "events");
  if (events === undefined)
    throw new CallError(`${describe(wanted)} is no epoll_event: {events=EPOLLIN, fd=4} is one`);
  const data = dataOf(event) ?? BigInt(fd);
  if (operation === constant("EPOLL_CTL_ADD")) return outcome(epoll.add(fd, file, toNumber(events), data));
  if (operation === constant("EPOLL_CTL_MOD")) return outcome(epoll.modify(fd, toNumber(events), data));
  return fails("EINVAL");
}

const DATA = ["fd", "u32", "u64", "ptr"] as const;

function dataOf(event: Value): bigint | null {
  for (const name of DATA) {
    const value = member(event, name);
    if (value !== undefined && value.kind !== "any") return toBig(value);
  }
  return null;
}

function outcome(errno: string | null): CallResult {
  return errno === null ? gives(0) : fails(errno);
}

export function epollWait(machine: Machine, call: Call): Begun | CallResult {
  const epoll = fileOf(machine, argument(call.args, 0));
  if (epoll === null) return fails("EBADF");
  if (epoll.kind !== "epoll") return fails("EINVAL");
  const most = toNumber(argument(call.args, 2));
  if (most <= 0) return fails("EINVAL");
  const timeout = numberOr(argument(call.args, 3), 0);
  return {
    attempt: () => {
      const told = epoll.take(most);
      return told.length === 0 && timeout !== 0 ? null : eventsTold(told);
    },
    ...(timeout > 0 ? { until: machine.now + timeout, atEnd: () => gives(0) } : {}),
  };
}

/** Where nothing has happened nothing is written. */
function eventsTold(told: readonly EpollEvent[]): CallResult {
  if (told.length === 0) return gives(0);
  const events = told.map(({ events: mask, data }) => {
    const value = number(data);
    return structure({ events: toldBits(mask, "EPOLL"), fd: value, u32: value, u64: value, ptr: value });
  });
  return gives(told.length, new Map([[1, array(...events)]]));
}
