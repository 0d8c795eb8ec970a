import { describe, expect, test } from "bun:test";
import { memoryPair } from "../../devices/memory.ts";
import { connected, pairOn, runUntil } from "../support/transfer.ts";

/** Segments that go out one right behind the other, on devices that take few at a time. */

const TOTAL = 200_000;
const text = Uint8Array.from({ length: TOTAL }, (_, i) => (i * 31 + (i >> 8)) & 255);

describe("trains of full-sized segments arrive as they were written", () => {
  for (const medium of ["ip", "ethernet"] as const) {
    // A segment size that is odd, and one that is not.
    for (const mtu of [1_041, 1_500]) {
      for (const queueLength of [1, 3, 256]) {
        for (const checksumOffload of [false, true]) {
          const title = `${medium}, MTU ${mtu}, ${queueLength} at a time${checksumOffload ? ", checksums left out" : ""}`;
          test(title, () => {
            const devices = memoryPair({ medium, mtu, queueLength, checksumOffload });
            const pair = pairOn(devices[0], devices[1], {}, { conflictDetection: "off" });
            const { client, server } = connected(pair);
            const got = new Uint8Array(TOTAL);
            let [sent, received] = [0, 0];
            runUntil(pair, () => {
              sent += client.write(text, sent);
              received += server.read(got, received);
              return received === TOTAL;
            });
            expect(got).toEqual(text);
            runUntil(pair, () => client.unacknowledgedBytes === 0);
            const { tcpBadChecksum, tcpUnacceptable } = pair.server.stats;
            expect([tcpBadChecksum, tcpUnacceptable]).toEqual([0, 0]);
            expect(pair.client.stats.tcpRetransmissions).toBe(0);
            // What is counted is what was sent: text in as few segments as there can be, give or take what waited.
            const segments = pair.client.stats.tcpSegmentsSent;
            const fewest = Math.ceil(TOTAL / client.info().mss);
            expect(segments).toBeGreaterThan(fewest);
            expect(segments).toBeLessThan(fewest * 1.1 + 5);
          });
        }
      }
    }
  }
});
