import { describe, expect, test } from "bun:test";
import { memoryPair, observe } from "../../devices/index.ts";
import { open, StackError } from "../../src/index.ts";
import { icmpPacket } from "../support/packets.ts";
import { TestDevice } from "../support/test-device.ts";
import { CLIENT, failure, NOBODY, Pair, SERVER, until } from "./pair.ts";

describe("host.ping", () => {
  test("resolves with the reply", async () => {
    await using pair = await Pair.open();
    const reply = await pair.client.ping(SERVER);
    expect(reply).toMatchObject({ address: SERVER, target: SERVER, sequence: 1, ttl: 64, bytes: 64 });
    expect(reply.ms).toBeGreaterThan(0);
    expect(reply.ms).toBeLessThan(1_000);
    expect([...reply.data.subarray(0, 3), reply.data.length]).toEqual([0, 1, 2, 56]);
    const small = await pair.client.ping(SERVER, { size: 0, sequence: 700, ttl: 1 });
    expect(small).toMatchObject({ bytes: 8, sequence: 700 });
    expect(pair.client.stack.sockets.size).toBe(0);
  });

  test("carries as much as the MTU allows", async () => {
    await using pair = await Pair.open();
    expect((await pair.client.ping(SERVER, { size: 1_472 })).bytes).toBe(1_480);
    expect(await failure(pair.client.ping(SERVER, { size: 1_473 }))).toBe("EMSGSIZE");
  });

  test("rejects where nobody answers, and where there is no way", async () => {
    await using pair = await Pair.open();
    await expect(pair.client.ping(NOBODY, { timeout: 20 })).rejects.toThrow(
      `${NOBODY} did not answer within 20 ms`,
    );
    expect(await failure(pair.client.ping(NOBODY, { timeout: 20 }))).toBe("ETIMEDOUT");
    expect(await failure(pair.client.ping("10.9.9.9"))).toBe("ENETUNREACH");
    expect(await failure(pair.client.ping("nobody.example"))).toBe("EINVAL");
    expect(await failure(pair.client.ping(SERVER, { size: -1 }))).toBe("EINVAL");
    expect(await failure(pair.client.ping(SERVER, { ttl: 256 }))).toBe("EINVAL");
    expect(await failure(pair.client.ping(SERVER, { timeout: Number.NaN }))).toBe("EINVAL");
    expect(await failure(pair.client.ping(NOBODY, { signal: AbortSignal.timeout(5) }))).toBe("TimeoutError");
    expect(pair.client.stack.sockets.size).toBe(0);
    const waiting = failure(pair.client.ping(NOBODY));
    await pair.client.close();
    expect(await waiting).toBe("ECANCELED");
    expect(await failure(pair.client.ping(SERVER))).toBe("ENETDOWN");
  });

  test.each([
    [3, 1, "EHOSTUNREACH"],
    [3, 0, "ENETUNREACH"],
    [11, 0, "EHOSTUNREACH"],
    [3, 4, "EMSGSIZE"],
  ])("an ICMP error of type %d, code %d is %s", async (type, code, expected) => {
    const device = new TestDevice();
    await using host = await open({ device, addresses: [`${CLIENT}/24`] });
    const pinging = host.ping(SERVER).catch((error: unknown) => error);
    await until(() => device.sent.length === 1);
    device.inject(icmpPacket({ from: "10.0.0.254", to: CLIENT }, type, code, 0, device.sent[0]));
    host.stack.poll(performance.now());
    const error = await pinging;
    expect(error).toBeInstanceOf(StackError);
    expect((error as StackError).code).toBe(expected as StackError["code"]);
    expect((error as StackError).message).toContain(`10.0.0.254 says that ${SERVER}`);
  });

  test("only whom it asked may answer", async () => {
    const device = new TestDevice();
    await using host = await open({ device, addresses: [`${CLIENT}/24`] });
    const pinging = host.ping(SERVER, { timeout: 200 });
    await until(() => device.sent.length === 1);
    const identifier = (device.sent[0][24] << 8) | device.sent[0][25];
    device.inject(icmpPacket({ from: NOBODY, to: CLIENT }, 0, 0, (identifier << 16) | 1));
    device.inject(icmpPacket({ from: SERVER, to: CLIENT }, 0, 0, (identifier << 16) | 2));
    device.inject(icmpPacket({ from: SERVER, to: CLIENT }, 0, 0, (identifier << 16) | 1, new Uint8Array(3)));
    host.stack.poll(performance.now());
    expect(await pinging).toMatchObject({ address: SERVER, sequence: 1, bytes: 11 });
  });

  test("a broadcast address is answered by somebody", async () => {
    const device = new TestDevice();
    await using host = await open({ device, addresses: [`${CLIENT}/24`] });
    const pinging = host.ping("10.0.0.255", { timeout: 200 });
    await until(() => device.sent.length === 1);
    const identifier = (device.sent[0][24] << 8) | device.sent[0][25];
    device.inject(icmpPacket({ from: NOBODY, to: CLIENT }, 0, 0, (identifier << 16) | 1));
    host.stack.poll(performance.now());
    expect((await pinging).address).toBe(NOBODY);
  });

  test("the time does not include how long the program was busy before the request left", async () => {
    await using pair = await Pair.open();
    await pair.client.ping(SERVER);
    const pinging = pair.client.ping(SERVER);
    const busyUntil = performance.now() + 200;
    while (performance.now() < busyUntil);
    expect((await pinging).ms).toBeLessThan(150);
  });

  test("a device that answers within the poll that asks has a time above 0", async () => {
    const [left, right] = memoryPair();
    const peer = await open({ device: right, addresses: [`${SERVER}/24`] });
    // As a TUN device: the kernel's answer is there when the write returns.
    const device = observe(left, {
      received() {},
      sending() {},
      closing() {},
    });
    const commit = device.commit.bind(device);
    device.commit = (frame) => {
      commit(frame);
      const until = performance.now() + 3;
      while (performance.now() < until);
      peer.stack.poll(performance.now());
    };
    await using host = await open({ device, addresses: [`${CLIENT}/24`] });
    expect((await host.ping(SERVER)).ms).toBeGreaterThan(2.9);
    await peer.close();
  });
});

