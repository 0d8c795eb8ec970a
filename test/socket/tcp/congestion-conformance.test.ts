import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { randomBelow, seededRandom } from "../../../src/random.ts";
import {
  AckSample,
  type CongestionControl,
  type CongestionControlName,
  LossSample,
} from "../../../src/socket/tcp/congestion/control.ts";
import {
  CONGESTION_CONTROLS,
  createCongestionControl,
  validateCongestionControl,
} from "../../../src/socket/tcp/congestion/control-factory.ts";
import { seqAdd } from "../../../src/socket/tcp/seq.ts";
import type { Tcb } from "../../../src/socket/tcp/tcb.ts";
import { Bottleneck, mbit, type Path, type Sender } from "../../support/bottleneck.ts";
import { collectionsOf } from "../../support/collections.ts";
import { plainTcb } from "../../support/congestion.ts";
import { jain } from "../../support/jain.ts";

/** What every congestion control has to do, whatever it is. */

// Minutes of simulated time, on machines that have other things to do as well.
setDefaultTimeout(30_000);

const RATE = mbit(50);
const RTT = 40;
const BDP = RATE * RTT;

/** Windows in segments below which a control does not go, except for what a timeout leaves. */
const LEAST: Record<CongestionControlName, number> = { cubic: 1, newreno: 1, bbr: 4 };

function flow(name: CongestionControlName, path: Partial<Path> = {}): { link: Bottleneck; sender: Sender } {
  const link = new Bottleneck({ rate: RATE, rttMs: RTT, queue: BDP, ...path });
  return { link, sender: link.add(createCongestionControl(name)) };
}

/** Every number that a control holds. */
function numbersOf(control: object): number[] {
  return Object.values(control).flatMap((value) => {
    if (typeof value === "number") return [value];
    return typeof value === "object" && value !== null ? numbersOf(value) : [];
  });
}

function expectSane(tcb: Tcb, control: CongestionControl, least: number): void {
  const { cwnd, ssthresh, pacingRate, mss } = tcb;
  if (!Number.isInteger(cwnd) || cwnd < least * mss || cwnd > 0x7fffffff) throw new Error(`cwnd is ${cwnd}`);
  if (!Number.isInteger(ssthresh) || ssthresh < 2 * mss || ssthresh > 0x7fffffff) {
    throw new Error(`ssthresh is ${ssthresh}`);
  }
  if (!(pacingRate > 0)) throw new Error(`the pacing rate is ${pacingRate}`);
  for (const value of numbersOf(control)) {
    if (Number.isNaN(value) || value === Number.NEGATIVE_INFINITY) throw new Error("NaN, or -Infinity");
  }
}

