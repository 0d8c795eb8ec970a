import { describe, expect, test } from "bun:test";
import { seededRandom } from "../../../src/random.ts";
import { PortRegistry } from "../../../src/socket/ports.ts";
import { ANY_IPV4, parseAddress } from "../../../src/wire/ip-address.ts";
import { thrownBy } from "../../support/errors.ts";

/** RFC 6056: which local port a connection gets; and which ports are taken. */

const local = parseAddress("10.0.0.1");
const other = parseAddress("10.0.0.9");
const remote = parseAddress("10.0.0.2");
const always = () => true;

function registry(seed = 1): PortRegistry {
  return new PortRegistry("TCP", seededRandom(seed));
}

describe("3.3.4, algorithm 4: double-hash port selection", () => {
  test("3.2: from the dynamic ports, 49152 to 65535", () => {
    const ports = registry();
    for (let i = 0; i < 20_000; i++) {
      const port = ports.choose(local, remote, i & 0xffff, always);
      expect(port).toBeGreaterThanOrEqual(49_152);
      expect(port).toBeLessThanOrEqual(65_535);
    }
  });

  test("one destination gets them in turn, each once before any comes again", () => {
    const ports = registry();
    const first = ports.choose(local, remote, 80, always);
    const seen = new Set([first]);
    for (let i = 1; i < 16_384; i++) {
      const port = ports.choose(local, remote, 80, always);
      expect(port).toBe(49_152 + ((first - 49_152 + i) % 16_384));
      seen.add(port);
    }
    expect(seen.size).toBe(16_384);
    expect(ports.choose(local, remote, 80, always)).toBe(first);
  });

  test("another destination starts elsewhere: nobody can guess it from his own", () => {
    const starts = new Set<number>();
    for (let port = 1; port <= 100; port++) starts.add(registry().choose(local, remote, port, always));
    for (let host = 1; host <= 100; host++) {
      starts.add(registry().choose(local, parseAddress(`10.0.1.${host}`), 80, always));
    }
    expect(starts.size).toBeGreaterThan(190);
  });

  test("and another stack as well", () => {
    const starts = new Set<number>();
    for (let seed = 0; seed < 100; seed++) starts.add(registry(seed).choose(local, remote, 80, always));
    expect(starts.size).toBeGreaterThan(95);
  });

  test("destinations do not move each other on, but for one in 256", () => {
    const ports = registry();
    const alone = ports.choose(local, remote, 80, always);
    let moved = 0;
    for (let port = 1_000; port < 1_200; port++) {
      const before = ports.choose(local, remote, port, always);
      ports.choose(local, parseAddress("10.0.5.5"), 443, always);
      if (ports.choose(local, remote, port, always) !== 49_152 + ((before - 49_152 + 1) % 16_384)) moved++;
    }
    expect(moved).toBeLessThan(10);
    expect(alone).toBeGreaterThan(0);
  });

  test("a port that is taken is passed over", () => {
    const ports = registry();
    const first = registry().choose(local, remote, 80, always);
    const taken = new Set([first, first + 1]);
    expect(ports.choose(local, remote, 80, (port) => !taken.has(port))).toBe(first + 2);
  });

  test("a port that is bound is passed over", () => {
    const first = registry().choose(local, remote, 80, always);
    const ports = registry();
    ports.bind(other, first);
    expect(ports.choose(local, remote, 80, always)).toBe(first + 1);
  });

  test("all are taken but one: it is found", () => {
    const ports = registry();
    for (const free of [49_152, 60_000, 65_535]) {
      expect(ports.choose(local, remote, 80, (port) => port === free)).toBe(free);
    }
  });

  test("all are taken: EADDRNOTAVAIL, with a sentence that says what to do", () => {
    const error = thrownBy(() => registry().choose(local, remote, 80, () => false));
    expect(error.code).toBe("EADDRNOTAVAIL");
    expect(error.message).toContain("all 16384 ephemeral TCP ports are in use towards 10.0.0.2:80");
  });
});

describe("bound ports", () => {
  test("one address may have a port once", () => {
    const ports = registry();
    ports.bind(local, 80);
    expect(thrownBy(() => ports.bind(parseAddress("10.0.0.1"), 80)).code).toBe("EADDRINUSE");
    ports.bind(other, 80);
    ports.bind(local, 81);
  });

  test("the unspecified address collides with every other", () => {
    const ports = registry();
    ports.bind(local, 80);
    const error = thrownBy(() => ports.bind(ANY_IPV4, 80));
    expect(error.code).toBe("EADDRINUSE");
    expect(error.message).toContain("TCP port 80 on 10.0.0.1 is in use");
    ports.bind(ANY_IPV4, 81);
    expect(thrownBy(() => ports.bind(local, 81)).code).toBe("EADDRINUSE");
    expect(thrownBy(() => ports.bind(ANY_IPV4, 81)).code).toBe("EADDRINUSE");
  });

  test("a collision does not touch what is bound", () => {
    const ports = registry();
    ports.bind(local, 80);
    thrownBy(() => ports.bind(ANY_IPV4, 80));
    ports.release(local, 80);
    expect(ports.isBound(80)).toBe(false);
    ports.bind(ANY_IPV4, 80);
  });

  test("release frees the port of this address, and of no other", () => {
    const ports = registry();
    ports.bind(local, 80);
    ports.bind(other, 80);
    ports.release(local, 80);
    expect(ports.isBound(80)).toBe(true);
    ports.bind(local, 80);
    ports.release(local, 80);
    ports.release(local, 80);
    ports.release(local, 9_999);
    expect(ports.isBound(80)).toBe(true);
    expect(thrownBy(() => ports.bind(other, 80)).code).toBe("EADDRINUSE");
    ports.release(other, 80);
    expect(ports.isBound(80)).toBe(false);
  });
});
