import type { ReadyQueue } from "../../storage/ready-queue.ts";
import { IpAddress, sameAddress } from "../../wire/ip-address.ts";
import type { SocketContext } from "../context.ts";
import { startRound } from "./buffer-tuning.ts";
import type { CongestionControl, CongestionControlName } from "./congestion/control.ts";
import { INITIAL_SSTHRESH } from "./congestion/slow-start.ts";
import { chooseControl } from "./congestion.ts";
import type { ListenQueue } from "./listen-queue.ts";
import { OPEN } from "./loss-recovery.ts";
import type { PathMtu } from "./path-mtu.ts";
import { startRack } from "./rack.ts";
import { seqAdd } from "./seq.ts";
import { CLOSED, type Consumer, ESTABLISHED, Tcb, type TcbHolder } from "./tcb.ts";
import type { Tuning } from "./tuning.ts";

/**
 * Connections at rest. A server with a million of them has little to do for nearly all: they are established, both sides
 * have all of the other's text, and nobody says anything. What such a connection will need again are some sixty numbers,
 * kept here in rows, and a few objects that it shares with others: a third of what its control block takes. The next
 * segment, timer or call makes the control block anew.
 *
 * Up to `maxAwake` connections stay as they are. Of more, those rest that were woken, or looked at here, longest ago.
 */

/** Who has said or heard nothing for so long, in ms, may rest: longer than any step of the stack, and its program's, takes. */
export const IDLE_MS = 1_000;
/** What of the control block has to be as in one that was just made, or else the connection stays awake. */
export const UNTOUCHED = [
  "finQueued",
  "finSent",
  "finReceived",
  "finPending",
  "receiveClosed",
  "due",
  "duplicateAcksDue",
  "bytesSinceAck",
  "rttTiming",
  "backoff",
  "probing",
  "probeBackoff",
  "keepAlivesUnanswered",
  "retransmitAt",
  "reorderAt",
  "probeAt",
  "paceAt",
  "persistAt",
  "delayedAckAt",
  "corkAt",
  "expireAt",
  "expireInMs",
  "writeBlocked",
  "corked",
  "error",
  "undelivered",
  "softError",
  "trace",
  "limit",
] as const satisfies readonly (keyof Tcb)[];

/** Numbers that need 32 bits. */
export const WORDS = [
  "localPort",
  "remotePort",
  "iss",
  "sndUna",
  "sndWnd",
  "sndWl1",
  "sndWl2",
  "maxSndWnd",
  "sndWindShift",
  "mss",
  "maxSuperSegment",
  "maxText",
  "irs",
  "rcvNxt",
  "rcvAdv",
  "rcvWindShift",
  "rcvMss",
  "ecn",
  "tsRecent",
  "lastAckSent",
  "longestText",
  "recover",
  "quickAcks",
  "keepAliveCount",
  "events",
] as const satisfies readonly (keyof Tcb)[];

/** Numbers that need more. */
export const NUMBERS = [
  "fullSizedAt",
  "tsOffset",
  "tsRecentAt",
  "srtt",
  "rttvar",
  "rto",
  "cwnd",
  "ssthresh",
  "lastSentAt",
  "pacingRate",
  "delivered",
  "lost",
  "appLimitedUntil",
  "deliveryRate",
  "keepAliveIdleMs",
  "keepAliveIntervalMs",
  "keepAliveAt",
  "lastHeardAt",
  "bytesSent",
  "bytesReceived",
  "retransmissions",
  "bytesRetransmitted",
  "openedAt",
  "lastTextAt",
  "rcvRttMs",
  "userTimeoutMs",
  "segmentsSent",
  "segmentsReceived",
  "limitedByCongestionMs",
  "limitedByPeerMs",
  "limitedByBufferMs",
] as const satisfies readonly (keyof Tcb)[];

/** Of `tcb.loss`; what else is there concerns what is outstanding. */
export const LOSS_NUMBERS = ["minRttMs", "minRttAt", "reorderMultiplier", "reorderPersist"] as const;

export const FLAGS = [
  "activeOpen",
  "offersWindowScale",
  "sack",
  "timestamps",
  "noDelay",
  "cwndLimited",
  "isInteractive",
] as const satisfies readonly (keyof Tcb)[];

const LOCAL_PORT = WORDS.indexOf("localPort");
const REMOTE_PORT = WORDS.indexOf("remotePort");
/** Behind the words are the flags, how much each buffer may hold, and the peer's address with its family. */
const REMOTE = WORDS.length + 3;
const WORD_STRIDE = REMOTE + 5;
const NUMBER_STRIDE = NUMBERS.length + LOSS_NUMBERS.length;
/** The path was seen to swap segments (RFC 8985 3): a bit behind those of `FLAGS`. */
const REORDERING_SEEN = 1 << FLAGS.length;
/** Rows of socket numbers that follow each other are made together, when the first is needed. */
const ROWS_SHIFT = 10;
const ROWS = 1 << ROWS_SHIFT;
/** Connections differ in their listener, their interface, and little else. */
const KINDS = 16;

