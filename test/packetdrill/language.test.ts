import { describe, expect, test } from "bun:test";
import { parseScript } from "./language/parse.ts";
import type { Call, Packet, TcpBody, Value } from "./script.ts";

const parse = (text: string, defines: [string, string][] = []) =>
  parseScript("t.pkt", text, { defines: new Map(defines) });

/** The one event's action. */
const action = (text: string) => parse(`0 ${text}`).events[0]?.action;
const call = (text: string) => action(text) as Call;
const packet = (text: string) => action(text) as Packet;
const tcp = (text: string) => packet(text).body as TcpBody;
const argument = (text: string) => call(`f(${text}) = 0`).args[0] as Value;

describe("times", () => {
  const timeOf = (time: string, what = "> . 1:1(0) ack 1") => parse(`${time} ${what}`).events[0]?.time;

  test("absolute, relative, ranges and any", () => {
    expect(timeOf("0")).toEqual({ kind: "absolute", at: 0 });
    expect(timeOf(".25")).toEqual({ kind: "absolute", at: 0.25 });
    expect(timeOf("+.1")).toEqual({ kind: "relative", after: 0.1 });
    expect(timeOf("+ 1")).toEqual({ kind: "relative", after: 1 });
    expect(timeOf("0.1~0.3")).toEqual({ kind: "range", from: 0.1, to: 0.3, relative: false });
    expect(timeOf("+.9~+1.2")).toEqual({ kind: "range", from: 0.9, to: 1.2, relative: true });
    expect(timeOf("*")).toEqual({ kind: "any" });
  });

  test("the end of a blocking call", () => {
    const [first, second] = parse(
      "0...0.2 accept(3, ..., ...) = 4\n+.1 ... 0.5 read(4, ..., 10) = 10",
    ).events;
    expect(first?.until).toEqual({ at: 0.2, relative: false });
    expect(second?.time).toEqual({ kind: "relative", after: 0.1 });
    expect(second?.until).toEqual({ at: 0.5, relative: true });
  });

  test("ranges and any are for expected packets", () => {
    expect(() => parse("* close(3) = 0")).toThrow("t.pkt:1: the time * is for expected packets only");
    expect(() => parse("\n+0~+1 < . 1:1(0) win 1")).toThrow(
      "t.pkt:2: a time range is for expected packets only",
    );
    expect(() => parse("+1~+0 > . 1:1(0)")).toThrow("goes backward");
    expect(() => parse("-1 close(3) = 0")).toThrow("cannot be negative");
  });
});

describe("what surrounds events", () => {
  test("comments of three kinds, options, commands at both ends", () => {
    const script = parse(`// one
/* two
   lines */ --tolerance_usecs=5000   # three
--ip_version=ipv4
--define=PORT=80
--strict_segments
\`sysctl -q a=1
b\`
0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3 // four
+0 close(3) = 0
\`restore\`
`);
    expect(script.options.map(({ name, value, place }) => [name, value, place.line])).toEqual([
      ["tolerance_usecs", "5000", 3],
      ["ip_version", "ipv4", 4],
      ["define", "PORT=80", 5],
      ["strict_segments", "", 6],
    ]);
    expect(script.init).toEqual([{ kind: "shell", command: "sysctl -q a=1\nb" }]);
    expect(script.cleanup).toEqual([{ kind: "shell", command: "restore" }]);
    expect(script.events.map(({ place }) => place.line)).toEqual([9, 10]);
  });

  test("a name that is defined is what it is defined as", () => {
    const script = parse('--define=CC="reno"\n--define=FD=7\n0 setsockopt(FD, SOL_TCP, OPT, CC, 4) = 0', [
      ["OPT", "TCP_CONGESTION"],
    ]);
    const args = (script.events[0]?.action as Call | undefined)?.args ?? [];
    expect(args[0]).toEqual({ kind: "number", value: 7n });
    expect(args[2]).toEqual({ kind: "flags", names: ["TCP_CONGESTION"] });
    expect(args[3]).toEqual({ kind: "string", value: new TextEncoder().encode("reno") });
  });

  test("code may have several lines", () => {
    expect(action("%{\nassert a == 1\nassert b\n}%")).toEqual({
      kind: "assertion",
      text: "\nassert a == 1\nassert b\n",
    });
  });
});

