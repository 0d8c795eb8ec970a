/** What idle connections cost: memory, and whoever talks beside them. */

import { ACCEPTABLE, READABLE, Stack, type TcpSocket } from "../../src/index.ts";
import { median, nsEach } from "../support.ts";
import { Clients, REQUEST, STACK_ADDRESS } from "./clients.ts";

/** Room for a million connections, and for 10: only what is idle is to differ. */
const MAX_SOCKETS = 1_048_576;
const IDLE_PORT = 80;
const TALK_PORT = 7;
const BACKLOG = 1_024;
/** 10 KB/s, both ways together. */
const PACE_MS = (2 * REQUEST) / 10;
/** Time that passes for the connections before they count as idle. */
const REST_MS = 20_000;
const REST_STEPS = 20_000;
const PATIENCE = 4;

export interface Idle {
  /** Connections a second while they are opened, the clients' part included. */
  readonly openRate: number;
  /** Bytes of resident memory that each has added, with the record by which the program holds it. */
  readonly memory: number;
  /** ns of a poll that finds nothing to do. */
  readonly pollNs: number;
  /** us from a request of 64 bytes to its response, on one more connection, at 10 KB/s: the median. */
  readonly pacedUs: number;
  /** The same, one after the other: the mean. */
  readonly exchangeUs: number;
}

export interface IdleOptions {
  readonly count: number;
  /** Exchanges at 10 KB/s, and one after the other. */
  readonly paced: number;
  readonly exchanges: number;
  /** Each of the idle ones has had a request of 64 bytes and its response. */
  readonly used: boolean;
}

/** A stack with a clock that can be put forward, and the clients. */
class Scene {
  readonly clients = new Clients();
  readonly sockets: TcpSocket[] = [];
  /** That idle connections were told of. */
  events = 0;
  private skew = 0;
  private readonly buffer = new Uint8Array(4_096);
  private readonly stack: Stack;

  constructor() {
    this.stack = new Stack({ maxSockets: MAX_SOCKETS });
    this.stack.addInterface({ device: this.clients, addresses: [STACK_ADDRESS] });
    // One handler for all: what a million closures take is not the stack's.
    const unexpected = () => {
      this.events++;
    };
    this.listen(IDLE_PORT, (socket) => {
      socket.handler = unexpected;
    });
    this.listen(TALK_PORT, (socket) => {
      socket.handler = (events) => {
        if (events & READABLE) this.respond(socket);
      };
    });
  }

  poll(): boolean {
    const now = performance.now() + this.skew;
    this.clients.now = now;
    return this.stack.poll(now);
  }

  open(count: number, port: number, asks: boolean): void {
    const { clients, sockets } = this;
    const end = sockets.length + count;
    const responses = clients.responses + (asks ? count : 0);
    clients.connect(count, port, asks);
    while (sockets.length < end || clients.responses < responses) this.poll();
    while (this.poll());
    if (clients.established !== end || clients.ended > 0) throw new Error("connections were lost");
  }

  rest(): void {
    for (let i = 0; i < REST_STEPS; i++) {
      this.skew += REST_MS / REST_STEPS;
      while (this.poll());
    }
  }

  /** A request there and a response back. */
  exchange(): void {
    const { clients } = this;
    const { responses } = clients;
    clients.ask();
    this.poll();
    if (clients.responses !== responses + 1) throw new Error("there was no response");
  }

  /** A poll at one and the same time. */
  idlePoll(): () => void {
    const now = performance.now() + this.skew;
    return () => void this.stack.poll(now);
  }

  private listen(port: number, serve: (socket: TcpSocket) => void): void {
    const listener = this.stack.sockets.listen({ port, backlog: BACKLOG });
    listener.handler = (events) => {
      if (!(events & ACCEPTABLE)) return;
      for (let socket = listener.accept(); socket !== null; socket = listener.accept()) {
        this.sockets.push(socket);
        serve(socket);
        this.respond(socket);
      }
    };
  }

  private respond(socket: TcpSocket): void {
    const { buffer } = this;
    for (let count = socket.read(buffer); count > 0; count = socket.read(buffer)) {
      socket.write(buffer, 0, count);
    }
  }
}

export async function idle({ count, paced, exchanges, used }: IdleOptions): Promise<Idle> {
  const before = await residentMemory(1);
  const scene = new Scene();
  const start = performance.now();
  scene.open(count, IDLE_PORT, used);
  const openRate = count / ((performance.now() - start) / 1000);
  scene.rest();
  const memory = ((await residentMemory(PATIENCE)) - before) / count;

  scene.open(1, TALK_PORT, false);
  const exchangeUs = nsEach(exchanges, () => scene.exchange()) / 1000;
  const times: number[] = [];
  for (let i = 0; i < paced; i++) {
    await Bun.sleep(PACE_MS);
    const asked = performance.now();
    scene.exchange();
    times.push((performance.now() - asked) * 1000);
  }
  scene.clients.acknowledge();
  scene.rest();
  const pollNs = nsEach(exchanges, scene.idlePoll());
  if (scene.clients.ended > 0) throw new Error("connections were ended");
  return { openRate, memory, pollNs, pacedUs: median(times), exchangeUs };
}

/**
 * In bytes, when the engine has given back what it can: it does so bit by bit, some time after a collection.
 *
 * @param patience so many collections in a row that make the process no smaller are the end of it
 */
async function residentMemory(patience: number): Promise<number> {
  let lowest = Number.POSITIVE_INFINITY;
  for (let unchanged = 0; unchanged < patience; unchanged++) {
    Bun.gc(true);
    await Bun.sleep(100);
    const now = process.memoryUsage.rss();
    if (now < 0.99 * lowest) unchanged = 0;
    lowest = Math.min(lowest, now);
  }
  return lowest;
}
