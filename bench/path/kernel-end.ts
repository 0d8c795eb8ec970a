/**
 * One end of a measured connection, on the kernel's sockets. Standard output has the report as its last line, JSON.
 *
 *   bun bench/path/kernel-end.ts receive --port N [--seconds S]
 *   bun bench/path/kernel-end.ts send --to ADDRESS --port N --cc NAME [--bytes N]
 *
 * A sender says "ready", and begins when it is told to by a byte on its standard input.
 * A receiver without seconds reads, and hashes, to the end of the stream. A sender without bytes sends until its standard
 * input ends, and a receiver that has reported goes on until then, too.
 */

import { readSync } from "node:fs";
import { endOptions } from "./end-options.ts";
import { KernelSocket, POLLIN, POLLOUT } from "./kernel-socket.ts";
import { Meter, Source } from "./meter.ts";

const { role, to, port, cc, seconds, bytes } = endOptions();
/** The socket and standard input are looked at that often at least, ms. */
const PATIENCE_MS = 1000;

if (role === "receive") receive();
else send();

function receive(): void {
  const socket = KernelSocket.accept(port, () => console.log("listening"));
  const meter = new Meter(seconds);
  const buffer = new Uint8Array(new ArrayBuffer(1 << 20));
  for (;;) {
    const count = socket.receive(buffer);
    if (count < 0) break;
    if (count > 0 && !meter.add(buffer, count)) break;
    const left = meter.end - performance.now();
    if (left <= 0) break;
    if (count === 0 && !socket.wait(POLLIN, Math.min(left, PATIENCE_MS))) break;
  }
  console.log(JSON.stringify(meter.report()));
  // The sender is to be asked how it is before it hears of a reset.
  while (socket.receive(buffer) >= 0 && socket.wait(POLLIN, PATIENCE_MS));
}

function send(): void {
  console.log("ready");
  readSync(0, new Uint8Array(1));
  const socket = KernelSocket.connect(to, port, cc);
  const source = new Source(bytes);
  let goesOn = true;
  for (let chunk = source.next(); chunk !== null && goesOn; chunk = source.next()) {
    for (let sent = 0; sent < chunk.length && goesOn; ) {
      const count = socket.send(sent === 0 ? chunk : chunk.subarray(sent));
      sent += Math.max(count, 0);
      goesOn = count >= 0 && socket.wait(POLLOUT, PATIENCE_MS);
    }
  }
  if (bytes > 0) {
    socket.finish();
    // The report is for what has arrived: the peer closes when it has everything.
    const rest = new Uint8Array(new ArrayBuffer(4096));
    while (goesOn && socket.receive(rest) >= 0) goesOn = socket.wait(POLLIN, PATIENCE_MS);
  }
  console.log(JSON.stringify({ sha256: source.sha256, info: socket.info() }));
}
