import { describe, expect, test } from "bun:test";
import { readCommandLine } from "./command-line.ts";
import { runText } from "./files.ts";
import { Settings } from "./run/settings.ts";

/** Runs a script with options as on the command line. */
const run = (text: string, ...options: string[]) => runText("t.pkt", text, readCommandLine(options).settings);
const failure = (text: string, ...options: string[]) => run(text, ...options).failure;

/** An accepted connection: 4, at 0.2 s. */
const ACCEPTED = `0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 bind(3, ..., ...) = 0
+0 listen(3, 1) = 0
+.1 < S 0:0(0) win 65535 <mss 1000,sackOK,nop,nop>
+0 > S. 0:0(0) ack 1 <...>
+.1 < . 1:1(0) ack 1 win 65535
+0 accept(3, ..., ...) = 4
`;
/** The same with timestamps; the stack's first one is called 100. */
const STAMPED = ACCEPTED.replace("sackOK,nop,nop", "sackOK,TS val 5 ecr 0")
  .replace("ack 1 <...>", "ack 1 <mss 1460,sackOK,TS val 100 ecr 5>")
  .replace("ack 1 win 65535\n", "ack 1 win 65535 <nop,nop,TS val 6 ecr 100>\n");

describe("what a failure says", () => {
  test("the field, both packets with relative numbers, and when", () => {
    expect(failure(`${ACCEPTED}+0 write(4, ..., 100) = 100\n+0 > P. 1:101(100) ack 1 win 100`)).toBe(
      [
        "t.pkt:9: error handling packet: live packet field tcp_window: expected: 100 (0x64) vs actual: 65535 (0xffff)",
        "script packet:  0.200000 P. 1:101(100) ack 1 win 100",
        "actual packet:  0.200000 [noecn] P. 1:101(100) ack 1 win 65535",
      ].join("\n"),
    );
  });

  const fields: [string, string][] = [
    [". 1:101(100) ack 1", "tcp_psh: expected: 0 (0x0) vs actual: 1 (0x1)"],
    ["FP. 1:101(100) ack 1", "tcp_fin: expected: 1 (0x1) vs actual: 0 (0x0)"],
    ["P. 2:102(100) ack 1", "tcp_seq: expected: 2 (0x2) vs actual: 1 (0x1)"],
    ["P. 1:101(100) ack 2", "tcp_ack_seq: expected: 2 (0x2) vs actual: 1 (0x1)"],
    ["P. 1:101(100) ack 1 urg 1", "tcp_urg_ptr: expected: 1 (0x1) vs actual: 0 (0x0)"],
    ["P.1 1:101(100) ack 1", "tcp_ace: expected: 1 (0x1) vs actual: 0 (0x0)"],
    ["[ect0] P. 1:101(100) ack 1", "ip_ecn: expected: 2 (0x2) vs actual: 0 (0x0)"],
    ["[ect01] P. 1:101(100) ack 1", "ip_ecn: expected: 0x1 or 0x2 vs actual: 0x0"],
    ["[ttl 7] P. 1:101(100) ack 1", "ttl: expected: 7 (0x7) vs actual: 64 (0x40)"],
    ["P. 1:102(101) ack 1", "live packet payload: expected 101 bytes vs actual 100 bytes"],
    ["P. 1:101(100) ack 1 <nop,nop,sack 1:2>", "bad outbound TCP options"],
    ["udp (100)", "expected: a UDP header vs actual: a TCP header"],
  ];
  for (const [packet, words] of fields) {
    test(packet, () =>
      expect(failure(`${ACCEPTED}+0 write(4, ..., 100) = 100\n+0 > ${packet}`)).toContain(words),
    );
  }

  test("values of options", () => {
    const open = (options: string) => failure(`${ACCEPTED.replace("ack 1 <...>", `ack 1 <${options}>`)}`);
    expect(open("mss 1460,nop,nop,sackOK")).toBeNull();
    expect(open("mss 1461,nop,nop,sackOK")).toContain("bad value outbound TCP option 2");
    expect(open("mss 1460")).toContain("bad outbound TCP options");
    const gap = "+0 < . 1001:2001(1000) ack 1 win 65535\n+0 > . 1:1(0) ack 1 <nop,nop,sack 1001:2001>";
    expect(failure(ACCEPTED + gap)).toBeNull();
    expect(failure(ACCEPTED + gap.replace("sack 1001:2001", "sack 1001:2002"))).toContain(
      "sack_right: expected: 2002",
    );
  });

  test("a packet that does not come, and one that comes late", () => {
    expect(failure(`${ACCEPTED}+0 > . 1:1(0) ack 1`)).toBe(
      "t.pkt:8: error handling packet: expected outbound packet at 0.200000 sec, but none was sent\n" +
        "script packet:  0.200000 . 1:1(0) ack 1",
    );
    expect(failure(`${ACCEPTED}+0 write(4, ..., 1) = 1\n+.1 > P. 1:2(1) ack 1`)).toContain(
      "timing error: expected outbound packet at 0.300000 sec but it happened at 0.200000 sec; tolerance 0.012500 sec",
    );
    expect(failure(`${ACCEPTED}+0 write(4, ..., 1) = 1\n+.1~+.2 > P. 1:2(1) ack 1`)).toContain(
      "in the time range 0.300000~0.400000 sec but it happened at 0.200000 sec",
    );
    expect(failure(`${ACCEPTED}+0 write(4, ..., 1) = 1\n* > P. 1:2(1) ack 1`)).toBeNull();
  });

  test("a call, an assertion, a mistake in the script", () => {
    expect(failure(`${ACCEPTED}+0 write(4, ..., 100) = 99`)).toBe(
      "t.pkt:8: runtime error in write call: expected write to return 99, but it returned 100",
    );
    expect(failure(`${ACCEPTED}+0 %{ assert tcpi_unacked == 3 }%`)).toBe(
      "t.pkt:8: error in code: assertion failed: tcpi_unacked == 3, with tcpi_unacked = 0",
    );
    expect(failure("0 close(3) =")).toStartWith("t.pkt:1: expected a value");
    expect(failure("1 close(3) = 0")).toBe("t.pkt:1: the first event has to be at time 0");
    expect(failure("0 `true`\n2 `true`\n1 `true`")).toBe(
      "t.pkt:3: time goes backward, from 2.000000 to 1.000000",
    );
    expect(failure("0 > . 1:1(0)")).toBe(
      "t.pkt:1: error handling packet: no matching socket for script packet",
    );
  });
});

