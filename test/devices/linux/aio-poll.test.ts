import { afterAll, describe, expect } from "bun:test";
import { rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Namespace, systemTest } from "../../support/system.ts";

const root = join(import.meta.dir, "../../..");
const US = "192.168.69.1";
const KERNEL = "192.168.69.100";

const files: string[] = [];
afterAll(() => {
  for (const file of files) rmSync(file);
});

/** Runs `body` in a worker, with `say` to print, until the process is stopped or the worker has posted "end". */
async function inWorker(ns: Namespace, body: string, name: string) {
  const file = join(tmpdir(), `tapwire-aio-${process.pid}-${name}.ts`);
  files.push(file);
  await Bun.write(
    file,
    `import { readdirSync } from "node:fs";
     import { isMainThread, parentPort, Worker } from "node:worker_threads";
     import { openTun } from ${JSON.stringify(join(root, "devices/index.ts"))};
     import { Frame, open } from ${JSON.stringify(join(root, "src/index.ts"))};
     if (isMainThread) {
       const worker = new Worker(new URL(import.meta.url));
       worker.on("error", (error) => { console.error(error); process.exit(1); });
       worker.on("message", (message) => {
         if (message === "end") process.exit(0);
         console.log(message);
       });
     } else {
       const say = (text) => parentPort.postMessage(text);
       ${body}
     }`,
  );
  return ns.start([process.execPath, file]);
}

const HOST = `
  const device = openTun({ name: "tun7", hostAddress: "${KERNEL}/24" });
  const host = await open({ device, addresses: ["${US}/24"] });
  say("up");`;

describe("news of readable descriptors in a worker", () => {
  systemTest(
    "wake its event loop: every ping is answered, in a row and one by one",
    ["tun", "ping"],
    async (ns) => {
      const program = await inWorker(ns, HOST, "ping");
      await program.waitFor("up", 10_000);
      for (const flags of [
        ["-c", "300", "-i", "0.002"],
        ["-f", "-c", "2000"],
      ]) {
        const out = await ns.ok(["ping", "-q", ...flags, US], { timeoutMs: 15_000 });
        expect(out).toContain(" 0% packet loss");
      }
      await program.stop();
    },
    30_000,
  );

  systemTest(
    "cost nothing while nothing comes",
    ["tun"],
    async (ns) => {
      const program = await inWorker(
        ns,
        `${HOST}
         setTimeout(() => {
           const polls = host.polls;
           setTimeout(() => say("polls " + (host.polls - polls)), 1000);
         }, 300);`,
        "idle",
      );
      const [, polls] = await program.waitFor(/polls (\d+)/, 10_000);
      expect(Number(polls)).toBeLessThan(3);
      await program.stop();
    },
    15_000,
  );

  systemTest(
    "end with the device: its interface is free at once, and no descriptor is left",
    ["tun"],
    async (ns) => {
      const program = await inWorker(
        ns,
        `const count = () => readdirSync("/proc/self/fd").length;
         const frame = new Frame(new Uint8Array(0));
         let before = 0;
         for (let i = 0; i < 40; i++) {
           const device = openTun({ name: "tun7", hostAddress: "${KERNEL}/24" });
           const other = openTun({ name: "tun8" });
           for (const each of [device, other]) each.onReadable(() => { while (each.receive(frame)); });
           // Sometimes the kernel has been asked, sometimes it has answered, and sometimes neither.
           for (let turns = i % 5; turns > 0; turns--) await new Promise((resolve) => setImmediate(resolve));
           if (i % 4 === 0) await Bun.sleep(2);
           device.close();
           other.close();
           await Bun.sleep(1);
           if (i === 2) before = count();
         }
         say("left " + (count() - before));
         parentPort.postMessage("end");`,
        "close",
      );
      const { exitCode, stdout, stderr } = await program.end(30_000);
      expect([exitCode, stdout, stderr]).toEqual([0, "left 0\n", ""]);
    },
    40_000,
  );
});
