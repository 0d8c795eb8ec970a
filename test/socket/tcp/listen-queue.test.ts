import { describe, expect, test } from "bun:test";
import { HalfOpenCount, ListenQueue } from "../../../src/socket/tcp/listen-queue.ts";
import { ESTABLISHED, SYN_RECEIVED, type Tcb } from "../../../src/socket/tcp/tcb.ts";

/** What the queue looks at of a connection. */
function connection(): Tcb {
  return { state: SYN_RECEIVED, listen: null, holder: null } as unknown as Tcb;
}

function queueOf(backlog = 10): { queue: ListenQueue; all: HalfOpenCount; complete: () => Tcb } {
  const all = new HalfOpenCount(1_000);
  const queue = new ListenQueue({ signal() {} }, all, backlog, 1_000, Number.POSITIVE_INFINITY);
  const complete = () => {
    const tcb = connection();
    queue.addHalfOpen(tcb);
    tcb.state = ESTABLISHED;
    queue.promote(tcb);
    return tcb;
  };
  return { queue, all, complete };
}

/** The program accepts. */
function accept(queue: ListenQueue): Tcb | null {
  const tcb = queue.accept();
  if (tcb !== null) tcb.holder = { hold() {} };
  return tcb;
}

/** So many connections does it hold on to. */
function remembered(queue: ListenQueue): number {
  return (Reflect.get(queue, "complete") as Tcb[]).length;
}

describe("connections of a listener", () => {
  test("are accepted in the order in which they were complete, but for those that are over", () => {
    const { queue, complete } = queueOf();
    const [first, second, third] = [complete(), complete(), complete()];
    queue.remove(second);
    expect([queue.acceptable, queue.connections]).toEqual([2, 2]);
    expect(accept(queue)).toBe(first);
    expect(accept(queue)).toBe(third);
    expect(accept(queue)).toBeNull();
    expect([queue.acceptable, queue.connections]).toEqual([0, 2]);
    const fourth = complete();
    expect(accept(queue)).toBe(fourth);
  });

  test("count as long as they are there: half-open, complete, accepted", () => {
    const { queue, all, complete } = queueOf(2);
    const half = connection();
    queue.addHalfOpen(half);
    expect([all.count, queue.acceptable, queue.connections, queue.isPending(half)]).toEqual([1, 0, 0, true]);
    queue.remove(half);
    expect([all.count, queue.acceptable, queue.connections, queue.isPending(half)]).toEqual([0, 0, 0, false]);
    complete();
    expect(queue.mayComplete).toBe(true);
    const last = complete();
    expect(queue.mayComplete).toBe(false);
    queue.remove(last);
    const accepted = accept(queue);
    expect([all.count, queue.acceptable, queue.connections]).toEqual([0, 0, 1]);
    expect(queue.isPending(accepted as Tcb)).toBe(false);
    queue.remove(accepted as Tcb);
    expect([all.count, queue.acceptable, queue.connections]).toEqual([0, 0, 0]);
  });

  test("are forgotten when they are over, whether all are ever accepted or none is", () => {
    const { queue, complete } = queueOf();
    complete();
    for (let i = 0; i < 10_000; i++) {
      complete();
      accept(queue);
      if (i % 3 === 0) queue.remove(complete());
    }
    expect([queue.acceptable, queue.connections]).toEqual([1, 10_001]);
    expect(remembered(queue)).toBeLessThan(100);
    const waiting: Tcb[] = [];
    for (let i = 0; i < 10_000; i++) waiting.push(complete());
    for (const tcb of waiting) queue.remove(tcb);
    expect(remembered(queue)).toBeLessThan(100);
    expect(accept(queue)).not.toBeNull();
    expect(accept(queue)).toBeNull();
  });
});
