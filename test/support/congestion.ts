import { seededRandom } from "../../src/random.ts";
import { SocketContext } from "../../src/socket/context.ts";
import { AckSample, type CongestionControl, LossSample } from "../../src/socket/tcp/congestion/control.ts";
import { initialWindow } from "../../src/socket/tcp/congestion.ts";
import { seqAdd } from "../../src/socket/tcp/seq.ts";
import { TcpSettings } from "../../src/socket/tcp/settings.ts";
import { Tcb } from "../../src/socket/tcp/tcb.ts";
import { Stats } from "../../src/stats.ts";
import { BufferPool } from "../../src/storage/buffer-pool.ts";

export interface PlainTcbOptions {
  mss?: number;
  seed?: number;
  /** Initial sequence number. */
  iss?: number;
}

/** A connection that has only what a congestion control looks at, as it is after the handshake. */
export function plainTcb({ mss = 1_000, seed = 1, iss = 0x7fff_0000 }: PlainTcbOptions = {}): Tcb {
  const random = seededRandom(seed);
  const routing = { route: () => null, doubt: () => {}, isBroadcast: () => false, isLocal: () => false };
  const context = new SocketContext(1, new Stats(), random, new BufferPool(1), new TcpSettings(), routing);
  const tcb = new Tcb(context);
  tcb.mss = tcb.maxText = mss;
  tcb.iss = tcb.recover = iss | 0;
  tcb.sndUna = tcb.sndNxt = seqAdd(iss, 1);
  tcb.cwnd = initialWindow(mss);
  tcb.sack = true;
  return tcb;
}

/** A control by itself: each call is one event of a connection, and time is what the test says. */
export class Driver {
  readonly tcb: Tcb;
  readonly control: CongestionControl;
  now = 0;

  constructor(control: CongestionControl, options: PlainTcbOptions = {}) {
    this.control = control;
    this.tcb = plainTcb(options);
    control.start(this.tcb, this.now);
  }

  /** Bytes leave. */
  sends(length: number): void {
    const { tcb } = this;
    const idle = tcb.pipe === 0;
    tcb.sent.pipe += length;
    tcb.sndNxt = seqAdd(tcb.sndNxt, length);
    this.control.onSend(tcb, length, idle, this.now);
  }

  /** The window is filled. */
  fills(): void {
    if (this.tcb.pipe < this.tcb.cwnd) this.sends(this.tcb.cwnd - this.tcb.pipe);
  }

  /** So many bytes are acknowledged. */
  acks(acked: number, sample: Partial<AckSample> = {}): void {
    const { tcb } = this;
    const ack = Object.assign(new AckSample(), { acked, delivered: acked, cwndLimited: true, ...sample });
    ack.priorPipe = tcb.pipe;
    tcb.sent.pipe = Math.max(0, tcb.pipe - acked);
    tcb.sndUna = seqAdd(tcb.sndUna, acked);
    tcb.delivered += ack.delivered;
    this.control.onAck(tcb, ack, this.now);
  }

  /** A full window is sent, and acknowledged segment by segment, spread over `rttMs`. */
  round(rttMs: number, sample: Partial<AckSample> = {}): void {
    this.fills();
    const { tcb } = this;
    tcb.srtt = rttMs;
    const segments = Math.round(tcb.pipe / tcb.mss);
    for (let i = 0; i < segments; i++) {
      this.now += rttMs / segments;
      this.acks(Math.min(tcb.mss, tcb.pipe), { rttMs, ...sample });
    }
  }

  /** Congestion is met with the window full, and recovery is over at once. */
  reduces(ecn = false): void {
    const { tcb, control } = this;
    this.fills();
    if (!ecn) control.onLoss(tcb, Object.assign(new LossSample(), { length: tcb.mss }), this.now);
    control.onCongestion(tcb, ecn, this.now);
    if (!control.controlsRecovery) tcb.cwnd = tcb.ssthresh;
    tcb.sndUna = tcb.sndNxt;
    tcb.recover = seqAdd(tcb.sndUna, -1);
    tcb.sent.pipe = 0;
    control.onRecovered(tcb, this.now);
  }

  timesOut(again = false): void {
    const { tcb, control } = this;
    control.onTimeout(tcb, again, this.now);
    if (!control.controlsRecovery) tcb.cwnd = tcb.mss;
    tcb.recover = tcb.sndNxt;
  }
}
