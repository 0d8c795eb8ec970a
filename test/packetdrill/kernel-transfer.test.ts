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

describe("reading", () => {
  test("a blocking read waits for bytes, and takes what there is", () => {
    const p = accepted();
    const pending = p.blocks("read(4, ..., 100) = 10");
    p.arrives({ flags: "P.", length: 10 });
    p.returned(pending);
  });

  test("a non-blocking one is EAGAIN, be that said by fcntl, FIONBIO or MSG_DONTWAIT", () => {
    acceptedNonblocking().calls("read(4, ..., 10) = -1 EAGAIN (Resource temporarily unavailable)");
    accepted().calls("ioctl(4, FIONBIO, [1]) = 0", "read(4, ..., 10) = -1 EWOULDBLOCK");
    accepted().calls("recv(4, ..., 10, MSG_DONTWAIT) = -1 EAGAIN");
  });

  test("SO_RCVTIMEO bounds the wait", () => {
    const p = accepted();
    p.calls("setsockopt(4, SOL_SOCKET, SO_RCVTIMEO, {tv_sec=0, tv_usec=250000}, 16) = 0");
    const pending = p.blocks("read(4, ..., 10) = -1 EAGAIN");
    p.passes(249);
    expect(pending.done).toBe(false);
    p.passes(1);
    p.returned(pending);
  });

  test("pieces: readv and recvmsg fill several, and no more than there is", () => {
    const p = acceptedNonblocking();
    p.arrives({ flags: "P.", length: 100 });
    p.calls("readv(4, [{..., 30}, {..., 30}], 2) = 60");
    p.calls("recvmsg(4, {msg_name(...)=..., msg_iov(2)=[{..., 30}, {..., 30}], msg_flags=0}, 0) = 40");
  });

  test("MSG_PEEK leaves the bytes there", () => {
    const p = acceptedNonblocking();
    p.calls("recv(4, ..., 10, MSG_PEEK) = -1 EAGAIN");
    p.arrives({ flags: "P.", length: 100 });
    p.calls("recv(4, ..., 60, MSG_PEEK) = 60", "recv(4, ..., 60, MSG_PEEK) = 60", "read(4, ..., 200) = 100");
  });

  test("MSG_WAITALL waits for all, and gives less at the end of the stream", () => {
    const p = accepted();
    const all = p.blocks("recv(4, ..., 20, MSG_WAITALL) = 20");
    p.arrives({ flags: "P.", length: 10 });
    expect(all.done).toBe(false);
    p.arrives({ flags: "P.", seq: 11, length: 15 });
    p.returned(all);
    const rest = p.blocks("recv(4, ..., 20, MSG_WAITALL) = 5");
    p.arrives({ flags: "F.", seq: 26 });
    p.returned(rest);
  });

  test("SO_RCVLOWAT is what a read waits for", () => {
    const p = accepted();
    p.calls("setsockopt(4, SOL_SOCKET, SO_RCVLOWAT, [15], 4) = 0");
    const pending = p.blocks("read(4, ..., 100) = 20");
    p.arrives({ flags: "P.", length: 10 });
    expect(pending.done).toBe(false);
    p.arrives({ flags: "P.", seq: 11, length: 10 });
    p.returned(pending);
  });

  test("MSG_OOB finds nothing: urgent text is in line", () => {
    acceptedNonblocking().calls("recv(4, ..., 1, MSG_OOB) = -1 EINVAL");
  });

  test("nothing is read in no time: read of 0 bytes", () => {
    accepted().calls("read(4, ..., 0) = 0");
  });

  test("without a connection it is ENOTCONN, and EAGAIN during the handshake", () => {
    const p = new Program();
    p.calls(SOCKET, "read(3, ..., 10) = -1 ENOTCONN");
    listening().calls("read(3, ..., 10) = -1 ENOTCONN");
    connecting().calls("read(3, ..., 10) = -1 EAGAIN");
  });

  test("the end of the stream is 0, again and again", () => {
    const p = acceptedNonblocking();
    p.arrives({ flags: "F.", length: 5 });
    p.calls("read(4, ..., 10) = 5", "read(4, ..., 10) = 0", "read(4, ..., 10) = 0");
  });

  test("TCP_INQ: recvmsg tells what is left, and one more behind a FIN", () => {
    const p = acceptedNonblocking();
    p.calls("setsockopt(4, SOL_TCP, TCP_INQ, [1], 4) = 0");
    p.arrives({ flags: "P.", length: 100 });
    const receive = (bytes: number, left: number) =>
      `recvmsg(4, {msg_name(...)=..., msg_iov(1)=[{..., ${bytes}}], msg_flags=0,
         msg_control=[{cmsg_level=SOL_TCP, cmsg_type=TCP_CM_INQ, cmsg_data=${left}}]}, 0) = ${bytes}`;
    p.calls(receive(30, 70));
    p.arrives({ flags: "F.", seq: 101 });
    p.calls(receive(70, 1));
    p.arrives({ flags: ".", seq: 102 });
  });
});

