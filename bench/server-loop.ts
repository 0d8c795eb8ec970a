/**
 * Echo (7), discard (9), daytime (13) and chargen (19) on a stack that is polled by a loop of our own: what the stack and
 * the device can do without the asynchronous host. Ends by itself. Takes the flags of every configuration, `--config` too.
 *
 *   bun bench/server-loop.ts --device tun --name tun0 --address 10.77.0.1/24 --host-address 10.77.0.100/24
 *                            [--events] [--seconds N]
 *
 * Between packets it blocks in poll(2); with --events it returns to the event loop, which the device wakes.
 */

import { parseArgs } from "node:util";
import { configFromFlags, openConfig } from "../devices/index.ts";
import {
  type Consumer,
  END_OF_STREAM,
  READABLE,
  Stack,
  type TcpListener,
  type TcpSocket,
  WRITABLE,
} from "../src/index.ts";

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

const today = new TextEncoder().encode(`${new Date()}\r\n`);

const discard: Consumer = (_bytes, _offset, length) => length;

/** Reads until the peer has no more to say. */
function take(socket: TcpSocket, consumer: Consumer): void {
  if (socket.consume(consumer) === END_OF_STREAM) socket.close();
}

function serve(listener: TcpListener, begin: (socket: TcpSocket) => void): void {
  listener.handler = () => {
    for (let socket = listener.accept(); socket !== null; socket = listener.accept()) begin(socket);
  };
}

function startEcho(socket: TcpSocket): void {
  const answer: Consumer = (bytes, offset, length) => socket.write(bytes, offset, length);
  socket.consumer = answer;
  socket.handler = () => {
    if (!socket.isClosed) take(socket, answer);
  };
}

function startDiscard(socket: TcpSocket): void {
  socket.consumer = discard;
  socket.handler = (events) => {
    if (!socket.isClosed && events & READABLE) take(socket, discard);
  };
}

function tellTime(socket: TcpSocket): void {
  socket.write(today);
  socket.close();
}

function startChargen(socket: TcpSocket): void {
  const fill = () => {
    while (socket.write(pattern) === pattern.length);
  };
  socket.handler = (events) => {
    if (socket.isClosed) return;
    if (events & READABLE) take(socket, discard);
    if (events & WRITABLE) fill();
  };
  fill();
}

serve(stack.sockets.listen({ port: 7 }), startEcho);
serve(stack.sockets.listen({ port: 9 }), startDiscard);
serve(stack.sockets.listen({ port: 13 }), tellTime);
serve(stack.sockets.listen({ port: 19 }), startChargen);
console.log(`tapwire serves 7, 9, 13 and 19 on ${opened.addresses.join(", ")} (${opened.name})`);

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