describe("calls", () => {
  test("results, errors and notes", () => {
    expect(call("read(4, ..., 100) = -1 ETIMEDOUT (Connection timed out)")).toEqual({
      kind: "call",
      name: "read",
      args: [{ kind: "number", value: 4n }, { kind: "any" }, { kind: "number", value: 100n }],
      result: { kind: "number", value: -1n },
      errno: "ETIMEDOUT",
    });
    expect(call("fcntl(3, F_GETFL) = 0x2 (flags O_RDWR)").result).toEqual({ kind: "number", value: 2n });
    expect(call("connect(3, ..., ...) = -1 // EINPROGRESS").errno).toBeUndefined();
    expect(call("close(3) = ...").result).toEqual({ kind: "any" });
  });

  test("values", () => {
    expect(argument("0x1F")).toEqual({ kind: "number", value: 31n });
    expect(argument("O_RDWR | O_NONBLOCK|0x10")).toEqual({
      kind: "flags",
      names: ["O_RDWR", "O_NONBLOCK", "16"],
    });
    expect(argument('"a\\n\\x41" "b"')).toEqual({ kind: "string", value: new Uint8Array([97, 10, 65, 98]) });
    expect(argument('"bbr"...')).toMatchObject({ kind: "string", open: true });
    expect(argument("[1, [2]]")).toMatchObject({ kind: "array", items: [{ value: 1n }, { kind: "array" }] });
    expect(argument("[]")).toEqual({ kind: "array", items: [] });
    expect(argument("{onoff=1, linger=0}")).toEqual({
      kind: "structure",
      members: [
        { name: "onoff", value: { kind: "number", value: 1n } },
        { name: "linger", value: { kind: "number", value: 0n } },
      ],
    });
    expect(argument("TCP_X=5")).toMatchObject({ kind: "expression", operator: "=" });
  });

  test("an address", () => {
    const value = argument(
      '{sa_family = AF_INET, sin_port = htons(8080), sin_addr = inet_addr("192.0.2.1")}',
    );
    expect(value).toMatchObject({
      kind: "structure",
      members: [
        { name: "sa_family", value: { kind: "flags", names: ["AF_INET"] } },
        { name: "sin_port", value: { kind: "function", name: "htons", args: [{ value: 8080n }] } },
        { name: "sin_addr", value: { kind: "function", name: "inet_addr" } },
      ],
    });
  });

  test("a message with its pieces and its control", () => {
    const value = argument(`{msg_name(...)=..., msg_iov(2)=[{..., 10}, {..., 20}], msg_flags=MSG_ERRQUEUE,
      msg_control=[{cmsg_level=SOL_TCP, cmsg_type=TCP_CM_INQ, cmsg_data=9000}]}`);
    expect(value).toMatchObject({
      members: [
        { name: "msg_name", count: { kind: "any" }, value: { kind: "any" } },
        {
          name: "msg_iov",
          count: { value: 2n },
          value: { items: [{ members: [{ name: "" }, { name: "", value: { value: 10n } }] }, {}] },
        },
        { name: "msg_flags" },
        {
          name: "msg_control",
          value: { items: [{ members: [{}, {}, { name: "cmsg_data", value: { value: 9000n } }] }] },
        },
      ],
    });
  });
});

