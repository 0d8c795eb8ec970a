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

const get = (fd: number, level: string, name: string, value: number | string) =>
  `getsockopt(${fd}, ${level}, ${name}, [${value}], [4]) = 0`;
const set = (fd: number, level: string, name: string, value: number | string) =>
  `setsockopt(${fd}, ${level}, ${name}, [${value}], 4) = 0`;

describe("options that are ints", () => {
  test("have Linux's values before anybody sets them", () => {
    const p = new Program();
    p.calls(SOCKET);
    for (const [level, name, value] of [
      ["SOL_SOCKET", "SO_TYPE", "SOCK_STREAM"],
      ["SOL_SOCKET", "SO_KEEPALIVE", 0],
      ["SOL_SOCKET", "SO_RCVLOWAT", 1],
      ["SOL_SOCKET", "SO_ACCEPTCONN", 0],
      ["SOL_TCP", "TCP_NODELAY", 0],
      ["SOL_TCP", "TCP_KEEPIDLE", 7200],
      ["SOL_TCP", "TCP_KEEPINTVL", 75],
      ["SOL_TCP", "TCP_KEEPCNT", 9],
      ["SOL_TCP", "TCP_SYNCNT", 6],
      ["SOL_TCP", "TCP_USER_TIMEOUT", 0],
      ["SOL_TCP", "TCP_LINGER2", 60],
      ["SOL_TCP", "TCP_QUICKACK", 1],
      ["SOL_TCP", "TCP_NOTSENT_LOWAT", 0],
      ["SOL_TCP", "TCP_MAXSEG", 536],
      ["SOL_IP", "IP_TTL", 64],
      ["SOL_IP", "IP_MTU_DISCOVER", "IP_PMTUDISC_WANT"],
    ])
      p.calls(get(3, `${level}`, `${name}`, value));
  });

  test("keep what they are set to, flags as 1", () => {
    const p = new Program();
    p.calls(SOCKET, set(3, "SOL_SOCKET", "SO_REUSEADDR", 7), get(3, "SOL_SOCKET", "SO_REUSEADDR", 1));
    p.calls(set(3, "SOL_TCP", "TCP_KEEPIDLE", 20), get(3, "IPPROTO_TCP", "TCP_KEEPIDLE", 20));
    p.calls(set(3, "SOL_TCP", "TCP_NOTSENT_LOWAT", "0xffffffff"), get(3, "SOL_TCP", "TCP_NOTSENT_LOWAT", -1));
  });

  test("refuse what is out of their range, and a size below theirs", () => {
    const p = new Program();
    p.calls(SOCKET);
    for (const [name, value] of [
      ["TCP_KEEPIDLE", 0],
      ["TCP_KEEPIDLE", 32_768],
      ["TCP_KEEPCNT", 128],
      ["TCP_SYNCNT", 0],
      ["TCP_MAXSEG", 87],
      ["TCP_USER_TIMEOUT", -1],
      ["TCP_INQ", 2],
    ])
      p.calls(`setsockopt(3, SOL_TCP, ${name}, [${value}], 4) = -1 EINVAL`);
    p.calls("setsockopt(3, SOL_TCP, TCP_NODELAY, [1], 1) = -1 EINVAL");
  });

  test("a value that is not the script's is told in words", () => {
    const p = new Program();
    p.calls(SOCKET);
    expect(p.mismatch(get(3, "SOL_TCP", "TCP_KEEPIDLE", 10))).toBe(
      "getsockopt: expected TCP_KEEPIDLE to be 10, but it is 7200",
    );
    expect(p.mismatch("getsockopt(3, SOL_SOCKET, SO_LINGER, {onoff=1, linger=0}, [8]) = 0")).toBe(
      "getsockopt: expected SO_LINGER's onoff to be 1, but it is 0",
    );
  });

  test("TCP's are none of a UDP socket", () => {
    const p = new Program();
    p.calls(
      "socket(..., SOCK_DGRAM, IPPROTO_UDP) = 3",
      "setsockopt(3, SOL_TCP, TCP_NODELAY, [1], 4) = -1 ENOPROTOOPT",
    );
  });

  test("what the stack cannot do is refused, not remembered", () => {
    const p = new Program();
    p.calls(SOCKET);
    expect(() => p.calls(set(3, "SOL_IP", "IP_MTU_DISCOVER", "IP_PMTUDISC_PROBE"))).toThrow(
      "not supported by the runner",
    );
    expect(() => p.calls(set(3, "SOL_TCP", "TCP_DEFER_ACCEPT", 1))).toThrow("not supported by the runner");
  });
});

