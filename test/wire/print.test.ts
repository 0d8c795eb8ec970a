/** Lines whose wording no capture shows; the rest of the printer is compared with tcpdump in fixtures.test.ts. */

import { describe, expect, test } from "bun:test";
import { parseAddress } from "../../src/wire/ip-address.ts";
import { writeIpv4, writeIpv4Fragment } from "../../src/wire/ipv4.ts";
import { formatPacket } from "../../src/wire/print.ts";
import { embedded, guarded, hex } from "./support.ts";

const a = parseAddress("10.0.0.1");
const b = parseAddress("10.0.0.2");

function packet(protocol: number, payload: string): Uint8Array {
  const body = hex(payload);
  const bytes = new Uint8Array(20 + body.length);
  writeIpv4(bytes, 0, bytes.length, protocol, 64, a, b);
  bytes.set(body, 20);
  return bytes;
}

const print = (bytes: Uint8Array) => formatPacket(bytes, 0, bytes.length);
const tcp = (header: string) => print(packet(6, header));
const udp = (datagram: string) => print(packet(17, datagram));
const icmp = (message: string) => print(packet(1, message));

const TCP_HEADER = "9c40 c350 fffffffe 00000005";
const ENDS = "IP 10.0.0.1.40000 > 10.0.0.2.50000:";
const HOSTS = "IP 10.0.0.1 > 10.0.0.2:";

describe("TCP", () => {
  test("flags", () => {
    expect(tcp(`${TCP_HEADER} 5000 0064 0000 0000`)).toBe(`${ENDS} Flags [none], win 100, length 0`);
    expect(tcp(`${TCP_HEADER} 50ff 0064 0000 0003`)).toBe(
      `${ENDS} Flags [FSRP.UEW], seq 4294967294, ack 5, win 100, urg 3, length 0`,
    );
    const names = "FSRP.UEW";
    for (let bit = 0; bit < 8; bit++) {
      const flags = (1 << bit).toString(16).padStart(2, "0");
      expect(tcp(`${TCP_HEADER} 50${flags} 0064 0000 0000`)).toContain(`Flags [${names[bit]}],`);
    }
  });

  test("sequence numbers wrap", () => {
    expect(tcp(`${TCP_HEADER} 5018 0064 0000 0000 68656c6c6f`)).toBe(
      `${ENDS} Flags [P.], seq 4294967294:3, ack 5, win 100, length 5`,
    );
  });

  const options: [hex: string, text: string][] = [
    ["0204 05b4", "mss 1460"],
    ["0303 07 00", "wscale 7,eol"],
    ["0402 01 01", "sackOK,nop,nop"],
    ["0101 080a ffffffff 00000001", "nop,nop,TS val 4294967295 ecr 1"],
    ["0101 050a 00000001 fffffffa", "nop,nop,sack 1 {1:4294967290}"],
    ["0101 0512 00000001 00000002 00000003 00000004", "nop,nop,sack 2 {1:2}{3:4}"],
    ["0506 00000001 0101", "sack invalid sack,nop,nop"],
    ["fd06 0a0b0c0d 6302", "unknown-253 0x0a0b0c0d,unknown-99"],
    ["0203 05 01", "mss[len 3],nop"],
    ["0304 0505", "wscale[len 4]"],
    ["0403 01 01", "sackOK[len 3],nop"],
    ["0804 0000", "TS[len 4]"],
    ["0101 01 02", "nop,nop,nop,[bad opt]"],
    ["fd00 0101", "[bad opt]"],
    ["fd01 0101", "[bad opt]"],
    ["0101 fd05", "nop,nop,[bad opt]"],
  ];
  for (const [bytes, text] of options) {
    test(`options ${text}`, () => {
      const words = 5 + hex(bytes).length / 4;
      expect(tcp(`${TCP_HEADER} ${words.toString(16)}010 0064 0000 0000 ${bytes}`)).toBe(
        `${ENDS} Flags [.], ack 5, win 100, options [${text}], length 0`,
      );
    });
  }

  test("bad header lengths", () => {
    expect(tcp(`${TCP_HEADER} 4010 0064 0000 0000`)).toBe(
      `${ENDS}  tcp 4 [bad hdr length 16 - too short, < 20]`,
    );
    expect(tcp(`${TCP_HEADER} 6010 0064 0000 0000`)).toBe(
      `${ENDS} Flags [.] [bad hdr length 24 - too long, > 20]`,
    );
  });

  test("too short for a header", () => {
    expect(tcp("")).toBe(`${HOSTS} [|tcp]`);
    expect(tcp("9c40 c3")).toBe(`${HOSTS} [|tcp]`);
    expect(tcp("9c40 c350")).toBe(`${ENDS}  [|tcp]`);
    expect(tcp(`${TCP_HEADER} 5010 0064 0000 00`)).toBe(`${ENDS}  [|tcp]`);
  });
});