describe("packets", () => {
  test("a segment", () => {
    expect(packet("< P. 1:1001(1000) ack 1 win 257 urg 5 <nop,nop,TS val 100 ecr 700>")).toEqual({
      kind: "packet",
      direction: "in",
      ip: {},
      body: {
        protocol: "tcp",
        flags: "P.",
        sequence: 1,
        absolute: false,
        length: 1000,
        ack: 1,
        window: 257,
        urgent: 5,
        options: [
          { kind: "other", name: "nop", bytes: new Uint8Array([1]) },
          { kind: "other", name: "nop", bytes: new Uint8Array([1]) },
          { kind: "TS", value: 100, echo: 700, absoluteEcho: false },
        ],
      },
    });
  });

  test("flags, and the counter of AccECN in their place", () => {
    expect(tcp("> SEWA 0:0(0)").flags).toBe("SEWA");
    expect(tcp("> - 1:1(0)").flags).toBe("");
    expect(tcp("> P.5 1:2(1) ack 1")).toMatchObject({ flags: "P.", ace: 5 });
    expect(tcp(">  5. 1:2(1) ack 1")).toMatchObject({ flags: ".", ace: 5 });
    expect(() => tcp("> E5. 1:2(1)")).toThrow("say twice");
    expect(() => tcp("> X. 1:2(1)")).toThrow('expected TCP flags, udp or icmp, found "X. 1:2(1)"');
  });

  test("sequence numbers as on the wire, and any", () => {
    expect(tcp("> . 5:6(1)! ack 1")).toMatchObject({ sequence: 5, absolute: true });
    expect(tcp("> . ...(7) ack 1").sequence).toBeUndefined();
    expect(() => tcp("> . 1:5(3)")).toThrow("1:5 is not 3 long");
  });

  test("options of all kinds", () => {
    const bytes = (text: string) => {
      const { options } = tcp(`> . 1:1(0) ack 1 <${text}>`);
      return options === "any"
        ? "any"
        : options.map((option) => ("bytes" in option ? [...option.bytes] : option));
    };
    expect(bytes("...")).toBe("any");
    expect(bytes("mss 1460, sackOK,eol,eol")).toEqual([[2, 4, 5, 180], [4, 2], [0], [0]]);
    expect(bytes("wscale 7,nop")).toEqual([[3, 3, 7], [1]]);
    expect(bytes("nop,nop,sack 1:11 21:31")).toMatchObject([
      [1],
      [1],
      {
        blocks: [
          { left: 1, right: 11 },
          { left: 21, right: 31 },
        ],
      },
    ]);
    expect(bytes("FO,nop,nop")).toEqual([[34, 2], [1], [1]]);
    expect(bytes("FO 01ff,nop,nop,nop,nop")[0]).toEqual([34, 4, 1, 255]);
    expect(bytes("FOEXP")).toEqual([[254, 4, 0xf9, 0x89]]);
    expect(bytes("md5 0001,nop,nop,nop,nop")[0]).toEqual([19, 4, 0, 1]);
    expect(bytes("ECN e1b 1 ceb 0 e0b 1,nop")[0]).toEqual([174, 11, 0, 0, 1, 0, 0, 0, 0, 0, 1]);
    expect(bytes("AccECN0 EE0B 1,nop,nop,nop")[0]).toEqual([172, 5, 0, 0, 1]);
    expect(bytes("nop,nop,TS val ... ecr 7!")[2]).toEqual({ kind: "TS", echo: 7, absoluteEcho: true });
    expect(() => bytes("mpcapable v1")).toThrow('the TCP option "mpcapable" is not supported');
    expect(() => bytes("mss 70000")).toThrow("mss is 70000, which is not from 0 to 65535");
    expect(() => bytes("sackOK")).toThrow("2 bytes long, which is no multiple of 4");
    expect(() => bytes("FO COOKIE,nop,nop")).toThrow("is no row of hexadecimal digits");
  });

  test("what the IP header says", () => {
    expect(packet("> [ect0] . 1:1(0)").ip).toEqual({ ecn: "ect0" });
    expect(packet("> (tos 0x10) . 1:1(0)").ip).toEqual({ tos: 16 });
    expect(packet("> [dscp AF21, ecn ce, ttl 64] . 1:1(0)").ip).toEqual({ dscp: 18, ecn: "ce", ttl: 64 });
    expect(() => packet("< [ect01] . 1:1(0) win 1")).toThrow("is for expected packets");
  });

  test("ports, udp and icmp", () => {
    expect(packet("< 1234 > 80 S 0:0(0) win 1").ports).toEqual({ source: 1234, destination: 80 });
    expect(packet("> udp (1000)").body).toEqual({ protocol: "udp", length: 1000 });
    expect(packet("< udp 5 > 6 (10)")).toMatchObject({
      ports: { source: 5, destination: 6 },
      body: { length: 10 },
    });
    expect(packet("< icmp unreachable frag_needed mtu 1040 [1:1461(1460)]").body).toEqual({
      protocol: "icmp",
      type: "unreachable",
      code: "frag_needed",
      mtu: 1040,
      original: { protocol: "tcp", sequence: 1, length: 1460 },
    });
    expect(packet("< icmp unreachable port_unreachable [udp (9)]").body).toMatchObject({
      original: { protocol: "udp", length: 9 },
    });
    expect(packet("> icmp echo_reply id 7 [raw (16)]").body).toMatchObject({
      type: "echo_reply",
      code: "",
      id: 7,
    });
  });

  test("what cannot be put on the wire", () => {
    expect(() => packet("< . 1:1(0) ack 1")).toThrow('expected "win": a packet put on the wire has a window');
    expect(() => packet("< . 1:1(0) win 1 <...>")).toThrow("<...> is for expected packets");
  });
});

describe("what is not understood is an error with its line", () => {
  const cases: [string, string][] = [
    ["0 close(3) = 0\n+0 frobnicate", 't.pkt:2: expected "(", found the end'],
    ["0 close(3)", 't.pkt:1: expected "=", found the end'],
    ["0 close(3) = 0 and more", 't.pkt:1: expected a time: 0.1, +.1, +0~+.5 or *, found "and more"'],
    ["0 > sctp: INIT[...]", "t.pkt:1: SCTP is not supported"],
    ["0 < gre: . 1:1(0) win 1", "t.pkt:1: GRE is not supported"],
    ["0 < ipv4 1.1.1.1 > 2.2.2.2: . 1:1(0) win 1", "t.pkt:1: a packet inside of a packet is not supported"],
    ["0 > addr[caddr0] > addr[saddr0] S 0:0(0)", "t.pkt:1: Multipath TCP is not supported"],
    ["0 < S 0:0(0) win 1 {mut tcp mss}", "t.pkt:1: mutations of packets are not supported"],
    ["0 close(3) = 0\n`x`\n+0 close(4) = 0", "t.pkt:3: a command without a time"],
    ["// nothing", "t.pkt:1: the script has no events"],
    ["0 close(@) = 0", "t.pkt:1: expected a value"],
  ];
  for (const [text, message] of cases) test(message, () => expect(() => parse(text)).toThrow(message));
});