describe("buffers", () => {
  test("Linux doubles what it takes, and takes no more than its limit", () => {
    const p = new Program();
    p.calls(SOCKET, set(3, "SOL_SOCKET", "SO_SNDBUF", 10_000), get(3, "SOL_SOCKET", "SO_SNDBUF", 20_000));
    p.calls(set(3, "SOL_SOCKET", "SO_RCVBUF", 1), get(3, "SOL_SOCKET", "SO_RCVBUF", 2_304));
    p.calls(set(3, "SOL_SOCKET", "SO_RCVBUF", 10_000_000), get(3, "SOL_SOCKET", "SO_RCVBUF", 425_984));
    p.kernel.sysctl("net.core.rmem_max", "6291456");
    p.calls(set(3, "SOL_SOCKET", "SO_RCVBUF", 6_000_000), get(3, "SOL_SOCKET", "SO_RCVBUF", 12_000_000));
  });

  test("FreeBSD takes it as it is", () => {
    const p = new Program();
    p.kernel.flavour = "freebsd";
    p.calls(SOCKET, set(3, "SOL_SOCKET", "SO_SNDBUF", 10_000), get(3, "SOL_SOCKET", "SO_SNDBUF", 10_000));
  });

  test("a listener's SO_RCVBUF is the window of its connections", () => {
    const p = accepted([set(3, "SOL_SOCKET", "SO_RCVBUF", 8_000)]);
    expect(p.kernel.tcpInfo().tcpi_rcv_space).toBe(8_000);
    p.calls(get(4, "SOL_SOCKET", "SO_RCVBUF", 16_000));
  });
});

