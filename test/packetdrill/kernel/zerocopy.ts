import { seqAdd, seqGeq } from "../../../src/socket/tcp/seq.ts";
import type { Tcb } from "../../../src/socket/tcp/tcb.ts";

/** Numbers of MSG_ZEROCOPY sends, from and to, that are over. */
export interface Completion {
  first: number;
  last: number;
}

/** MSG_ZEROCOPY: sends are numbered, and the error queue tells when the peer has acknowledged them. Bytes are copied anyway. */
export class ZerocopyQueue {
  private next = 0;
  private readonly under: { id: number; end: number }[] = [];
  private readonly completions: Completion[] = [];

  /** A send has put bytes, or some of them, into the buffer. */
  sent(tcb: Tcb): void {
    this.under.push({ id: this.next++, end: seqAdd(tcb.sndUna, tcb.sendBuffer.length) });
  }

  /** What the peer has acknowledged, or nobody will any more, is over. Returns whether anything is. */
  acknowledge(tcb: Tcb): boolean {
    let isNews = false;
    while (this.under.length > 0 && (tcb.sendBuffer.length === 0 || seqGeq(tcb.sndUna, this.under[0].end))) {
      const { id } = this.under.shift() as { id: number };
      isNews = true;
      const last = this.completions.at(-1);
      if (last !== undefined && last.last + 1 === id) last.last = id;
      else this.completions.push({ first: id, last: id });
    }
    return isNews;
  }

  get isEmpty(): boolean {
    return this.completions.length === 0;
  }

  take(): Completion | null {
    return this.completions.shift() ?? null;
  }
}
