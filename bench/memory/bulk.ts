/** One connection over a memory pair, as fast as it goes, beside the copy floor. */

import type { MemoryOptions } from "../../devices/index.ts";
import { READABLE, WRITABLE } from "../../src/index.ts";
import { median, WARM_UPS } from "../support.ts";
import { BUFFER_SIZE, CopyFloor } from "./floors.ts";
import { Pair, PORT, SERVER } from "./pair.ts";

export interface Bulk {
  /** Gbit/s, medians over the slices. */
  readonly gbits: number;
  readonly floorGbits: number;
  /** The connection as a multiple of the floor: the median over pairs of slices. */
  readonly ofFloor: number;
  /** ns of both ends for each segment that carries text. */
  readonly nsSegment: number;
}

/** The floor and the connection take turns, for the machine may be slow for a while: it is then slow for both. */
const SLICES = 16;

/** Both ends write and read when they are told to; the pipe never runs empty. */
class Flow {
  private readonly pair: Pair;
  private readonly mss: number;
  private received = 0;

  constructor(link: MemoryOptions) {
    const sizes = { receiveBuffer: BUFFER_SIZE, sendBuffer: BUFFER_SIZE };
    this.pair = new Pair({ tcp: sizes }, link);
    const { server: serverStack, client: clientStack } = this.pair;
    const listener = serverStack.sockets.listen({ port: PORT });
    const client = clientStack.sockets.connect({ address: SERVER, port: PORT });
    const server = this.pair.accept(listener);
    const text = new Uint8Array(BUFFER_SIZE).map((_, i) => i);
    const target = new Uint8Array(BUFFER_SIZE);
    client.handler = (events) => {
      if (events & WRITABLE) while (client.write(text) > 0);
    };
    server.handler = (events) => {
      if (!(events & READABLE)) return;
      for (let count = server.read(target); count > 0; count = server.read(target)) this.received += count;
    };
    while (client.write(text) > 0);
    this.mss = client.info().mss;
  }

  /** Until so many more bytes have been read; returns ms. */
  move(bytes: number): number {
    const { pair } = this;
    const end = this.received + bytes;
    const start = performance.now();
    while (this.received < end) pair.poll();
    const time = performance.now() - start;
    if (pair.client.stats.tcpRetransmissions > 0) throw new Error("segments were sent again");
    return time;
  }

  segments(bytes: number): number {
    return Math.ceil(bytes / this.mss);
  }
}

/** Moves `bytes` to measure, and before that several times as many. */
export function bulk(bytes: number, link: MemoryOptions): Bulk {
  const slice = Math.ceil(bytes / SLICES / BUFFER_SIZE) * BUFFER_SIZE;
  const floor = new CopyFloor();
  const flow = new Flow(link);
  for (let i = 0; i < WARM_UPS; i++) {
    floor.move(slice * SLICES);
    flow.move(slice * SLICES);
  }
  const floors: number[] = [];
  const flows: number[] = [];
  for (let i = 0; i < SLICES; i++) {
    floors.push(floor.move(slice));
    flows.push(flow.move(slice));
  }
  const gbits = (ms: number) => (slice * 8) / ms / 1e6;
  return {
    gbits: gbits(median(flows)),
    floorGbits: gbits(median(floors)),
    ofFloor: median(flows.map((ms, i) => floors[i] / ms)),
    nsSegment: (median(flows) * 1e6) / flow.segments(slice),
  };
}
