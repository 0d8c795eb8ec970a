import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { answerLine, PingStatistics } from "../../examples/lib/ping-report.ts";
import { PingTarget } from "../../examples/lib/ping-target.ts";
import { type EchoError, type EchoReply, StackError } from "../../src/index.ts";
import { systemTest } from "../support/system.ts";
import { example } from "./program.ts";

const ping = (...flags: string[]) => example("ping", ...flags);

function reply(sequence: number, ms: number, duplicate = false): EchoReply {
  const [address, data] = ["10.0.0.2", new Uint8Array(56)];
  return { type: "reply", address, target: address, sequence, ttl: 64, ms, bytes: 64, data, duplicate };
}

function failed(sequence: number, error: StackError): EchoError {
  return { type: "error", address: "10.0.0.9", target: "10.0.0.2", sequence, ttl: 64, ms: 1, error };
}

describe("what is printed", () => {
  test("an answer, with fewer digits for longer times", () => {
    for (const [ms, text] of [
      [0.0621, "0.062"],
      [1.234, "1.23"],
      [12.34, "12.3"],
      [123.4, "123"],
    ] as const) {
      expect(answerLine(reply(7, ms))).toBe(`64 bytes from 10.0.0.2: icmp_seq=7 ttl=64 time=${text} ms`);
    }
    expect(answerLine(reply(7, 1, true))).toEndWith("time=1.00 ms (DUP!)");
    expect(answerLine(reply(7, Number.NaN))).toBe("64 bytes from 10.0.0.2: icmp_seq=7 ttl=64");
    for (const [code, text] of [
      ["EHOSTUNREACH", "Destination Host Unreachable"],
      ["ENETUNREACH", "Destination Net Unreachable"],
      ["EMSGSIZE", "Frag needed and DF set"],
    ] as const) {
      expect(answerLine(failed(7, new StackError(code, "")))).toBe(`From 10.0.0.9 icmp_seq=7 ${text}`);
    }
    const exceeded = new StackError("EHOSTUNREACH", "10.0.0.9 says that 10.0.0.2 is too many hops away");
    expect(answerLine(failed(7, exceeded))).toBe("From 10.0.0.9 icmp_seq=7 Time to live exceeded");
  });

  test("the statistics", () => {
    const statistics = new PingStatistics();
    expect(statistics.summary("10.0.0.2", 0)).toBe(
      "\n--- 10.0.0.2 ping statistics ---\n0 packets transmitted, 0 received, time 0ms\n\n",
    );
    statistics.sent = 3;
    expect(statistics.summary("10.0.0.2", 2012)).toContain(
      "3 packets transmitted, 0 received, 100% packet loss, time 2012ms\n\n",
    );
    statistics.add(failed(1, new StackError("EHOSTUNREACH", "")));
    statistics.add(reply(2, 1));
    statistics.add(reply(2, 9, true));
    statistics.add(reply(3, 3));
    expect(statistics.summary("10.0.0.2", 2012.4)).toBe(`
--- 10.0.0.2 ping statistics ---
3 packets transmitted, 2 received, +1 duplicates, +1 errors, 33.3333% packet loss, time 2012ms
rtt min/avg/max/mdev = 1.000/2.000/3.000/1.000 ms, pipe 2
`);
  });
});

describe("whose answers count", () => {
  test("of one host, its own", () => {
    const target = new PingTarget("10.0.0.2", ["10.0.0.1/24"]);
    expect(target.isBroadcast).toBe(false);
    expect(target.accept(reply(1, 1))).toEqual(reply(1, 1));
    expect(target.accept({ ...reply(1, 1), target: "10.0.0.3" })).toBeNull();
    expect(target.accept(failed(1, new StackError("EHOSTUNREACH", "")))).not.toBeNull();
  });

  test("of a broadcast, everybody's, and all but the first are duplicates", () => {
    for (const address of ["10.0.0.255", "255.255.255.255"]) {
      const target = new PingTarget(address, ["192.168.69.1/24", "10.0.0.1/24"]);
      expect(target.isBroadcast).toBe(true);
      const duplicates = () => target.accept(reply(7, 1)) as EchoReply;
      target.asking(7);
      expect([duplicates().duplicate, duplicates().duplicate]).toEqual([false, true]);
      // 65,536 requests later.
      target.asking(7);
      expect(duplicates().duplicate).toBe(false);
      expect(target.accept(failed(7, new StackError("EHOSTUNREACH", "")))).toBeNull();
    }
  });
});

systemTest("ping.ts ends with the last error, and waits for no reply then", ["tun", "sysctl"], async (ns) => {
  const config = "examples/config/tun.toml";
  await ns.ok(["sysctl", "-qw", "net.ipv4.ip_forward=1"]);
  await ns.ok(["ip", "route", "add", "unreachable", "10.9.9.0/24"]);
  const started = performance.now();
  const command = [process.execPath, "run", "examples/ping.ts", "--config", config];
  const { exitCode, stdout } = await ns.run([...command, "-c", "2", "-i", "0.2", "-W", "30", "10.9.9.9"], {
    cwd: join(import.meta.dir, "../.."),
  });
  expect(stdout).toContain("From 192.168.69.100 icmp_seq=2 Destination Host Unreachable");
  expect(stdout).toContain("2 packets transmitted, 0 received, +2 errors, 100% packet loss");
  expect(exitCode).toBe(1);
  expect(performance.now() - started).toBeLessThan(3_000);
});