for (const name of CONGESTION_CONTROLS) {
  const least = LEAST[name];

  describe(name, () => {
    test("has its name", () => {
      expect(createCongestionControl(name).name).toBe(name);
    });

    test("nine tenths of a bottleneck whose queue holds one bandwidth-delay product", () => {
      for (const rttMs of [10, 40, 100]) {
        const { link, sender } = flow(name, { rttMs, queue: RATE * rttMs });
        link.run(5_000);
        const before = sender.goodput;
        link.run(12_000);
        expect((sender.goodput - before) / 12_000 / RATE).toBeGreaterThan(0.9);
      }
    });

    test("two flows share fairly", () => {
      for (const startAt of [0, 1_000]) {
        const link = new Bottleneck({ rate: RATE, rttMs: RTT, queue: BDP });
        const flows = [
          link.add(createCongestionControl(name), { seed: 1 }),
          link.add(createCongestionControl(name), { seed: 2, startAt }),
        ];
        link.run(startAt);
        link.run(60_000);
        expect(jain(flows.map(({ goodput }) => goodput))).toBeGreaterThan(0.9);
        expect((flows[0].goodput + flows[1].goodput) / 60_000 / RATE).toBeGreaterThan(0.9);
      }
    });

    test("keeps its bounds on lossy, short and narrow paths", () => {
      for (const path of [
        { loss: 0.01 },
        { loss: 0.3 },
        { queue: 3_000 },
        { rate: 2, rttMs: 600, queue: 10_000 },
        { rate: mbit(1_000), rttMs: 0.1, queue: 1e5, loss: 0.01 },
        { markAbove: BDP / 4 },
      ]) {
        const { link, sender } = flow(name, { seed: 3, ...path });
        let timedOut = 0;
        link.onEvent = () => {
          const afterTimeout = sender.timeouts !== timedOut && sender.tcb.cwnd < 4 * sender.tcb.mss;
          if (!afterTimeout) timedOut = sender.timeouts;
          expectSane(sender.tcb, sender.control, afterTimeout ? 1 : least);
        };
        link.run(path.rate === mbit(1_000) ? 300 : 5_000);
        expect(sender.goodput).toBeGreaterThan(0);
      }
    });

    test("a window that is not used does not grow", () => {
      const { link, sender } = flow(name);
      link.run(2_000);
      const { tcb, control } = sender;
      const { cwnd } = tcb;
      const ack = new AckSample();
      for (let i = 0; i < 2_000; i++) {
        const now = link.now + i * RTT;
        tcb.sent.pipe = tcb.mss;
        tcb.appLimitedUntil = tcb.delivered + tcb.mss;
        tcb.sndNxt = seqAdd(tcb.sndUna, tcb.mss);
        control.onSend(tcb, tcb.mss, true, now);
        const rateMs = RTT;
        const priorDelivered = tcb.delivered;
        tcb.delivered += tcb.mss;
        tcb.sndUna = tcb.sndNxt;
        tcb.sent.pipe = 0;
        const bytes = { acked: tcb.mss, delivered: tcb.mss, rateBytes: tcb.mss, txPipe: tcb.mss };
        Object.assign(ack, bytes, {
          rttMs: RTT,
          rateMs,
          priorDelivered,
          appLimited: true,
          cwndLimited: false,
        });
        control.onAck(tcb, ack, now + RTT);
        // BBR goes by the rate that it has found: more than twice what fills the path it never is.
        expect(tcb.cwnd).toBeLessThanOrEqual(name === "bbr" ? 2.3 * BDP : cwnd);
      }
    });

    test("what was no loss is taken back", () => {
      const { link, sender } = flow(name);
      link.run(4_000);
      const { tcb, control } = sender;
      const loss = Object.assign(new LossSample(), { length: tcb.mss, txPipe: tcb.pipe, lostSince: tcb.mss });
      const { cwnd, ssthresh } = tcb;
      control.onLoss(tcb, loss, link.now);
      control.onCongestion(tcb, false, link.now);
      if (!control.controlsRecovery) tcb.cwnd = tcb.ssthresh;
      control.undo(tcb, link.now);
      expect(tcb).toMatchObject({ cwnd, ssthresh });
    });

    test("a timeout for nothing is taken back", () => {
      const { link, sender } = flow(name);
      link.run(4_000);
      const { tcb, control } = sender;
      const { cwnd, ssthresh } = tcb;
      control.onTimeout(tcb, false, link.now);
      if (!control.controlsRecovery) tcb.cwnd = tcb.mss;
      expect(tcb.cwnd).toBe(tcb.mss);
      control.onTimeout(tcb, true, link.now);
      control.undo(tcb, link.now);
      expect(tcb).toMatchObject({ cwnd, ssthresh });
    });

    test("a timeout is survived: the path is filled again", () => {
      const { link, sender } = flow(name);
      link.run(3_000);
      link.path.loss = 1;
      link.run(1_500);
      expect(sender.timeouts).toBeGreaterThan(0);
      expect(sender.tcb.cwnd).toBe(sender.tcb.mss);
      link.path.loss = 0;
      link.run(5_000);
      const before = sender.goodput;
      link.run(5_000);
      expect((sender.goodput - before) / 5_000 / RATE).toBeGreaterThan(0.85);
    });

    test("after an idle time it begins gently, and fills the path again", () => {
      const { link, sender } = flow(name);
      link.run(5_000);
      sender.enabled = false;
      link.run(10_000);
      expect(sender.tcb.pipe).toBe(0);
      const losses = sender.losses;
      sender.enabled = true;
      let most = 0;
      link.onEvent = () => {
        most = Math.max(most, link.queued);
      };
      link.run(RTT);
      // By a small window, or by pacing: no burst of what was the window.
      expect(most).toBeLessThan(0.1 * BDP);
      expect(sender.losses).toBe(losses);
      link.run(5_000);
      const before = sender.goodput;
      link.run(5_000);
      expect((sender.goodput - before) / 5_000 / RATE).toBeGreaterThan(0.85);
    });

    test("congestion experienced keeps the queue short, without a loss", () => {
      // Deep enough that nothing is lost while slow start learns of it.
      const { link, sender } = flow(name, { queue: 20 * BDP, markAbove: 0.3 * BDP });
      link.run(5_000);
      let sum = 0;
      let events = 0;
      link.onEvent = () => {
        sum += link.queued;
        events++;
      };
      const before = sender.goodput;
      link.run(10_000);
      expect(sender.congestions).toBeGreaterThan(2);
      expect(sender.losses).toBe(0);
      expect(sum / events).toBeLessThan(0.5 * BDP);
      expect((sender.goodput - before) / 10_000 / RATE).toBeGreaterThan(0.8);
    });

    test("whatever comes, no window is NaN, infinite, negative or below the least", () => {
      for (let seed = 1; seed <= 40; seed++) fuzz(name, seed);
    });

    test("nothing allocates", async () => {
      expect(await collections(name)).toBe(0);
    }, 30_000);
  });
}

