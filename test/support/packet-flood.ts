/**
 * A program that sends forged SYNs by a packet socket, as fast as the kernel takes them:
 *
 *     bun run test/support/packet-flood.ts INTERFACE ADDRESS PORT COUNT SECONDS
 *
 * It ends with whichever comes first, so many SYNs or so many seconds. The interface has no link headers, such as TUN.
 */
import { dlopen, ptr } from "bun:ffi";
import { LONGEST_SYN, SynFlood } from "./syn-flood.ts";

const [name, to, port, most, seconds] = process.argv.slice(2);

const AF_PACKET = 17;
const SOCK_DGRAM = 2;
const ETH_P_IP = 0x0800;
const SOL_PACKET = 263;
const PACKET_QDISC_BYPASS = 20;
const BATCH = 128;
// Bytes of struct sockaddr_ll, struct iovec and struct mmsghdr.
const SOCKADDR = 20;
const IOVEC = 16;
const MMSGHDR = 64;
const PACKET = 128;

const { symbols: c } = dlopen("libc.so.6", {
  socket: { args: ["i32", "i32", "i32"], returns: "i32" },
  setsockopt: { args: ["i32", "i32", "i32", "ptr", "u32"], returns: "i32" },
  if_nametoindex: { args: ["ptr"], returns: "u32" },
  sendmmsg: { args: ["i32", "ptr", "u32", "i32"], returns: "i32" },
});

// One piece of memory for all the kernel is shown: its address does not change.
const MESSAGES = 4_096;
const VECTORS = MESSAGES + BATCH * MMSGHDR;
const PACKETS = VECTORS + BATCH * IOVEC;
const memory = new Uint8Array(new ArrayBuffer(PACKETS + BATCH * PACKET));
const view = new DataView(memory.buffer);
const base = ptr(memory);
if (PACKET < LONGEST_SYN) throw new Error("packets overlap");

const index = c.if_nametoindex(Buffer.from(`${name}\0`));
const fd = c.socket(AF_PACKET, SOCK_DGRAM, 0);
if (index === 0 || fd < 0) throw new Error(`no packet socket on ${name}`);
c.setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, Int32Array.of(1), 4);

view.setUint16(0, AF_PACKET, true);
view.setUint16(2, ETH_P_IP);
view.setInt32(4, index, true);

const flood = new SynFlood(to, Number(port), process.pid);
for (let i = 0; i < BATCH; i++) {
  const message = MESSAGES + i * MMSGHDR;
  const vector = VECTORS + i * IOVEC;
  view.setBigUint64(message, BigInt(base), true);
  view.setUint32(message + 8, SOCKADDR, true);
  view.setBigUint64(message + 16, BigInt(base + vector), true);
  view.setBigUint64(message + 24, 1n, true);
  view.setBigUint64(vector, BigInt(base + PACKETS + i * PACKET), true);
}

let sent = 0;
let refused = 0;
const start = performance.now();
console.log("flooding");
for (const end = start + Number(seconds) * 1_000; performance.now() < end && sent < Number(most); ) {
  for (let i = 0; i < BATCH; i++) {
    const length = flood.write(memory, PACKETS + i * PACKET);
    view.setUint32(VECTORS + i * IOVEC + 8, length, true);
  }
  const count = c.sendmmsg(fd, base + MESSAGES, BATCH, 0);
  // The interface's queue may be full: it is tried again at once.
  if (count < 0) refused++;
  else sent += count;
}
console.log(`sent ${sent} in ${Math.round(performance.now() - start)} ms, refused ${refused} times`);