describe("host.pinger", () => {
  test("many at once, with numbers of their own", async () => {
    await using pair = await Pair.open();
    await using pinger = pair.client.pinger({ buffers: { messages: 256 } });
    const sequences = await Promise.all(
      Array.from({ length: 200 }, () => pinger.send({ address: SERVER, size: 8 })),
    );
    expect(sequences).toEqual(Array.from({ length: 200 }, (_, i) => i + 1));
    const seen = new Set<number>();
    for await (const answer of pinger) {
      expect(answer.type).toBe("reply");
      seen.add(answer.sequence);
      if (seen.size === 200) break;
    }
    expect(await failure(pinger.receive())).toBe("ECANCELED");
  });

  test("duplicates and late replies show", async () => {
    const device = new TestDevice();
    await using host = await open({ device, addresses: [`${CLIENT}/24`] });
    const pinger = host.pinger({ identifier: 5 });
    await pinger.send({ address: SERVER, sequence: 9 });
    await until(() => device.sent.length === 1);
    await Bun.sleep(5);
    const reply = icmpPacket({ from: SERVER, to: CLIENT }, 0, 0, (5 << 16) | 9);
    device.inject(reply, reply);
    device.inject(icmpPacket({ from: SERVER, to: CLIENT }, 0, 0, (5 << 16) | 77));
    host.stack.poll(performance.now());
    const [first, second, third] = [await pinger.receive(), await pinger.receive(), await pinger.receive()];
    expect(first).toMatchObject({ sequence: 9, duplicate: false });
    expect(first.ms).toBeGreaterThan(4);
    expect(second).toMatchObject({ sequence: 9, duplicate: true });
    expect(third).toMatchObject({ sequence: 77, duplicate: false });
    expect(third.ms).toBeNaN();
  });

  test("answers that nobody receives wait in a bounded queue", async () => {
    const device = new TestDevice();
    await using host = await open({ device, addresses: [`${CLIENT}/24`] });
    const pinger = host.pinger({ identifier: 5, buffers: { messages: 10 } });
    const reply = icmpPacket({ from: SERVER, to: CLIENT }, 0, 0, 5 << 16);
    for (let i = 0; i < 3_000; i++) device.inject(reply);
    while (host.stack.poll(performance.now()));
    const { icmpEchoReplies, icmpQueueFull } = host.stats;
    expect([icmpEchoReplies, icmpQueueFull]).toEqual([10, 2_990]);
    for (let i = 0; i < 10; i++) expect((await pinger.receive()).type).toBe("reply");
    expect(await failure(pinger.receive({ timeout: 5 }))).toBe("ETIMEDOUT");
  });

  test("closes by signal, and says so to who waits", async () => {
    await using pair = await Pair.open();
    const controller = new AbortController();
    const pinger = pair.client.pinger({ signal: controller.signal });
    const waiting = failure(pinger.receive());
    controller.abort();
    expect(await waiting).toBe("ECANCELED");
    expect(await failure(pinger.send({ address: SERVER }))).toBe("ECANCELED");
    expect(pair.client.stack.sockets.size).toBe(0);
  });
});

describe("UDP errors", () => {
  test("ECONNREFUSED is told to who asked for errors", async () => {
    await using pair = await Pair.open();
    const errors: string[] = [];
    const endpoint = pair.client.udp({
      onError: (error, about) => errors.push(`${error.code} ${about.address}:${about.port}`),
    });
    await endpoint.send(new Uint8Array(3), { address: SERVER, port: 9 });
    await until(() => errors.length > 0);
    expect(errors).toEqual([`ECONNREFUSED ${SERVER}:9`]);
    // Who did not ask goes on.
    const deaf = pair.client.udp();
    await deaf.send(new Uint8Array(3), { address: SERVER, port: 9 });
    await until(() => pair.client.stats.udpErrors === 2);
    expect(await failure(deaf.receive({ timeout: 5 }))).toBe("ETIMEDOUT");
  });
});
