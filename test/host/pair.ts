import { type MemoryOptions, memoryPair } from "../../devices/index.ts";
import {
  type Connection,
  type Device,
  type Host,
  open,
  StackError,
  type StackOptions,
} from "../../src/index.ts";

export const SERVER = "10.0.0.1";
export const CLIENT = "10.0.0.2";
/** In the network, and nobody has it. */
export const NOBODY = "10.0.0.77";

/** Two hosts at the ends of a memory pair, closed when the test is over. */
export class Pair implements AsyncDisposable {
  readonly server: Host;
  readonly client: Host;
  readonly devices: readonly [Device, Device];

  private constructor(server: Host, client: Host, devices: readonly [Device, Device]) {
    this.server = server;
    this.client = client;
    this.devices = devices;
  }

  static async open(options: StackOptions = {}, memory: MemoryOptions = {}): Promise<Pair> {
    const [left, right] = memoryPair(memory);
    const server = await open({ ...options, device: left, addresses: [`${SERVER}/24`] });
    const client = await open({ ...options, device: right, addresses: [`${CLIENT}/24`] });
    return new Pair(server, client, [left, right]);
  }

  /** Both ends of one connection. */
  async connect(port = 4000): Promise<{ near: Connection; far: Connection }> {
    const listener = this.server.listen({ port });
    const [near, far] = await Promise.all([
      this.client.connect({ address: SERVER, port }),
      listener.accept(),
    ]);
    listener.close();
    return { near, far };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const timeout = 20;
    await Promise.all([this.client.close({ timeout }), this.server.close({ timeout })]);
  }
}

/** What a promise rejects with: the code of a StackError, the name of another error. */
export async function failure(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
    return "none";
  } catch (error) {
    if (error instanceof StackError) return error.code;
    return error instanceof Error ? error.name : String(error);
  }
}

/** Turns the event loop until `condition` holds. */
export async function until(condition: () => boolean, timeoutMs = 2_000): Promise<void> {
  const end = performance.now() + timeoutMs;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`waited ${timeoutMs} ms in vain for ${condition}`);
    await turn();
  }
}

/** One turn of the event loop. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Lets the hosts do what is to be done at once: turns of the loop until nothing has changed for some. */
export async function settle(pair: Pair): Promise<void> {
  let polls = -1;
  for (let still = 0; still < 5; still++) {
    const now = pair.server.polls + pair.client.polls;
    if (now !== polls) still = 0;
    polls = now;
    await turn();
  }
}

/** Bytes that differ from place to place. */
export function pattern(length: number, seed = 1): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  let x = seed | 1;
  for (let i = 0; i < length; i++) {
    x = Math.imul(x, 1_664_525) + 1_013_904_223;
    bytes[i] = x >>> 24;
  }
  return bytes;
}

export function text(bytes: Uint8Array | null): string | null {
  return bytes === null ? null : new TextDecoder().decode(bytes);
}

/** Everything up to the end. */
export async function readAll(connection: Connection): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of connection) chunks.push(chunk);
  return Buffer.concat(chunks);
}

export function sha256(bytes: Uint8Array): string {
  return new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
}
