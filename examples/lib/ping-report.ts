import type { EchoError, EchoReply } from "../../src/index.ts";

/** The words of ping(8): what it prints for an answer, and at the end. */

/** An answer as a line. */
export function answerLine(answer: EchoReply | EchoError): string {
  const { address, sequence, ttl, ms } = answer;
  if (answer.type === "error") return `From ${address} icmp_seq=${sequence} ${reason(answer)}`;
  const time = Number.isNaN(ms) ? "" : ` time=${formatTime(ms)} ms`;
  const note = answer.duplicate ? " (DUP!)" : "";
  return `${answer.bytes} bytes from ${address}: icmp_seq=${sequence} ttl=${ttl}${time}${note}`;
}

function reason({ error }: EchoError): string {
  if (error.message.includes("hops away")) return "Time to live exceeded";
  if (error.code === "EMSGSIZE") return "Frag needed and DF set";
  if (error.code === "ENETUNREACH") return "Destination Net Unreachable";
  if (error.code === "ECONNREFUSED") return "Destination Protocol Unreachable";
  return "Destination Host Unreachable";
}

/** Fewer digits for longer times. */
function formatTime(ms: number): string {
  return ms.toFixed(ms >= 100 ? 0 : ms >= 10 ? 1 : ms >= 1 ? 2 : 3);
}

/** What is counted while requests go out and answers come in. */
export class PingStatistics {
  sent = 0;
  received = 0;
  private duplicates = 0;
  private errors = 0;
  private shortest = Number.POSITIVE_INFINITY;
  longest = 0;
  private sum = 0;
  private sumOfSquares = 0;
  /** Replies whose time is known: the others are of requests too long ago. */
  private timed = 0;
  /** Most requests that were under way at once. */
  private pipe = 0;

  /** Requests that need no more waiting for: replies came, or errors. */
  get answers(): number {
    return this.received + this.errors;
  }

  add(answer: EchoReply | EchoError): void {
    if (answer.type === "error") {
      this.errors++;
      return;
    }
    if (answer.duplicate) {
      this.duplicates++;
      return;
    }
    this.received++;
    // Sequence numbers start at 1, and again after 65,535.
    this.pipe = Math.max(this.pipe, ((this.sent - answer.sequence) & 0xffff) + 1);
    const { ms } = answer;
    if (Number.isNaN(ms)) return;
    this.timed++;
    this.shortest = Math.min(this.shortest, ms);
    this.longest = Math.max(this.longest, ms);
    this.sum += ms;
    this.sumOfSquares += ms * ms;
  }

  /** The last lines; `elapsedMs` is from the first request until now. */
  summary(target: string, elapsedMs: number): string {
    const { sent, received, duplicates, errors, timed } = this;
    const extra = `${duplicates > 0 ? `, +${duplicates} duplicates` : ""}${errors > 0 ? `, +${errors} errors` : ""}`;
    const loss =
      sent === 0 ? "" : `, ${Number((((sent - received) * 100) / sent).toPrecision(6))}% packet loss`;
    let text = `\n--- ${target} ping statistics ---\n${sent} packets transmitted, ${received} received${extra}${loss}, time ${Math.round(elapsedMs)}ms\n`;
    const pipe = this.pipe > 1 ? `, pipe ${this.pipe}` : "";
    if (timed === 0) return `${text}${pipe.slice(2)}\n`;
    const average = this.sum / timed;
    const deviation = Math.sqrt(Math.max(0, this.sumOfSquares / timed - average * average));
    const times = [this.shortest, average, this.longest, deviation].map((ms) => ms.toFixed(3)).join("/");
    text += `rtt min/avg/max/mdev = ${times} ms${pipe}\n`;
    return text;
  }
}