/** Makes the control block of a connection that rests, and enters it into the socket set. */
export interface Waker {
  wake(index: number): Tcb;
}

/** What many connections have in common. */
class Kind {
  readonly store: RestingConnections;
  readonly local: IpAddress;
  readonly ready: ReadyQueue | null;
  readonly listen: ListenQueue | null;
  readonly tuning: Tuning;
  readonly control: CongestionControlName;

  constructor(store: RestingConnections, tcb: Tcb) {
    this.store = store;
    this.local = tcb.local;
    this.ready = tcb.ready;
    this.listen = tcb.listen;
    this.tuning = tcb.tuning;
    this.control = tcb.control.name;
  }

  isOf(tcb: Tcb): boolean {
    return (
      sameAddress(this.local, tcb.local) &&
      this.ready === tcb.ready &&
      this.listen === tcb.listen &&
      this.tuning === tcb.tuning &&
      this.control === tcb.control.name
    );
  }
}

/** What a connection has found out about its path. */
interface Learnt {
  readonly path: PathMtu | null;
  /** `null` where it has met no congestion yet. */
  readonly control: CongestionControl | null;
}

/** What a program's socket holds in place of a control block. There are many: no field is without need. */
export class RestingConnection {
  readonly kind: Kind;
  readonly index: number;
  readonly holder: TcbHolder;
  readonly handler: ((events: number) => void) | null;
  readonly consumer: Consumer | null;
  readonly learnt: Learnt | null;

  constructor(kind: Kind, holder: TcbHolder, tcb: Tcb) {
    this.kind = kind;
    this.index = tcb.index;
    this.holder = holder;
    this.handler = tcb.handler;
    this.consumer = tcb.consumer;
    this.learnt = learntBy(tcb);
  }

  /** Makes it a connection with a control block again. */
  wake(): Tcb {
    return this.kind.store.waker.wake(this.index);
  }

  get state(): number {
    return ESTABLISHED;
  }

  get error(): null {
    return null;
  }

  get local(): IpAddress {
    return this.kind.local;
  }

  get localPort(): number {
    return this.kind.store.word(this.index, LOCAL_PORT);
  }

  get remote(): IpAddress {
    return this.kind.store.remote(this.index);
  }

  get remotePort(): number {
    return this.kind.store.word(this.index, REMOTE_PORT);
  }

  get ready(): ReadyQueue | null {
    return this.kind.ready;
  }

  get tuning(): Tuning {
    return this.kind.tuning;
  }
}

/** The connections of a stack that rest, by socket number. */
export class RestingConnections {
  readonly waker: Waker;
  private readonly context: SocketContext;
  private readonly places: (RestingConnection | null)[];
  private readonly words: (Int32Array | null)[];
  private readonly numbers: (Float64Array | null)[];
  /** Shows what an untouched control block has. */
  private readonly untouched: Tcb;
  /** Those met last. */
  private readonly kinds: Kind[] = [];

  constructor(context: SocketContext, maxSockets: number, waker: Waker) {
    this.context = context;
    this.waker = waker;
    this.places = new Array<RestingConnection | null>(maxSockets).fill(null);
    const blocks = Math.ceil(maxSockets / ROWS);
    this.words = new Array<Int32Array | null>(blocks).fill(null);
    this.numbers = new Array<Float64Array | null>(blocks).fill(null);
    this.untouched = new Tcb(context);
  }

  /** The connection with this number that rests, or `null`. */
  get(index: number): RestingConnection | null {
    return this.places[index];
  }

  /** Of the row of a connection that rests. */
  word(index: number, which: number): number {
    return (this.words[index >> ROWS_SHIFT] as Int32Array)[(index & (ROWS - 1)) * WORD_STRIDE + which];
  }

  /** The peer's address. */
  remote(index: number): IpAddress {
    const word = (which: number) => this.word(index, REMOTE + which);
    return new IpAddress(word(0) === 6 ? 6 : 4, word(1), word(2), word(3), word(4));
  }

  /** Puts what is to be kept of `tcb` by, unless it still has something to do; returns whether it rests now. */
  layDown(tcb: Tcb): boolean {
    const { context } = this;
    const { holder, index } = tcb;
    if (holder === null || !this.mayRest(tcb)) return false;
    this.save(tcb);
    const resting = new RestingConnection(this.kindOf(tcb), holder, tcb);
    this.places[index] = resting;
    holder.hold(resting);
    context.deadlines.set(index, tcb.keepAliveAt);
    context.stats.tcpLaidToRest++;
    // Who still knows the control block finds a connection that is over.
    tcb.state = CLOSED;
    tcb.index = -1;
    return true;
  }