describe("UDP", () => {
  const datagrams: [hex: string, line: string][] = [
    ["9c40 c350 0008 0000", `${ENDS} UDP, length 0`],
    ["9c40 c350 0009 0000 00000000", `${ENDS} UDP, length 1`],
    ["9c40 c350 0064 0000 00000000 00", `${ENDS} UDP, bad length 92 > 5`],
    ["9c40 c350 0003 0000", `${ENDS} truncated-udplength 3`],
    ["9c40 c350 0008 00", `${ENDS} truncated-udp 7`],
    ["9c40 c350", `${ENDS} truncated-udp 4`],
    ["9c40 c3", `${HOSTS}  [|udp]`],
  ];
  for (const [bytes, line] of datagrams) test(line, () => expect(udp(bytes)).toBe(line));

  test("the first fragment's length is the whole datagram's", () => {
    const bytes = packet(17, "9c40 c350 0064 0000 00000000");
    writeIpv4Fragment(bytes, 0, 0, true);
    expect(print(bytes)).toBe(`${ENDS} UDP, length 92`);
    writeIpv4Fragment(bytes, 0, 8, true);
    expect(print(bytes)).toBe(`${HOSTS} ip-proto-17`);
  });
});

describe("ICMP", () => {
  const QUOTED = "4500 0021 0001 4000 4011 0000 0a000001 0a000002 9c40 c350 000d 0000";
  const QUOTED_TCP = QUOTED.replace("4011", "4006");
  const QUOTED_SCTP = QUOTED.replace("4011", "4084");
  const messages: [hex: string, text: string][] = [
    ["0000 0000 0001 0002", "echo reply, id 1, seq 2, length 8"],
    ["0800 0000 ffff fffe 00", "echo request, id 65535, seq 65534, length 9"],
    [`0300 0000 00000000 ${QUOTED}`, "net 10.0.0.2 unreachable, length 36"],
    [`0301 0000 00000000 ${QUOTED}`, "host 10.0.0.2 unreachable, length 36"],
    [`0302 0000 00000000 ${QUOTED}`, "10.0.0.2 protocol 17 unreachable, length 36"],
    [`0303 0000 00000000 ${QUOTED}`, "10.0.0.2 udp port 50000 unreachable, length 36"],
    [`0303 0000 00000000 ${QUOTED_TCP}`, "10.0.0.2 tcp port 50000 unreachable, length 36"],
    [`0303 0000 00000000 ${QUOTED_SCTP}`, "10.0.0.2 protocol 132 port 50000 unreachable, length 36"],
    [`0304 0000 00000500 ${QUOTED}`, "10.0.0.2 unreachable - need to frag (mtu 1280), length 36"],
    [`0304 0000 00000000 ${QUOTED}`, "10.0.0.2 unreachable - need to frag, length 36"],
    [`0305 0000 00000000 ${QUOTED}`, "10.0.0.2 unreachable - source route failed, length 36"],
    [`0306 0000 00000000 ${QUOTED}`, "net 10.0.0.2 unreachable - unknown, length 36"],
    [`0307 0000 00000000 ${QUOTED}`, "host 10.0.0.2 unreachable - unknown, length 36"],
    [`0308 0000 00000000 ${QUOTED}`, "10.0.0.2 unreachable - source host isolated, length 36"],
    [`0309 0000 00000000 ${QUOTED}`, "net 10.0.0.2 unreachable - admin prohibited, length 36"],
    [`030a 0000 00000000 ${QUOTED}`, "host 10.0.0.2 unreachable - admin prohibited, length 36"],
    [`030b 0000 00000000 ${QUOTED}`, "net 10.0.0.2 unreachable - tos prohibited, length 36"],
    [`030c 0000 00000000 ${QUOTED}`, "host 10.0.0.2 unreachable - tos prohibited, length 36"],
    [`030d 0000 00000000 ${QUOTED}`, "host 10.0.0.2 unreachable - admin prohibited filter, length 36"],
    [`030e 0000 00000000 ${QUOTED}`, "host 10.0.0.2 unreachable - host precedence violation, length 36"],
    [`030f 0000 00000000 ${QUOTED}`, "host 10.0.0.2 unreachable - precedence cutoff, length 36"],
    [`0310 0000 00000000 ${QUOTED}`, "10.0.0.2 unreachable - #16, length 36"],
    ["0400 0000 00000000", "source quench, length 8"],
    [`0500 0000 0a000009 ${QUOTED}`, "redirect 10.0.0.2 to net 10.0.0.9, length 36"],
    [`0501 0000 0a000009 ${QUOTED}`, "redirect 10.0.0.2 to host 10.0.0.9, length 36"],
    [`0502 0000 0a000009 ${QUOTED}`, "redirect-tos 10.0.0.2 to net 10.0.0.9, length 36"],
    [`0503 0000 0a000009 ${QUOTED}`, "redirect-tos 10.0.0.2 to host 10.0.0.9, length 36"],
    [`0504 0000 0a000009 ${QUOTED}`, "redirect-#4 10.0.0.2 to 10.0.0.9, length 36"],
    ["0a00 0000 00000000", "router solicitation, length 8"],
    ["0b00 0000 00000000", "time exceeded in-transit, length 8"],
    ["0b01 0000 00000000", "ip reassembly time exceeded, length 8"],
    ["0b02 0000 00000000", "time exceeded-#2, length 8"],
    ["0c00 0000 14000000", "parameter problem - octet 20, length 8"],
    ["0c01 0000 14000000", "parameter problem - code 1, length 8"],
    ["0d00 0000 0001 0002", "time stamp query id 1 seq 2, length 8"],
    [
      "0e00 0000 0001 0002 45000021 00014000 40110000",
      "time stamp reply id 1 seq 2: org 321:33:47.937, recv 00:01:21.920, xmit 298:34:15.936, length 20",
    ],
    ["1100 0000 00000000", "address mask request, length 8"],
    ["2a00 0000 00000000", "type-#42, length 8"],
  ];
  for (const [bytes, text] of messages) test(text, () => expect(icmp(bytes)).toBe(`${HOSTS} ICMP ${text}`));

  test("a quoted packet just long enough", () => {
    const header = QUOTED.slice(0, -"9c40 c350 000d 0000".length);
    expect(icmp(`0300 0000 00000000 ${header}`)).toBe(`${HOSTS} ICMP net 10.0.0.2 unreachable, length 28`);
    expect(icmp(`0500 0000 0a000009 ${header}`)).toBe(
      `${HOSTS} ICMP redirect 10.0.0.2 to net 10.0.0.9, length 28`,
    );
    expect(icmp(`0303 0000 00000000 ${header} 9c40 c350`)).toBe(
      `${HOSTS} ICMP 10.0.0.2 udp port 50000 unreachable, length 32`,
    );
    expect(icmp(`0303 0000 00000000 ${header} 9c40 c3`)).toBe(`${HOSTS}  [|icmp]`);
  });

  test("too short for what the type needs", () => {
    const cut = [
      "",
      "0800 0000 0001 00",
      "0300 0000 00000000",
      "0500 0000 00000000 4500",
      "0e00 0000 00000000 00",
    ];
    for (const bytes of cut) expect(icmp(bytes)).toBe(`${HOSTS}  [|icmp]`);
    expect(icmp(`0303 0000 00000000 ${QUOTED.slice(0, 50)}`)).toBe(`${HOSTS}  [|icmp]`);
  });
});