describe("what options do", () => {
  test("TCP_MAXSEG is the MSS that a SYN and a SYN-ACK name, and the longest segment sent", () => {
    const p = new Program();
    p.calls(SOCKET, set(3, "SOL_TCP", "TCP_MAXSEG", 500), "fcntl(3, F_SETFL, O_NONBLOCK) = 0");
    p.calls("connect(3, ..., ...) = -1 EINPROGRESS");
    expect(p.mssSent()).toBe(500);
    p.arrives({ flags: "S.", seq: 0, ack: 1, mss: 1_460 });
    p.sent();
    p.calls("write(3, ..., 900) = 900", get(3, "SOL_TCP", "TCP_MAXSEG", 500));
    expect(p.sent()).toEqual([". 1:501(500) ack 1"]);
    const q = listening();
    q.calls(set(3, "SOL_TCP", "TCP_MAXSEG", 700));
    q.arrives({ flags: "S", seq: 0, mss: 1_460 });
    expect(q.mssSent()).toBe(700);
  });

  test("TCP_NODELAY lets short segments go, inherited from the listener as well", () => {
    for (const p of [accepted([set(3, "SOL_TCP", "TCP_NODELAY", 1)]), accepted()]) {
      p.calls("write(4, ..., 10) = 10", "write(4, ..., 10) = 10");
      if (p.sent().length === 2) continue;
      p.calls(set(4, "SOL_TCP", "TCP_NODELAY", 1));
      expect(p.sent()).toEqual(["P. 11:21(10) ack 1"]);
    }
  });

  test("TCP_CORK holds short segments back", () => {
    const p = accepted();
    p.calls(set(4, "SOL_TCP", "TCP_CORK", 1), "write(4, ..., 10) = 10", "write(4, ..., 10) = 10");
    expect(p.sent()).toEqual([]);
    p.calls(set(4, "SOL_TCP", "TCP_NOPUSH", 0));
    expect(p.sent()).toEqual(["P. 1:21(20) ack 1"]);
  });

  test("TCP_QUICKACK 1 lets out the ACK that is owed, and the next ones at once; 0 delays them", () => {
    const p = acceptedNonblocking();
    p.arrives({ flags: "P.", length: 10 });
    expect(p.sent()).toEqual([]);
    p.calls(set(4, "SOL_TCP", "TCP_QUICKACK", 1));
    expect(p.sent()).toEqual([". 1:1(0) ack 11"]);
    p.arrives({ flags: "P.", seq: 11, length: 10 });
    expect(p.sent()).toEqual([". 1:1(0) ack 21"]);
    p.calls(set(4, "SOL_TCP", "TCP_QUICKACK", 0), get(4, "SOL_TCP", "TCP_QUICKACK", 0));
    p.arrives({ flags: "P.", seq: 21, length: 10 });
    expect(p.sent()).toEqual([]);
  });

  test("TCP_NOTSENT_LOWAT bounds what waits to be sent, not what is under way", () => {
    const p = acceptedNonblocking([set(3, "SOL_TCP", "TCP_NOTSENT_LOWAT", 2_000)]);
    p.arrives({ win: 3_000 });
    p.calls("write(4, ..., 50000) = 2000", "write(4, ..., 50000) = 2000");
    expect(p.sent()).toHaveLength(3);
    p.calls("write(4, ..., 50000) = 1000", "write(4, ..., 50000) = -1 EAGAIN");
  });

  test("TCP_CONGESTION: the names of kernels, ENOENT for another", () => {
    const p = accepted();
    p.calls('getsockopt(4, SOL_TCP, TCP_CONGESTION, "reno", [5]) = 0');
    p.calls('setsockopt(4, SOL_TCP, TCP_CONGESTION, "cubic", 5) = 0');
    p.calls('getsockopt(4, SOL_TCP, TCP_CONGESTION, "cubic", [5]) = 0');
    p.calls('setsockopt(4, SOL_TCP, TCP_CONGESTION, "vegas", 5) = -1 ENOENT');
    expect(p.mismatch('getsockopt(4, SOL_TCP, TCP_CONGESTION, "reno", [5]) = 0')).toContain('it is "cubic"');
    p.calls("write(4, ..., 3000) = 3000");
    expect(p.sent()).toHaveLength(3);
  });

  test("SO_LINGER keeps what it is set to", () => {
    const p = connecting();
    p.calls("setsockopt(3, SOL_SOCKET, SO_LINGER, {onoff=1, linger=5}, 8) = 0");
    p.calls("getsockopt(3, SOL_SOCKET, SO_LINGER, {onoff=1, linger=5}, [8]) = 0");
    p.calls("setsockopt(3, SOL_SOCKET, SO_LINGER, {onoff=1, linger=5}, 4) = -1 EINVAL");
  });
});