describe("an error that comes while no call is under way", () => {
  test("is told once, by the next read, which then is at the end", () => {
    const p = acceptedNonblocking();
    p.arrives({ flags: "R.", seq: 1 });
    p.calls("read(4, ..., 10) = -1 ECONNRESET (Connection reset by peer)", "read(4, ..., 10) = 0");
    p.calls("getsockopt(4, SOL_SOCKET, SO_ERROR, [0], [4]) = 0");
  });

  test("comes behind the bytes that had arrived before it", () => {
    const p = acceptedNonblocking();
    p.arrives({ flags: "P.", length: 30 }, { flags: "R.", seq: 31 });
    p.calls("read(4, ..., 20) = 20", "read(4, ..., 20) = 10", "read(4, ..., 20) = -1 ECONNRESET");
  });

  test("is cleared by SO_ERROR; writes are EPIPE afterwards", () => {
    const p = acceptedNonblocking();
    p.arrives({ flags: "R.", seq: 1 });
    p.calls(
      "getsockopt(4, SOL_SOCKET, SO_ERROR, [104], [4]) = 0",
      "getsockopt(4, SOL_SOCKET, SO_ERROR, [0], [4]) = 0",
    );
    p.calls("write(4, ..., 10) = -1 EPIPE");
  });

  test("is told by the next write, the one after it is EPIPE", () => {
    const p = acceptedNonblocking();
    p.arrives({ flags: "R.", seq: 1 });
    p.calls("write(4, ..., 10) = -1 ECONNRESET", "write(4, ..., 10) = -1 EPIPE");
  });

  test("is EPIPE where the peer had closed before", () => {
    const p = acceptedNonblocking();
    p.arrives({ flags: "F.", seq: 1 }, { flags: "R.", seq: 2 });
    p.calls("write(4, ..., 10) = -1 EPIPE", "read(4, ..., 10) = 0");
  });

  test("ends calls that wait", () => {
    const p = accepted();
    const pending = p.blocks("read(4, ..., 10) = -1 ECONNRESET");
    p.arrives({ flags: "R.", seq: 1 });
    p.returned(pending);
  });

  test("a keep-alive that nobody answers is ETIMEDOUT", () => {
    const p = acceptedNonblocking();
    for (const [name, value] of [
      ["TCP_KEEPIDLE", 1],
      ["TCP_KEEPINTVL", 1],
      ["TCP_KEEPCNT", 2],
    ])
      p.calls(`setsockopt(4, IPPROTO_TCP, ${name}, [${value}], 4) = 0`);
    p.calls("setsockopt(4, SOL_SOCKET, SO_KEEPALIVE, [1], 4) = 0");
    p.passes(2_999);
    expect(p.sent()).toEqual([". 0:0(0) ack 1", ". 0:0(0) ack 1"]);
    p.passes(1);
    expect(p.sent()).toEqual(["R. 1:1(0) ack 1"]);
    p.calls("read(4, ..., 10) = -1 ETIMEDOUT");
  });

  test("TCP_USER_TIMEOUT ends it with ETIMEDOUT", () => {
    const p = acceptedNonblocking();
    p.calls("setsockopt(4, IPPROTO_TCP, TCP_USER_TIMEOUT, [3000], 4) = 0", "write(4, ..., 10) = 10");
    p.passes(2_999);
    p.calls("read(4, ..., 10) = -1 EAGAIN");
    p.passes(1);
    p.calls("read(4, ..., 10) = -1 ETIMEDOUT");
  });
});

