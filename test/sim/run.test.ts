import { describe, expect, test } from "bun:test";
import { StackError } from "../../src/index.ts";
import { Network } from "../../src/sim/index.ts";
import { failure } from "../host/pair.ts";

function pair(seed = 1, options: Parameters<Network["link"]>[2] = {}) {
  const net = new Network({ seed });
  const [a, b] = [net.host("10.0.0.1/24"), net.host("10.0.0.2/24")];
  const link = net.link(a, b, options);
  return { net, a, b, link };
}

/** What `promise` rejects with. */
async function reason(promise: Promise<unknown>): Promise<Error> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof Error) return error;
  }
  throw new Error("it did not reject with an error");
}

describe("virtual time", () => {
  test("sleeps take exactly their time, and the order is that of the times", async () => {
    const net = new Network();
    const woken: string[] = [];
    const result = await net.run(async () => {
      const sleeper = async (name: string, ms: number) => {
        await net.sleep(ms);
        woken.push(`${name} ${net.now}`);
      };
      await Promise.all([sleeper("c", 30.5), sleeper("a", 10), sleeper("b", 10), sleeper("z", 0)]);
      return 7;
    });
    expect(result).toBe(7);
    expect(woken).toEqual(["z 0", "a 10", "b 10", "c 30.5"]);
    expect(net.now).toBe(30.5);
  });

  test("a program that computes takes no time, however many promises it awaits", async () => {
    const { net, a, b } = pair();
    await net.run(async () => {
      const listener = b.listen({ port: 7 });
      const connection = await a.connect({ address: "10.0.0.2", port: 7 });
      expect(net.now).toBe(2);
      for (let i = 0; i < 1_000; i++) await null;
      const passing = new TransformStream();
      const writer = passing.writable.getWriter();
      void writer.write("x").then(() => writer.close());
      for await (const _ of passing.readable) await null;
      expect(net.now).toBe(2);
      await listener.accept();
      await connection.close({ timeout: 10 });
    });
  });

  test("an hour of a request a second takes seconds", async () => {
    const started = performance.now();
    const { net, a, b } = pair(1, { rateMbit: 10, delayMs: 40 });
    let served = 0;
    await net.run(async () => {
      net.spawn(async () => {
        for await (const connection of b.listen({ port: 7 })) {
          net.spawn(async () => {
            for await (const chunk of connection) await connection.write(chunk);
            await connection.close();
          });
        }
      });
      while (net.now < 3_600_000) {
        const connection = await a.connect({ address: "10.0.0.2", port: 7 });
        await connection.write(`request ${served}`);
        await connection.shutdown();
        let answer = "";
        for await (const chunk of connection) answer += new TextDecoder().decode(chunk);
        expect(answer).toBe(`request ${served++}`);
        await connection.close();
        await net.sleep(1_000);
      }
      await b.close();
    });
    expect(served).toBeGreaterThan(2_800);
    expect(performance.now() - started).toBeLessThan(20_000);
  }, 30_000);

  test("the host's own times are virtual: connect, read, ping, close", async () => {
    const { net, a, b } = pair();
    await net.run(async () => {
      const since = (start: number) => Math.round(net.now - start);
      let start = net.now;
      expect(await failure(a.ping("10.0.0.99", { timeout: 250 }))).toBe("ETIMEDOUT");
      expect(since(start)).toBe(250);
      const listener = b.listen({ port: 7 });
      const connection = await a.connect({ address: "10.0.0.2", port: 7 });
      const accepted = await listener.accept();
      start = net.now;
      expect(await failure(connection.read({ timeout: 60_000 }))).toBe("ETIMEDOUT");
      expect(since(start)).toBe(60_000);
      start = net.now;
      void connection.write("the last words");
      await connection.shutdown();
      expect(since(start)).toBe(2);
      start = net.now;
      expect(await failure(connection.read({ timeout: 60_000 }))).toBe("ETIMEDOUT");
      expect(since(start)).toBe(60_000);
      start = net.now;
      const error = await reason(connection.read({ signal: net.timeoutSignal(500) }));
      expect([error.name, since(start)]).toEqual(["TimeoutError", 500]);
      start = net.now;
      net.partition([a], [b]);
      void accepted.write("to nobody");
      expect(await failure(a.connect({ address: "10.0.0.2", port: 7, timeout: 3_000 }))).toBe("ETIMEDOUT");
      expect(since(start)).toBe(3_000);
      start = net.now;
      expect(await failure(accepted.close({ timeout: 5_000 }))).toBe("ETIMEDOUT");
      expect(since(start)).toBe(5_000);
      start = net.now;
      await b.close({ timeout: 2_000 });
      expect(since(start)).toBeLessThanOrEqual(2_200);
      expect(connection.isClosed).toBe(false);
    });
  });

  test("UDP, errors of the network, and streams work in it", async () => {
    const { net, a, b } = pair();
    await net.run(async () => {
      const errors: string[] = [];
      const [near, far] = [a.udp({ onError: ({ code }) => errors.push(code) }), b.udp({ port: 9 })];
      await near.send(new Uint8Array(5), { address: "10.0.0.2", port: 9 });
      expect((await far.receive()).data.length).toBe(5);
      await near.send(new Uint8Array(5), { address: "10.0.0.2", port: 10 });
      await net.sleep(10);
      expect(errors).toEqual(["ECONNREFUSED"]);
      net.spawn(async () => {
        for await (const connection of b.listen({ port: 7 })) {
          net.spawn(() => connection.readable.pipeTo(connection.writable));
        }
      });
      const connection = await a.connect({ address: "10.0.0.2", port: 7 });
      const writer = connection.writable.getWriter();
      void writer.write(new Uint8Array(200_000)).then(() => writer.close());
      let count = 0;
      for await (const chunk of connection.readable) count += chunk.length;
      expect(count).toBe(200_000);
      await a.close();
      await b.close();
    });
  });

  test("time stands still for promises from outside", async () => {
    const net = new Network();
    let ticks = 0;
    const tick = () => {
      ticks++;
      net.after(1, tick);
    };
    tick();
    await net.run(async () => {
      await net.sleep(5);
      const before = [net.now, ticks];
      await net.outside(Bun.sleep(30));
      expect([net.now, ticks]).toEqual(before);
      expect(await net.outside(Promise.resolve("as it is"))).toBe("as it is");
      await net.sleep(5);
      expect(net.now).toBe(10);
    });
  });

  test("a task that was taken back does not run", async () => {
    const net = new Network();
    const ran: string[] = [];
    await net.run(async () => {
      const cancel = net.after(5, () => ran.push("cancelled"));
      net.after(6, () => ran.push("kept"));
      cancel();
      await net.sleep(10);
      expect(() => net.at(3, () => {})).toThrow("in the past");
    });
    expect(ran).toEqual(["kept"]);
  });
});

