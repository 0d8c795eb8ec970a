import { describe, expect, test } from "bun:test";
import { accepted, acceptedNonblocking, connecting, listening, Program, SOCKET } from "./kernel-program.ts";

const ask = (fd: number, events: string, revents: string, timeout: number, ready: number) =>
  `poll([{fd=${fd}, events=${events}, revents=${revents}}], 1, ${timeout}) = ${ready}`;

describe("poll", () => {
  test("of a listener: a connection to accept", () => {
    const p = listening();
    p.calls(ask(3, "POLLIN", "0", 0, 0));
    p.arrives({ flags: "S", seq: 0 }, {});
    p.calls(ask(3, "POLLIN|POLLOUT", "POLLIN", 0, 1));
  });

  test("of a connection: bytes, room, the peer's end", () => {
    const p = accepted();
    p.calls(ask(4, "POLLIN|POLLOUT", "POLLOUT", 0, 1));
    p.arrives({ flags: "P.", length: 10 });
    p.calls(
      ask(4, "POLLIN|POLLOUT", "POLLIN|POLLOUT", 0, 1),
      "read(4, ..., 10) = 10",
      ask(4, "POLLIN", "0", 0, 0),
    );
    p.arrives({ flags: "F.", seq: 11 });
    p.calls(ask(4, "POLLIN|POLLRDHUP", "POLLIN|POLLRDHUP", 0, 1));
  });

  test("of a handshake: nothing; then room", () => {
    const p = connecting();
    p.calls(ask(3, "POLLIN|POLLOUT", "0", 0, 0));
    p.arrives({ flags: "S.", seq: 0, ack: 1 });
    p.calls(ask(3, "POLLIN|POLLOUT", "POLLOUT", 0, 1));
  });

  test("of a refused one: everything, with POLLERR and POLLHUP, asked for or not", () => {
    const p = connecting();
    p.arrives({ flags: "R.", seq: 0, ack: 1 });
    p.calls(ask(3, "POLLIN|POLLOUT", "POLLIN|POLLOUT|POLLERR|POLLHUP", 0, 1));
    p.calls("getsockopt(3, SOL_SOCKET, SO_ERROR, [ECONNREFUSED], [4]) = 0");
    p.calls(ask(3, "0", "POLLHUP", 0, 1));
  });

  test("of a socket that never was connected: POLLHUP and room", () => {
    const p = new Program();
    p.calls(SOCKET, ask(3, "POLLIN|POLLOUT", "POLLOUT|POLLHUP", 0, 1));
  });

  test("of a descriptor that is none: POLLNVAL", () => {
    new Program().calls(ask(9, "POLLIN", "POLLNVAL", 0, 1));
  });

  test("waits, with and without an end", () => {
    const p = accepted();
    const bounded = p.blocks(ask(4, "POLLIN", "0", 100, 0));
    p.passes(99);
    expect(bounded.done).toBe(false);
    p.passes(1);
    p.returned(bounded);
    const endless = p.blocks(ask(4, "POLLIN", "POLLIN", -1, 1));
    p.passes(10_000);
    expect(endless.done).toBe(false);
    p.arrives({ flags: "P.", length: 1 });
    p.returned(endless);
  });

  test("room is what a third of the buffer makes", () => {
    const p = acceptedNonblocking(["setsockopt(3, SOL_SOCKET, SO_SNDBUF, [3000], 4) = 0"]);
    p.calls("write(4, ..., 6000) = 6000", ask(4, "POLLOUT", "0", 0, 0));
    p.arrives({ ack: 1_001 });
    p.calls(ask(4, "POLLOUT", "0", 0, 0));
    p.arrives({ ack: 2_001 });
    p.calls(ask(4, "POLLOUT", "POLLOUT", 0, 1));
  });

  test("what was asked and what was told is compared", () => {
    const p = accepted();
    expect(p.mismatch(ask(4, "POLLIN|POLLOUT", "POLLIN", 0, 1))).toBe(
      "poll: expected argument 1's revents to be POLLIN, but it is POLLOUT",
    );
  });
});

/** Socket 4 is in the epoll instance 5. */
function watching(events: string, p = acceptedNonblocking()): Program {
  p.calls("epoll_create1(0) = 5", `epoll_ctl(5, EPOLL_CTL_ADD, 4, {events=${events}, fd=4}) = 0`);
  return p;
}

const told = (events: string) => `epoll_wait(5, {events=${events}, fd=4}, 1, 0) = 1`;
const NOTHING = "epoll_wait(5, {events=0, ptr=0}, 1, 0) = 0";

