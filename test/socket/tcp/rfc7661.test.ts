import { describe, expect } from "bun:test";
import { scenario } from "../../support/tcp.ts";
import { acks, flies, RTT_MS, withSack } from "../../support/tcp-recovery.ts";

/** RFC 7661: a window that is not used says nothing of the path, and does not grow. */

for (const congestionControl of ["newreno", "cubic"] as const) {
  describe(`${congestionControl}: 4.1, while the window is not used`, () => {
    scenario("the window does not grow", () => {
      const s = withSack({ tcp: { congestionControl } });
      for (let i = 0; i < 30; i++) {
        flies(s, 1_000);
        s.passes(RTT_MS);
        acks(s, (s.tcb!.sndNxt - s.iss) | 0);
      }
      expect(s.socket.info().cwnd).toBe(10_000);
    });

    scenario("it grows where slow start uses more than half of it", () => {
      const s = withSack({ tcp: { congestionControl } });
      flies(s, 6_000);
      s.passes(RTT_MS);
      acks(s, 6_001);
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