describe("failures", () => {
  test("what the program throws keeps its kind and names the seed", async () => {
    const net = new Network({ seed: 4711 });
    const error = await reason(
      net.run(async () => {
        await net.sleep(12.5);
        throw new StackError("EPIPE", "as it was");
      }),
    );
    expect(error).toBeInstanceOf(StackError);
    expect((error as StackError).code).toBe("EPIPE");
    expect(error.message).toStartWith("as it was\n");
    expect(error.message).toContain("seed 4711, at 12.5 ms");
  });

  test("an expectation that fails names the seed", async () => {
    const net = new Network({ seed: 99 });
    const error = await reason(net.run(() => expect(1).toBe(2)));
    expect(error.message).toContain("new Network({ seed: 99 })");
  });

  test("so does what is no error, and what is thrown beside the program", async () => {
    const net = new Network({ seed: 5 });
    const thrown = net.run(() => Promise.reject("a word"));
    expect((await reason(thrown)).message).toStartWith("a word\n[simulated network: seed 5");
    const spawned = net.run(async () => {
      net.spawn(async () => {
        await net.sleep(1);
        throw new Error("in a part");
      });
      await net.sleep(100);
    });
    expect((await reason(spawned)).message).toContain("in a part\n[simulated network: seed 5, at 1 ms");
    const task = net.run(async () => {
      net.after(1, () => {
        throw new Error("in a task");
      });
      await net.sleep(100);
    });
    expect((await reason(task)).message).toContain("in a task\n[simulated");
    net.onStep = () => {
      throw new Error("an invariant");
    };
    const step = net.run(() => net.sleep(100));
    expect((await reason(step)).message).toContain("an invariant\n[simulated");
    expect(() => net.runFor(1_000)).toThrow("seed 5");
  });

  test("a program that nothing will ever wake is told so", async () => {
    const { net, a, b } = pair(31);
    const error = await reason(
      net.run(async () => {
        const listener = b.listen({ port: 7 });
        await a.connect({ address: "10.0.0.2", port: 7 });
        const connection = await listener.accept();
        await connection.read();
      }),
    );
    expect(error).toMatchObject({ code: "ETIMEDOUT" });
    expect(error.message).toContain("nothing is left to happen");
    expect(error.message).toContain("seed 31");
  });

  test("a program that never ends is stopped at its time", async () => {
    const net = new Network();
    const forever = async () => {
      for (;;) await net.sleep(1_000);
    };
    const error = await reason(net.run(forever, { timeout: 60_000 }));
    expect(error.message).toContain("has not ended at 60000 ms");
    expect(net.now).toBe(60_000);
  });

  test("time that stands still is noticed", () => {
    const net = new Network();
    const again = () => void net.after(0, again);
    again();
    expect(() => net.runFor(1)).toThrow("give the links a delay");
  });

  test("one program at a time, and none beside steps by hand", async () => {
    const net = new Network();
    const running = net.run(() => net.sleep(10));
    expect(() => net.run(() => net.sleep(1))).toThrow("a program runs in this network");
    expect(() => net.step()).toThrow(StackError);
    await running;
    await net.run(() => net.sleep(10));
    expect(net.now).toBe(20);
  });
});
