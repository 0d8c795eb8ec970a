import { constant } from "./constants.ts";
import type { File } from "./descriptors.ts";
import { POLL } from "./events.ts";
import { expectRoom, readiness } from "./readiness.ts";

const EDGE = constant("EPOLLET");
const ONE_SHOT = constant("EPOLLONESHOT");

/** What a program wants to know of a file. */
interface Interest {
  readonly file: File;
  events: number;
  /** The `fd`, `u32`, `u64` or `ptr` of its `data`. */
  data: bigint;
  /** Once told, not again before it is asked for anew. */
  isDisabled: boolean;
  /** Since it was told last, something has happened, or nobody has looked. */
  isFresh: boolean;
}

export interface EpollEvent {
  readonly events: number;
  readonly data: bigint;
}

/** An epoll instance: interests by descriptor. */
export class Epoll {
  readonly kind = "epoll";
  flags = 0;
  private readonly interests = new Map<number, Interest>();

  /** Returns an errno, or `null`. */
  add(fd: number, file: File, events: number, data: bigint): string | null {
    if (this.interests.has(fd)) return "EEXIST";
    this.interests.set(fd, { file, events, data, isDisabled: false, isFresh: true });
    expectRoom(file);
    return null;
  }

  modify(fd: number, events: number, data: bigint): string | null {
    const interest = this.interests.get(fd);
    if (interest === undefined) return "ENOENT";
    interest.events = events;
    interest.data = data;
    interest.isDisabled = false;
    interest.isFresh = true;
    expectRoom(interest.file);
    return null;
  }

  remove(fd: number): string | null {
    return this.interests.delete(fd) ? null : "ENOENT";
  }

  /** A descriptor is closed. */
  forget(fd: number): void {
    this.interests.delete(fd);
  }

  /** Something has happened to a file since the last poll: it is news to who wants edges. */
  notice(): void {
    for (const interest of this.interests.values()) {
      const { file, events } = interest;
      if (file.kind !== "tcp" && file.kind !== "udp") continue;
      if (file.edges & (events | POLL.ERR | POLL.HUP)) interest.isFresh = true;
    }
  }

  hasEvents(): boolean {
    return this.collect(1, false).length > 0;
  }

  /** Up to `most` events; what is told is told. */
  take(most: number): EpollEvent[] {
    return this.collect(most, true);
  }

  private collect(most: number, taking: boolean): EpollEvent[] {
    const told: EpollEvent[] = [];
    for (const interest of this.interests.values()) {
      if (told.length === most) break;
      const { file, events, data, isDisabled, isFresh } = interest;
      if (isDisabled || (events & EDGE && !isFresh)) continue;
      const mask = readiness(file) & (events | POLL.ERR | POLL.HUP);
      if (taking) {
        interest.isFresh = false;
        if (events & POLL.OUT) expectRoom(file);
      }
      if (mask === 0) continue;
      told.push({ events: mask, data });
      if (taking && events & ONE_SHOT) interest.isDisabled = true;
    }
    return told;
  }
}
