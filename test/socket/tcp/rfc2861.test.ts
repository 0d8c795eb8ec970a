import { describe, expect } from "bun:test";
import type { CongestionControlName } from "../../../src/socket/tcp/congestion/control.ts";
import { type Conversation, scenario } from "../../support/tcp.ts";
import { acks, flies, RTT_MS, withSack } from "../../support/tcp-recovery.ts";

/** RFC 2861: after an idle time the path is tried anew, and what was known of it is not forgotten. */

/** The window is full, round trip by round trip, until it has so many bytes. */
function grown(congestionControl: CongestionControlName, to: number): Conversation {
  const s = withSack({ tcp: { congestionControl } });
  while (s.socket.info().cwnd < to) {
    const unacknowledged = s.socket.unacknowledgedBytes;
    s.write(s.socket.info().cwnd - unacknowledged);
    s.sent();
    s.passes(RTT_MS);
    acks(s, (s.tcb!.sndNxt - s.iss) | 0);
  }
  return s;
}

for (const congestionControl of ["newreno", "cubic"] as const) {
  describe(`${congestionControl}: 3.1, after an idle time`, () => {
    scenario("of more than an RTO: the initial window, and ssthresh keeps three quarters of what was", () => {
      const s = grown(congestionControl, 30_000);
      const { cwnd } = s.socket.info();
      s.passes(s.tcb!.rto + 1);
      expect(flies(s, 60_000)).toHaveLength(10);
      expect(s.socket.info().cwnd).toBe(10_000);
      const { ssthresh } = s.socket.info();
      if (ssthresh !== null) expect(ssthresh).toBeGreaterThanOrEqual(Math.floor(0.75 * cwnd));
    });

    scenario("of less: the window is as it was", () => {
      const s = grown(congestionControl, 30_000);
      const { cwnd } = s.socket.info();
      s.passes(s.tcb!.rto - RTT_MS - 1);
      expect(flies(s, 90_000)).toHaveLength(Math.floor(cwnd / 1_000));
    });
  });
}
