import { describe, expect, test } from "bun:test";
import { memoryPair, packetDevice } from "../../devices/index.ts";
import { type Device, type DeviceEvent, type HostOptions, open, StackError } from "../../src/index.ts";
import { CLIENT, failure, pattern, readAll, SERVER, sha256, turn, until } from "./pair.ts";

/** Counts how often a device is closed. */
function watched(device: Device) {
  const watch = { closed: 0, device: device };
  watch.device = Object.create(device, {
    close: {
      value: () => {
        watch.closed++;
        device.close();
      },
    },
  });
  return watch;
}

const ethernet = () => memoryPair({ medium: "ethernet" });

describe("a host on several interfaces", () => {
  test("reaches hosts on each, and listens on all", async () => {
    const [left, toLeft] = memoryPair();
    const [right, toRight] = ethernet();
    await using host = await open({
      interfaces: [
        { device: left, addresses: ["10.1.0.1/24"], routes: [{ to: "10.9.0.0/16", via: "10.1.0.2" }] },
        { device: right, addresses: ["10.2.0.1/24", "10.3.0.1/24"], gateway: "10.2.0.2" },
      ],
    });
    expect(host.addresses).toEqual(["10.1.0.1", "10.2.0.1", "10.3.0.1"]);
    await using one = await open({ device: toLeft, addresses: ["10.1.0.2/24", "10.9.0.1/16"] });
    await using other = await open({ device: toRight, addresses: ["10.2.0.2/24", "8.8.8.8/32"] });
    const listener = host.listen({ port: 7 });
    void (async () => {
      for await (const connection of listener)
        connection.readable.pipeTo(connection.writable).catch(() => {});
    })();
    for (const [from, to] of [
      [one, "10.1.0.1"],
      [other, "10.2.0.1"],
    ] as const) {
      const connection = await from.connect({ address: to, port: 7 });
      const sent = pattern(200_000);
      const echoed = readAll(connection);
      await connection.write(sent);
      await connection.shutdown();
      expect(sha256(await echoed)).toBe(sha256(sent));
    }
    for (const address of ["10.1.0.2", "10.9.0.1", "10.2.0.2", "8.8.8.8"]) {
      expect((await host.ping(address, { timeout: 500 })).address).toBe(address);
    }
  });

  test("closes every device, once, also when something is wrong with one", async () => {
    const watches = [watched(memoryPair()[0]), watched(memoryPair()[0])];
    const host = await open({
      interfaces: watches.map(({ device }, i) => ({ device, addresses: [`10.${i}.0.1/24`] })),
    });
    await host.close();
    expect(watches.map(({ closed }) => closed)).toEqual([1, 1]);
    const others = [watched(memoryPair()[0]), watched(memoryPair()[0])];
    const wrong = open({
      interfaces: others.map(({ device }, i) => ({
        device,
        addresses: [i === 0 ? "10.0.0.1/24" : "nonsense"],
      })),
    });
    expect(await failure(wrong)).toBe("EINVAL");
    expect(others.map(({ closed }) => closed)).toEqual([1, 1]);
  });

  test("what is no set of interfaces is refused", async () => {
    const [device] = memoryPair();
    const addresses = ["10.0.0.1/24"];
    expect(await failure(open({ interfaces: [] }))).toBe("EINVAL");
    expect(await failure(open({ addresses } as unknown as HostOptions))).toBe("EINVAL");
    const twice = {
      interfaces: [
        { device, addresses },
        { device, addresses: ["10.1.0.1/24"] },
      ],
    };
    expect(await failure(open(twice))).toBe("EINVAL");
  });
});

