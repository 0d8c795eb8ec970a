import { expect } from "bun:test";
import { join } from "node:path";
import { openTun } from "../../devices/index.ts";
import { type DeviceEvent, type Host, open } from "../../src/index.ts";
import { failure } from "../host/pair.ts";
import { type Namespace, systemTest, until } from "../support/system.ts";

const root = join(import.meta.dir, "../..");
const US = "192.168.69.1";
const KERNEL = "192.168.69.100";

/** A host on a TUN interface of the namespace, with the kernel as its router. */
function hostIn(ns: Namespace, onDeviceEvent?: (event: DeviceEvent) => void): Promise<Host> {
  return ns.inside(() => {
    const device = openTun({ name: "tun0", hostAddress: `${KERNEL}/24` });
    return open({ device, addresses: [`${US}/24`], gateway: KERNEL, onDeviceEvent });
  });
}

systemTest("the kernel answers pings, and its errors are told", ["tun"], async (ns) => {
  const host = await hostIn(ns);
  try {
    const reply = await host.ping(KERNEL, { size: 1_472 });
    expect(reply).toMatchObject({ address: KERNEL, ttl: 64, bytes: 1_480 });
    expect(reply.data).toEqual(new Uint8Array(1_472).map((_, i) => i));
    const times = [];
    for (let i = 0; i < 200; i++) times.push((await host.ping(KERNEL)).ms);
    times.sort((a, b) => a - b);
    expect(times[0]).toBeGreaterThan(0);
    expect(times[100]).toBeLessThan(2);

    await ns.ok(["sysctl", "-w", "net.ipv4.ip_forward=1"]);
    // Else the kernel tells one host one error a second.
    await ns.ok(["sysctl", "-w", "net.ipv4.icmp_ratemask=0"]);
    await ns.ok(["ip", "tuntap", "add", "dev", "beyond", "mode", "tun"]);
    await ns.ok(["ip", "address", "add", "10.99.0.1/24", "dev", "beyond"]);
    await ns.ok(["ip", "link", "set", "beyond", "up"]);
    await ns.ok(["ip", "route", "add", "unreachable", "10.98.0.0/16"]);
    expect((await host.ping("10.99.0.1", { ttl: 1 })).address).toBe("10.99.0.1");
    const tooFar = host.ping("10.99.0.7", { ttl: 1 });
    expect(await failure(tooFar)).toBe("EHOSTUNREACH");
    await expect(tooFar).rejects.toThrow(`${KERNEL} says that 10.99.0.7 is too many hops away`);
    expect(await failure(host.ping("10.98.0.1"))).toBe("EHOSTUNREACH");
    expect(await failure(host.ping("10.97.0.1"))).toBe("ENETUNREACH");

    const errors: string[] = [];
    const udp = host.udp({ onError: (error, to) => errors.push(`${error.code} ${to.address}:${to.port}`) });
    await udp.send(new Uint8Array(3), { address: KERNEL, port: 9 });
    await until("an error", () => errors.length > 0);
    expect(errors).toEqual([`ECONNREFUSED ${KERNEL}:9`]);
  } finally {
    await host.close();
  }
});

systemTest("a host that is unref'd lets the process end, also behind wrappers", ["tun"], async (ns) => {
  const program = (unref: boolean) => `
    import { fault, observe, openTun } from "./devices/index.ts";
    import { open } from "./src/index.ts";
    const tun = openTun({ hostAddress: "${KERNEL}/24" });
    const device = fault(observe(tun, { received() {}, sending() {}, closing() {} }), { seed: 1 });
    const host = await open({ device, addresses: ["${US}/24"] });
    await host.ping("${KERNEL}");
    ${unref ? "host.unref();" : ""}
    console.log("ready");`;
  const run = (unref: boolean) => ns.start([process.execPath, "-e", program(unref)], { cwd: root });
  const free = run(true);
  await free.waitFor("ready");
  expect((await free.end(1_500)).exitCode).toBe(0);
  const kept = run(false);
  await kept.waitFor("ready");
  await Bun.sleep(300);
  expect((await kept.stop("SIGTERM")).exitCode).not.toBe(0);
});

systemTest("what befalls the interface reaches stack and program", ["tun"], async (ns) => {
  const events: string[] = [];
  const host = await hostIn(ns, (event) =>
    events.push(event.type === "mtu" ? `mtu ${event.mtu}` : event.type),
  );
  const seen = (event: string) => until(`the event "${event}"`, () => events.includes(event));
  try {
    await host.ping(KERNEL);
    await ns.ok(["ip", "link", "set", "tun0", "mtu", "1000"]);
    await seen("mtu 1000");
    expect(await failure(host.ping(KERNEL, { size: 973 }))).toBe("EMSGSIZE");
    expect((await host.ping(KERNEL, { size: 972 })).bytes).toBe(980);
    await ns.ok(["ip", "link", "set", "tun0", "down"]);
    await seen("down");
    expect(await failure(host.ping(KERNEL, { timeout: 20 }))).toBe("ETIMEDOUT");
    await ns.ok(["ip", "link", "set", "tun0", "up"]);
    await seen("up");
    expect((await host.ping(KERNEL)).address).toBe(KERNEL);
    await ns.ok(["ip", "link", "delete", "tun0"]);
    await seen("removed");
  } finally {
    await host.close();
  }
});
