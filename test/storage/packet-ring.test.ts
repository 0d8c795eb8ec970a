import { describe, expect, test } from "bun:test";
import { randomBelow, seededRandom } from "../../src/random.ts";
import { PacketRing } from "../../src/storage/packet-ring.ts";
import { IpAddress, parseAddress } from "../../src/wire/ip-address.ts";

const LOCAL = parseAddress("192.168.69.1");
const REMOTE = parseAddress("2001:db8::1");

describe("PacketRing", () => {
  test("keeps bytes, addresses and ports of each datagram", () => {
    const ring = new PacketRing(2, 100);
    const at = ring.push(3, LOCAL, 53, REMOTE, 4000);
    ring.bytes.set([1, 2, 3], at);
    const into = new IpAddress(4, 0, 0, 0, 0);
    expect([ring.size, ring.length, ring.localPort, ring.remotePort]).toEqual([1, 3, 53, 4000]);
    ring.readLocal(into);
    expect(`${into}`).toBe("192.168.69.1");
    ring.readRemote(into);
    expect(`${into}`).toBe("2001:db8::1");
    expect([...ring.bytes.subarray(ring.start, ring.start + 3)]).toEqual([1, 2, 3]);
  });

  test("refuses one datagram too many, and one byte too many", () => {
    const ring = new PacketRing(2, 10);
    expect(ring.push(11, LOCAL, 1, REMOTE, 1)).toBe(-1);
    expect(ring.push(6, LOCAL, 1, REMOTE, 1)).toBe(0);
    expect(ring.push(5, LOCAL, 1, REMOTE, 1)).toBe(-1);
    expect(ring.push(4, LOCAL, 1, REMOTE, 1)).toBe(6);
    expect(ring.push(0, LOCAL, 1, REMOTE, 1)).toBe(-1);
  });

  test("agrees with a queue of arrays, empty datagrams included", () => {
    const random = seededRandom(5);
    const ring = new PacketRing(8, 64);
    const model: number[][] = [];
    let pushed = 0;
    for (let step = 0; step < 20_000; step++) {
      if (random.next() & 1) {
        const data = Array.from({ length: randomBelow(random, 20) }, (_, i) => (step + i) & 0xff);
        const at = ring.push(data.length, LOCAL, step & 0xffff, REMOTE, 9);
        if (at !== -1) {
          ring.bytes.set(data, at);
          model.push(data);
          pushed++;
        }
      } else if (ring.size > 0) {
        const first = ring.bytes.slice(ring.start, ring.start + ring.length);
        expect([...first]).toEqual(model.shift() ?? []);
        ring.shift();
      }
      expect(ring.size).toBe(model.length);
    }
    expect(pushed).toBeGreaterThan(5_000);
  });
});
