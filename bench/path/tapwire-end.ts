/**
 * One end of a measured connection, on a tapwire host with a TUN interface of its own. It takes what `kernel-end.ts`
 * takes, and where it is:
 *
 *   bun bench/path/tapwire-end.ts send|receive ... --wire NAME --address ADDRESS --gateway KERNEL'S [--buffer BYTES]
 *
 * `--buffer 0` leaves the sizes of the buffers to the stack.
 */

import { fault, memoryPair, openTun } from "../../devices/index.ts";
import { type Connection, type Host, open } from "../../src/index.ts";
import { validateCongestionControl } from "../../src/socket/tcp/congestion/control-factory.ts";
import { endOptions } from "./end-options.ts";
import { Meter, Source } from "./meter.ts";

const { role, to, port, cc, seconds, bytes, wire, address, gateway, buffer } = endOptions();

const MTU = 1500;
const KERNEL_QUEUE = 20_000;
const POOL = 256 * 1024 * 1024;
/** Bytes that both ends exchange in memory first, and how many frames of them are lost: engines compile what runs often. */
const WARM_UP = 16 * 1024 * 1024;
const WARM_UP_LOSS = 0.002;
const WARM_UP_MS = 1_500;

const settings = {
  memory: POOL,
  tcp: {
    ...(buffer > 0 ? { sendBuffer: buffer, receiveBuffer: buffer } : {}),
    congestionControl: validateCongestionControl(cc),
  },
};

async function warmUp(): Promise<void> {
  const [left, right] = memoryPair({ mtu: MTU, offload: false });
  const lossy = fault(left, { drop: WARM_UP_LOSS });
  const one = await open({ ...settings, device: lossy, addresses: ["10.0.0.1/24"] });
  const other = await open({ ...settings, device: right, addresses: ["10.0.0.2/24"] });
  const listener = one.listen({ port });
  const connecting = other.connect({ address: "10.0.0.1", port });
  const [receiving, sending] = await Promise.all([listener.accept(), connecting]);
  const limit = AbortSignal.timeout(WARM_UP_MS);
  const stop = () => receiving.abort();
  limit.addEventListener("abort", stop);
  await Promise.all([
    readAll(receiving, () => {}).catch(() => {}),
    sendAll(sending, new Source(WARM_UP)).catch(() => {}),
  ]);
  limit.removeEventListener("abort", stop);
  await Promise.all([one.close({ timeout: 0 }), other.close({ timeout: 0 })]);
}

async function readAll(
  connection: Connection,
  take: (bytes: Uint8Array, length: number) => void,
): Promise<void> {
  const into = new Uint8Array(1 << 18);
  for (let count = 1; count > 0; ) {
    count = await connection.readInto(into);
    if (count > 0) take(into, count);
  }
}

async function sendAll(connection: Connection, source: Source): Promise<void> {
  for (let chunk = source.next(); chunk !== null; chunk = source.next()) {
    await connection.write(chunk);
    // As long as there is room, a write is done at once; but the first bytes are to leave before all room is filled.
    await new Promise(setImmediate);
  }
  await connection.shutdown();
}

async function receive(host: Host): Promise<void> {
  const listener = host.listen({ port });
  console.log("listening");
  const connection = await listener.accept();
  const meter = new Meter(seconds);
  let reported = false;
  const report = () => {
    if (!reported) console.log(JSON.stringify({ ...meter.report(), stats: host.stats }));
    reported = true;
  };
  if (seconds > 0) setTimeout(report, seconds * 1000);
  process.stdin.on("end", () => process.exit(0)).resume();
  await readAll(connection, (read, length) => meter.add(read, length));
  await connection.close();
  report();
}

async function send(host: Host): Promise<void> {
  console.log("ready");
  await new Promise((resolve) => process.stdin.once("data", resolve));
  const connection = await host.connect({ address: to, port });
  const source = new Source(bytes);
  const report = () => {
    console.log(JSON.stringify({ sha256: source.sha256, info: connection.info(), stats: host.stats }));
    process.exit(0);
  };
  if (bytes === 0) process.stdin.on("end", report).resume();
  await sendAll(connection, source);
  report();
}

await warmUp();
const device = openTun({
  name: wire,
  hostAddress: `${gateway}/24`,
  mtu: MTU,
  queueLength: KERNEL_QUEUE,
  offload: false,
});
const host = await open({ ...settings, device, addresses: [`${address}/24`], gateway });
if (role === "receive") await receive(host);
else await send(host);
