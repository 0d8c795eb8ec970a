import { describe, expect, test } from "bun:test";
import {
  accepted,
  acceptedNonblocking,
  connected,
  connecting,
  listening,
  Program,
  SOCKET,
} from "./kernel-program.ts";

describe("connect", () => {
  test("a non-blocking one is in progress, then in progress already, then done, then done already", () => {
    const p = connecting();
    p.calls("connect(3, ..., ...) = -1 EALREADY");
    p.arrives({ flags: "S.", seq: 0, ack: 1 });
    p.calls("connect(3, ..., ...) = 0", "connect(3, ..., ...) = -1 EISCONN");
  });

  test("a blocking one returns with the handshake", () => {
    const p = new Program();
    p.calls(SOCKET);
    const pending = p.blocks("connect(3, ..., ...) = 0");
    expect(p.sent()).toEqual(["S 0:0(0)"]);
    p.arrives({ flags: "S.", seq: 0, ack: 1 });
    p.returned(pending);
    expect(p.sent()).toEqual([". 1:1(0) ack 1"]);
  });

  test("a refused one fails, and the socket may connect again", () => {
    const p = new Program();
    p.calls(SOCKET);
    const pending = p.blocks("connect(3, ..., ...) = -1 ECONNREFUSED (Connection refused)");
    p.sent();
    p.arrives({ flags: "R.", seq: 0, ack: 1 });
    p.returned(pending);
    p.calls("getsockopt(3, SOL_SOCKET, SO_ERROR, [0], [4]) = 0");
    p.blocks("connect(3, ..., ...) = 0");
    expect(p.sent()).toEqual(["S 0:0(0)"]);
  });

  test("how a non-blocking one failed is told once, by SO_ERROR or by the next call", () => {
    for (const next of [
      "getsockopt(3, SOL_SOCKET, SO_ERROR, [ECONNREFUSED], [4]) = 0",
      "read(3, ..., 10) = -1 ECONNREFUSED",
    ]) {
      const p = connecting();
      p.arrives({ flags: "R.", seq: 0, ack: 1 });
      p.calls(next, "getsockopt(3, SOL_SOCKET, SO_ERROR, [0], [4]) = 0");
    }
  });

  test("nobody answers: ETIMEDOUT after as many retransmissions as TCP_SYNCNT says", () => {
    const p = new Program();
    p.calls(SOCKET, "setsockopt(3, IPPROTO_TCP, TCP_SYNCNT, [2], 4) = 0");
    const pending = p.blocks("connect(3, ..., ...) = -1 ETIMEDOUT");
    p.passes(6_999);
    expect(p.sent()).toHaveLength(3);
    expect(pending.done).toBe(false);
    p.passes(1);
    p.returned(pending);
  });

  test("SO_SNDTIMEO bounds the wait: EINPROGRESS", () => {
    const p = new Program();
    p.calls(SOCKET, "setsockopt(3, SOL_SOCKET, SO_SNDTIMEO, {tv_sec=0, tv_usec=500000}, 16) = 0");
    const pending = p.blocks("connect(3, ..., ...) = -1 EINPROGRESS");
    p.passes(499);
    expect(pending.done).toBe(false);
    p.passes(1);
    p.returned(pending);
  });

  test("a host unreachable ends the attempt where IP_RECVERR asks for it", () => {
    const p = connecting(["setsockopt(3, SOL_IP, IP_RECVERR, [1], 4) = 0"]);
    p.arrivesIcmp(3, 1);
    p.calls("getsockopt(3, SOL_SOCKET, SO_ERROR, [EHOSTUNREACH], [4]) = 0");
  });

  test("to AF_UNSPEC ends a connection with a reset, and it may connect again", () => {
    const p = connected();
    p.calls("connect(3, AF_UNSPEC, ...) = 0");
    expect(p.sent()).toEqual(["R. 1:1(0) ack 1"]);
    p.calls("connect(3, ..., ...) = -1 EINPROGRESS");
  });

  test("where no route leads, it fails at once", () => {
    const p = new Program();
    p.calls(
      SOCKET,
      'connect(3, {sa_family = AF_INET, sin_port = htons(80), sin_addr = inet_addr("198.51.100.1")}, ...) = -1 ENETUNREACH',
    );
  });

  test("it goes from the port that the socket is bound to, and to the one it is told", () => {
    const p = new Program();
    const to = '{sa_family = AF_INET, sin_port = htons(99), sin_addr = inet_addr("10.0.0.2")}';
    p.calls(SOCKET, "bind(3, ..., ...) = 0", "fcntl(3, F_SETFL, O_NONBLOCK) = 0");
    p.calls(`connect(3, ${to}, ...) = -1 EINPROGRESS`);
    p.calls(
      'getsockname(3, {sa_family=AF_INET, sin_port=htons(8080), sin_addr=inet_addr("10.0.0.1")}, [16]) = 0',
    );
  });
});

