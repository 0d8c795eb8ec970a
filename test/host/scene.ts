import { test } from "bun:test";
import type { Connection, Host, StackOptions } from "../../src/index.ts";
import { type Link, type LinkOptions, Network } from "../../src/sim/index.ts";
import { checkIpv4, ipv4HeaderLength } from "../../src/wire/ipv4.ts";
import { FIN, RST } from "../../src/wire/tcp.ts";
import { SERVER } from "./pair.ts";

const FLAGS_AT = 13;

/** Two hosts in virtual time, and a link that can be cut, with all its segments in sight. */
export class Scene {
  readonly net = new Network();
  readonly server: Host;
  readonly client: Host;
  readonly link: Link;
  /** Segments with RST, and with FIN, that were sent. */
  resets = 0;
  fins = 0;

  constructor(link: LinkOptions = {}, options: StackOptions = {}) {
    const { tcp, memory = 4 << 20 } = options;
    const own = { memory, ...(tcp === undefined ? {} : { tcp }) };
    this.server = this.net.host({ addresses: [`${SERVER}/24`], ...own });
    this.client = this.net.host({ addresses: ["10.0.0.2/24"], ...own });
    this.link = this.net.link(this.server, this.client, { delayMs: 10, ...link });
    this.link.watch(({ frame: { bytes, offset, length } }) => {
      checkIpv4(bytes, offset, length);
      const flags = bytes[offset + ipv4HeaderLength(bytes, offset) + FLAGS_AT];
      if (flags & RST) this.resets++;
      if (flags & FIN) this.fins++;
    });
  }

  async connect(port = 7): Promise<{ near: Connection; far: Connection }> {
    const listener = this.server.listen({ port });
    const [near, far] = await Promise.all([
      this.client.connect({ address: SERVER, port }),
      listener.accept(),
    ]);
    listener.close();
    return { near, far };
  }

  /** Nothing arrives any more, in either direction. */
  cut(): void {
    this.net.partition([this.server], [this.client]);
  }
}

/** A test in such a scene. */
export function scene(
  title: string,
  run: (s: Scene) => Promise<void>,
  link: LinkOptions = {},
  options: StackOptions = {},
): void {
  test(title, () => {
    const s = new Scene(link, options);
    return s.net.run(() => run(s));
  });
}

/** Buffers that fill soon. */
export const SMALL = { tcp: { sendBuffer: 32 * 1024, receiveBuffer: 32 * 1024 } };