describe("segments", () => {
  const write = `${ACCEPTED}+0 write(4, ..., 3000) = 3000\n`;

  test("several that add up to the expected one match, unless strict", () => {
    const text = `${write}+0 > P. 1:3001(3000) ack 1`;
    expect(failure(text)).toBeNull();
    expect(failure(text, "--strict_segments")).toContain("expected 3000 bytes vs actual 1000 bytes");
  });

  test("one that is larger matches piece by piece, unless strict", () => {
    const text = `${write}+0 > . 1:501(500) ack 1\n+0 > . 501:1001(500) ack 1\n+0 > P. 1001:3001(2000) ack 1`;
    expect(failure(text)).toBeNull();
    expect(failure(text, "--strict_segments")).toContain("expected 500 bytes vs actual 1000 bytes");
  });

  test("the rest of one that is larger is not forgotten", () => {
    expect(failure(`${ACCEPTED}+0 write(4, ..., 100) = 100\n+0 > P. 1:51(50) ack 1`)).toBe(
      "t.pkt:9: a packet was sent that the script does not expect\nactual packet: 0.200000 [noecn] P. 51:101(50) ack 1 win 65535",
    );
  });

  test("a whole packet that nobody expects at the end is one where that is asked for", () => {
    const text = `${ACCEPTED}+0 write(4, ..., 100) = 100`;
    expect(failure(text)).toBeNull();
    expect(failure(text, "--fail_on_leftovers")).toContain(
      "a packet was sent that the script does not expect",
    );
  });

  test("options may stand in any order, unless strict", () => {
    const text = ACCEPTED.replace("ack 1 <...>", "ack 1 <sackOK,mss 1460,eol,eol>");
    expect(failure(text)).toBeNull();
    expect(failure(text, "--strict_options")).toContain("bad outbound TCP options");
  });
});

describe("timestamps", () => {
  const echo = (val: number, ecr: number) =>
    `${STAMPED}+.1 < P. 1:2(1) ack 1 win 65535 <nop,nop,TS val 7 ecr 100>\n* > . 1:1(0) ack 2 <nop,nop,TS val ${val} ecr ${ecr}>`;

  test("an echo is what the script sent, a value what the stack has at that time", () => {
    expect(failure(echo(300, 7))).toBeNull();
    expect(failure(echo(300, 8))).toContain("ts_ecr: expected: 8 (0x8) vs actual: 7 (0x7)");
    expect(failure(echo(300, 7), "--tcp_ts_tick_usecs=1000")).toBeNull();
    expect(failure(echo(400, 7), "--tcp_ts_tick_usecs=1000")).toContain("-100 ticks away from 400");
  });

  test("an echo of what the stack never sent is a mistake, unless it is to be computed", () => {
    const text = STAMPED.replace("ecr 100>\n", "ecr 103>\n");
    expect(failure(text)).toContain("unable to infer live TS ecr for script TS ecr 103");
    expect(failure(text, "--tcp_ts_ecr_scaled")).toBeNull();
  });
});