describe("tcp_info", () => {
  test("is of the connection that was accepted or connected last", () => {
    const p = new Program();
    p.calls(SOCKET);
    expect(p.kernel.tcpInfo()).toEqual({});
    const q = accepted();
    const info = q.kernel.tcpInfo();
    expect(info.tcpi_state).toBe(1);
    expect(info.tcpi_snd_mss).toBe(1_000);
    expect(info.tcpi_snd_cwnd).toBe(10);
    expect(info.tcpi_ca_state).toBe(0);
    expect(info.tcpi_snd_ssthresh).toBe(0x7fffffff);
  });

  test("counts what is under way, acknowledged and sent again", () => {
    const p = connected();
    p.calls("write(3, ..., 5000) = 5000");
    expect(p.kernel.tcpInfo()).toMatchObject({
      tcpi_unacked: 5,
      tcpi_notsent_bytes: 0,
      tcpi_bytes_sent: 5_000,
    });
    p.passes(10);
    p.arrives({ ack: 2_001 });
    expect(p.kernel.tcpInfo()).toMatchObject({ tcpi_unacked: 3, tcpi_bytes_acked: 2_000, tcpi_snd_cwnd: 10 });
    p.passes(300);
    expect(p.kernel.tcpInfo()).toMatchObject({
      tcpi_ca_state: 4,
      tcpi_backoff: 1,
      tcpi_retransmits: 1,
      tcpi_total_retrans: 1,
      tcpi_lost: 3,
      tcpi_retrans: 1,
      tcpi_snd_cwnd: 1,
      tcpi_bytes_retrans: 1_000,
    });
  });

  test("times are in microseconds", () => {
    const p = connected();
    p.calls("write(3, ..., 100) = 100");
    p.passes(30);
    p.arrives({ ack: 101 });
    const { tcpi_rtt, tcpi_rto, tcpi_min_rtt } = p.kernel.tcpInfo();
    expect(tcpi_rtt).toBeGreaterThan(0);
    expect(tcpi_rtt).toBeLessThanOrEqual(30_000);
    expect(tcpi_rto).toBeGreaterThanOrEqual(200_000);
    expect(tcpi_min_rtt).toBeLessThanOrEqual(30_000);
  });

  test("where no text has come, tcpi_last_data_recv counts from the handshake on", () => {
    const p = connected();
    p.passes(70);
    expect(p.kernel.tcpInfo().tcpi_last_data_recv).toBe(70);
    p.arrives({ flags: "P.", length: 10 });
    expect(p.kernel.tcpInfo().tcpi_last_data_recv).toBe(0);
  });

  test("is what getsockopt gives; states have FreeBSD's numbers there", () => {
    const p = accepted();
    p.calls("getsockopt(4, SOL_TCP, TCP_INFO, {tcpi_state=1, tcpi_snd_mss=1000}, [232]) = 0");
    p.kernel.flavour = "freebsd";
    p.calls("getsockopt(4, SOL_TCP, TCP_INFO, {tcpi_state=4}, [232]) = 0");
    p.kernel.flavour = "linux";
    expect(p.mismatch("getsockopt(4, SOL_TCP, TCP_INFO, {tcpi_state=8}, [232]) = 0")).toContain(
      "TCP_INFO's tcpi_state to be 8, but it is 1",
    );
  });
});

describe("sysctls", () => {
  test("change the connections that come", () => {
    const p = new Program();
    expect(p.kernel.sysctl("net.ipv4.tcp_timestamps", "1")).toBe(true);
    expect(p.kernel.sysctl("/proc/sys/net/ipv4/tcp_sack", "1")).toBe(true);
    expect(p.kernel.sysctl("net.ipv4.tcp_window_scaling", "0")).toBe(true);
    expect(p.kernel.sysctl("net.ipv4.tcp_ecn", "2")).toBe(true);
    expect(p.kernel.sysctl("net.ipv4.tcp_rmem", '"4096 540000 15728640"')).toBe(true);
    const { tcp } = p.stack.sockets.context;
    expect(tcp).toMatchObject({
      timestamps: true,
      sack: true,
      windowScale: false,
      ecn: "passive",
      receiveBuffer: 270_000,
      maxReceiveBuffer: 15_728_640,
    });
  });

  test("what the stack has one way only is done where that is the way", () => {
    const p = new Program();
    expect(p.kernel.sysctl("net.ipv4.tcp_recovery", "1")).toBe(true);
    expect(p.kernel.sysctl("net.ipv4.tcp_recovery", "0")).toBe(false);
    expect(p.kernel.sysctl("net.ipv4.tcp_nonsense", "1")).toBe(false);
    expect(p.kernel.sysctl("net.ipv4.tcp_timestamps", "yes")).toBe(false);
  });

  test("one of FreeBSD's makes the kernel FreeBSD's", () => {
    const p = new Program();
    expect(p.kernel.flavour).toBe("linux");
    p.kernel.sysctl("net.inet.tcp.rfc1323", "0");
    expect(p.kernel.flavour).toBe("freebsd");
    expect(p.stack.sockets.context.tcp.windowScale).toBe(false);
  });
});