describe("address conflicts", () => {
  test("open rejects when another station has the address, and closes the device", async () => {
    const [ours, theirs] = ethernet();
    const first = await open({ device: theirs, addresses: [`${SERVER}/24`] });
    const watch = watched(ours);
    const opening = open({ device: watch.device, addresses: [`${SERVER}/24`] });
    expect(await failure(opening)).toBe("EADDRINUSE");
    expect(watch.closed).toBeGreaterThan(0);
    await opening.catch((error: StackError) => expect(error.message).toContain(SERVER));
    await first.close();
  });

  test("open waits until the addresses are ours", async () => {
    const [device] = ethernet();
    const started = performance.now();
    await using host = await open({ device, addresses: [`${SERVER}/24`] });
    expect(performance.now() - started).toBeGreaterThan(50);
    expect(host.lastDeviceError).toBe(null);
  });

  test("later ones come as device events", async () => {
    const [ours, theirs] = ethernet();
    const events: DeviceEvent[] = [];
    await using host = await open({
      device: ours,
      addresses: [`${SERVER}/24`],
      onDeviceEvent: (event, device) => {
        expect(device).toBe(ours);
        events.push(event);
      },
    });
    const rival = await open({ device: theirs, addresses: [`${SERVER}/24`], conflictDetection: "off" });
    // Whoever asks for a neighbour tells its own address.
    rival.ping(CLIENT, { timeout: 50 }).catch(() => {});
    await until(() => events.length > 0);
    expect(events[0]).toMatchObject({ type: "error", error: { code: "EADDRINUSE" } });
    expect(host.lastDeviceError).toBe(events[0].type === "error" ? events[0].error : null);
    await rival.close();
  });
});

describe("device events", () => {
  test("go to the program in their order, with their device", async () => {
    const device = packetDevice();
    const seen: string[] = [];
    await using host = await open({
      device,
      addresses: ["10.0.0.2/24"],
      onDeviceEvent: (event, from) => seen.push(`${event.type} ${from === device}`),
    });
    const error = new StackError("EPERM", "no more");
    const events: DeviceEvent[] = [{ type: "down" }, { type: "up" }, { type: "error", error }];
    for (const event of events) device.report(event);
    await until(() => seen.length === 3);
    expect(seen).toEqual(["down true", "up true", "error true"]);
    expect(host.lastDeviceError).toBe(error);
  });

  test("without a listener the last error is kept", async () => {
    const device = packetDevice();
    await using host = await open({ device, addresses: ["10.0.0.2/24"] });
    device.report({ type: "error", error: new StackError("EPERM", "no more") });
    await until(() => host.lastDeviceError !== null);
    expect(host.lastDeviceError?.code).toBe("EPERM");
  });

  test("a smaller MTU is respected at once, by what waits too", async () => {
    const device = packetDevice({ mtu: 1_500 });
    await using host = await open({ device, addresses: ["10.0.0.2/24"] });
    const pinger = host.pinger();
    const udp = host.udp({ port: 9 });
    // Both wait for the poll, which comes after the news.
    const sends = [
      pinger.send({ address: "10.0.0.1", size: 1_000 }),
      udp.send(new Uint8Array(1_000), { address: "10.0.0.1", port: 9 }),
    ];
    device.report({ type: "mtu", mtu: 600 });
    await Promise.all(sends);
    await until(() => host.stats.packetsTooLarge === 2);
    expect(device.take()).toBe(null);
    expect(await failure(pinger.send({ address: "10.0.0.1", size: 573 }))).toBe("EMSGSIZE");
    await pinger.send({ address: "10.0.0.1", size: 572 });
    await until(() => host.stats.icmpEchoRequestsSent === 1);
    expect(device.take()?.length).toBe(600);
  });

  test("up lets connections try again at once", async () => {
    const [left, right] = memoryPair();
    let cut = true;
    const cable = Object.create(left, {
      commit: { value: (frame: Parameters<Device["commit"]>[0]) => cut || left.commit(frame) },
      onEvent: { value: (callback: (event: DeviceEvent) => void) => Object.assign(cable, { callback }) },
      callback: { writable: true, value: () => {} },
    });
    await using client = await open({ device: cable, addresses: [`${CLIENT}/24`] });
    await using server = await open({ device: right, addresses: [`${SERVER}/24`] });
    server.listen({ port: 7 });
    const connecting = client.connect({ address: SERVER, port: 7 });
    await Bun.sleep(30);
    cut = false;
    const started = performance.now();
    cable.callback({ type: "up" });
    const connection = await connecting;
    // The SYN would have been sent again after a second.
    expect(performance.now() - started).toBeLessThan(500);
    connection.abort();
  });

  test("after close there are none", async () => {
    const device = packetDevice();
    let count = 0;
    const host = await open({ device, addresses: ["10.0.0.2/24"], onDeviceEvent: () => count++ });
    device.report({ type: "down" });
    const closing = host.close();
    device.report({ type: "up" });
    await closing;
    await turn();
    await turn();
    expect(count).toBe(0);
  });
});
