import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { isCi, type Machine, Namespace, requirement, systemTest, until } from "./system.ts";

const machine = (changes: Partial<Machine> & { without?: string }): Machine => ({
  platform: "linux",
  uid: 0,
  hasFile: (path) => path !== changes.without,
  hasCommand: (name) => name !== changes.without,
  namespaceProblem: () => null,
  ...changes,
});

test("a requirement names the first thing that is missing", () => {
  expect(requirement(["tun", "ping"], machine({}))).toBeNull();
  expect(requirement([], machine({ platform: "darwin" }))).toBe("needs Linux, and this is darwin");
  expect(requirement([], machine({ uid: 1000 }))).toBe("needs root");
  expect(requirement([], machine({ without: "unshare" }))).toBe("needs the command unshare");
  expect(requirement(["tun"], machine({ without: "/dev/net/tun" }))).toBe("needs /dev/net/tun");
  expect(requirement(["ping"], machine({ without: "/dev/net/tun" }))).toBeNull();
  expect(requirement(["ping", "curl"], machine({ without: "curl" }))).toBe("needs the command curl");
  expect(requirement([], machine({ namespaceProblem: () => "not permitted" }))).toBe(
    "needs network and process namespaces: not permitted",
  );
});

test("CI is what has CI set, and not to a no", () => {
  for (const value of [undefined, "", "0", "false", "FALSE"]) expect(isCi(value)).toBe(false);
  for (const value of ["true", "1", "yes"]) expect(isCi(value)).toBe(true);
});

systemTest("a namespace has a loopback interface that is up, and nothing else", [], async (ns) => {
  const links = (await ns.ok(["ip", "-o", "link"])).trim().split("\n");
  expect(links.filter((line) => line.includes("UP"))).toHaveLength(1);
  expect(links.filter((line) => line.includes("UP"))[0]).toContain("lo:");
});

systemTest("commands get input, and give output and exit code", [], async (ns) => {
  expect(await ns.run(["sh", "-c", "cat; echo oops >&2; exit 3"], { stdin: "hello" })).toEqual({
    exitCode: 3,
    stdout: "hello",
    stderr: "oops\n",
  });
  await expect(ns.ok(["sh", "-c", "echo why >&2; exit 1"])).rejects.toThrow(/ended with 1[\s\S]*why/);
});

systemTest("a command that does not end is killed, and what it printed is told", [], async (ns) => {
  await expect(ns.run(["sh", "-c", "echo begun; sleep 60"], { timeoutMs: 100 })).rejects.toThrow(
    /did not end within 100 ms[\s\S]*begun/,
  );
});

systemTest("output is waited for, and its absence noticed", [], async (ns) => {
  const echo = ns.start(["sh", "-c", "read line; echo got $line; exec sleep 60"]);
  await echo.write("a line\n");
  expect((await echo.waitFor(/got (.*)/))[1]).toBe("a line");
  await expect(echo.waitFor("never", 50)).rejects.toThrow(
    /did not print never within 50 ms[\s\S]*got a line/,
  );
  await expect(ns.start(["true"]).waitFor("anything")).rejects.toThrow(/ended without printing anything/);
});

systemTest("stop signals the command, also one that has hardly begun", [], async (ns) => {
  const polite = ns.start([
    "sh",
    "-c",
    'trap "echo bye; exit 7" TERM; echo up; while :; do sleep 0.01; done',
  ]);
  await polite.waitFor("up");
  expect(await polite.stop()).toMatchObject({ exitCode: 7, stdout: "up\nbye\n" });
  expect((await ns.start(["sleep", "60"]).stop()).exitCode).not.toBe(0);
});

systemTest(
  "what is opened inside belongs to the namespace, what is opened after to this process",
  ["nc"],
  async (ns) => {
    const listen = (): { port: number; stop: () => void } =>
      Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
    const inside = ns.inside(listen);
    const outside = listen();
    expect((await ns.run(["nc", "-z", "127.0.0.1", `${inside.port}`])).exitCode).toBe(0);
    expect((await ns.run(["nc", "-z", "127.0.0.1", `${outside.port}`])).exitCode).not.toBe(0);
    inside.stop();
    outside.stop();
  },
);

systemTest("closing a namespace kills what runs in it, however deep", [], async () => {
  const ns = await Namespace.open();
  const shell = ns.start([
    "sh",
    "-c",
    "(setsid sleep 61 & read pid rest < /proc/self/stat; echo $pid); sleep 62",
  ]);
  await shell.waitFor("\n");
  const outside = Number(shell.stdout);
  expect(Number.isInteger(outside)).toBe(true);
  await ns.close();
  await ns.close();
  await until("the process to be gone", () => !existsSync(`/proc/${outside}`), 1000);
});

systemTest("a test that dies leaves nothing behind", [], async () => {
  const script = `
    const { Namespace } = await import(${JSON.stringify(`${import.meta.dir}/system.ts`)});
    const ns = await Namespace.open();
    const loop = ns.start(["sh", "-c", "read pid rest < /proc/self/stat; echo $pid; exec sleep 63"]);
    await loop.waitFor("\\n");
    console.log(loop.stdout.trim());
    process.kill(process.pid, "SIGKILL");
  `;
  const child = Bun.spawn([process.execPath, "-e", script], { stdout: "pipe", stderr: "inherit" });
  const pid = Number(await new Response(child.stdout).text());
  expect(pid).toBeGreaterThan(0);
  await until("the process to be gone", () => !existsSync(`/proc/${pid}`), 1000);
});
