import { describe } from "bun:test";
import type { ErrorCode, TcpState } from "../../src/index.ts";
import { type Conversation, type ScenarioOptions, scenario } from "./tcp.ts";

/** A synchronized state, and where the sequence numbers are in it. */
export interface StateUnderTest {
  readonly state: TcpState;
  readonly open: (options?: ScenarioOptions) => Conversation;
  readonly rcvNxt: number;
  readonly sndUna: number;
  readonly sndNxt: number;
  /** What the program is told when a reset arrives; `"ignored"` where none ends the connection (RFC 1337). */
  readonly resetError: ErrorCode | null | "ignored";
}

/** What RFC 9293 3.10.7.4 asks of all synchronized states alike. */
export function behavesAsSynchronized(under: StateUnderTest): void {
  const { state, open, rcvNxt, sndUna, sndNxt } = under;
  const challenge = { seq: sndNxt, ack: rcvNxt };

  describe("3.10.7.4, first: check sequence number", () => {
    scenario("an old segment is acknowledged and dropped: <SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK>", () => {
      const s = open();
      s.receives({ seq: rcvNxt - 1, ack: sndNxt });
      s.sends(challenge);
      s.is(state);
    });

    scenario("a segment beyond the window is acknowledged and dropped", () => {
      const s = open();
      const window = s.socket.info().rcvWnd;
      s.receives({ seq: rcvNxt + window, ack: sndNxt, length: 10 });
      s.sends(challenge);
      s.receives({ seq: rcvNxt + window, ack: sndNxt });
      s.sends(challenge);
      s.is(state);
      s.readsNothingNew();
    });

    scenario(
      "an ACK at the last sequence number of the window is acceptable, and answered by nothing",
      () => {
        const s = open();
        const window = s.socket.info().rcvWnd;
        s.receives({ seq: rcvNxt + window - 1, ack: sndUna });
        s.sendsNothing();
        s.is(state);
      },
    );

    scenario("a segment with a wrong checksum is not looked at", () => {
      const s = open();
      s.receives({ seq: rcvNxt - 1, ack: sndNxt, badChecksum: true });
      s.receives({ seq: rcvNxt, flags: "R", badChecksum: true });
      s.sendsNothing();
      s.is(state);
    });
  });

  describe("3.10.7.4, second: check the RST bit", () => {
    scenario("outside of the window: silently dropped", () => {
      const s = open();
      const window = s.socket.info().rcvWnd;
      s.receives({ seq: rcvNxt - 1, flags: "R" });
      s.receives({ seq: rcvNxt + window, flags: "R" });
      s.sendsNothing();
      s.is(state);
    });

    if (under.resetError === "ignored") return;
    const { resetError } = under;

    scenario("in the window but not at RCV.NXT: a challenge ACK, and no more", () => {
      const s = open();
      s.receives({ seq: rcvNxt + 1, flags: "R" });
      s.sends(challenge);
      s.receives({ seq: rcvNxt + s.socket.info().rcvWnd - 1, flags: "R." });
      s.sends(challenge);
      s.is(state);
    });

    scenario("at RCV.NXT: the connection is deleted, and nothing answers", () => {
      const s = open();
      s.receives({ seq: rcvNxt, flags: "R" });
      s.sendsNothing();
      s.failedWith(resetError);
    });

    scenario("SHLD-2: a reset may carry text", () => {
      const s = open();
      s.receives({ seq: rcvNxt, flags: "R.", ack: sndNxt, data: "no such user" });
      s.sendsNothing();
      s.failedWith(resetError);
    });
  });

  describe("3.10.7.4, fourth: check the SYN bit", () => {
    scenario("irrespective of the sequence number: a challenge ACK", () => {
      const s = open();
      s.receives({ seq: rcvNxt, flags: "S" });
      s.sends(challenge);
      s.receives({ seq: rcvNxt, flags: "S.", ack: sndNxt });
      s.sends(challenge);
      s.receives({ seq: 0, flags: "S." });
      s.sends(challenge);
      s.is(state);
    });
  });

  describe("3.10.7.4, fifth: check the ACK field", () => {
    scenario("if the ACK bit is off, drop the segment", () => {
      const s = open();
      s.receives({ seq: rcvNxt, flags: "P", length: 5 });
      s.receives({ seq: rcvNxt, flags: "F" });
      s.sendsNothing();
      s.is(state);
      s.readsNothingNew();
    });

    scenario("what was never sent is acknowledged: an ACK, and the segment is dropped", () => {
      const s = open();
      s.receives({ seq: rcvNxt, ack: sndNxt + 1, length: 5 });
      s.sends(challenge);
      s.is(state);
      s.readsNothingNew();
    });

    scenario("RFC 5961 5.2: older than SND.UNA - MAX.SND.WND: an ACK, and the segment is dropped", () => {
      const s = open();
      s.receives({ seq: rcvNxt, ack: sndUna - 65_535 - 1, length: 5 });
      s.sends(challenge);
      s.is(state);
      s.readsNothingNew();
    });

    scenario("an old ACK in that range is ignored", () => {
      const s = open();
      s.receives({ seq: rcvNxt, ack: sndUna - 65_535, win: 1 });
      s.sendsNothing();
      s.is(state);
    });
  });
}
