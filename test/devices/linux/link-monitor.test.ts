import { expect } from "bun:test";
import { type LinkListener, LinkMonitor } from "../../../devices/linux/link-monitor.ts";
import { RouteSocket } from "../../../devices/linux/netlink.ts";
import { StackError } from "../../../src/errors.ts";
import { thrownBy } from "../../support/errors.ts";
import { type Namespace, systemTest } from "../../support/system.ts";

/** A monitor of `lo` in the namespace, and what it tells. */
async function withMonitor(
  ns: Namespace,
  name: string,
  body: (look: () => string[], monitor: LinkMonitor) => Promise<void>,
): Promise<void> {
  const monitor = ns.inside(() => new LinkMonitor());
  const told: string[] = [];
  const listener: LinkListener = {
    linkUp: () => void told.push("up"),
    linkDown: () => void told.push("down"),
    linkMtu: (mtu) => void told.push(`mtu ${mtu}`),
    linkRemoved: () => void told.push("removed"),
    linkAppeared: (link) => {
      told.push(`appeared ${link.name} ${link.index !== 0}`);
    },
  };
  const look = () => {
    monitor.look(listener);
    return told.splice(0);
  };
  try {
    const link = monitor.routes.link(name);
    if (link === null) throw new Error(`there is no ${name}`);
    monitor.follow(link);
    await body(look, monitor);
  } finally {
    monitor.close();
    monitor.close();
  }
}

systemTest("a monitor tells what changed, once, and of its own interface only", [], async (ns) => {
  await ns.ok(["ip", "link", "add", "one", "type", "veth", "peer", "name", "two"]);
  await withMonitor(ns, "one", async (look) => {
    expect(look()).toEqual([]);
    await ns.ok(["ip", "link", "set", "one", "up"]);
    await ns.ok(["ip", "link", "set", "two", "mtu", "1300"]);
    expect(look()).toEqual(["up"]);
    expect(look()).toEqual([]);
    await ns.ok(["ip", "link", "set", "one", "down"]);
    await ns.ok(["ip", "link", "set", "one", "mtu", "1350"]);
    await ns.ok(["ip", "link", "set", "one", "up"]);
    await ns.ok(["ip", "link", "set", "one", "mtu", "1400"]);
    expect(look()).toEqual(["down", "mtu 1350", "up", "mtu 1400"]);
  });
});

systemTest("a monitor sees its interface go and another one of the name come", [], async (ns) => {
  await ns.ok(["ip", "link", "add", "one", "up", "type", "veth", "peer", "name", "two"]);
  await withMonitor(ns, "one", async (look, monitor) => {
    await ns.ok(["ip", "link", "delete", "one"]);
    expect(look()).toEqual(["down", "removed"]);
    await ns.ok(["ip", "link", "set", "lo", "mtu", "5000"]);
    expect(look()).toEqual([]);
    await ns.ok(["ip", "link", "add", "one", "type", "veth", "peer", "name", "two"]);
    expect(look()).toEqual(["appeared one true"]);
    monitor.follow(monitor.routes.link("one")!);
    await ns.ok(["ip", "link", "set", "one", "up"]);
    expect(look()).toEqual(["up"]);
    // Gone and back before anybody looks.
    await ns.ok(["ip", "link", "delete", "one"]);
    await ns.ok(["ip", "link", "add", "one", "type", "veth", "peer", "name", "two"]);
    expect(look()).toEqual(["down", "removed", "appeared one true"]);
  });
});

systemTest("a monitor follows a renaming", [], async (ns) => {
  await ns.ok(["ip", "link", "add", "one", "type", "veth", "peer", "name", "two"]);
  await withMonitor(ns, "one", async (look, monitor) => {
    await ns.ok(["ip", "link", "set", "one", "name", "three"]);
    look();
    expect(monitor.name).toBe("three");
  });
});

systemTest("a monitor that could not keep up asks how things are", [], async (ns) => {
  await ns.ok(["ip", "link", "add", "one", "type", "veth", "peer", "name", "two"]);
  await withMonitor(ns, "one", async (look) => {
    // More news than the kernel keeps for a socket; what concerns us is among what is lost.
    const batch = Array.from({ length: 1000 }, (_, i) => `link set lo mtu ${2000 + i}`).join("\n");
    await ns.ok(["ip", "-batch", "-"], { stdin: `${batch}\nlink set one mtu 1234\n` });
    expect(look()).toEqual(["mtu 1234"]);
    expect(look()).toEqual([]);
    await ns.ok(["ip", "link", "set", "one", "up"]);
    expect(look()).toEqual(["up"]);
  });
});

systemTest("a monitor that gets no answer keeps what it knows, and asks again", [], async (ns) => {
  await ns.ok(["ip", "link", "add", "one", "type", "veth", "peer", "name", "two"]);
  await withMonitor(ns, "one", async (look, monitor) => {
    const { routes } = monitor;
    const link = routes.link.bind(routes);
    let failures = 1;
    routes.link = (wanted) => {
      if (failures-- > 0) throw new StackError("EPERM", "not now");
      return link(wanted);
    };
    // What a name changed to is only asked for, not taken from the news.
    const rename = async (from: string, to: string) => {
      await ns.ok(["ip", "link", "set", from, "name", to]);
      look();
      return monitor.name;
    };
    expect(await rename("one", "uno")).toBe("uno");
    failures = 100;
    expect(await rename("uno", "un")).toBe("uno");
    failures = 0;
    look();
    expect(monitor.name).toBe("un");
  });
});

systemTest("a monitor looks at news that came while it asked", [], async (ns) => {
  await ns.ok(["ip", "link", "add", "one", "type", "veth", "peer", "name", "two"]);
  await withMonitor(ns, "one", async (look, monitor) => {
    const { routes } = monitor;
    const link = routes.link.bind(routes);
    const inside = (...command: string[]) => ns.inside(() => Bun.spawnSync(command));
    routes.link = (wanted) => {
      const found = link(wanted);
      routes.link = link;
      inside("ip", "link", "set", "one", "up");
      // Another request, whose answer is behind the news.
      link("lo");
      return found;
    };
    await ns.ok(["ip", "link", "set", "one", "mtu", "1400"]);
    expect(look()).toEqual(["mtu 1400", "up"]);
  });
});

systemTest("no answer is told from no interface", [], async (ns) => {
  const routes = ns.inside(() => new RouteSocket());
  expect(routes.link("nobody")).toBeNull();
  expect(routes.link(4711)).toBeNull();
  routes.close();
  const error = thrownBy(() => routes.link("lo"));
  expect(error.message).toBe("The kernel did not say whether there is an interface lo (EBADF); try again.");
});
