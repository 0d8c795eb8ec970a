import { describe, expect, test } from "bun:test";
import { memoryPair } from "../../devices/memory.ts";
import { type Device, Frame } from "../../src/device.ts";
import { connected, pairOn, runUntil } from "../support/transfer.ts";

/** Segments that go out one right behind the other, on devices that take few at a time. */

const TOTAL = 200_000;
const text = Uint8Array.from({ length: TOTAL }, (_, i) => (i * 31 + (i >> 8)) & 255);

/** Lends its frames at an odd place, where no words can be written. */
class OddDevice implements Device {
  readonly capabilities: Device["capabilities"];
  private readonly device: Device;
  private readonly lent = new Frame(new Uint8Array(2_000));

  constructor(device: Device) {
    this.device = device;
    this.capabilities = device.capabilities;
  }

  receive(frame: Frame): boolean {
    return this.device.receive(frame);
  }

  transmit(length: number): Frame | null {
    const { lent } = this;
    lent.bytes.fill(0xa5);
    lent.offset = 3;
    lent.length = length;
    return lent;
  }

  commit({ bytes, offset, length }: Frame): void {
    const frame = this.device.transmit(length);
    if (frame === null) return;
    frame.bytes.set(bytes.subarray(offset, offset + length), frame.offset);
    this.device.commit(frame);
  }

  onReadable(): void {}
  onWritable(): void {}
  close(): void {}
}

test("a train is sent from frames at odd places", () => {
  const [near, far] = memoryPair();
  const odd = pairOn(new OddDevice(near), new OddDevice(far));
  expect(transferred(odd)).toEqual(text);
  for (const stack of [odd.client, odd.server]) {
    expect([stack.stats.tcpBadChecksum, stack.stats.ipv4BadChecksum, stack.stats.tcpRetransmissions]).toEqual(
      [0, 0, 0],
    );
  }
});

/** What has arrived of `text`. */
function transferred(pair: ReturnType<typeof pairOn>): Uint8Array {
  const { client, server } = connected(pair);
  const got = new Uint8Array(TOTAL);
  let [sent, received] = [0, 0];
  runUntil(pair, () => {
    sent += client.write(text, sent);
    received += server.read(got, received);
    return received === TOTAL;
  });
  return got;
}

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
