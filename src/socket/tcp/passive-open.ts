import { cloneAddress } from "../../wire/ip-address.ts";
import { ACK, RST, SYN, type TcpSegment } from "../../wire/tcp.ts";
import type { SocketContext } from "../context.ts";
import type { Path } from "../routing.ts";
import { chooseControl } from "./congestion.ts";
import { segmentArrives } from "./input.ts";
import type { AcceptVerdict, TcpListener } from "./listener.ts";
import { Listeners } from "./listeners.ts";
import { openByCookie, openPassive } from "./open.ts";
import { limitSegmentSize } from "./options.ts";
import { makeReset } from "./reset.ts";
import { answerByCookie, cookiesEnd, synOfCookie } from "./syn-cookie.ts";
import { SYN_RECEIVED, type Tcb } from "./tcb.ts";
import { enterClosed } from "./transitions.ts";
import { applyTuning } from "./tuning.ts";

/** Where connections get their numbers. */
export interface SocketPlaces {
  /** A free number, or -1. */
  tryIndex(): number;
  put(index: number, tcb: Tcb): void;
}

/** RFC 9293 3.10.7.2: what a segment does in LISTEN. */
export class PassiveOpens {
  readonly listeners: Listeners;
  private readonly context: SocketContext;
  private readonly places: SocketPlaces;

  constructor(context: SocketContext, places: SocketPlaces) {
    this.context = context;
    this.places = places;
    this.listeners = new Listeners(context.random);
  }

  /**
   * A segment for `listener` has come. Returns whether it is answered, by what `answer` has become then.
   *
   * @param previous the connection whose place it takes: one in TIME-WAIT, or one that `isSuperseded`; else `null`
   * @param isForeign it is for an address that is not the stack's: only SYNs are answered there, where nobody can tell who
   *   else may have the connection
   */
  segmentArrives(
    listener: TcpListener,
    seg: TcpSegment,
    bytes: Uint8Array,
    path: Path,
    answer: TcpSegment,
    previous: Tcb | null,
    isForeign: boolean,
  ): boolean {
    // First: an RST.
    if (seg.flags & RST) return false;
    // Second: an ACK.
    if (seg.flags & ACK) {
      const syn = mayBringCookie(listener, seg, this.context.now) ? this.findCookie(seg) : null;
      if (syn === null) return !isForeign && refuse(seg, answer);
      return this.complete(listener, seg, syn, bytes, path, answer, previous);
    }
    // Third: a SYN. Fourth: anything else.
    if (!(seg.flags & SYN)) return false;
    return this.synArrives(listener, seg, path, answer, previous);
  }

  /**
   * Has `tcb`, which is half open, been overtaken by a cookie? The peer's first SYN was answered by one when the queue was
   * full, its second one opened `tcb`, and `seg` acknowledges the answer to the first.
   */
  isSuperseded(tcb: Tcb, seg: TcpSegment): boolean {
    if (tcb.state !== SYN_RECEIVED || tcb.listen === null || seg.ack === tcb.sndNxt) return false;
    const { now } = this.context;
    if ((seg.flags & (SYN | ACK | RST)) !== ACK || now > tcb.listen.cookiesUntil) return false;
    return synOfCookie(this.context, seg) !== null;
  }

  private synArrives(
    listener: TcpListener,
    seg: TcpSegment,
    path: Path,
    answer: TcpSegment,
    previous: Tcb | null,
  ): boolean {
    const { context } = this;
    const { stats, tcp } = context;
    const { queue } = listener;
    if (!queue.mayComplete) {
      // The peer sends its SYN again; a reset would end its attempt.
      stats.tcpListenOverflow++;
      return false;
    }
    const verdict = this.ask(listener, seg);
    if (verdict !== true || queue.isAtLimit) {
      stats.tcpConnectionsRefused++;
      return verdict !== "drop" && refuse(seg, answer);
    }
    // Who was in TIME-WAIT gives its place: there are not more of them than before.
    const mayOpen = previous !== null || (queue.mayOpen && tcp.synCookies !== "always");
    const index = mayOpen ? this.places.tryIndex() : -1;
    if (index !== -1) {
      if (previous !== null) enterClosed(previous, null);
      const tcb = openPassive(context, seg, path, index, queue, listener.tuning, previous);
      limitSegmentSize(tcb, listener.spec.maxSegmentSize);
      chooseControl(tcb, listener.congestionControl);
      this.places.put(index, tcb);
      return false;
    }
    if (tcp.synCookies === false || previous !== null) {
      stats.tcpListenOverflow++;
      return false;
    }
    queue.cookiesUntil = cookiesEnd(context.now);
    stats.tcpSynCookiesSent++;
    answerByCookie(context, seg, path, answer);
    answer.mss = Math.min(answer.mss, listener.spec.maxSegmentSize);
    return true;
  }

  /** What the listener's program says; it may even have closed the listener. */
  private ask(listener: TcpListener, seg: TcpSegment): AcceptVerdict {
    const { accept } = listener.spec;
    if (accept === null) return true;
    const request = {
      localAddress: cloneAddress(seg.destination),
      localPort: seg.destinationPort,
      remoteAddress: cloneAddress(seg.source),
      remotePort: seg.sourcePort,
    };
    try {
      const verdict = accept(request);
      if (verdict === "drop") return "drop";
      return verdict === true && listener.index !== -1;
    } catch {
      this.context.stats.tcpAcceptFailed++;
      return false;
    }
  }

  private findCookie(seg: TcpSegment): TcpSegment | null {
    const syn = synOfCookie(this.context, seg);
    if (syn === null) this.context.stats.tcpSynCookiesRejected++;
    return syn;
  }

  /** `seg` acknowledges the SYN-ACK that answered `syn`, and of which nothing else is known. */
  private complete(
    listener: TcpListener,
    seg: TcpSegment,
    syn: TcpSegment,
    bytes: Uint8Array,
    path: Path,
    answer: TcpSegment,
    previous: Tcb | null,
  ): boolean {
    const { context } = this;
    const { stats } = context;
    const { queue } = listener;
    if (queue.isAtLimit) {
      stats.tcpConnectionsRefused++;
      return refuse(seg, answer);
    }
    const index = queue.mayComplete ? this.places.tryIndex() : -1;
    if (index === -1) {
      // As if the ACK had been lost: the peer's text, sent again, brings it again.
      stats.tcpListenOverflow++;
      return false;
    }
    if (previous !== null) enterClosed(previous, null);
    const tcb = openByCookie(context, seg, syn, path, index, queue);
    applyTuning(tcb, listener.tuning);
    limitSegmentSize(tcb, listener.spec.maxSegmentSize);
    chooseControl(tcb, listener.congestionControl);
    this.places.put(index, tcb);
    stats.tcpSynCookiesAccepted++;
    return segmentArrives(tcb, seg, bytes, context.now) && refuse(seg, answer);
  }
}

/** Is `seg` an ACK, and has `listener` sent cookies of late? Else whoever guesses costs nothing. */
function mayBringCookie(listener: TcpListener, seg: TcpSegment, now: number): boolean {
  return (seg.flags & SYN) === 0 && now <= listener.queue.cookiesUntil;
}

function refuse(seg: TcpSegment, answer: TcpSegment): boolean {
  makeReset(seg, answer);
  return true;
}