describe("IP", () => {
  const TCP = packet(6, `${TCP_HEADER} 5010 0064 0000 0000`);
  const changed = (at: number, value: number) => {
    const bytes = TCP.slice();
    bytes[at] = value;
    return bytes;
  };

  test("other protocols by number", () => {
    expect(print(packet(253, "00000000"))).toBe(`${HOSTS}  ip-proto-253 4`);
  });

  test("other versions", () => {
    expect(print(changed(0, 0x55))).toBe("unknown ip 5");
    expect(print(changed(0, 0x05))).toBe("unknown ip 0");
    expect(print(changed(0, 0x60))).toBe("IP6, length 40");
  });

  test("contradicting lengths", () => {
    expect(print(changed(0, 0x44))).toBe("IP bad-hlen 16");
    expect(print(changed(0, 0x4f))).toBe("IP bad-len 40");
    expect(print(changed(3, 19))).toBe("IP bad-len 19");
    expect(print(changed(3, 20))).toBe(`${HOSTS} [|tcp]`);
  });

  test("missing bytes", () => {
    expect(print(changed(3, 100))).toBe(
      `IP truncated-ip - 60 bytes missing! 10.0.0.1.40000 > 10.0.0.2.50000: Flags [.], seq 4294967294:58, ack 5, win 100, length 60`,
    );
    expect(formatPacket(TCP, 0, 19)).toBe("IP  [|ip]");
    expect(formatPacket(TCP, 0, 0)).toBe("IP  [|ip]");
    expect(formatPacket(TCP, 0, 30)).toBe(`IP truncated-ip - 10 bytes missing! ${ENDS.slice(3)}  [|tcp]`);
  });

  test("padding behind the packet, and any offset", () => {
    const line = `${ENDS} Flags [.], ack 5, win 100, length 0`;
    expect(formatPacket(embedded(TCP, 9), 9, TCP.length)).toBe(line);
    expect(formatPacket(embedded(TCP, 9), 9, TCP.length + 8)).toBe(line);
  });

  test("missing bytes and other versions at an offset", () => {
    expect(formatPacket(embedded(changed(3, 41), 3), 3, 40)).toStartWith(
      "IP truncated-ip - 1 bytes missing! ",
    );
    expect(formatPacket(embedded(changed(0, 0x60), 3), 3, 40)).toBe("IP6, length 40");
  });

  test("a length that the array doesn't have", () => {
    expect(formatPacket(TCP, 0, 1000)).toBe(print(TCP));
    expect(formatPacket(TCP, 40, 10)).toBe("IP  [|ip]");
    expect(formatPacket(TCP, -1, 10)).toBe("IP  [|ip]");
    expect(formatPacket(new Uint8Array(0), 0, 0)).toBe("IP  [|ip]");
  });

  test("cut at any length, nothing behind is read", () => {
    for (const bytes of [
      TCP,
      packet(17, "9c40 c350 000c 0000 00000000"),
      packet(1, "0303 0000 00000000 4500"),
    ]) {
      for (let length = 0; length <= bytes.length; length++) {
        expect(formatPacket(guarded(bytes, 0, length), 0, length)).toStartWith("IP ");
      }
    }
  });
});
