import { StackError } from "../errors.ts";

/** What happens on one direction of a link. Probabilities are 0 .. 1 a frame, drawn independently, and 0 unless told. */
export interface LineOptions {
  /** 10^6 bits a second that the line carries, link headers included; unlimited unless told. */
  readonly rateMbit?: number;
  /** Time in ms from the last bit's departure to its arrival; 1 unless told. */
  readonly delayMs?: number;
  /** And up to so many ms more, drawn evenly for each frame; none overtakes another by it. 0 unless told. */
  readonly jitterMs?: number;
  /** Frames that may wait for their turn on a line with a rate; one that comes then is lost. 1,000 unless told, as on Linux. */
  readonly queuePackets?: number;
  /** The same in bytes, beside the other limit; unlimited unless told. */
  readonly queueBytes?: number;
  /** Keeps the queue short: CoDel (RFC 8289), with 5 and 100 ms where it is `true`. Drop-tail alone unless told. */
  readonly codel?: boolean | CodelOptions;
  /** Frames that are lost on the line: each with the same probability, or in bursts. */
  readonly loss?: number | GilbertElliott;
  /** Frames that arrive twice, one right behind the other. */
  readonly duplicate?: number;
  /** Frames that arrive `reorderMs` later than they would, so that others overtake them. */
  readonly reorder?: number;
  /** 5 unless told. */
  readonly reorderMs?: number;
  /** Frames of which one byte, anywhere, arrives changed. */
  readonly corrupt?: number;
}

/** Options of CoDel, under the names of RFC 8289. */
export interface CodelOptions {
  /** The time in the queue that is fine, in ms; 5 unless told. */
  readonly targetMs?: number;
  /** How long it may be longer than that, in ms: a round trip of most connections; 100 unless told. */
  readonly intervalMs?: number;
  /** Packets that may be marked are marked instead of dropped (RFC 3168). */
  readonly ecn?: boolean;
}

/**
 * Loss in bursts (Gilbert 1960, Elliott 1963): the line is good or bad, and changes from frame to frame. On average
 * `p / (p + r)` of the frames find it bad, in bursts of `1 / r`.
 *
 * Time changes nothing, as in netem: a sender that is down to a frame in a minute may find the line bad for minutes.
 */
export interface GilbertElliott {
  /** The probability that a good line turns bad. */
  readonly p: number;
  /** That a bad line turns good. */
  readonly r: number;
  /** That a frame on a bad line is lost; 1 unless told. */
  readonly lossWhenBad?: number;
  /** That a frame on a good line is lost; 0 unless told. */
  readonly lossWhenGood?: number;
}

/** The options of a line, checked and complete. */
export interface LineSettings {
  readonly bitsPerMs: number;
  readonly delayMs: number;
  readonly jitterMs: number;
  readonly queuePackets: number;
  readonly queueBytes: number;
  readonly codel: Required<CodelOptions> | null;
  readonly loss: Required<GilbertElliott> | null;
  readonly duplicate: number;
  readonly reorder: number;
  readonly reorderMs: number;
  readonly corrupt: number;
}

const DEFAULT_DELAY_MS = 1;
const DEFAULT_QUEUE_PACKETS = 1_000;
const DEFAULT_REORDER_MS = 5;
const DEFAULT_TARGET_MS = 5;
const DEFAULT_INTERVAL_MS = 100;
/** 1 Mbit/s. */
const MBIT_PER_MS = 1_000;
const NAMES = [
  ...["rateMbit", "delayMs", "jitterMs", "queuePackets", "queueBytes", "codel"],
  ...["loss", "duplicate", "reorder", "reorderMs", "corrupt", "mtu"],
];

/** @throws StackError EINVAL */
export function lineSettings(options: LineOptions): LineSettings {
  for (const name of Object.keys(options)) {
    if (NAMES.includes(name)) continue;
    throw new StackError("EINVAL", `a link has no option ${name}: there are ${NAMES.join(", ")}`);
  }
  const { rateMbit = Number.POSITIVE_INFINITY, queuePackets = DEFAULT_QUEUE_PACKETS } = options;
  if (!(rateMbit > 0)) {
    throw new StackError("EINVAL", `rateMbit is ${rateMbit}: give 10^6 bits a second, more than 0`);
  }
  if (!(queuePackets >= 1)) {
    throw new StackError("EINVAL", `queuePackets is ${queuePackets}: give a number of frames from 1`);
  }
  return {
    bitsPerMs: rateMbit * MBIT_PER_MS,
    delayMs: time("delayMs", options.delayMs ?? DEFAULT_DELAY_MS),
    jitterMs: time("jitterMs", options.jitterMs ?? 0),
    queuePackets,
    queueBytes: atLeast0("queueBytes", options.queueBytes ?? Number.POSITIVE_INFINITY, "bytes"),
    codel: codelSettings(options.codel ?? false),
    loss: lossSettings(options.loss ?? 0),
    duplicate: probability("duplicate", options.duplicate ?? 0),
    reorder: probability("reorder", options.reorder ?? 0),
    reorderMs: time("reorderMs", options.reorderMs ?? DEFAULT_REORDER_MS),
    corrupt: probability("corrupt", options.corrupt ?? 0),
  };
}

function codelSettings(codel: boolean | CodelOptions): Required<CodelOptions> | null {
  if (codel === false) return null;
  const options = codel === true ? {} : codel;
  return {
    targetMs: time("codel.targetMs", options.targetMs ?? DEFAULT_TARGET_MS),
    intervalMs: time("codel.intervalMs", options.intervalMs ?? DEFAULT_INTERVAL_MS),
    ecn: options.ecn ?? false,
  };
}

function lossSettings(loss: number | GilbertElliott): Required<GilbertElliott> | null {
  if (loss === 0) return null;
  if (typeof loss === "number") {
    return { p: 0, r: 1, lossWhenBad: 1, lossWhenGood: probability("loss", loss) };
  }
  return {
    p: probability("loss.p", loss.p),
    r: probability("loss.r", loss.r),
    lossWhenBad: probability("loss.lossWhenBad", loss.lossWhenBad ?? 1),
    lossWhenGood: probability("loss.lossWhenGood", loss.lossWhenGood ?? 0),
  };
}

function probability(name: string, value: number): number {
  if (value >= 0 && value <= 1) return value;
  throw new StackError("EINVAL", `${name} is ${value}: give a probability from 0 to 1`);
}

function time(name: string, value: number): number {
  if (value < Number.POSITIVE_INFINITY) return atLeast0(name, value, "ms");
  throw new StackError("EINVAL", `${name} is ${value}: give a time in ms`);
}

function atLeast0(name: string, value: number, unit: string): number {
  if (value >= 0) return value;
  throw new StackError("EINVAL", `${name} is ${value}: give a number of ${unit} from 0`);
}