describe("writing", () => {
  const small = ["setsockopt(3, SOL_SOCKET, SO_SNDBUF, [5000], 4) = 0"];

  test("what there is room for is taken; then EAGAIN", () => {
    const p = acceptedNonblocking(small);
    p.calls("write(4, ..., 30000) = 10000", "write(4, ..., 1) = -1 EAGAIN");
    p.arrives({ ack: 5_001 });
    p.calls("write(4, ..., 30000) = 5000");
  });

  test("a blocking write waits until all is taken", () => {
    const p = accepted(small);
    const pending = p.blocks("write(4, ..., 15000) = 15000");
    p.arrives({ ack: 4_001 });
    expect(pending.done).toBe(false);
    p.arrives({ ack: 8_001 });
    p.returned(pending);
  });

  test("a reset in between: what was taken is the result, the error comes next", () => {
    const p = accepted(small);
    const pending = p.blocks("write(4, ..., 30000) = 10000");
    p.arrives({ flags: "R.", seq: 1 });
    p.returned(pending);
    p.calls("write(4, ..., 10) = -1 ECONNRESET");
  });

  test("SO_SNDTIMEO bounds the wait: what was taken, or EAGAIN", () => {
    const p = accepted([...small, "setsockopt(3, SOL_SOCKET, SO_SNDTIMEO, {tv_sec=1, tv_usec=0}, 16) = 0"]);
    const some = p.blocks("write(4, ..., 15000) = 10000");
    p.passes(1_000);
    p.returned(some);
    const none = p.blocks("write(4, ..., 15000) = -1 EAGAIN");
    p.passes(1_000);
    p.returned(none);
  });

  test("during the handshake it waits, or is EAGAIN; never connected it is EPIPE, and ENOTCONN on FreeBSD", () => {
    connecting().calls("write(3, ..., 10) = -1 EAGAIN");
    const p = new Program();
    p.calls(SOCKET, "write(3, ..., 10) = -1 EPIPE");
    p.kernel.sysctl("net.inet.tcp.sack.enable", "1");
    p.calls("write(3, ..., 10) = -1 ENOTCONN");
  });

  test("pieces: writev and sendmsg send them as one", () => {
    const p = accepted();
    p.calls("writev(4, [{..., 40}, {..., 0}, {..., 60}], 3) = 100");
    expect(p.sent()).toEqual(["P. 1:101(100) ack 1"]);
    p.arrives({ ack: 101 });
    p.calls("sendmsg(4, {msg_name(...)=..., msg_iov(2)=[{..., 40}, {..., 20}], msg_flags=0}, 0) = 60");
    expect(p.sent()).toEqual(["P. 101:161(60) ack 1"]);
  });

  test("MSG_MORE holds back what fills no segment until a write without it", () => {
    const p = accepted();
    p.calls("send(4, ..., 300, MSG_MORE) = 300");
    expect(p.sent()).toEqual([]);
    p.calls("send(4, ..., 300, MSG_MORE|MSG_NOSIGNAL) = 300", "send(4, ..., 600, 0) = 600");
    expect(p.sent()).toEqual([". 1:1001(1000) ack 1"]);
    p.arrives({ ack: 1_001 });
    expect(p.sent()).toEqual(["P. 1001:1201(200) ack 1"]);
  });

  test("MSG_ZEROCOPY: the error queue tells what was acknowledged, in runs", () => {
    const p = accepted();
    const completion = (from: number, to: number) =>
      `recvmsg(4, {msg_name(...)=..., msg_iov(1)=[{..., 0}], msg_flags=MSG_ERRQUEUE,
         msg_control=[{cmsg_level=CMSG_LEVEL_IP, cmsg_type=CMSG_TYPE_RECVERR, cmsg_data={ee_errno=0,
           ee_origin=SO_EE_ORIGIN_ZEROCOPY, ee_type=0, ee_code=SO_EE_CODE_ZEROCOPY_COPIED,
           ee_info=${from}, ee_data=${to}}}]}, MSG_ERRQUEUE) = 0`;
    p.calls("setsockopt(4, SOL_SOCKET, SO_ZEROCOPY, [1], 4) = 0");
    for (let i = 0; i < 3; i++) p.calls("send(4, ..., 1000, MSG_ZEROCOPY) = 1000");
    p.calls("recvmsg(4, {msg_name(...)=..., msg_iov(1)=[{..., 0}], msg_flags=0}, MSG_ERRQUEUE) = -1 EAGAIN");
    p.arrives({ ack: 2_001 });
    p.calls(completion(0, 1));
    p.arrives({ ack: 3_001 });
    p.calls(completion(2, 2));
  });

  test("Fast Open is off: EOPNOTSUPP", () => {
    const p = new Program();
    p.calls(SOCKET, "sendto(3, ..., 100, MSG_FASTOPEN, ..., ...) = -1 EOPNOTSUPP");
  });

  test("sendfile sends a file's bytes, from its offset or a given one", () => {
    const p = accepted();
    p.calls('open("/tmp/file", O_RDWR|O_CREAT, 0644) = 5', "write(5, ..., 500) = 500");
    p.calls("sendfile(4, 5, [100], 1000) = 400");
    expect(p.sent()).toEqual(["P. 1:401(400) ack 1"]);
    p.calls('open("/nonexistent/file", O_RDONLY) = -1 ENOENT');
  });

  test("NULL is no buffer: EFAULT, once there is something to move", () => {
    const p = acceptedNonblocking();
    p.calls("write(4, NULL, 10) = -1 EFAULT", "sendto(4, NULL, 10, 0, ..., ...) = -1 EFAULT");
    p.calls("read(4, NULL, 10) = -1 EAGAIN");
    p.arrives({ flags: "P.", length: 10 });
    p.calls("read(4, NULL, 10) = -1 EFAULT", "read(4, ..., 10) = 10");
  });

  test("splice moves bytes between a pipe and a connection", () => {
    const p = acceptedNonblocking();
    p.calls("pipe([5, 6]) = 0", "splice(4, NULL, 6, NULL, 100, 0) = -1 EAGAIN");
    p.arrives({ flags: "P.", length: 50 });
    p.calls(
      "splice(4, NULL, 6, NULL, 100, 0) = 50",
      "read(5, ..., 20) = 20",
      "splice(5, NULL, 4, NULL, 100, 0) = 30",
    );
    expect(p.sent().at(-1)).toBe("P. 1:31(30) ack 51");
  });
});

