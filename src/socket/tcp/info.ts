import type { CongestionControlName } from "./congestion/control.ts";
import { isEcnAgreed } from "./ecn.ts";
import { BY_BUFFER, BY_CONGESTION, BY_PEER, limitedMs } from "./limits.ts";
import { OPEN, RECOVERY } from "./loss-recovery.ts";
import { packetSize } from "./path-mtu.ts";
import { flightSize, STATE_NAMES, type Tcb, type TcpState } from "./tcb.ts";
import { receiveWindow } from "./window.ts";

/** What a connection does about losses: nothing; fast recovery; it sends all again after a timeout. */
export type RecoveryPhase = "open" | "recovery" | "timeout";

/**
 * What `TcpSocket.info` tells: RFC 9293 3.10.6, STATUS, and what the later RFCs measure. Sizes are in bytes, rates in bytes
 * a second; a time that ends in `AtMs` is one that the stack was polled with.
 */
export interface TcpInfo {
  readonly state: TcpState;
  /** Smoothed round-trip time (RFC 6298), and the smallest one of the last minutes; `null` before the first measurement. */
  readonly srttMs: number | null;
  readonly minRttMs: number | null;
  readonly rttvarMs: number;
  readonly rtoMs: number;
  /** Timeouts in a row. */
  readonly backoff: number;

  readonly congestionControl: CongestionControlName;
  /** Congestion window and threshold (RFC 5681); the threshold is `null` before the first loss. */
  readonly cwnd: number;
  readonly ssthresh: number | null;
  /** Sent and not acknowledged; of that, what is under way, neither SACKed nor lost (RFC 6675). */
  readonly flightSize: number;
  readonly pipe: number;
  readonly recovery: RecoveryPhase;
  /** The path has been seen to swap segments (RFC 8985 3). */
  readonly reorderingSeen: boolean;
  /** What the path delivers, as measured last, or `null`; what congestion control lets go, or `null` where it does not pace. */
  readonly deliveryRate: number | null;
  readonly pacingRate: number | null;

  /** Largest payload of a segment that we send, and that we accept, options included. */
  readonly mss: number;
  readonly rcvMss: number;
  /** The largest IP packet that is sent to the peer; headers and options of every segment are in it. */
  readonly pathMtu: number;
  /**
   * What may get through beyond that, where the path was found to carry less than interface and peer allow: up to `high`.
   * `probe` is the size of the packet that is out to find out, or `null` (RFC 4821).
   */
  readonly mtuSearch: { readonly high: number; readonly probe: number | null } | null;
  /** Windows: what the peer lets us send, what we let it send. */
  readonly sndWnd: number;
  readonly rcvWnd: number;
  /** How much the buffers may hold now, which grows with the path. */
  readonly sendBuffer: number;
  readonly receiveBuffer: number;
  /** Written and not sent; arrived in order and not read; arrived ahead of a gap, in so many pieces. */
  readonly notSent: number;
  readonly notRead: number;
  readonly outOfOrderRanges: number;
  /** A receiver's measure of the round-trip time, or `null`. */
  readonly rcvRttMs: number | null;

  /** Bytes that the peer has acknowledged, and that have arrived in order. */
  readonly bytesSent: number;
  readonly bytesReceived: number;
  /** Bytes sent again, and bytes found lost. */
  readonly bytesRetransmitted: number;
  readonly bytesLost: number;
  /** Segments of this connection, bare ACKs included; those that a device has joined, or will cut, count once. */
  readonly segmentsSent: number;
  readonly segmentsReceived: number;
  /** Segments sent again. */
  readonly retransmissions: number;

  /** How long text has been held back: by the congestion window or pace, by the peer's window, by a send buffer too small. */
  readonly limited: { readonly congestionMs: number; readonly peerMs: number; readonly bufferMs: number };
  /** What both sides have agreed on; shifts are `null` where windows are not scaled. */
  readonly options: {
    readonly timestamps: boolean;
    readonly sack: boolean;
    readonly ecn: boolean;
    readonly sndWindShift: number | null;
    readonly rcvWindShift: number | null;
  };
  readonly noDelay: boolean;
  readonly corked: boolean;