systemTest("ping.ts takes any host's reply to a broadcast", ["tun", "sysctl"], async (ns) => {
  await ns.ok(["sysctl", "-qw", "net.ipv4.icmp_echo_ignore_broadcasts=0"]);
  const command = [process.execPath, "run", "examples/ping.ts", "--config", "examples/config/tap.toml"];
  const { exitCode, stdout } = await ns.run([...command, "-c", "2", "-i", "0.05", "192.168.69.255"], {
    cwd: join(import.meta.dir, "../.."),
  });
  expect(stdout).toContain("64 bytes from 192.168.69.100: icmp_seq=2");
  expect(stdout).toContain("2 packets transmitted, 2 received, 0% packet loss");
  expect(exitCode).toBe(0);
});

describe("examples/ping.ts", () => {
  test("prints what ping(8) prints", async () => {
    const { exitCode, stdout, stderr } = await ping("-c", "3", "-i", "0.05", "-s", "100", "192.168.69.100");
    expect([exitCode, stderr]).toEqual([0, ""]);
    const lines = stdout.split("\n");
    expect(lines[0]).toBe("PING 192.168.69.100 (192.168.69.100) 100(128) bytes of data.");
    for (const n of [1, 2, 3]) {
      expect(lines[n]).toMatch(
        new RegExp(`^108 bytes from 192\\.168\\.69\\.100: icmp_seq=${n} ttl=64 time=[0-9.]+ ms$`),
      );
    }
    expect(lines[5]).toBe("--- 192.168.69.100 ping statistics ---");
    expect(lines[6]).toMatch(/^3 packets transmitted, 3 received, 0% packet loss, time [0-9]+ms$/);
    expect(lines[7]).toMatch(/^rtt min\/avg\/max\/mdev = [0-9.]+\/[0-9.]+\/[0-9.]+\/[0-9.]+ ms/);
  });

  test("-q prints the ends only; on Ethernet the neighbour is found first", async () => {
    const config = "test/examples/ethernet.toml";
    const { exitCode, stdout } = await ping(
      "-q",
      "-c",
      "2",
      "-i",
      "0.01",
      "--config",
      config,
      "192.168.69.9",
    );
    expect(exitCode).toBe(0);
    expect(stdout).not.toContain("icmp_seq");
    expect(stdout).toContain("2 packets transmitted, 2 received, 0% packet loss");
  });

  test("ends with the last reply, however long it would have waited for it", async () => {
    const started = performance.now();
    const slow = ["--config", "test/examples/slow.toml", "-c", "1"];
    const { exitCode, stdout } = await ping(...slow, "192.168.69.100");
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/ time=[23][0-9]{2} ms\n/);
    expect(performance.now() - started).toBeLessThan(4_000);
  });

  test("no reply is exit code 1, an error 2", async () => {
    const lossy = ["--config", "test/examples/lossy.toml", "-c", "2", "-i", "0.01", "-W", "0.1"];
    const [lost, unreachable, itself, usage, size] = await Promise.all([
      ping(...lossy, "192.168.69.100"),
      ping("-c", "1", "10.0.0.1"),
      ping("-c", "1", "192.168.69.1"),
      ping("-c", "0", "192.168.69.100"),
      ping("-c", "1", "-s", "60000", "192.168.69.100"),
    ]);
    expect(lost.exitCode).toBe(1);
    expect(lost.stdout).toContain("2 packets transmitted, 0 received, 100% packet loss");
    expect(unreachable.exitCode).toBe(2);
    expect(unreachable.stderr).toContain("no route to 10.0.0.1");
    expect([itself.exitCode, itself.stderr]).toEqual([
      2,
      "192.168.69.1 is this program itself: ask another one.\n",
    ]);
    expect(usage.exitCode).toBe(2);
    expect(usage.stderr).toStartWith('-c is "0"; write a whole number from 1 up.\n\nUsage: ');
    expect(size.exitCode).toBe(2);
  });

  test("Ctrl-C prints the statistics", async () => {
    const child = Bun.spawn([process.execPath, "run", "examples/ping.ts", "-i", "0.02", "192.168.69.100"], {
      cwd: join(import.meta.dir, "../.."),
    });
    const decoder = new TextDecoder();
    let printed = "";
    let interrupted = false;
    for await (const chunk of child.stdout) {
      printed += decoder.decode(chunk);
      if (interrupted || !printed.includes("icmp_seq=3")) continue;
      interrupted = true;
      child.kill("SIGINT");
    }
    expect(await child.exited).toBe(0);
    expect(printed).toMatch(
      /\n--- 192\.168\.69\.100 ping statistics ---\n[0-9]+ packets transmitted, [0-9]+ received/,
    );
  });
});
