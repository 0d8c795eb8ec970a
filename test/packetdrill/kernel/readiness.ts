import { CLOSED, SYN_SENT } from "../../../src/socket/tcp/tcb.ts";
import type { File } from "./descriptors.ts";
import { POLL, withNormal } from "./events.ts";
import { isWritable, type TcpFile } from "./tcp-file.ts";
import type { UdpFile } from "./udp-file.ts";

/** What poll and epoll would say of a file now: bits of `POLL`. */
export function readiness(file: File): number {
  switch (file.kind) {
    case "tcp":
      return withNormal(ofTcp(file));
    case "udp":
      return withNormal(ofUdp(file));
    case "epoll":
      return withNormal(file.hasEvents() ? POLL.IN : 0);
    case "memory":
      return withNormal(POLL.IN | POLL.OUT);
    case "pipe":
      if (file.side === "write") return withNormal(file.pipe.room > 0 ? POLL.OUT : 0);
      return withNormal((file.pipe.bytes > 0 ? POLL.IN : 0) | (file.pipe.writers === 0 ? POLL.HUP : 0));
  }
}

/** Somebody looks for room, finds none, and wants to be told when there is some. */
export function expectRoom(file: File): void {
  if (file.kind === "tcp" && !file.writeShut && file.isConnected && !isWritable(file)) file.noSpace = true;
}

function ofTcp(file: TcpFile): number {
  const { state, listener } = file;
  if (listener !== null) return listener.queue.acceptable > 0 ? POLL.IN : 0;
  let mask = 0;
  const isClosed = state === CLOSED;
  const wasConnected = file.connection !== null;
  const noneComes = file.readShut || file.isAtFin || (isClosed && wasConnected);
  const noneGoes = file.writeShut || (isClosed && wasConnected);
  if (isClosed || (noneComes && noneGoes)) mask |= POLL.HUP;
  if (noneComes) mask |= POLL.IN | POLL.RDHUP;
  if (state !== SYN_SENT) {
    if (file.unread > 0 && file.unread >= Math.max(file.options.get("SO_RCVLOWAT"), 1)) mask |= POLL.IN;
    if (noneGoes || isClosed || isWritable(file)) mask |= POLL.OUT;
  }
  if (file.error !== null || !file.zerocopy.isEmpty) mask |= POLL.ERR;
  return mask;
}

function ofUdp(file: UdpFile): number {
  let mask = POLL.OUT;
  if (file.hasDatagram || file.readShut) mask |= POLL.IN;
  if (file.readShut) mask |= POLL.RDHUP;
  if (file.readShut && file.writeShut) mask |= POLL.HUP;
  if (file.error !== null) mask |= POLL.ERR;
  return mask;
}
