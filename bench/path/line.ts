/**
 * The line between two network namespaces: a TUN interface in each, and what passes between them is delayed, throttled,
 * queued and lost. The model is that of `fault()`; this program gives it the time.
 *
 *   bun bench/path/line.ts --a /proc/PID/ns/net --b /proc/PID/ns/net [--rate BITS] [--rtt MS] [--loss 0..1]
 *                          [--queue BYTES] [--seed N] [--loss-both]
 *
 * It says "ready", and ends with its standard input; then it prints its `LineReport` as JSON.
 */

import { dlopen } from "bun:ffi";
import { parseArgs } from "node:util";
import { copyBytes } from "../../devices/copy.ts";
import { type FaultCounts, type FaultyDevice, fault, openTun, type TunDevice } from "../../devices/index.ts";
import { Frame } from "../../src/device.ts";
import { insideNetwork } from "../../test/support/system.ts";

/** The interface's name in both namespaces. */
export const LINE = "line0";
/** The kernel's address at each end. */
export const ENDS = { a: "10.98.0.1", b: "10.98.0.2" } as const;

const MTU = 1500;
/** Packets that the kernel keeps for us: more than it ever has, so that nothing is lost but where it is meant to be. */
const KERNEL_QUEUE = 20_000;
/** What the memory for frames on their way is larger by than what is on its way. */
const SPARE = 1 << 20;

/** What befell the packets, and how precise the line was. */
export interface LineReport {
  /** From A to B, the direction of the data, and back. */
  readonly forth: FaultCounts;
  readonly back: FaultCounts;
  /** How much later than due packets were delivered, ms. */
  readonly late: { readonly mean: number; readonly p99: number; readonly most: number };
}

/** How late packets were, in steps of 10 us. */
class Lateness {
  private readonly steps = new Uint32Array(1000);
  private count = 0;
  private sum = 0;
  private most = 0;

  add(ms: number): void {
    this.count++;
    this.sum += ms;
    if (ms > this.most) this.most = ms;
    this.steps[Math.min(Math.max(Math.floor(ms * 100), 0), this.steps.length - 1)]++;
  }

  report(): LineReport["late"] {
    let at = 0;
    for (let passed = this.steps[0]; passed < this.count * 0.99 && at < this.steps.length - 1; ) {
      passed += this.steps[++at];
    }
    const mean = this.count === 0 ? 0 : this.sum / this.count;
    return { mean, p99: at / 100, most: this.most };
  }
}

const c = dlopen("libc.so.6", {
  ppoll: { args: ["ptr", "u64", "ptr", "ptr"], returns: "i32" },
  prctl: { args: ["i32", "u64", "u64", "u64", "u64"], returns: "i32" },
}).symbols;

const PR_SET_TIMERSLACK = 29;
const POLLIN = 1;

/** Sleeps to a time that is exact to some microseconds, which poll(2) and its milliseconds are not. */
class Sleeper {
  /** `struct pollfd` for each descriptor. */
  private readonly requests: Int32Array;
  /** `struct timespec`. */
  private readonly timeout = new BigInt64Array(2);

  constructor(descriptors: readonly number[]) {
    this.requests = new Int32Array(descriptors.flatMap((descriptor) => [descriptor, POLLIN]));
    // Else the kernel takes the liberty of 50 us.
    c.prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
  }

  /** Until a time of `performance.now()`, or until one of the descriptors has something. */
  sleepUntil(at: number): void {
    const ns = Math.min(Math.max((at - performance.now()) * 1e6, 0), 1e9 - 1);
    this.timeout[1] = BigInt(Math.floor(ns));
    c.ppoll(this.requests, this.requests.length / 2, this.timeout, null);
  }

  /** Whether the last sleep has found something of descriptor number `i`. */
  found(i: number): boolean {
    return this.requests[2 * i + 1] >>> 16 !== 0;
  }
}

function main(): void {
  const { values } = parseArgs({
    options: {
      a: { type: "string", default: "" },
      b: { type: "string", default: "" },
      rate: { type: "string", default: "Infinity" },
      rtt: { type: "string", default: "0" },
      loss: { type: "string", default: "0" },
      queue: { type: "string", default: "262144" },
      seed: { type: "string", default: "1" },
      "loss-both": { type: "boolean", default: false },
    },
  });
  const [rate, rtt, loss, queue, seed] = [
    values.rate,
    values.rtt,
    values.loss,
    values.queue,
    values.seed,
  ].map(Number);
  const open = (network: string, address: string) =>
    insideNetwork(network, () =>
      openTun({
        name: LINE,
        hostAddress: `${address}/24`,
        mtu: MTU,
        queueLength: KERNEL_QUEUE,
        offload: false,
      }),
    );
  const a = open(values.a, ENDS.a);
  const b = open(values.b, ENDS.b);
  const bytesPerSecond = rate / 8;
  const onTheWay = Number.isFinite(rate) ? (bytesPerSecond * rtt) / 2000 + queue : 0;
  const direction = (end: TunDevice, lossy: boolean, seeded: number) =>
    fault(end, {
      seed: seeded,
      drop: lossy ? loss : 0,
      delayMs: rtt / 2,
      ...(Number.isFinite(rate) ? { rate: bytesPerSecond } : {}),
      queue,
      buffer: Math.ceil(2 * onTheWay) + 8 * SPARE,
      // Nobody's timers: the loop below looks at `nextAt`.
      clock: () => performance.now(),
    });
  const forth = direction(a, true, seed);
  const back = direction(b, values["loss-both"], ~seed);
  const late = new Lateness();
  const sleeper = new Sleeper([a.descriptors[0], b.descriptors[0], 0]);
  console.log("ready");
  while (!sleeper.found(2)) {
    const moved = forward(forth, b, late);
    if (forward(back, a, late) || moved) continue;
    sleeper.sleepUntil(Math.min(forth.nextAt, back.nextAt));
  }
  const report: LineReport = { forth: { ...forth.faults }, back: { ...back.faults }, late: late.report() };
  console.log(JSON.stringify(report));
  process.exit(0);
}

const frame = new Frame(new Uint8Array(0));

/** Takes what comes into the line, and delivers one packet that has come to its end; returns whether there was one. */
function forward(from: FaultyDevice, to: TunDevice, late: Lateness): boolean {
  const due = from.nextAt;
  if (!from.receive(frame)) return false;
  late.add(Math.max(performance.now() - due, 0));
  const out = to.transmit(frame.length)!;
  copyBytes(frame.bytes, frame.offset, out.bytes, out.offset, frame.length);
  to.commit(out);
  return true;
}

if (import.meta.main) main();
