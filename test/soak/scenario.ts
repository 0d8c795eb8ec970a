import type { CongestionControlName, TcpSettings } from "../../src/index.ts";
import { type Random, randomBelow, seededRandom } from "../../src/random.ts";
import type { LineOptions } from "../../src/sim/index.ts";
import { happens } from "../../src/sim/loss.ts";

/** A time without a way between the two hosts. */
export interface Partition {
  readonly atMs: number;
  readonly forMs: number;
}

/** Everything that a run is made of. */
export interface Scenario {
  readonly seed: number;
  readonly mtu: number;
  readonly there: LineOptions;
  readonly back: LineOptions;
  readonly partitions: readonly Partition[];
  /** Of both stacks: their settings, their memory in bytes, and where their sequence numbers start. */
  readonly tcp: readonly [Partial<TcpSettings>, Partial<TcpSettings>];
  readonly memory: readonly [number, number];
  readonly iss: readonly [number, number];
  readonly noDelay: boolean;
  /** Most bytes that are sent in either direction. */
  readonly most: number;
}

const KIB = 1024;
const LARGEST_BUFFER = 1024 * KIB;
const CONTROLS: readonly CongestionControlName[] = ["cubic", "newreno", "bbr"];
/** How many times over a buffer is filled at most: through one of a byte, a window at a time, more takes for ever. */
const TURNS = 300;

/** What the seed stands for. */
export function scenarioOf(seed: number): Scenario {
  const random = seededRandom(seed);
  const tcp = [settings(random), settings(random)] as const;
  const smallest = Math.min(
    ...tcp.flatMap(({ receiveBuffer = 0, sendBuffer = 0 }) => [receiveBuffer, sendBuffer]),
  );
  return {
    seed,
    mtu: oneOf(random, [100, 296, 576, 1_280, 1_500, 1_500, 9_000]),
    there: line(random),
    back: line(random),
    partitions: partitions(random),
    tcp,
    memory: [memory(random), memory(random)],
    iss: [initialSequence(random), initialSequence(random)],
    noDelay: happens(random, 0.5),
    most: Math.min(logarithmic(random, 1_000, 2_000 * KIB), TURNS * smallest),
  };
}

function settings(random: Random): Partial<TcpSettings> {
  const receiveBuffer = buffer(random);
  const sendBuffer = buffer(random);
  const tuned = happens(random, 0.5)
    ? { maxReceiveBuffer: LARGEST_BUFFER, maxSendBuffer: LARGEST_BUFFER }
    : {};
  return {
    receiveBuffer,
    sendBuffer,
    ...tuned,
    timestamps: happens(random, 0.7),
    sack: happens(random, 0.8),
    ecn: happens(random, 0.5),
    congestionControl: oneOf(random, CONTROLS),
    // So that what waits longest for the network is not what the run takes.
    mslMs: 1_000,
    connectTimeoutMs: 600_000,
    userTimeoutMs: 600_000,
    synAckRetries: 100,
  };
}

/** The smallest of four decides how a transfer goes: so most of them are large. */
function buffer(random: Random): number {
  return logarithmic(random, happens(random, 0.25) ? 1 : 8 * KIB, LARGEST_BUFFER);
}

/** A third of the lines is clean but for its delay: most faults show where not everything fails at once. */
function line(random: Random): LineOptions {
  const way: LineOptions = {
    delayMs: oneOf(random, [0, 1, 10, 50, 200]),
    jitterMs: oneOf(random, [0, 0, 1, 20]),
    queuePackets: oneOf(random, [2, 10, 100, 1_000]),
    codel: happens(random, 0.2),
    ...(happens(random, 0.8) ? { rateMbit: oneOf(random, [0.1, 1, 10, 100, 1_000]) } : {}),
  };
  if (happens(random, 0.33)) return way;
  const share = (most: number) => (happens(random, 0.5) ? 0 : (random.next() / 2 ** 32) * most);
  const bursts = { p: share(0.04), r: 0.2 + share(0.4) };
  return {
    ...way,
    loss: happens(random, 0.3) ? bursts : share(0.2),
    duplicate: share(0.1),
    reorder: share(0.3),
    reorderMs: oneOf(random, [1, 5, 50]),
    corrupt: share(0.03),
  };
}

function partitions(random: Random): Partition[] {
  const count = happens(random, 0.7) ? 0 : 1 + randomBelow(random, 3);
  const found: Partition[] = [];
  let atMs = 0;
  for (let i = 0; i < count; i++) {
    atMs += logarithmic(random, 10, 20_000);
    const forMs = logarithmic(random, 20, 60_000);
    found.push({ atMs, forMs });
    atMs += forMs;
  }
  return found;
}

/** Pages are 16 KiB: two are the least there may be, and what makes two ends wait for memory. */
function memory(random: Random): number {
  return oneOf(random, [4, 8, 64, 256]) * 16 * KIB;
}

/** More often than not, so that the numbers wrap during the transfer. */
function initialSequence(random: Random): number {
  if (happens(random, 0.3)) return random.next() | 0;
  const edge = happens(random, 0.5) ? 0 : 0x8000_0000;
  return (edge - randomBelow(random, 20_000)) | 0;
}

function oneOf<T>(random: Random, values: readonly T[]): T {
  return values[randomBelow(random, values.length)];
}

/** Small numbers as often as large ones. */
function logarithmic(random: Random, from: number, to: number): number {
  return Math.round(from * (to / from) ** (random.next() / 2 ** 32));
}
