import { describe, expect, test } from "bun:test";
import type { Device } from "../../src/device.ts";
import { Network } from "../../src/sim/index.ts";
import type { TcpSettings } from "../../src/socket/tcp/settings.ts";
import { failure } from "../host/pair.ts";
import { CuttingDevice } from "../support/cutting-device.ts";

/** RFC 1191, RFC 4821: transfers through a path whose MTU falls, whether routers say so or not. */

interface Trial {
  readonly icmp: boolean;
  readonly tcp?: Partial<TcpSettings>;
  readonly loss?: number;
  readonly offload?: boolean;
  readonly seed?: number;
  readonly bytes?: number;
}

/** The link between the routers carries so much from so many ms after the transfer has begun. */
const FALLS = [
  [400, 1_000],
  [1_200, 600],
] as const;

/** The sender's bytes. */
function textOf(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = (i * 31 + (i >> 9) * 7) & 0xff;
  return bytes;
}

/** Two hosts with links of 1,500 bytes, and two routers with the one that changes between them. */
async function transfer(trial: Trial) {
  const { icmp, tcp = {}, loss = 0, offload = false, seed = 1, bytes = 2_000_000 } = trial;
  const net = new Network({ seed });
  const cutting: CuttingDevice[] = [];
  const wrap = (device: Device) => {
    const cut = new CuttingDevice(device);
    cutting.push(cut);
    return cut;
  };
  const common = offload ? { wrap } : {};
  const a = net.host({ addresses: ["10.0.1.1/24"], gateway: "10.0.1.254", tcp, ...common });
  const b = net.host({ addresses: ["10.0.2.1/24"], gateway: "10.0.2.254", tcp });
  const near = net.router({
    interfaces: [
      { addresses: ["10.0.1.254/24"] },
      { addresses: ["10.0.9.1/24"], routes: [{ to: "10.0.2.0/24", via: "10.0.9.2" }] },
    ],
    icmp,
  });
  const far = net.router({
    interfaces: [
      { addresses: ["10.0.2.254/24"] },
      { addresses: ["10.0.9.2/24"], routes: [{ to: "10.0.1.0/24", via: "10.0.9.1" }] },
    ],
    icmp,
  });
  net.link(a, near, { delayMs: 1 });
  const middle = net.link(near, far, { rateMbit: 8, delayMs: 10, queuePackets: 60, loss });
  net.link(far, b, { delayMs: 1 });
  const text = textOf(bytes);
  let connection: Awaited<ReturnType<typeof a.connect>> | undefined;
  let arrived: Uint8Array = new Uint8Array(0);
  await net.run(
    async () => {
      const listener = b.listen({ port: 9 });
      net.spawn(async () => {
        connection = await a.connect({ address: "10.0.2.1", port: 9 });
        for (const [after, mtu] of FALLS) net.after(after, () => middle.setMtu(mtu));
        await connection.write(text);
        await connection.shutdown();
      });
      const accepted = await listener.accept();
      const parts: Uint8Array[] = [];
      for await (const chunk of accepted) parts.push(chunk.slice());
      arrived = Buffer.concat(parts);
    },
    { timeout: 600_000 },
  );
  const hash = (data: Uint8Array) => new Bun.CryptoHasher("sha256").update(data).digest("hex");
  expect(hash(arrived)).toBe(hash(text));
  const info = connection?.info();
  return {
    now: net.now,
    info,
    stats: a.stats,
    near,
    cuts: cutting.reduce((sum, { cut }) => sum + cut, 0),
    net,
  };
}

const CONTROLS = ["cubic", "bbr"] as const;