/** 3,000 calls in an order and with values that make no sense. */
function fuzz(name: CongestionControlName, seed: number): void {
  const random = seededRandom(seed);
  const tcb = plainTcb({ mss: 100 + randomBelow(random, 9_000), seed, iss: random.next() });
  const control = createCongestionControl(name);
  const ack = new AckSample();
  const loss = new LossSample();
  const values = [0, 1, 2, 1e-9, 0.5, tcb.mss, 10 * tcb.mss, 65_536, 2 ** 30, 2 ** 31, 1e12, 1e15];
  const value = () => values[randomBelow(random, values.length)];
  const flag = () => (random.next() & 1) === 1;
  const times = [0, 0, 1e-6, 0.01, 1, 50, 1_000, 11_000, 1e9];
  let now = 1e6;
  tcb.sack = seed % 4 !== 0;
  tcb.srtt = seed % 3 === 0 ? -1 : value();
  control.start(tcb, now);
  expectSane(tcb, control, 1);
  for (let i = 0; i < 3_000; i++) {
    now += times[randomBelow(random, times.length)];
    tcb.sent.pipe = Math.min(value(), 2 ** 31);
    tcb.sndNxt = seqAdd(tcb.sndUna, Math.floor(Math.min(value(), 2 ** 30)));
    if (flag()) tcb.srtt = value();
    if (randomBelow(random, 10) === 0) tcb.appLimitedUntil = value();
    let least = 1;
    switch (randomBelow(random, 12)) {
      case 0:
        control.onSend(tcb, tcb.mss, flag(), now);
        break;
      case 1:
        Object.assign(loss, {
          length: value(),
          txPipe: value(),
          priorDelivered: value(),
          lostSince: value(),
        });
        loss.appLimited = flag();
        tcb.lost += loss.length;
        control.onLoss(tcb, loss, now);
        break;
      case 2:
        control.onCongestion(tcb, flag(), now);
        if (!control.controlsRecovery) tcb.cwnd = tcb.ssthresh;
        break;
      case 3:
        control.onRecovered(tcb, now);
        break;
      case 4:
        control.onTimeout(tcb, flag(), now);
        if (!control.controlsRecovery) tcb.cwnd = tcb.mss;
        break;
      case 5:
        control.undo(tcb, now);
        break;
      case 6:
        control.onRestart(tcb, value(), now);
        break;
      default:
        ack.acked = Math.floor(Math.min(value(), 2 ** 30));
        ack.delivered = value();
        tcb.sndUna = seqAdd(tcb.sndUna, ack.acked);
        tcb.delivered = Math.min(tcb.delivered + ack.delivered, 2 ** 53);
        Object.assign(ack, { lost: value(), priorPipe: value(), rttMs: flag() ? value() : -1 });
        Object.assign(ack, { rateBytes: flag() ? value() : -1, rateMs: value(), priorDelivered: value() });
        Object.assign(ack, { txPipe: value(), lostSince: value(), cwndLimited: flag(), appLimited: flag() });
        control.onAck(tcb, ack, now);
        least = LEAST[name];
    }
    expectSane(tcb, control, least);
  }
}

/** Collections of the engine during a million ACKs. */
function collections(name: string, garbage = ""): Promise<number> {
  return collectionsOf(join(import.meta.dir, "congestion-allocation-child.ts"), name, "1000000", garbage);
}

test("the measurement would see one that allocates", async () => {
  expect(await collections("cubic", "garbage")).toBeGreaterThan(0);
}, 30_000);

test("a name that there is none of is refused, with those that there are", () => {
  const message = 'there is no congestion control "reno": use one of "cubic", "newreno", "bbr"';
  expect(() => validateCongestionControl("reno")).toThrow(message);
  expect(() => createCongestionControl("reno" as CongestionControlName)).toThrow(message);
  for (const name of CONGESTION_CONTROLS) expect(validateCongestionControl(name)).toBe(name);
});
