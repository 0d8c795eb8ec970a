import { describe, expect, test } from "bun:test";
import { OK, StackError, TRUNCATED } from "../../src/errors.ts";
import {
  BROADCAST_HARDWARE,
  checkEthernet,
  copyHardwareAddress,
  ETHERTYPE_ARP,
  ETHERTYPE_IPV4,
  ethernetHeaderLength,
  etherType,
  formatHardwareAddress,
  hasVlanTag,
  isBroadcastHardwareAddress,
  isGroupHardwareAddress,
  isZeroHardwareAddress,
  localHardwareAddress,
  parseHardwareAddress,
  sameHardwareAddress,
  vlanId,
  writeEthernet,
} from "../../src/wire/ethernet.ts";
import { guarded, hex, toHex } from "./support.ts";

// The start of a frame to everybody, with priority 5 and the drop eligible bit in a tag of VLAN 5, as Linux sent it.
const TAGGED = hex("ff ff ff ff ff ff 02 00 00 00 00 02 81 00 b0 05 08 00 45 00");

describe("reading", () => {
  test("a header without a tag", () => {
    const bytes = hex("00 00 02 00 00 00 00 01 02 00 00 00 00 02 08 06 00 01");
    expect(checkEthernet(bytes, 2, 16)).toBe(OK);
    expect(hasVlanTag(bytes, 2)).toBe(false);
    expect(ethernetHeaderLength(bytes, 2)).toBe(14);
    expect(etherType(bytes, 2)).toBe(ETHERTYPE_ARP);
    expect(formatHardwareAddress(bytes, 2)).toBe("02:00:00:00:00:01");
    expect(formatHardwareAddress(bytes, 8)).toBe("02:00:00:00:00:02");
  });

  test("a tag: the EtherType is behind it, and the VLAN is twelve of its bits", () => {
    expect(checkEthernet(TAGGED, 0, TAGGED.length)).toBe(OK);
    expect(hasVlanTag(TAGGED, 0)).toBe(true);
    expect(ethernetHeaderLength(TAGGED, 0)).toBe(18);
    expect(etherType(TAGGED, 0)).toBe(ETHERTYPE_IPV4);
    expect(vlanId(TAGGED, 0)).toBe(5);
  });

  test("too short, for the header or for the tag, whatever lies behind", () => {
    for (let length = 0; length < 18; length++) {
      const bytes = guarded(TAGGED, 0, length);
      expect(checkEthernet(bytes, 0, length)).toBe(TRUNCATED);
    }
    expect(checkEthernet(guarded(TAGGED, 0, 18), 0, 18)).toBe(OK);
    const untagged = hex("02 00 00 00 00 01 02 00 00 00 00 02 08 00");
    expect(checkEthernet(untagged, 0, 14)).toBe(OK);
    expect(checkEthernet(untagged, 0, 13)).toBe(TRUNCATED);
  });
});

describe("writing", () => {
  const own = parseHardwareAddress("02:00:00:00:00:02");

  test("without a tag", () => {
    const bytes = new Uint8Array(18).fill(0xa5);
    expect(writeEthernet(bytes, 2, BROADCAST_HARDWARE, 0, own, 0, ETHERTYPE_ARP)).toBe(14);
    expect(toHex(bytes)).toBe("a5 a5 ff ff ff ff ff ff 02 00 00 00 00 02 08 06 a5 a5");
  });

  test("with a tag, from addresses in the middle of arrays", () => {
    const others = hex("00 00 00 02 aa bb cc dd ee 02");
    const bytes = new Uint8Array(20).fill(0xa5);
    expect(writeEthernet(bytes, 0, others, 3, own, 0, ETHERTYPE_IPV4, 4094)).toBe(18);
    expect(toHex(bytes)).toBe("02 aa bb cc dd ee 02 00 00 00 00 02 81 00 0f fe 08 00 a5 a5");
  });

  test("what was written is read again", () => {
    const bytes = new Uint8Array(18);
    writeEthernet(bytes, 0, own, 0, own, 0, ETHERTYPE_ARP, 7);
    expect([etherType(bytes, 0), vlanId(bytes, 0), ethernetHeaderLength(bytes, 0)]).toEqual([0x0806, 7, 18]);
  });
});

describe("hardware addresses", () => {
  const bytes = hex("00 02 aa bb cc dd ee 02 aa bb cc dd ef");

  test("compared and copied by value", () => {
    expect(sameHardwareAddress(bytes, 1, bytes, 1)).toBe(true);
    for (let byte = 0; byte < 6; byte++) {
      const other = bytes.slice();
      other[1 + byte] ^= 0x80;
      expect(sameHardwareAddress(bytes, 1, other, 1)).toBe(false);
    }
    expect(sameHardwareAddress(bytes, 1, bytes, 7)).toBe(false);
    const into = new Uint8Array(8);
    copyHardwareAddress(bytes, 1, into, 1);
    expect(toHex(into)).toBe("00 02 aa bb cc dd ee 00");
  });

  test("groups, everybody, nobody", () => {
    const kinds = (text: string) => {
      const address = hex(text);
      return [
        isGroupHardwareAddress(address, 0),
        isBroadcastHardwareAddress(address, 0),
        isZeroHardwareAddress(address, 0),
      ];
    };
    expect(kinds("ff ff ff ff ff ff")).toEqual([true, true, false]);
    expect(kinds("01 00 5e 00 00 01")).toEqual([true, false, false]);
    expect(kinds("ff ff ff ff ff fe")).toEqual([true, false, false]);
    expect(kinds("02 00 00 00 00 01")).toEqual([false, false, false]);
    expect(kinds("00 00 00 00 00 00")).toEqual([false, false, true]);
    expect(kinds("00 00 00 00 00 01")).toEqual([false, false, false]);
  });

  test("from text and to text", () => {
    expect(toHex(parseHardwareAddress("02:00:5E:10:0a:ff"))).toBe("02 00 5e 10 0a ff");
    expect(toHex(parseHardwareAddress("02-00-5e-10-0a-ff"))).toBe("02 00 5e 10 0a ff");
    expect(formatHardwareAddress(hex("99 02 00 5e 10 0a ff"), 1)).toBe("02:00:5e:10:0a:ff");
  });

  test("text that is none, or the address of no single station", () => {
    const wrong = [
      "",
      "02:00:00:00:00",
      "02:00:00:00:00:01:02",
      "2:0:0:0:0:1",
      "02:00:00:00:00:0g",
      "02:00-00:00:00:01",
      " 02:00:00:00:00:01",
      "01:00:5e:00:00:01",
      "ff:ff:ff:ff:ff:ff",
      "00:00:00:00:00:00",
    ];
    for (const text of wrong) expect(() => parseHardwareAddress(text)).toThrow(StackError);
  });

  test("random ones are local and of one station", () => {
    for (const word of [0, 0xffffffff, 0x12345678, 0xfeffffff]) {
      const address = localHardwareAddress(word, ~word >>> 0);
      expect(address[0] & 3).toBe(2);
      expect(() => parseHardwareAddress(formatHardwareAddress(address))).not.toThrow();
    }
    expect(formatHardwareAddress(localHardwareAddress(0x12345678, 0xabcd9abc))).toBe("12:34:56:78:9a:bc");
  });
});
