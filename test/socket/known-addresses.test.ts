import { describe, expect, test } from "bun:test";
import { KnownAddresses } from "../../src/socket/known-addresses.ts";
import { copyAddress, parseAddress } from "../../src/wire/ip-address.ts";

describe("addresses that connections share", () => {
  test("the same text gives the same record, another text another one", () => {
    const addresses = new KnownAddresses();
    const first = addresses.read("192.0.2.1");
    expect(first).toEqual(parseAddress("192.0.2.1"));
    expect(addresses.read("192.0.2.1")).toBe(first);
    expect(addresses.read("192.0.2.2")).toEqual(parseAddress("192.0.2.2"));
    expect(addresses.read("192.0.2.1")).toEqual(first);
  });

  test("what is no address is refused, and nothing is known by its name", () => {
    const addresses = new KnownAddresses();
    for (const text of ["", "192.0.2", "", "host"])
      expect(() => addresses.read(text)).toThrow("is not an IP");
    addresses.read("192.0.2.1");
    expect(() => addresses.read("")).toThrow("is not an IP");
  });

  test("a record is the program's, where it gives one", () => {
    const given = parseAddress("192.0.2.1");
    expect(new KnownAddresses().read(given)).toBe(given);
  });

  test("what is kept does not change with the record that packets are decoded into", () => {
    const addresses = new KnownAddresses();
    const decoded = parseAddress("192.0.2.1");
    const kept = addresses.keep(decoded);
    expect(addresses.keep(decoded)).toBe(kept);
    copyAddress(parseAddress("192.0.2.2"), decoded);
    expect(addresses.keep(decoded)).toEqual(parseAddress("192.0.2.2"));
    expect(kept).toEqual(parseAddress("192.0.2.1"));
    // Another family is another address.
    copyAddress(parseAddress("::ffff:192.0.2.2"), decoded);
    expect(addresses.keep(decoded).family).toBe(6);
  });
});
