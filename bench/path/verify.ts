/** Whether the line does what it says: measured from outside, by the kernel's ping, datagrams and TCP. */

import { constants, setPriority } from "node:os";
import { printTable } from "../support.ts";
import { bdp, EmulatedPath, type PathOptions, queueOf } from "./emulated-path.ts";
import { goodput, runFlows } from "./flows.ts";
import { DatagramSocket } from "./kernel-socket.ts";
import { ENDS } from "./line.ts";

const PORT = 9999;
/** A datagram of a whole packet, without the headers of IP and UDP. */
const PACKET = 1500;
const DATAGRAM = PACKET - 28;
/** Of what the receiver has not taken yet. */
const RECEIVE_BUFFER = 64 << 20;

/** What arrived of numbered datagrams. */
export interface Arrivals {
  readonly sent: number;
  /** When the last one was sent, ms after the first. */
  readonly sentAt: number;
  /** Numbers in the order of arrival, and when each came, ms after the first was sent. */
  readonly numbers: readonly number[];
  readonly at: readonly number[];
}

/** Sends whole packets from A to B, so many at such a distance, ms, and receives for a while longer. */
export function sendDatagrams(path: EmulatedPath, count: number, apartMs: number, waitMs: number): Arrivals {
  const from = path.a.inside(() => new DatagramSocket(ENDS.a, PORT, RECEIVE_BUFFER));
  const to = path.b.inside(() => new DatagramSocket(ENDS.b, PORT, RECEIVE_BUFFER));
  from.connect(ENDS.b, PORT);
  const bytes = new Uint8Array(DATAGRAM);
  const number = new DataView(bytes.buffer);
  const into = new Uint8Array(2048);
  const arrived = new DataView(into.buffer);
  const [numbers, at]: [number[], number[]] = [[], []];
  let sentAt = 0;
  const start = performance.now();
  for (let sent = 0, now = start; now < start + count * apartMs + waitMs; now = performance.now()) {
    while (sent < count && start + sent * apartMs <= now) {
      number.setUint32(0, sent++);
      from.send(bytes);
      if (sent === count) sentAt = performance.now() - start;
    }
    while (to.receive(into) > 0) {
      numbers.push(arrived.getUint32(0));
      at.push(performance.now() - start);
    }
  }
  from.close();
  to.close();
  return { sent: count, sentAt, numbers, at };
}

/** Round-trip times of pings, ms. */
export async function pings(path: EmulatedPath, count: number, interval = 0.05): Promise<number[]> {
  const command = ["ping", "-c", `${count}`, "-i", `${interval}`, ENDS.b];
  const { stdout } = await path.a.run(command, { timeoutMs: count * interval * 1000 + 10_000 });
  return Array.from(stdout.matchAll(/ time=([0-9.]+) ms/g), ([, ms]) => Number(ms));
}

async function on<T>(options: PathOptions, body: (path: EmulatedPath) => Promise<T> | T): Promise<T> {
  const path = await EmulatedPath.open(options);
  try {
    return await body(path);
  } finally {
    await path.close();
  }
}

/** Prints what the line is told to be, and what is measured of it. */
export async function verify(
  rates: readonly number[],
  rtts: readonly number[],
  losses: readonly number[],
): Promise<void> {
  // What is seen late arrived late, as far as this can tell.
  setPriority(constants.priority.PRIORITY_HIGHEST);
  await verifyDelay(rates, rtts);
  await verifyRate(rates);
  await verifyLoss(losses);
  await verifyQueue(rates, rtts);
  await verifyTcp(rates, rtts);
}

async function verifyDelay(rates: readonly number[], rtts: readonly number[]): Promise<void> {
  const rows: string[][] = [];
  for (const rate of rates) {
    for (const rtt of rtts) {
      const times = (await on({ rate, rtt, loss: 0, seed: 1 }, (path) => pings(path, 40))).sort(
        (a, b) => a - b,
      );
      rows.push([
        `${rate}`,
        `${rtt}`,
        ...[times[0], times[times.length >> 1], times.at(-1)!].map((ms) => ms.toFixed(2)),
      ]);
    }
  }
  printTable(["Mbit/s", "RTT, ms", "ping: lowest", "median", "highest"], rows);
}

