/**
 * Floods a listener over memory with forged SYNs, first to warm up, then between two marks on standard error: see
 * `allocation-child.ts`. The number of SYNs that were answered by a cookie has to fit.
 */
import { writeSync } from "node:fs";
import { memoryPair } from "../../devices/memory.ts";
import { Frame } from "../../src/device.ts";
import { seededRandom } from "../../src/random.ts";
import { Stack } from "../../src/stack.ts";
import { LONGEST_SYN, SynFlood } from "../support/syn-flood.ts";

const [warmUp, measured, asks] = process.argv.slice(2).map(Number);
const STDERR = 2;
const BATCH = 64;

const [left, right] = memoryPair();
const stack = new Stack({
  random: seededRandom(1),
  maxSockets: 64,
  memory: 1 << 20,
  tcp: { maxHalfOpen: 16 },
});
stack.addInterface({ device: left, addresses: ["10.0.0.1/24"], gateway: "10.0.0.2" });
const kept: unknown[] = [];
let count = 0;
// What a program is asked with is made for each: proof that the count can be other than zero.
const accept = (request: unknown) => {
  kept[count++ & 15] = request;
  return true;
};
stack.sockets.listen({ port: 80, ...(asks > 0 ? { accept } : {}) });
const flood = new SynFlood("10.0.0.1", 80, 1, true);
const received = new Frame(new Uint8Array(0));

function attack(count: number): void {
  for (let sent = 0; sent < count; sent += BATCH) {
    for (let i = 0; i < BATCH; i++) {
      const frame = right.transmit(LONGEST_SYN);
      if (frame === null) throw new Error("the queue is full");
      frame.length = flood.write(frame.bytes, frame.offset);
      right.commit(frame);
    }
    // Always the same time: nothing that is half open is sent again, or given up.
    stack.poll(1_000);
    while (right.receive(received));
  }
}

attack(warmUp);
Bun.gc(true);
writeSync(STDERR, "\nMEASURE\n");
attack(measured);
writeSync(STDERR, "\nDONE\n");
const remembered = stack.sockets.size - 1;
if (remembered !== 16 || stack.stats.tcpSynCookiesSent !== flood.count - remembered) process.exit(3);
