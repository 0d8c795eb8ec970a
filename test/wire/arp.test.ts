import { describe, expect, test } from "bun:test";
import { BAD_LENGTH, BAD_VERSION, OK, TRUNCATED } from "../../src/errors.ts";
import {
  ARP_LENGTH,
  ARP_REPLY,
  ARP_REQUEST,
  arpOperation,
  arpSenderAddress,
  arpSenderHardware,
  arpTargetAddress,
  arpTargetHardware,
  checkArp,
  writeArp,
} from "../../src/wire/arp.ts";
import { etherType, formatHardwareAddress, parseHardwareAddress } from "../../src/wire/ethernet.ts";
import { parseAddress } from "../../src/wire/ip-address.ts";
import { readCapture } from "../support/pcap-reader.ts";
import { guarded, hex, toHex } from "./support.ts";

// What two Linux kernels said to each other (fixtures/ethernet/neighbours.pcap), without the Ethernet header.
const REQUEST = "00 01 08 00 06 04 00 01 02 00 00 00 00 01 c0 a8 46 01 00 00 00 00 00 00 c0 a8 46 02";
const REPLY = "00 01 08 00 06 04 00 02 02 00 00 00 00 02 c0 a8 46 02 02 00 00 00 00 01 c0 a8 46 01";

const FIRST = parseAddress("192.168.70.1").w3;
const SECOND = parseAddress("192.168.70.2").w3;

describe("reading", () => {
  test("a request of the kernel's", () => {
    const bytes = hex(`ff ff ${REQUEST}`);
    expect(checkArp(bytes, 2, 28)).toBe(OK);
    expect(arpOperation(bytes, 2)).toBe(ARP_REQUEST);
    expect(formatHardwareAddress(bytes, arpSenderHardware(2))).toBe("02:00:00:00:00:01");
    expect(arpSenderAddress(bytes, 2)).toBe(FIRST);
    expect(formatHardwareAddress(bytes, arpTargetHardware(2))).toBe("00:00:00:00:00:00");
    expect(arpTargetAddress(bytes, 2)).toBe(SECOND);
  });

  test("a reply, with padding of the link behind it", () => {
    const bytes = hex(`${REPLY} 00 00 00 00`);
    expect(checkArp(bytes, 0, bytes.length)).toBe(OK);
    expect(arpOperation(bytes, 0)).toBe(ARP_REPLY);
    expect(formatHardwareAddress(bytes, arpTargetHardware(0))).toBe("02:00:00:00:00:01");
    expect([arpSenderAddress(bytes, 0), arpTargetAddress(bytes, 0)]).toEqual([SECOND, FIRST]);
  });

  test("what is cut off, and what is not for IPv4 over Ethernet", () => {
    const bytes = hex(REQUEST);
    for (let length = 0; length < ARP_LENGTH; length++) {
      expect(checkArp(guarded(bytes, 0, length), 0, length)).toBe(TRUNCATED);
    }
    const altered = (at: number, value: number) => {
      const copy = bytes.slice();
      copy[at] = value;
      return checkArp(copy, 0, 28);
    };
    expect([altered(0, 1), altered(1, 6), altered(2, 0x86), altered(3, 6)]).toEqual([
      BAD_VERSION,
      BAD_VERSION,
      BAD_VERSION,
      BAD_VERSION,
    ]);
    expect([altered(4, 8), altered(5, 16)]).toEqual([BAD_LENGTH, BAD_LENGTH]);
  });
});

describe("writing", () => {
  test("as the kernel does", () => {
    const [own, other] = [
      parseHardwareAddress("02:00:00:00:00:01"),
      parseHardwareAddress("02:00:00:00:00:02"),
    ];
    const bytes = new Uint8Array(32).fill(0xa5);
    writeArp(bytes, 2, ARP_REQUEST, own, FIRST, new Uint8Array(6), 0, SECOND);
    expect(toHex(bytes)).toBe(`a5 a5 ${REQUEST} a5 a5`);
    writeArp(bytes, 2, ARP_REPLY, other, SECOND, own, 0, FIRST);
    expect(toHex(bytes)).toBe(`a5 a5 ${REPLY} a5 a5`);
  });

  test("every ARP packet of the kernel's comes out the same again", () => {
    const capture = readCapture(new URL("../fixtures/ethernet/neighbours.pcap", import.meta.url));
    const packets = capture.packets.filter(({ bytes }) => etherType(bytes, 0) === 0x0806);
    expect(packets.length).toBeGreaterThan(3);
    for (const { bytes } of packets) {
      expect(checkArp(bytes, 14, bytes.length - 14)).toBe(OK);
      const again = new Uint8Array(ARP_LENGTH);
      const sender = bytes.slice(arpSenderHardware(14), arpSenderHardware(14) + 6);
      const operation = arpOperation(bytes, 14);
      const [from, to] = [arpSenderAddress(bytes, 14), arpTargetAddress(bytes, 14)];
      writeArp(again, 0, operation, sender, from, bytes, arpTargetHardware(14), to);
      expect(toHex(again)).toBe(toHex(bytes, 14, ARP_LENGTH));
    }
  });
});