test("a listen that is to fail begins no other connection under test", () => {
  const again = "+0 listen(4, 1) = -1 EINVAL (Invalid argument)\n+.1 < P. 1:101(100) ack 1 win 65535\n";
  expect(failure(`${ACCEPTED}${again}+0 > . 1:1(0) ack 101`)).toBeNull();
});

describe("calls that block", () => {
  const script = (until: number, result = 10) =>
    `${ACCEPTED}+0...${until} read(4, ..., 100) = ${result}\n+.1 < P. 1:11(10) ack 1 win 65535\n* > . 1:1(0) ack 11`;

  test("return when they may, while the script goes on", () => {
    expect(failure(script(0.1))).toBeNull();
    expect(failure(script(0.5))).toContain(
      "t.pkt:8: timing error: expected system call return at 0.700000 sec but",
    );
    expect(failure(script(0.1, 11))).toContain(
      "t.pkt:8: runtime error in read call: expected read to return 11",
    );
  });

  test("and do so before the script's end, and before the next one", () => {
    expect(failure(`${ACCEPTED}+0...0.1 read(4, ..., 100) = 10`)).toContain("read call: it has not returned");
    expect(failure(`${ACCEPTED}+0 read(4, ..., 100) = 10`)).toContain("it blocks, and nothing wakes it up");
  });
});

describe("options", () => {
  test("non-fatal failures are warnings", () => {
    const text = `${ACCEPTED}+0 write(4, ..., 100) = 99\n+0 > P. 1:101(100) ack 2`;
    const { failure: none, warnings } = run(text, "--non_fatal=packet,syscall");
    expect(none).toBeNull();
    expect(warnings.map((warning) => warning.split("\n")[0])).toEqual([
      "t.pkt:8: runtime error in write call: expected write to return 99, but it returned 100",
      "t.pkt:9: warning handling packet: live packet field tcp_ack_seq: expected: 2 (0x2) vs actual: 1 (0x1)",
    ]);
  });

  test("the script's own count more", () => {
    const late = "+0 write(4, ..., 1) = 1\n+.02 > P. 1:2(1) ack 1";
    expect(failure(ACCEPTED + late, "--tolerance_usecs=1000")).toContain("timing error");
    expect(failure(`--tolerance_usecs=30000\n${ACCEPTED}${late}`, "--tolerance_usecs=1000")).toBeNull();
  });

  test("what is not known, or not to be had, is refused", () => {
    expect(failure("--frobnicate=1\n0 `true`")).toBe(
      "t.pkt:1: --frobnicate is not known; README.md has all options",
    );
    expect(failure("\n--wire_server\n0 `true`")).toContain("t.pkt:2: --wire_server is not supported");
    expect(failure("--so_filename=x\n0 `true`")).toContain("--so_filename=x is not supported");
    expect(failure("--ip_version=ipv6\n0 `true`")).toContain(
      "--ip_version=ipv6 is not supported: the stack has no IPv6",
    );
    expect(failure("--bind_port=99999\n0 `true`")).toContain("--bind_port=99999 is no port");
    expect(() => readCommandLine(["--nonsense"])).toThrow("--nonsense is not known");
    expect(() => readCommandLine(["--verbose=1"])).toThrow("--verbose takes no value");
  });

  test("a command line", () => {
    const { settings, paths } = readCommandLine([
      "-v",
      "-D",
      "A=1",
      "-DB=2",
      "--mtu",
      "1280",
      "a.pkt",
      "--non-fatal=packet",
    ]);
    expect(paths).toEqual(["a.pkt"]);
    expect(settings.verbose).toBe(true);
    expect(settings.mtu).toBe(1280);
    expect(settings.nonFatalPacket).toBe(true);
    expect([...settings.defines]).toEqual([
      ["A", "1"],
      ["B", "2"],
    ]);
  });

  test("a dry run only reads", () => {
    expect(failure("0 close(9) = 7", "--dry_run")).toBeNull();
    expect(failure("0 close(9", "--dry_run")).toContain("t.pkt:1:");
  });

  test("ports and addresses are those that are given", () => {
    const text = `0 < 1234 > 99 S 0:0(0) win 1000\n+0 > 99 > 1234 R. 0:0(0) ack 1 win 0`;
    expect(failure(text, "--local_ip=10.0.0.1", "--remote_ip=10.9.9.9")).toBeNull();
  });
});