describe("ioctl", () => {
  test("SIOCINQ, SIOCOUTQ and SIOCOUTQNSD: unread, unacknowledged, unsent", () => {
    const p = connected();
    p.arrives({ flags: "P.", length: 70, win: 2_000 });
    p.calls("write(3, ..., 3000) = 3000");
    p.calls("ioctl(3, SIOCINQ, [70]) = 0", "ioctl(3, FIONREAD, [70]) = 0");
    p.calls("ioctl(3, SIOCOUTQ, [3000]) = 0", "ioctl(3, SIOCOUTQNSD, [1000]) = 0");
    p.arrives({ ack: 2_001, seq: 71 });
    p.calls("ioctl(3, SIOCOUTQ, [1000]) = 0", "ioctl(3, SIOCOUTQNSD, [0]) = 0");
  });

  test("a FIN that is not acknowledged is in the queue", () => {
    const p = connected();
    p.calls("write(3, ..., 100) = 100", "shutdown(3, SHUT_WR) = 0", "ioctl(3, SIOCOUTQ, [101]) = 0");
    p.arrives({ ack: 101 });
    p.calls("ioctl(3, SIOCOUTQ, [1]) = 0");
    p.arrives({ ack: 102 });
    p.calls("ioctl(3, SIOCOUTQ, [0]) = 0");
  });

  test("a listener has no queue", () => {
    listening().calls("ioctl(3, SIOCINQ, ...) = -1 EINVAL", "ioctl(3, SIOCOUTQ, ...) = -1 EINVAL");
  });
});
