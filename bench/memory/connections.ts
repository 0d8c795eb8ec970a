/** Connections opened, used for one echo, and closed, both ends in one thread. */

import {
  CLOSED_EVENT,
  CONNECTED,
  END_OF_STREAM,
  READABLE,
  type Stack,
  type TcpSocket,
} from "../../src/index.ts";
import { Pair, PORT, SERVER } from "./pair.ts";

/** Bytes there and back. */
const ECHO = 64;
/** The oldest connection in TIME-WAIT is recycled when they run out. */
const MAX_SOCKETS = 4_096;
const TEXT = new Uint8Array(ECHO).map((_, i) => i);
const TARGET = new Uint8Array(4_096);

/** Answers with what comes, until the end of it. Counts connections that are over, with nothing left undelivered. */
class EchoServer {
  over = 0;

  constructor(stack: Stack) {
    const listener = stack.sockets.listen({ port: PORT });
    listener.handler = () => {
      for (let socket = listener.accept(); socket !== null; socket = listener.accept()) this.serve(socket);
    };
  }

  private serve(socket: TcpSocket): void {
    socket.handler = (events) => {
      if (events & READABLE) {
        let count = socket.read(TARGET);
        for (; count > 0; count = socket.read(TARGET)) socket.write(TARGET, 0, count);
        if (count === END_OF_STREAM) socket.close();
      }
      if (events & CLOSED_EVENT && socket.error === null) this.over++;
    };
  }
}

/** A connection that asks, and closes when it has its answer. */
function ask(stack: Stack, whenAnswered: () => void): void {
  const socket = stack.sockets.connect({ address: SERVER, port: PORT });
  let received = 0;
  socket.handler = (events) => {
    if (events & CONNECTED) socket.write(TEXT);
    if (!(events & READABLE) || received === ECHO) return;
    received += socket.read(TARGET);
    if (received < ECHO) return;
    socket.close();
    whenAnswered();
  };
}

/** Connections a second, `count` of them, so many at a time; the clients have TIME-WAIT. */
export function connections(count: number, atATime: number): number {
  const pair = new Pair({ maxSockets: MAX_SOCKETS });
  const server = new EchoServer(pair.server);
  let started = 0;
  const next = () => {
    if (started === count) return;
    started++;
    ask(pair.client, next);
  };
  const start = performance.now();
  for (let i = 0; i < atATime; i++) next();
  while (server.over < count) pair.poll();
  return count / ((performance.now() - start) / 1000);
}
