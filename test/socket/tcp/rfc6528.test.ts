import { describe, expect, test } from "bun:test";
import { seededRandom } from "../../../src/random.ts";
import { IsnGenerator } from "../../../src/socket/tcp/isn.ts";
import { Stack } from "../../../src/stack.ts";
import { parseAddress } from "../../../src/wire/ip-address.ts";
import { lines } from "../../support/packets.ts";
import { TestDevice } from "../../support/test-device.ts";

/** RFC 6528 and RFC 9293 3.4.1: ISN = M + F(localip, localport, remoteip, remoteport, secretkey). */

const local = parseAddress("10.0.0.1");
const remote = parseAddress("10.0.0.2");

function generator(seed = 1): IsnGenerator {
  return new IsnGenerator(seededRandom(seed));
}

describe("M, the 4 microsecond timer", () => {
  test("the same connection: 250 a millisecond", () => {
    const isn = generator();
    const first = isn.next(local, 1, remote, 2, 0);
    for (const ms of [1, 7, 1_000, 123_456_789]) {
      expect(isn.next(local, 1, remote, 2, ms)).toBe((first + ms * 250) | 0);
    }
  });

  test("parts of a millisecond count", () => {
    const isn = generator();
    const first = isn.next(local, 1, remote, 2, 0);
    expect(isn.next(local, 1, remote, 2, 0.004)).toBe((first + 1) | 0);
    expect(isn.next(local, 1, remote, 2, 0.0039)).toBe(first);
    expect(isn.next(local, 1, remote, 2, 10.5)).toBe((first + 2_625) | 0);
  });

  test("it wraps around, and is exact after years", () => {
    const isn = generator();
    const first = isn.next(local, 1, remote, 2, 0);
    const wrap = 2 ** 32 / 250;
    expect(isn.next(local, 1, remote, 2, wrap)).toBe(first);
    expect(isn.next(local, 1, remote, 2, wrap + 1)).toBe((first + 250) | 0);
    const years = 100 * 365 * 86_400_000;
    expect(isn.next(local, 1, remote, 2, years)).toBe(
      Number(BigInt.asIntN(32, BigInt(first) + BigInt(years) * 250n)),
    );
  });

  test("the result is a signed 32-bit integer", () => {
    const isn = generator();
    for (let ms = 0; ms < 40_000_000; ms += 999_999) {
      const value = isn.next(local, 1, remote, 2, ms);
      expect(value | 0).toBe(value);
    }
  });
});

describe("F, the keyed hash", () => {
  test("every parameter of the connection takes part", () => {
    const isn = generator();
    const values = new Set([
      isn.next(local, 1, remote, 2, 0),
      isn.next(local, 3, remote, 2, 0),
      isn.next(local, 1, remote, 3, 0),
      isn.next(local, 2, remote, 1, 0),
      isn.next(remote, 1, local, 2, 0),
      isn.next(parseAddress("10.0.0.3"), 1, remote, 2, 0),
      isn.next(local, 1, parseAddress("10.0.0.3"), 2, 0),
      isn.next(parseAddress("2001:db8::1"), 1, parseAddress("2001:db8::2"), 2, 0),
      isn.next(parseAddress("2001:db8::1"), 1, parseAddress("2001:db8:0:1::2"), 2, 0),
    ]);
    const addresses = [0, 1, 2, 3].map((at) => {
      const groups = ["2001", "db8", "1", "2", "3", "4", "5", "6"];
      groups[2 * at + 1] = "ffff";
      return parseAddress(groups.join(":"));
    });
    const plain = parseAddress("2001:db8:1:2:3:4:5:6");
    values.add(isn.next(plain, 1, plain, 2, 0));
    for (const address of addresses) {
      values.add(isn.next(address, 1, plain, 2, 0));
      values.add(isn.next(plain, 1, address, 2, 0));
    }
    expect(values.size).toBe(18);
  });

  test("MUST-9: without the key it is not to be computed: other keys, other numbers", () => {
    const values = new Set<number>();
    for (let seed = 0; seed < 100; seed++) values.add(generator(seed).next(local, 1, remote, 2, 0));
    expect(values.size).toBe(100);
  });

  test("neighbouring connections have nothing in common: all 32 bits change, about half of them at a time", () => {
    const isn = generator();
    const changed = new Array<number>(32).fill(0);
    const rounds = 1_000;
    for (let port = 0; port < rounds; port++) {
      const difference = isn.next(local, port, remote, 80, 0) ^ isn.next(local, port + 1, remote, 80, 0);
      for (let bit = 0; bit < 32; bit++) changed[bit] += (difference >>> bit) & 1;
    }
    for (const count of changed) {
      expect(count).toBeGreaterThan(rounds * 0.4);
      expect(count).toBeLessThan(rounds * 0.6);
    }
  });

  test("a timestamp's offset is another number, and the same one whoever was asked about in between", () => {
    const isn = generator();
    const offset = isn.timestampOffset(local, 1, remote, 2);
    const other = isn.timestampOffset(local, 1, remote, 3);
    expect(isn.next(local, 1, remote, 2, 0)).not.toBe(offset);
    expect(isn.timestampOffset(local, 1, remote, 2)).toBe(offset);
    expect(other).not.toBe(offset);
    expect(isn.timestampOffset(local, 1, remote, 3)).toBe(other);
    expect(isn.timestampOffset(local, 1, parseAddress("10.0.0.3"), 3)).not.toBe(other);
    const far = parseAddress("2001:db8::1");
    expect(isn.timestampOffset(far, 1, far, 2)).toBe(isn.timestampOffset(far, 1, far, 2));
  });
});

describe("a stack", () => {
  function isnAt(seed: number, now: number): number {
    const device = new TestDevice();
    const stack = new Stack({ random: seededRandom(seed), memory: 1 << 20, maxSockets: 16 });
    stack.addInterface({ device, addresses: ["10.0.0.1/24"] });
    stack.poll(now);
    stack.sockets.connect({ address: "10.0.0.2", port: 80, localPort: 1_000 });
    stack.poll(now);
    const [line] = lines(device.take());
    return Number(line.match(/seq (\d+)/)?.[1]) | 0;
  }

  test("takes its numbers from there", () => {
    expect((isnAt(1, 2_000) - isnAt(1, 1_000)) | 0).toBe(250_000);
    expect(isnAt(1, 1_000)).not.toBe(isnAt(2, 1_000));
  });
});
