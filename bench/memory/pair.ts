/** Two stacks in one thread, joined by a memory pair. */

import type { MemoryOptions } from "../../devices/index.ts";
import { memoryPair } from "../../devices/index.ts";
import { Stack, type StackOptions, type TcpListener, type TcpSocket } from "../../src/index.ts";

export const SERVER = "192.168.69.1";
export const PORT = 80;

export class Pair {
  readonly server: Stack;
  readonly client: Stack;

  constructor(options: StackOptions, link: MemoryOptions = {}) {
    const [left, right] = memoryPair(link);
    this.server = new Stack(options);
    this.client = new Stack(options);
    this.server.addInterface({ device: left, addresses: [`${SERVER}/24`] });
    this.client.addInterface({ device: right, addresses: ["192.168.69.2/24"] });
  }

  poll(): void {
    const now = performance.now();
    this.client.poll(now);
    this.server.poll(now);
  }

  /** The server's end of a connection, as soon as the handshake is complete. */
  accept(listener: TcpListener): TcpSocket {
    for (let polls = 0; polls < 1000; polls++) {
      const socket = listener.accept();
      if (socket !== null) return socket;
      this.poll();
    }
    throw new Error("the connection was not established");
  }
}