  /** When the SYN or SYN-ACK was sent first; when text was sent, text arrived and the peer was heard last, or `null`. */
  readonly openedAtMs: number;
  readonly lastSentAtMs: number | null;
  readonly lastTextAtMs: number | null;
  readonly lastHeardAtMs: number | null;
}

export function tcpInfo(tcb: Tcb): TcpInfo {
  const { loss } = tcb;
  const flight = flightSize(tcb);
  const scaled = tcb.offersWindowScale;
  return {
    state: STATE_NAMES[tcb.state],
    srttMs: tcb.srtt < 0 ? null : tcb.srtt,
    minRttMs: finite(loss.minRttMs),
    rttvarMs: tcb.rttvar,
    rtoMs: tcb.rto,
    backoff: tcb.backoff,
    congestionControl: tcb.control.name,
    cwnd: tcb.cwnd,
    ssthresh: tcb.ssthresh === 0x7fffffff ? null : tcb.ssthresh,
    flightSize: flight,
    pipe: tcb.pipe,
    recovery: phaseName(tcb),
    reorderingSeen: loss.reorderingSeen,
    deliveryRate: tcb.deliveryRate > 0 ? tcb.deliveryRate * 1_000 : null,
    pacingRate: finite(tcb.pacingRate * 1_000),
    mss: tcb.mss,
    rcvMss: tcb.rcvMss,
    pathMtu: packetSize(tcb),
    mtuSearch: mtuSearch(tcb),
    sndWnd: tcb.sndWnd,
    rcvWnd: receiveWindow(tcb),
    sendBuffer: tcb.sendBuffer.limit,
    receiveBuffer: tcb.receiveBuffer.limit,
    // A SYN or a FIN that is under way is in no buffer.
    notSent: Math.max(tcb.sendBuffer.length - flight, 0),
    notRead: tcb.receiveBuffer.length,
    outOfOrderRanges: tcb.outOfOrder.count,
    rcvRttMs: tcb.rcvRttMs < 0 ? null : tcb.rcvRttMs,
    bytesSent: tcb.bytesSent,
    bytesReceived: tcb.bytesReceived,
    bytesRetransmitted: tcb.bytesRetransmitted,
    bytesLost: tcb.lost,
    segmentsSent: tcb.segmentsSent,
    segmentsReceived: tcb.segmentsReceived,
    retransmissions: tcb.retransmissions,
    limited: {
      congestionMs: limitedMs(tcb, BY_CONGESTION, tcb.limitedByCongestionMs),
      peerMs: limitedMs(tcb, BY_PEER, tcb.limitedByPeerMs),
      bufferMs: limitedMs(tcb, BY_BUFFER, tcb.limitedByBufferMs),
    },
    options: {
      timestamps: tcb.timestamps,
      sack: tcb.sack,
      ecn: isEcnAgreed(tcb),
      sndWindShift: scaled ? tcb.sndWindShift : null,
      rcvWindShift: scaled ? tcb.rcvWindShift : null,
    },
    noDelay: tcb.noDelay,
    corked: tcb.corked,
    openedAtMs: tcb.openedAt,
    lastSentAtMs: tcb.lastSentAt === 0 ? null : tcb.lastSentAt,
    lastTextAtMs: finite(tcb.lastTextAt),
    lastHeardAtMs: tcb.lastHeardAt === 0 ? null : tcb.lastHeardAt,
  };
}

export function phaseName(tcb: Tcb): RecoveryPhase {
  const { phase } = tcb.loss;
  if (phase === OPEN) return "open";
  return phase === RECOVERY ? "recovery" : "timeout";
}

function mtuSearch({ path }: Tcb): TcpInfo["mtuSearch"] {
  if (path === null) return null;
  return { high: path.high, probe: path.probeSize === 0 ? null : path.probeSize };
}

function finite(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}