  /** Makes the control block again of a connection that rests. */
  wake(resting: RestingConnection): Tcb {
    const { context } = this;
    const { index, kind, learnt } = resting;
    const tcb = new Tcb(context);
    this.places[index] = null;
    tcb.index = index;
    tcb.state = ESTABLISHED;
    tcb.holder = resting.holder;
    tcb.local = kind.local;
    tcb.remote = this.remote(index);
    tcb.ready = kind.ready;
    tcb.listen = kind.listen;
    tcb.path = learnt === null ? null : learnt.path;
    tcb.tuning = kind.tuning;
    tcb.handler = resting.handler;
    tcb.consumer = resting.consumer;
    this.restore(tcb);
    // All that was sent has been acknowledged.
    tcb.sndNxt = tcb.sndUna;
    tcb.sent.shortEnd = tcb.sndUna;
    tcb.sent.roundEnd = tcb.sndUna;
    tcb.loss.ecnReducedUntil = seqAdd(tcb.sndUna, -1);
    startRack(tcb, context.now);
    startRound(tcb, context.now);
    if (learnt !== null && learnt.control !== null) {
      tcb.control = learnt.control;
    } else {
      chooseControl(tcb, kind.control);
      tcb.control.start(tcb, context.now);
    }
    if (tcb.keepAliveAt < context.deadlines.deadlineOf(index)) context.deadlines.set(index, tcb.keepAliveAt);
    resting.holder.hold(tcb);
    context.stats.tcpWoken++;
    return tcb;
  }

  private kindOf(tcb: Tcb): Kind {
    const { kinds } = this;
    for (const kind of kinds) if (kind.isOf(tcb)) return kind;
    if (kinds.length === KINDS) kinds.shift();
    const kind = new Kind(this, tcb);
    kinds.push(kind);
    return kind;
  }

  private mayRest(tcb: Tcb): boolean {
    const { now } = this.context;
    if (tcb.state !== ESTABLISHED || tcb.sndUna !== tcb.sndNxt) return false;
    if (now - Math.max(tcb.lastHeardAt, tcb.lastSentAt, tcb.openedAt) < IDLE_MS) return false;
    if (!tcb.sendBuffer.isEmpty || !tcb.receiveBuffer.isEmpty || tcb.outOfOrder.count > 0) return false;
    if (tcb.events !== 0 && tcb.handler !== null) return false;
    const { loss } = tcb;
    if (loss.phase !== OPEN || loss.probing || loss.frto !== 0) return false;
    for (const name of UNTOUCHED) if (tcb[name] !== this.untouched[name]) return false;
    return true;
  }

  private save(tcb: Tcb): void {
    const block = tcb.index >> ROWS_SHIFT;
    const words = (this.words[block] ??= new Int32Array(ROWS * WORD_STRIDE));
    const numbers = (this.numbers[block] ??= new Float64Array(ROWS * NUMBER_STRIDE));
    const row = tcb.index & (ROWS - 1);
    let at = row * WORD_STRIDE;
    for (const name of WORDS) words[at++] = tcb[name];
    let flags = tcb.loss.reorderingSeen ? REORDERING_SEEN : 0;
    for (let i = 0; i < FLAGS.length; i++) if (tcb[FLAGS[i]]) flags |= 1 << i;
    words[at++] = flags;
    words[at++] = tcb.sendBuffer.limit;
    words[at++] = tcb.receiveBuffer.limit;
    const { family, w0, w1, w2, w3 } = tcb.remote;
    words[at++] = family;
    words[at++] = w0;
    words[at++] = w1;
    words[at++] = w2;
    words[at++] = w3;
    at = row * NUMBER_STRIDE;
    for (const name of NUMBERS) numbers[at++] = tcb[name];
    for (const name of LOSS_NUMBERS) numbers[at++] = tcb.loss[name];
  }

  private restore(tcb: Tcb): void {
    const block = tcb.index >> ROWS_SHIFT;
    const words = this.words[block] as Int32Array;
    const numbers = this.numbers[block] as Float64Array;
    const row = tcb.index & (ROWS - 1);
    let at = row * WORD_STRIDE;
    for (const name of WORDS) tcb[name] = words[at++];
    const flags = words[at++];
    tcb.loss.reorderingSeen = (flags & REORDERING_SEEN) !== 0;
    for (let i = 0; i < FLAGS.length; i++) tcb[FLAGS[i]] = (flags & (1 << i)) !== 0;
    tcb.sendBuffer.resize(words[at++]);
    tcb.receiveBuffer.resize(words[at++]);
    at = row * NUMBER_STRIDE;
    for (const name of NUMBERS) tcb[name] = numbers[at++];
    for (const name of LOSS_NUMBERS) tcb.loss[name] = numbers[at++];
  }
}

/** `null` where there is nothing that a new connection would not have. */
function learntBy(tcb: Tcb): Learnt | null {
  const { ssthresh, pacingRate, path } = tcb;
  const isUntaught =
    ssthresh === INITIAL_SSTHRESH && pacingRate === Number.POSITIVE_INFINITY && !tcb.control.controlsRecovery;
  if (path === null && isUntaught) return null;
  return { path, control: isUntaught ? null : tcb.control };
}