describe("epoll", () => {
  test("levels are told again and again", () => {
    const p = watching("EPOLLIN");
    p.calls(NOTHING);
    p.arrives({ flags: "P.", length: 10 });
    p.calls(told("EPOLLIN"), told("EPOLLIN"), "read(4, ..., 10) = 10", NOTHING);
  });

  test("edges are told once, and again for what is new", () => {
    const p = watching("EPOLLIN|EPOLLET");
    p.arrives({ flags: "P.", length: 10 });
    p.calls(told("EPOLLIN"), NOTHING);
    p.arrives({ flags: "P.", seq: 11, length: 10 });
    p.calls(told("EPOLLIN"), NOTHING);
  });

  test("the end of a MSG_ZEROCOPY send is an edge", () => {
    const p = watching("EPOLLOUT|EPOLLET");
    p.calls("setsockopt(4, SOL_SOCKET, SO_ZEROCOPY, [1], 4) = 0", told("EPOLLOUT"));
    p.calls("send(4, ..., 100, MSG_ZEROCOPY) = 100", NOTHING);
    p.arrives({ ack: 101 });
    p.calls(told("EPOLLERR|EPOLLOUT"), NOTHING);
  });

  test("room is an edge where a write was cut short, and not where it was not", () => {
    const p = watching(
      "EPOLLOUT|EPOLLET",
      acceptedNonblocking(["setsockopt(3, SOL_SOCKET, SO_SNDBUF, [3000], 4) = 0"]),
    );
    p.calls(told("EPOLLOUT"), NOTHING, "write(4, ..., 8000) = 6000", NOTHING);
    p.arrives({ ack: 4_001 });
    p.calls(told("EPOLLOUT"), NOTHING, "write(4, ..., 1000) = 1000");
    p.arrives({ ack: 6_001 });
    p.calls(NOTHING);
  });

  test("EPOLLONESHOT is told once, until it is asked for again", () => {
    const p = watching("EPOLLOUT|EPOLLONESHOT");
    p.calls(
      told("EPOLLOUT"),
      NOTHING,
      "epoll_ctl(5, EPOLL_CTL_MOD, 4, {events=EPOLLOUT, fd=4}) = 0",
      told("EPOLLOUT"),
    );
  });

  test("waits, with and without an end", () => {
    const p = watching("EPOLLIN");
    const bounded = p.blocks("epoll_wait(5, ..., 1, 50) = 0");
    p.passes(50);
    p.returned(bounded);
    const endless = p.blocks("epoll_wait(5, {events=EPOLLIN|EPOLLERR|EPOLLHUP, fd=4}, 1, -1) = 1");
    p.arrives({ flags: "R.", seq: 1 });
    p.returned(endless);
  });

  test("what is there twice, what is not there, and what is none", () => {
    const p = watching("EPOLLIN");
    p.calls("epoll_ctl(5, EPOLL_CTL_ADD, 4, {events=EPOLLIN, fd=4}) = -1 EEXIST");
    p.calls("epoll_ctl(5, EPOLL_CTL_MOD, 3, {events=EPOLLIN, fd=3}) = -1 ENOENT");
    p.calls("epoll_ctl(5, EPOLL_CTL_DEL, 4, ...) = 0", "epoll_ctl(5, EPOLL_CTL_DEL, 4, ...) = -1 ENOENT");
    p.calls(
      "epoll_ctl(5, EPOLL_CTL_ADD, 9, {events=EPOLLIN, fd=9}) = -1 EBADF",
      "epoll_wait(4, ..., 1, 0) = -1 EINVAL",
    );
  });

  test("a descriptor that is closed is forgotten", () => {
    const p = watching("EPOLLIN|EPOLLOUT");
    p.calls("close(4) = 0", NOTHING);
  });
});

describe("UDP", () => {
  const UDP = "socket(..., SOCK_DGRAM, IPPROTO_UDP) = 3";

  test("datagrams go where sendto, or connect, says", () => {
    const p = new Program();
    p.calls(UDP, "write(3, ..., 10) = -1 EDESTADDRREQ", "sendto(3, ..., 10, 0, ..., ...) = 10");
    p.calls("connect(3, ..., ...) = 0", "write(3, ..., 20) = 20");
    expect(p.sent().map((line) => line.replace(/10\.0\.0\.1\.\d+/, "us"))).toEqual([
      "IP us > 10.0.0.2.8080: UDP, length 10",
      "IP us > 10.0.0.2.8080: UDP, length 20",
    ]);
  });

  test("one datagram a read: what does not fit is cut off, and recvmsg says so", () => {
    const p = new Program();
    p.calls(UDP, "bind(3, ..., ...) = 0");
    const pending = p.blocks("read(3, ..., 100) = 30");
    p.arrivesDatagram(30);
    p.returned(pending);
    p.arrivesDatagram(50);
    p.calls("recv(3, ..., 10, MSG_PEEK|MSG_TRUNC) = 50");
    p.calls("recvmsg(3, {msg_name(...)=..., msg_iov(1)=[{..., 20}], msg_flags=MSG_TRUNC}, 0) = 20");
    p.calls("recv(3, ..., 10, MSG_DONTWAIT) = -1 EAGAIN");
  });

  test("a connected one hears of its peer only, and of what became of its datagrams", () => {
    const p = new Program();
    p.calls(UDP, "bind(3, ..., ...) = 0", "connect(3, ..., ...) = 0", "fcntl(3, F_SETFL, O_NONBLOCK) = 0");
    p.arrivesDatagram(10, 9_999);
    p.calls("read(3, ..., 100) = -1 EAGAIN", "write(3, ..., 10) = 10");
    p.sent();
    p.arrivesIcmp(3, 3);
    p.calls("read(3, ..., 100) = -1 ECONNREFUSED", "read(3, ..., 100) = -1 EAGAIN");
  });

  test("errors: a port in use, too long a datagram, no peer", () => {
    const p = new Program();
    p.calls(
      UDP,
      "bind(3, ..., ...) = 0",
      "socket(..., SOCK_DGRAM, IPPROTO_UDP) = 4",
      "bind(4, ..., ...) = -1 EADDRINUSE",
    );
    p.calls("sendto(3, ..., 65508, 0, ..., ...) = -1 EMSGSIZE", "shutdown(3, SHUT_RD) = -1 ENOTCONN");
  });
});