describe("bind and listen", () => {
  test("a port in use is EADDRINUSE, unless all reuse addresses and none listens", () => {
    const p = listening();
    p.calls("socket(..., SOCK_STREAM, IPPROTO_TCP) = 4", "bind(4, ..., ...) = -1 EADDRINUSE");
    const q = new Program();
    const reuse = (fd: number) => `setsockopt(${fd}, SOL_SOCKET, SO_REUSEADDR, [1], 4) = 0`;
    q.calls(SOCKET, reuse(3), "bind(3, ..., ...) = 0");
    q.calls("socket(..., SOCK_STREAM, IPPROTO_TCP) = 4", reuse(4), "bind(4, ..., ...) = 0");
    q.calls("listen(3, 1) = 0", "listen(4, 1) = -1 EADDRINUSE");
  });

  test("an address of somebody else's, a second bind, a descriptor that is none", () => {
    const p = new Program();
    const theirs = '{sa_family = AF_INET, sin_port = htons(80), sin_addr = inet_addr("10.0.0.9")}';
    p.calls(
      SOCKET,
      `bind(3, ${theirs}, ...) = -1 EADDRNOTAVAIL`,
      "bind(3, ..., ...) = 0",
      "bind(3, ..., ...) = -1 EINVAL",
    );
    p.calls("bind(9, ..., ...) = -1 EBADF", "listen(9, 1) = -1 EBADF", "close(9) = -1 EBADF");
  });

  test("one connection more than the backlog fits in, and a second listen changes it", () => {
    const p = listening();
    const peers = [5_001, 5_002, 5_003];
    for (const fromPort of peers) p.arrives({ flags: "S", seq: 0, fromPort }, { fromPort });
    p.calls("fcntl(3, F_SETFL, O_NONBLOCK) = 0", "accept(3, ..., ...) = 4", "accept(3, ..., ...) = 5");
    p.calls("accept(3, ..., ...) = -1 EAGAIN", "listen(3, 5) = 0");
    expect(p.stack.sockets.context.stats.tcpListenOverflow).toBe(1);
  });
});

describe("accept", () => {
  test("waits for a connection, and tells whose it is", () => {
    const p = listening();
    const pending = p.blocks(
      'accept(3, {sa_family=AF_INET, sin_port=5000, sin_addr=inet_addr("10.0.0.2")}, [16]) = 4',
    );
    p.arrives({ flags: "S", seq: 0 });
    expect(pending.done).toBe(false);
    p.arrives({});
    p.returned(pending);
  });

  test("an address that is not the script's is told of", () => {
    const p = listening();
    p.arrives({ flags: "S", seq: 0 }, {});
    expect(p.mismatch("accept(3, {sa_family=AF_INET, sin_port=5001}, ...) = 4")).toBe(
      "accept: expected argument 2's sin_port to be 5001, but it is 5000",
    );
  });

  test("EAGAIN without a connection, EINVAL without a listener, EOPNOTSUPP for datagrams", () => {
    const p = listening(["fcntl(3, F_SETFL, O_NONBLOCK) = 0"]);
    p.calls("accept(3, ..., ...) = -1 EAGAIN");
    p.calls("socket(..., SOCK_STREAM, IPPROTO_TCP) = 4", "accept(4, ..., ...) = -1 EINVAL");
    p.calls("socket(..., SOCK_DGRAM, IPPROTO_UDP) = 5", "accept(5, ..., ...) = -1 EOPNOTSUPP");
  });

  test("SO_RCVTIMEO bounds the wait", () => {
    const p = listening(["setsockopt(3, SOL_SOCKET, SO_RCVTIMEO, {tv_sec=1, tv_usec=0}, 16) = 0"]);
    const pending = p.blocks("accept(3, ..., ...) = -1 EAGAIN");
    p.passes(1_000);
    p.returned(pending);
  });

  test("accept4 makes it non-blocking; accept does not on Linux, and does on FreeBSD where the listener is", () => {
    const p = listening(["fcntl(3, F_SETFL, O_NONBLOCK) = 0"]);
    const comes = (fromPort: number) => p.arrives({ flags: "S", seq: 0, fromPort }, { fromPort });
    comes(5_001);
    p.calls("accept(3, ..., ...) = 4", "fcntl(4, F_GETFL) = 0x2 (flags O_RDWR)");
    comes(5_002);
    p.calls("accept4(3, ..., ..., SOCK_NONBLOCK) = 5", "fcntl(5, F_GETFL) = 0x802 (flags O_RDWR|O_NONBLOCK)");
    p.kernel.flavour = "freebsd";
    comes(5_003);
    p.calls("accept(3, ..., ...) = 6", "fcntl(6, F_GETFL) = 0x802");
  });
});

