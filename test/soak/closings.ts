import { type Connection, type Device, type Host, StackError } from "../../src/index.ts";
import { Network } from "../../src/sim/index.ts";
import { ipv4HeaderLength } from "../../src/wire/ipv4.ts";
import { FIN, RST } from "../../src/wire/tcp.ts";
import { pattern } from "../host/pair.ts";

/** A crowd of connections, each of which sends its bytes and closes at once. */
export interface Crowd {
  readonly connections: number;
  /** That each sends. */
  readonly bytes: number;
  /** The server does the same, and both ends read until the other's end. */
  readonly both?: boolean;
  readonly loss: number;
  readonly delayMs: number;
  readonly seed: number;
  /** When the way between the two hosts is gone, in ms. */
  readonly cutAt?: number;
  /** Puts something around the server's device, such as a capture; gets the network's clock. */
  readonly wrap?: (device: Device, clock: () => number) => Device;
}

export interface CrowdOutcome {
  /** Streams that have arrived whole and in order, whose senders were told that they had. */
  readonly delivered: number;
  /** What the other senders were told. */
  readonly errors: readonly string[];
  /** Segments with RST, and with FIN. */
  readonly resets: number;
  readonly fins: number;
  readonly lost: number;
  /** Virtual time in ms. */
  readonly ms: number;
}

const PORT = 80;
const FLAGS_AT = 13;
const TIMEOUT_MS = 24 * 3_600_000;

/**
 * Runs it in virtual time until both ends of all connections are over.
 *
 * @throws Error where bytes arrive that were not sent, or a sender is told of a delivery that did not take place
 */
export async function runCrowd(crowd: Crowd): Promise<CrowdOutcome> {
  const { connections, bytes, both = false, loss, delayMs, seed, cutAt, wrap } = crowd;
  const net = new Network({ seed });
  const size = { memory: 64 << 20, maxSockets: 4 * connections + 16 };
  const server = net.host({
    addresses: ["10.0.0.1/24"],
    ...size,
    ...(wrap === undefined ? {} : { wrap: (device) => wrap(device, () => net.now) }),
  });
  const client = net.host({ addresses: ["10.0.0.2/24"], ...size });
  const link = net.link(client, server, { rateMbit: 1_000, delayMs, loss, queuePackets: 10_000 });
  let [resets, fins] = [0, 0];
  link.watch(({ frame: { bytes: packet, offset } }) => {
    const flags = packet[offset + ipv4HeaderLength(packet, offset) + FLAGS_AT];
    if (flags & RST) resets++;
    if (flags & FIN) fins++;
  });

  if (cutAt !== undefined) net.at(cutAt, () => net.partition([server], [client]));
  const source = pattern(bytes + connections);
  const streamOf = (number: number) => source.subarray(number, number + bytes);
  const numbers = new Map<number, number>();
  const [toServer, toClient] = [new Streams(streamOf), new Streams(streamOf)];
  const outcome = await net.run(
    async () => {
      const serving = serve(server, connections, async (connection) => {
        const number = numbers.get(connection.remotePort) ?? -1;
        if (both) toClient.send(connection, number, false);
        await toServer.receive(connection, number);
        await connection.close().catch(() => {});
      });
      const clients = Array.from({ length: connections }, async (_, number) => {
        const connection = await client.connect({ address: "10.0.0.1", port: PORT });
        numbers.set(connection.localPort, number);
        toServer.send(connection, number, !both);
        if (both) await toClient.receive(connection, number);
        if (both) await connection.close().catch(() => {});
        await connection.closed;
      });
      await Promise.all([...clients, serving]);
      await Promise.all([server.close(), client.close()]);
      return [await toServer.outcome(), await toClient.outcome()];
    },
    { timeout: TIMEOUT_MS },
  );
  return {
    delivered: outcome.reduce((sum, { delivered }) => sum + delivered, 0),
    errors: outcome.flatMap(({ errors }) => errors),
    resets,
    fins,
    lost: link.there.stats.lost + link.back.stats.lost,
    ms: net.now,
  };
}

async function serve(
  host: Host,
  count: number,
  service: (connection: Connection) => Promise<void>,
): Promise<void> {
  const listener = host.listen({ port: PORT, backlog: count });
  const running: Promise<void>[] = [];
  for await (const connection of listener) {
    running.push(service(connection));
    if (running.length === count) break;
  }
  await Promise.all(running);
}

/** The streams in one direction: who has got all of his, and who was told what about it. */
class Streams {
  private readonly streamOf: (number: number) => Uint8Array;
  private readonly arrived = new Set<number>();
  private readonly told: Promise<string | null>[] = [];
  private readonly numbers: number[] = [];

  constructor(streamOf: (number: number) => Uint8Array) {
    this.streamOf = streamOf;
  }

  /** Writes it all, and closes, or only this side, at once. */
  send(connection: Connection, number: number, closes: boolean): void {
    void connection.write(this.streamOf(number));
    const end = closes ? connection.close() : connection.shutdown();
    this.numbers.push(number);
    this.told.push(
      end.then(
        () => null,
        (error) => (error instanceof StackError ? error.code : String(error)),
      ),
    );
  }

  async receive(connection: Connection, number: number): Promise<void> {
    const expected = this.streamOf(number);
    // Who only waits would never learn that the way is gone.
    connection.setKeepAlive(true, 60_000);
    let at = 0;
    try {
      for await (const chunk of connection) {
        if (Buffer.compare(chunk, expected.subarray(at, at + chunk.length)) !== 0) {
          throw new Error(`connection ${number}: what arrived from byte ${at} on was not sent`);
        }
        at += chunk.length;
      }
    } catch (error) {
      if (!(error instanceof StackError)) throw error;
      return;
    }
    if (at !== expected.length) throw new Error(`connection ${number}: an orderly end after ${at} bytes`);
    this.arrived.add(number);
  }

  async outcome(): Promise<{ delivered: number; errors: string[] }> {
    const told = await Promise.all(this.told);
    const errors = told.filter((code) => code !== null);
    for (const [i, code] of told.entries()) {
      if (code === null && !this.arrived.has(this.numbers[i])) {
        throw new Error(
          `connection ${this.numbers[i]}: its sender was told of a delivery that did not take place`,
        );
      }
    }
    return { delivered: told.length - errors.length, errors };
  }
}
