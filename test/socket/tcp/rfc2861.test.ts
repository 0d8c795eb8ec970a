import { describe, expect } from "bun:test";
import type { CongestionControlName } from "../../../src/socket/tcp/congestion/control.ts";
import { type Conversation, scenario } from "../../support/tcp.ts";
import { acks, flies, RTT_MS, withSack } from "../../support/tcp-recovery.ts";

/** RFC 2861, and RFC 7661 where that replaces it: a window that was not used says nothing of the path. */

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
  describe(`${congestionControl}: RFC 2861 3.1, after an idle time`, () => {
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

  describe(`${congestionControl}: RFC 7661 4.1, while it is not used`, () => {
    scenario("the window does not grow", () => {
      const s = withSack({ tcp: { congestionControl } });
      for (let i = 0; i < 30; i++) {
        flies(s, 1_000);
        s.passes(RTT_MS);
        acks(s, (s.tcb!.sndNxt - s.iss) | 0);
      }
      expect(s.socket.info().cwnd).toBe(10_000);
    });

    scenario("it grows where slow start uses half of it", () => {
      const s = withSack({ tcp: { congestionControl } });
      flies(s, 5_000);
      s.passes(RTT_MS);
      acks(s, 5_001);
      expect(s.socket.info().cwnd).toBeGreaterThan(10_000);
    });

    scenario("nor does it in congestion avoidance, unless it is full", () => {
      const s = withSack({ tcp: { congestionControl } });
      s.tcb!.ssthresh = 8_000;
      for (let i = 0; i < 30; i++) {
        flies(s, 8_000);
        s.passes(RTT_MS);
        acks(s, (s.tcb!.sndNxt - s.iss) | 0);
      }
      expect(s.socket.info().cwnd).toBe(10_000);
    });
  });
}
