/**
 * Discard (9) and chargen (19) on a stack that is polled by a loop of our own: what the stack and the device can do
 * without the asynchronous host. Ends by itself. Takes the flags of every configuration, `--config` too.
 *
 *   bun bench/server-loop.ts --device tun --name tun0 --address 10.77.0.1/24 --host-address 10.77.0.100/24
 *                            [--events] [--seconds N]
 *
 * Between packets it blocks in poll(2); with --events it returns to the event loop, which the device wakes.
 */

import { parseArgs } from "node:util";
import { configFromFlags, openConfig } from "../devices/index.ts";
import { END_OF_STREAM, READABLE, Stack, type TcpListener, type TcpSocket, WRITABLE } from "../src/index.ts";

const { config, rest } = configFromFlags(process.argv.slice(2));
const { values } = parseArgs({
  args: rest,
  options: {
    seconds: { type: "string", default: "600" },
    events: { type: "boolean", default: false },
  },
});

const opened = openConfig(config);
const { device } = opened;
const stack = new Stack();
stack.addInterface(opened);

const pattern = new Uint8Array(64 * 1024).map((_, i) => 32 + (i % 95));

const discard = (_bytes: Uint8Array, _offset: number, length: number) => length;

function read(socket: TcpSocket): void {
  if (socket.consume(discard) === END_OF_STREAM) socket.close();
}

function fill(socket: TcpSocket): void {
  while (socket.write(pattern) === pattern.length);
}

function serve(listener: TcpListener, fills: boolean): void {
  listener.handler = () => {
    for (let socket = listener.accept(); socket !== null; socket = listener.accept()) {
      const accepted = socket;
      if (!fills) accepted.consumer = discard;
      accepted.handler = (events) => {
        if (accepted.isClosed) return;
        if (events & READABLE) read(accepted);
        if (fills && events & WRITABLE) fill(accepted);
      };
      if (fills) fill(accepted);
    }
  };
}

serve(stack.sockets.listen({ port: 9 }), false);
serve(stack.sockets.listen({ port: 19 }), true);
console.log(`tapwire serves 9 and 19 on ${opened.addresses.join(", ")} (${opened.name})`);

const end = performance.now() + Number(values.seconds) * 1000;
if (values.events) {
  let timer = setTimeout(() => {}, 0);
  const poll = () => {
    clearTimeout(timer);
    let now = performance.now();
    while (stack.poll(now)) now = performance.now();
    const deadline = Math.min(stack.nextDeadline(now), end);
    if (now < end) timer = setTimeout(poll, deadline - now);
    else device.close();
  };
  device.onReadable(poll);
  poll();
} else {
  let now = performance.now();
  while (now < end) {
    while (stack.poll(now)) now = performance.now();
    device.wait?.(Math.min(stack.nextDeadline(now), end) - now);
    now = performance.now();
  }
  device.close();
}
