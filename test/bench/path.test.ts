import { describe, expect, test } from "bun:test";
import { EmulatedPath, type PathOptions, type PathReport, queueOf } from "../../bench/path/emulated-path.ts";
import { type Flow, goodput, runFlows } from "../../bench/path/flows.ts";
import { Source } from "../../bench/path/meter.ts";
import { interval } from "../../bench/path/table.ts";
import { pings, sendDatagrams } from "../../bench/path/verify.ts";
import { jain } from "../support/jain.ts";
import { systemTest } from "../support/system.ts";

const NEEDS = ["tun", "ping", "sysctl", "chrt"];
const TIMEOUT_MS = 30_000;

async function onPath<T>(
  options: Partial<PathOptions>,
  body: (path: EmulatedPath) => T | Promise<T>,
): Promise<{ result: T; report: PathReport }> {
  const path = await EmulatedPath.open({ rtt: 10, loss: 0, seed: 1, ...options });
  try {
    const result = await body(path);
    return { result, report: await path.close() };
  } finally {
    await path.close();
  }
}

describe("the emulated path", () => {
  systemTest(
    "delays both ways by half of the RTT",
    NEEDS,
    async () => {
      const { result, report } = await onPath({ rtt: 30 }, (path) => pings(path, 10, 0.02));
      expect(result).toHaveLength(10);
      const lowest = Math.min(...result);
      expect(lowest).toBeGreaterThanOrEqual(30);
      expect(lowest).toBeLessThan(31.5);
      expect(report.strays).toBe(0);
    },
    TIMEOUT_MS,
  );

  systemTest(
    "loses by its seed, in the direction of the data, and keeps the order",
    NEEDS,
    async () => {
      const send = (path: EmulatedPath) => sendDatagrams(path, 1000, 0.05, 100).numbers;
      const first = await onPath({ loss: 10 }, send);
      const again = await onPath({ loss: 10 }, send);
      const other = await onPath({ loss: 10, seed: 2 }, send);
      expect(again.result).toEqual(first.result);
      expect(other.result).not.toEqual(first.result);
      expect(first.result).toEqual(first.result.toSorted((a, b) => a - b));
      // Five standard deviations.
      expect(Math.abs(first.result.length - 900)).toBeLessThan(48);
      expect(first.report.forth.dropped).toBe(1000 - first.result.length);
      const back = await onPath({ loss: 100 }, async (path) => {
        await path.b.run(["ping", "-c", "3", "-i", "0.01", "-W", "0.1", "10.98.0.1"]);
      });
      expect(back.report.back).toMatchObject({ received: 3, dropped: 0 });
      expect(back.report.forth).toMatchObject({ received: 3, dropped: 3 });
    },
    TIMEOUT_MS,
  );

  systemTest(
    "has a rate, and a queue that drops what does not fit",
    NEEDS,
    async () => {
      // 1.2 ms a packet, ten of them and no more.
      const { result, report } = await onPath({ rate: 10, queue: 15_500 }, (path) =>
        sendDatagrams(path, 60, 0, 100),
      );
      const leftMeanwhile = Math.ceil(result.sentAt / 1.2);
      expect(result.numbers.length).toBeGreaterThanOrEqual(10);
      expect(result.numbers.length).toBeLessThanOrEqual(11 + leftMeanwhile);
      expect(report.forth.queueDropped).toBe(60 - result.numbers.length);
      // The first ten leave one after the other, whatever else happens.
      expect(result.at[9]).toBeGreaterThanOrEqual(5 + 10 * 1.2 - 0.1);
    },
    TIMEOUT_MS,
  );

  const flows: readonly Flow[] = [
    { sender: "kernel", receiver: "kernel", cc: "cubic" },
    { sender: "tapwire", receiver: "kernel", cc: "cubic" },
    { sender: "kernel", receiver: "tapwire", cc: "cubic" },
  ];
  for (const flow of flows) {
    systemTest(
      `carries ${flow.sender} to ${flow.receiver}`,
      NEEDS,
      async () => {
        const bytes = 1_000_000;
        const options = { seconds: 0, bytes, buffer: 1 << 20, timeoutMs: 20_000 };
        const { result, report } = await onPath({ rate: 100, loss: 1 }, (path) =>
          runFlows(path, [flow], options),
        );
        const [{ received, sent }] = result;
        expect(received.bytes).toBe(bytes);
        expect(received.sha256).toBe(sent.sha256!);
        expect(report.forth.dropped).toBeGreaterThan(0);
        expect(report.strays).toBe(0);
      },
      TIMEOUT_MS,
    );
  }

  test("has a queue of one bandwidth-delay product, or 64 KiB", () => {
    expect(queueOf({ rate: 100, rtt: 50, loss: 0, seed: 1 })).toBe(625_000);
    expect(queueOf({ rate: 10, rtt: 10, loss: 0, seed: 1 })).toBe(65_536);
    expect(queueOf({ rate: 10, rtt: 10, loss: 0, seed: 1, queue: 1500 })).toBe(1500);
  });
});

describe("what is made of the measurements", () => {
  test("goodput from a second on", () => {
    const received = { bytes: 1_000_000, seconds: 0.4, buckets: [100_000, 100_000, 300_000, 500_000] };
    expect(goodput(received)).toBeCloseTo(20);
    expect(goodput(received, 0.2)).toBeCloseTo(32);
  });

  test("Jain's index", () => {
    expect(jain([5, 5])).toBe(1);
    expect(jain([10, 0])).toBe(0.5);
    expect(jain([30, 10])).toBeCloseTo(0.8);
    expect(jain([0, 0])).toBe(0);
  });

  test("the interval of a ratio holds it, and is narrow where the numbers are alike", () => {
    const [low, high] = interval([9, 10, 11, 10, 10], [20, 20, 20, 20, 20]);
    expect(low).toBeGreaterThanOrEqual(0.45);
    expect(low).toBeLessThanOrEqual(0.5);
    expect(high).toBeGreaterThanOrEqual(0.5);
    expect(high).toBeLessThanOrEqual(0.55);
  });

  test("a source with an end sends so many bytes, no two chunks alike", () => {
    const source = new Source(150_000);
    const chunks: Uint8Array[] = [];
    for (let chunk = source.next(); chunk !== null; chunk = source.next()) chunks.push(chunk.slice());
    expect(chunks.reduce((sum, { length }) => sum + length, 0)).toBe(150_000);
    expect(chunks[0]).not.toEqual(chunks[1]);
    const all = new Bun.CryptoHasher("sha256");
    for (const chunk of chunks) all.update(chunk);
    expect(source.sha256).toBe(all.digest("hex"));
  });
});