describe("commands", () => {
  test("settings of TCP take effect, all else is noted", () => {
    const text = `\`./defaults.sh
sysctl -q net.ipv4.tcp_timestamps=0
echo 0 > /proc/sys/net/ipv4/tcp_sack
tc qdisc add dev tun0 root pfifo
sysctl -w net.ipv4.tcp_unheard_of="1 2"\`
0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0
+0 connect(3, ..., ...) = -1 EINPROGRESS (Operation now in progress)
+0 > S 0:0(0) <mss 1460,nop,wscale 8>`;
    const { failure: none, notes } = run(text);
    expect(none).toBeNull();
    expect(notes).toContain("0.000000 ignored: tc qdisc add dev tun0 root pfifo");
    expect(notes).toContain("0.000000 ignored: net.ipv4.tcp_unheard_of=1 2");
  });

  test("defaults.sh is Linux's: its TCP is meant, and not the stack as it is", () => {
    const text = `0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 bind(3, ..., ...) = 0
+0 listen(3, 1) = 0
+0 < S 0:0(0) win 65535 <mss 1000>
+0 > S. 0:0(0) ack 1 <mss 1460>
+0 < . 1:1(0) ack 1 win 65535
+0 accept(3, ..., ...) = 4
+0 write(4, ..., 1300) = 1300
+0 > . 1:1001(1000) ack 1
+0 > P. 1001:1301(300) ack 1`;
    expect(failure(`0 \`./defaults.sh\`\n${text}`)).toBeNull();
    expect(failure(text)).not.toBeNull();
  });

  test("dd makes a file that open finds, and fails where it does not say how long", () => {
    const text = (command: string) => `0 \`${command}\`
+0 open("/nonexistent/file", O_RDONLY) = 3
+0 read(3, ..., 10000) = 5120`;
    expect(failure(text("/bin/dd bs=1K count=5 if=/dev/zero of=/nonexistent/file status=none"))).toBeNull();
    expect(failure(text("dd if=/dev/zero of=/nonexistent/file"))).toContain("dd needs of=, count= and bs=");
  });

  test("a command that fails is a failure, one that sleeps takes its time", () => {
    expect(failure("0 `true`\n+0 `exit 3`")).toBe("t.pkt:2: error executing `exit 3` command: exit 3");
    expect(failure("0 `sleep 0.5`\n0.1 `true`")).toContain(
      "expected command at 0.100000 sec but it happened at 0.500000",
    );
  });

  test("the link's MTU changes while the script runs", () => {
    const open = (mtu: string) => `0 \`ip link set dev tun0 mtu ${mtu}\`
+0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0
+0 connect(3, ..., ...) = -1 EINPROGRESS (Operation now in progress)
+0 > S 0:0(0) <mss 960,sackOK,TS val 1 ecr 0,nop,wscale 7>`;
    expect(failure(open("1000"))).toBeNull();
    expect(failure(open("1001"))).toContain("bad value outbound TCP option 2");
  });
});

test("code keeps its variables, and sees the connection", () => {
  const text = `${ACCEPTED}+0 %{ before = tcpi_unacked }%
+0 write(4, ..., 1000) = 1000
+0 > P. 1:1001(1000) ack 1
+0 %{ assert tcpi_unacked == before + 1 }%`;
  expect(failure(text)).toBeNull();
});

test("ICMP is about the segment that the script says", () => {
  const text = (range: string) => `${ACCEPTED}+0 write(4, ..., 1000) = 1000
+0 > P. 1:1001(1000) ack 1
+.1 < icmp unreachable protocol_unreachable [${range}]
+0 write(4, ..., 1) = ${range.startsWith("1:") ? "-1 ECONNREFUSED (Connection refused)" : "1"}`;
  expect(failure(text("70001:71001(1000)"))).toBeNull();
  expect(failure(ACCEPTED.replace("0 bind", "0 < icmp no_such_type [1:2(1)]\n+0 bind"))).toContain(
    "icmp no_such_type",
  );
});

test("the seed is fixed: a script runs the same way each time", () => {
  const text = `${STAMPED}+0 write(4, ..., 100) = 100\n* > P. 1:101(100) ack 9 <...>`;
  expect(runText("t.pkt", text, new Settings())).toEqual(runText("t.pkt", text, new Settings()));
});
