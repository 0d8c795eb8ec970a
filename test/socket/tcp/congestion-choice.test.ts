import { describe, expect, test } from "bun:test";
import { Stack, StackError } from "../../../src/index.ts";
import { established, scenario } from "../../support/tcp.ts";

/** Which congestion control a connection has. */

const name = (s: ReturnType<typeof established>) => s.socket.info().congestionControl;

describe("the congestion control", () => {
  test("is CUBIC unless the stack's settings say otherwise", () => {
    expect(new Stack().sockets.context.tcp.congestionControl).toBe("cubic");
  });

  scenario("is the stack's, of a connection that says nothing", () => {
    for (const congestionControl of ["cubic", "newreno", "bbr"] as const) {
      expect(name(established({ tcp: { congestionControl } }))).toBe(congestionControl);
      expect(name(established({ tcp: { congestionControl }, passive: true }))).toBe(congestionControl);
    }
  });

  scenario("may be another one of each connection, and each listener", () => {
    const s = established({ passive: true });
    const { sockets } = s.host.stack;
    const ours = sockets.connect({ address: "10.0.0.9", port: 9, congestionControl: "bbr" });
    expect(ours.info().congestionControl).toBe("bbr");
    const listener = sockets.listen({ port: 9, congestionControl: "cubic" });
    expect(listener.congestionControl).toBe("cubic");
    expect(name(s)).toBe("newreno");
  });

  test("a name that is none is refused, with those there are", () => {
    const wrong = "vegas" as "bbr";
    const stack = new Stack();
    for (const attempt of [
      () => new Stack({ tcp: { congestionControl: wrong } }),
      () => stack.sockets.listen({ port: 9, congestionControl: wrong }),
    ]) {
      expect(attempt).toThrow(StackError);
      expect(attempt).toThrow('"cubic", "newreno", "bbr"');
    }
    expect(() => new Stack({ tcp: { bbrToleratedLoss: 1 } })).toThrow("tolerated loss");
  });
});