describe("shutdown", () => {
  test("of the writing side sends a FIN, and writes fail with EPIPE", () => {
    const p = acceptedNonblocking();
    p.calls("shutdown(4, SHUT_WR) = 0", "write(4, ..., 10) = -1 EPIPE", "read(4, ..., 10) = -1 EAGAIN");
    expect(p.sent()).toEqual(["F. 1:1(0) ack 1"]);
  });

  test("of the reading side is the end of the stream to the program, and nothing to the peer", () => {
    const p = acceptedNonblocking();
    p.arrives({ flags: "P.", length: 10 });
    p.calls(
      "shutdown(4, SHUT_RD) = 0",
      "read(4, ..., 100) = 10",
      "read(4, ..., 100) = 0",
      "write(4, ..., 5) = 5",
    );
    expect(p.sent()).toContain("P. 1:6(5) ack 11");
  });

  test("of none, of a listener, of a handshake, and of nonsense", () => {
    const p = new Program();
    p.calls(SOCKET, "shutdown(3, SHUT_WR) = -1 ENOTCONN", "shutdown(3, 3) = -1 EINVAL");
    const q = listening();
    q.calls("shutdown(3, SHUT_WR) = 0");
    q.calls("shutdown(3, SHUT_RDWR) = 0", "accept(3, ..., ...) = -1 EINVAL");
    const r = connecting();
    r.calls("shutdown(3, SHUT_WR) = 0", "read(3, ..., 10) = -1 ENOTCONN");
    r.passes(5_000);
    expect(r.sent()).toEqual([]);
  });
});

describe("close", () => {
  test("sends a FIN, and the descriptor is gone", () => {
    const p = accepted();
    p.calls("close(4) = 0", "read(4, ..., 10) = -1 EBADF");
    expect(p.sent()).toEqual(["F. 1:1(0) ack 1"]);
  });

  test("with unread bytes sends a reset (RFC 2525 2.17)", () => {
    const p = accepted();
    p.arrives({ flags: "P.", length: 10 });
    p.calls("close(4) = 0");
    expect(p.sent().at(-1)).toStartWith("R. 1:1(0)");
  });

  test("with a linger of 0 sends a reset", () => {
    const p = accepted();
    p.calls("setsockopt(4, SOL_SOCKET, SO_LINGER, {onoff=1, linger=0}, 8) = 0", "close(4) = 0");
    expect(p.sent()).toEqual(["R. 1:1(0) ack 1"]);
  });

  test("with a linger waits until all has been acknowledged, or the time is over", () => {
    for (const answered of [true, false]) {
      const p = acceptedNonblocking();
      p.calls("setsockopt(4, SOL_SOCKET, SO_LINGER, {onoff=1, linger=2}, 8) = 0", "write(4, ..., 100) = 100");
      const pending = p.blocks("close(4) = 0");
      expect(p.sent()).toEqual(["P. 1:101(100) ack 1", "F. 101:101(0) ack 1"]);
      p.passes(50);
      if (answered) p.arrives({ ack: 102 });
      else p.passes(1_949);
      expect(pending.done).toBe(answered);
      p.passes(1);
      p.returned(pending);
    }
  });

  test("of a listener resets what was not accepted", () => {
    const p = listening();
    p.arrives({ flags: "S", seq: 0 }, {});
    p.sent();
    p.calls("close(3) = 0");
    expect(p.sent()).toEqual(["R. 1:1(0) ack 1"]);
    p.arrives({ flags: "S", seq: 10 });
    expect(p.sent()).toEqual(["R. 0:0(0) ack 11"]);
  });

  test("of a handshake sends nothing", () => {
    const p = connecting();
    p.calls("close(3) = 0");
    p.passes(5_000);
    expect(p.sent()).toEqual([]);
  });
});

describe("descriptors", () => {
  test("are the script's own numbers, or the lowest free one", () => {
    const p = new Program();
    p.calls("socket(..., SOCK_STREAM, IPPROTO_TCP) = 7", "socket(..., SOCK_STREAM, IPPROTO_TCP) = ...");
    p.calls("bind(3, ..., ...) = 0");
  });

  test("kinds of sockets that there are none of", () => {
    const p = new Program();
    p.calls("socket(AF_UNIX, SOCK_STREAM, 0) = -1 EAFNOSUPPORT");
    p.calls("socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP) = -1 EPROTONOSUPPORT");
    p.calls("socket(AF_INET, SOCK_RAW, 0) = -1 ESOCKTNOSUPPORT");
  });

  test("what is not known is an error of the script, never a result", () => {
    const p = accepted();
    for (const text of [
      "kill(4, 9) = 0",
      "setsockopt(4, SOL_SOCKET, SO_NONSENSE, [1], 4) = 0",
      "fcntl(4, F_NONSENSE, 1) = 0",
      "ioctl(4, SIOCNONSENSE, [1]) = 0",
      "send(4, ..., 10, MSG_OOB) = 10",
      "recv(4, ..., 10, MSG_NONSENSE) = 10",
    ]) {
      expect(() => p.calls(text)).toThrow(/not (known|supported)|no urgent/);
    }
  });

  test("a result that is not the script's is told in words", () => {
    const p = acceptedNonblocking();
    expect(p.mismatch("read(4, ..., 10) = 10")).toBe("expected read to return 10, but it returned -1 EAGAIN");
    expect(p.mismatch("read(4, ..., 10) = -1 ENOTCONN")).toBe(
      "expected read to return -1 ENOTCONN, but it returned -1 EAGAIN",
    );
    p.arrives({ flags: "P.", length: 5 });
    expect(p.mismatch("read(4, ..., 10) = 10")).toBe("expected read to return 10, but it returned 5");
  });
});