describe("the path's MTU falls from 1,500 to 1,000 to 600, and the transfer goes on", () => {
  for (const congestionControl of CONTROLS) {
    for (const offload of [false, true]) {
      for (const loss of [0, 0.01]) {
        const name = `${congestionControl}, ${offload ? "super-segments" : "segments"}, ${loss * 100} % loss`;
        const trial = { tcp: { congestionControl }, offload, loss };

        test(`routers say so: ${name}`, async () => {
          const { now, info, stats, near, cuts } = await transfer({ ...trial, icmp: true });
          expect(info).toMatchObject({ pathMtu: 600, mss: 548, mtuSearch: { high: 1_500, probe: null } });
          expect(stats).toMatchObject({ tcpPathMtuDecreases: 2, tcpBlackHoles: 0, tcpMtuProbes: 0 });
          // The tail loss probe's time is enough, unless what it waits for gets lost as well.
          if (loss === 0) expect(stats.tcpTimeouts).toBeLessThanOrEqual(1);
          expect(near.stats.tooLarge).toBeGreaterThan(1);
          // 2 s of 8 Mbit/s; CUBIC takes 6 at this loss, with and without all that.
          expect(now).toBeLessThan(loss === 0 ? 4_000 : 12_000);
          expect(cuts > 0).toBe(offload);
        });

        test(`ICMP is filtered: ${name}`, async () => {
          const { now, info, stats, near, cuts } = await transfer({ ...trial, icmp: false });
          expect(info?.pathMtu).toBeWithin(552, 601);
          expect(stats).toMatchObject({ tcpPathMtuDecreases: 0, tcpBlackHoles: 2 });
          expect(near.stats.tooLarge).toBeGreaterThan(1);
          // Two silences, of 3 s and twice that, until a smaller segment is tried.
          expect(now).toBeLessThan(loss === 0 ? 15_000 : 25_000);
          expect(cuts > 0).toBe(offload);
        });
      }
    }
  }

  test("without SACK and timestamps", async () => {
    const tcp = { sack: false, timestamps: false, congestionControl: "newreno" } as const;
    const told = await transfer({ icmp: true, tcp });
    expect(told.info?.pathMtu).toBe(600);
    expect(told.now).toBeLessThan(10_000);
    const silent = await transfer({ icmp: false, tcp });
    expect(silent.info?.pathMtu).toBeWithin(552, 601);
    expect(silent.now).toBeLessThan(25_000);
  });

  test("with mtuProbing off and ICMP filtered it does not, and the program is told", async () => {
    const tcp = { mtuProbing: "off", userTimeoutMs: 20_000 } as const;
    expect(await failure(transfer({ icmp: false, tcp }))).toBe("ETIMEDOUT");
  });

  test("routers that filter ICMP: what the path carries is found to the byte, or nearly", async () => {
    const { info, stats } = await transfer({
      icmp: false,
      bytes: 8_000_000,
      tcp: { congestionControl: "bbr" },
    });
    expect(info?.pathMtu).toBeWithin(593, 601);
    expect(stats.tcpMtuProbes).toBeLessThan(20);
  });

  test("the same seed gives the same run", async () => {
    const trial = { icmp: false, loss: 0.01, seed: 77, bytes: 1_000_000 } as const;
    const [one, other] = [await transfer(trial), await transfer(trial)];
    expect(one.now).toBe(other.now);
    expect(one.info).toEqual(other.info);
  });
});

describe("links whose MTU changes", () => {
  test("both ends know, and what is longer is dropped", async () => {
    const net = new Network();
    const [a, b] = [net.host("10.0.0.1/24"), net.host("10.0.0.2/24")];
    const link = net.link(a, b);
    await net.run(async () => {
      link.setMtu(1_000);
      expect(link.mtu).toBe(1_000);
      expect(await failure(a.ping("10.0.0.2", { size: 973 }))).toBe("EMSGSIZE");
      expect((await b.ping("10.0.0.1", { size: 972 })).bytes).toBe(980);
      link.setMtu(2_000);
      expect((await a.ping("10.0.0.2", { size: 1_972 })).bytes).toBe(1_980);
    });
    expect(() => link.setMtu(67)).toThrow("mtu is 67: give a whole number from 68 to 65535");
  });

  test("a router that is not to say anything does not", async () => {
    for (const icmp of [true, false]) {
      const net = new Network();
      const a = net.host({ addresses: ["10.0.1.1/24"], gateway: "10.0.1.254" });
      const router = net.router({
        interfaces: [{ addresses: ["10.0.1.254/24"] }, { addresses: ["10.0.2.254/24"] }],
        icmp,
      });
      net.link(a, router);
      await net.run(async () => {
        const said = await failure(a.ping("10.9.9.9", { timeout: 500 }));
        expect(said).toBe(icmp ? "ENETUNREACH" : "ETIMEDOUT");
        // For itself it answers all the same.
        expect((await a.ping("10.0.1.254")).ms).toBe(2);
      });
    }
  });

  test("a program that sends datagrams learns what a router has said", async () => {
    const net = new Network();
    const a = net.host({ addresses: ["10.0.1.1/24"], gateway: "10.0.1.254" });
    const b = net.host({ addresses: ["10.0.2.1/24"], gateway: "10.0.2.254" });
    const router = net.router(["10.0.1.254/24", "10.0.2.254/24"]);
    net.link(a, router);
    net.link(router, b, { mtu: 1_000 });
    const errors: string[] = [];
    await net.run(async () => {
      const endpoint = a.udp({ onError: (error) => errors.push(`${error.code}: ${error.message}`) });
      await endpoint.send(new Uint8Array(1_000), { address: "10.0.2.1", port: 9 });
      await net.sleep(100);
    });
    expect(errors).toEqual([
      "EMSGSIZE: 10.0.2.1:9 is behind a link with a smaller MTU, which carries packets of 1000 bytes: send shorter datagrams",
    ]);
    // Nobody can check what it said of a datagram: others do not go by it.
    expect(a.stack.sockets.context.pathMtus.size).toBe(0);
  });
});