async function verifyRate(rates: readonly number[]): Promise<void> {
  const rows: string[][] = [];
  for (const rate of rates) {
    const packets = Math.round((rate * 2e6) / (PACKET * 8));
    // A half more than the line carries, for two seconds.
    const { at, numbers } = await on({ rate, rtt: 10, loss: 0, seed: 1 }, (path) =>
      sendDatagrams(path, Math.round(1.5 * packets), 2000 / (1.5 * packets), 500),
    );
    const measured = ((at.length - 1) * PACKET * 8) / (at.at(-1)! - at[0]) / 1000;
    const inOrder = numbers.every((value, i) => i === 0 || value > numbers[i - 1]);
    rows.push([`${rate}`, measured.toFixed(3), inOrder ? "yes" : "no"]);
  }
  printTable(["Mbit/s", "UDP of whole packets, Mbit/s", "in order"], rows);
}

async function verifyLoss(losses: readonly number[]): Promise<void> {
  const rows: string[][] = [];
  const packets = 5000;
  for (const loss of losses) {
    // Without a rate there is no queue, and whatever is lost was drawn.
    const lost = async (seed: number) => {
      const { numbers } = await on({ rtt: 10, loss, seed }, (path) => sendDatagrams(path, packets, 0.1, 300));
      const arrived = new Set(numbers);
      return Array.from({ length: packets }, (_, i) => i).filter((i) => !arrived.has(i));
    };
    const [first, again, other] = [await lost(1), await lost(1), await lost(2)];
    const same = (as: number[]) => (Bun.deepEquals(first, as) ? "the same" : "others");
    const measured = `${((100 * first.length) / packets).toFixed(2)}, ${((100 * other.length) / packets).toFixed(2)}`;
    rows.push([`${loss}`, measured, same(again), same(other)]);
  }
  printTable(["loss, %", `of ${packets}, %, two seeds`, "lost with the same seed", "with another"], rows);
}

async function verifyQueue(rates: readonly number[], rtts: readonly number[]): Promise<void> {
  const rows: string[][] = [];
  for (const rate of rates) {
    for (const rtt of rtts) {
      const options = { rate, rtt, loss: 0, seed: 1 };
      const queue = queueOf(options);
      const fits = Math.floor(queue / PACKET);
      const drain = (queue * 8) / (rate * 1000);
      const { at, sentAt } = await on(options, (path) =>
        sendDatagrams(path, fits + 200, 0, drain + rtt + 300),
      );
      rows.push([
        `${rate}`,
        `${rtt}`,
        `${Math.round(bdp(rate, rtt))}`,
        `${queue}`,
        // What fits, and what has left while the burst was being sent.
        `${fits} + ${Math.round((sentAt * rate * 1000) / (PACKET * 8))}`,
        `${at.length}`,
        drain.toFixed(1),
        (at.at(-1)! - at[0]).toFixed(1),
      ]);
    }
  }
  const head = [
    "Mbit/s",
    "RTT, ms",
    "BDP",
    "queue, bytes",
    "packets",
    "arrived of a burst",
    "drains in, ms",
    "did in",
  ];
  printTable(head, rows);
}

/** 1,448 bytes of each 1,500 are the program's. */
const TCP_SHARE = 1448 / 1500;

async function verifyTcp(rates: readonly number[], rtts: readonly number[]): Promise<void> {
  const rows: string[][] = [];
  const seconds = 6;
  for (const rate of rates) {
    for (const rtt of rtts) {
      const flow = { sender: "kernel", receiver: "kernel", cc: "cubic" } as const;
      const [result, report] = await on({ rate, rtt, loss: 0, seed: 1 }, async (path) => {
        const [one] = await runFlows(path, [flow], { seconds, bytes: 0, buffer: 0, timeoutMs: 30_000 });
        return [one, await path.close()] as const;
      });
      const { late, strays } = report;
      const steady = goodput(result.received, seconds / 2);
      rows.push([
        `${rate}`,
        `${rtt}`,
        (rate * TCP_SHARE).toFixed(2),
        steady.toFixed(2),
        (steady / (rate * TCP_SHARE)).toFixed(3),
        ...[late.mean, late.p99, late.most].map((ms) => ms.toFixed(3)),
        `${strays}`,
      ]);
    }
  }
  const head = ["Mbit/s", "RTT, ms", "possible", "kernel CUBIC, second half", "of it"];
  printTable([...head, "late, ms: mean", "p99", "most", "strays"], rows);
}
