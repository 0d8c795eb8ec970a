import { StackError } from "../errors.ts";
import type { Interface } from "../iface/interface.ts";
import type { TcpSocket } from "../socket/tcp/tcp-socket.ts";
import { type InterfaceOptions, Stack, type StackOptions } from "../stack.ts";
import type { Stats } from "../stats.ts";
import { formatAddress } from "../wire/ip-address.ts";
import { Attempt, checkConnectAddress, type HostConnectOptions } from "./connect.ts";
import { Connection } from "./connection.ts";
import { type HostListenOptions, Listener } from "./listener.ts";
import { checkWait } from "./pending.ts";
import { Pump } from "./pump.ts";
import { clock, laterTurn } from "./runtime.ts";
import { type HostUdpOptions, UdpEndpoint } from "./udp.ts";

/** A device with addresses on it, and what of the stack should be otherwise than usual. */
export interface HostOptions extends InterfaceOptions, StackOptions {}

/** Options of {@link Host.close}. */
export interface HostCloseOptions {
  /** Time in ms that the peers get to close their sides before they are reset; 1,000 unless told. */
  readonly timeout?: number | undefined;
}

const CLOSE_TIMEOUT_MS = 1_000;
/** How long the last segments may wait for a device that is full. */
const LAST_FRAMES_MS = 100;

/**
 * A host on the network: a stack that runs by itself, with promises for everything that takes time. It keeps the
 * process running until it is closed, or `unref` is called.
 */
export class Host implements AsyncDisposable {
  /** The stack below, for what has no promise yet. */
  readonly stack: Stack;
  private readonly interfaces: Interface[] = [];
  private readonly pump: Pump;
  private readonly attempts = new Set<Attempt>();
  private readonly connections = new Set<Connection>();
  private readonly listeners = new Set<Listener>();
  private readonly endpoints = new Set<UdpEndpoint>();
  private closing: Promise<void> | null = null;

  /** Made by `open`. */
  constructor(options: HostOptions) {
    this.stack = new Stack(options);
    const iface = this.stack.addInterface(options);
    this.pump = new Pump(this.stack);
    this.interfaces.push(iface);
    this.pump.watch(iface.device);
  }

  /** One counter for each event worth counting. */
  get stats(): Stats {
    return this.stack.stats;
  }

  /** The host's addresses, without prefix lengths. */
  get addresses(): readonly string[] {
    return this.interfaces.flatMap((iface) => iface.addresses.map((cidr) => formatAddress(cidr.address)));
  }

  /** Times that the stack was polled. */
  get polls(): number {
    return this.pump.polls;
  }

  /**
   * Opens a port for connections. It is open when the call returns.
   *
   * @throws StackError EADDRINUSE, EADDRNOTAVAIL, EINVAL, EMFILE, ENETDOWN (the host is closed)
   *
   * @example
   * ```ts
   * const listener = host.listen({ port: 13 });
   * for await (const connection of listener) {
   *   connection.write(`${new Date().toString()}\r\n`);
   *   connection.close();
   * }
   * ```
   */
  listen(options: HostListenOptions): Listener {
    this.checkOpen();
    options.signal?.throwIfAborted();
    const { port, address, backlog } = options;
    const socket = this.stack.sockets.listen({
      port,
      ...(address === undefined ? {} : { address }),
      ...(backlog === undefined ? {} : { backlog }),
    });
    const adopt = (accepted: TcpSocket) => this.adopt(accepted);
    const onClose = (closed: Listener) => this.listeners.delete(closed);
    const listener = new Listener(socket, this.pump, adopt, onClose, options.signal);
    this.listeners.add(listener);
    return listener;
  }

  /**
   * Opens a connection. An attempt that is given up, by `signal` or `timeout`, is closed at once.
   *
   * @throws StackError ECONNREFUSED, ETIMEDOUT, EHOSTUNREACH, ENETUNREACH, EADDRNOTAVAIL, EADDRINUSE, EINVAL, EMFILE,
   *   ECANCELED (the host was closed meanwhile), ENETDOWN (it was before); the signal's reason
   *
   * @example
   * ```ts
   * const connection = await host.connect({ address: "192.168.69.100", port: 80, timeout: 3_000 });
   * ```
   */
  async connect(options: HostConnectOptions): Promise<Connection> {
    this.checkOpen();
    checkWait(options);
    checkConnectAddress(options.address);
    const { address, port, localAddress, localPort, noDelay } = options;
    const socket = this.stack.sockets.connect({
      address,
      port,
      ...(localAddress === undefined ? {} : { localAddress }),
      ...(localPort === undefined ? {} : { localPort }),
      ...(noDelay === undefined ? {} : { noDelay }),
    });
    this.pump.wake();
    const attempt = new Attempt(socket, options);
    this.attempts.add(attempt);
    // No gap between the end of the handshake and a handler for what follows: both happen within one poll.
    try {
      return this.adopt(await attempt.done);
    } finally {
      this.attempts.delete(attempt);
      this.pump.wake();
    }
  }

  /**
   * Opens a port for datagrams. It is open when the call returns.
   *
   * @throws StackError EADDRINUSE, EADDRNOTAVAIL, EINVAL, EMFILE, ENETDOWN (the host is closed)
   */
  udp(options: HostUdpOptions = {}): UdpEndpoint {
    this.checkOpen();
    options.signal?.throwIfAborted();
    const { port, address, buffers } = options;
    const socket = this.stack.sockets.bindUdp({
      ...(port === undefined ? {} : { port }),
      ...(address === undefined ? {} : { address }),
      ...(buffers === undefined ? {} : { buffers }),
    });
    const onClose = (closed: UdpEndpoint) => this.endpoints.delete(closed);
    const endpoint = new UdpEndpoint(socket, this.pump, onClose, options.signal);
    this.endpoints.add(endpoint);
    return endpoint;
  }

  /** Keeps the process running, as is the case from the start. */
  ref(): void {
    this.pump.setRef(true);
  }

  /** Lets the process end although the host is open, as far as it is up to the host: a device may have its own ways. */
  unref(): void {
    this.pump.setRef(false);
  }

  /**
   * Closes everything: listeners at once, connections by what `Connection.close` does; those whose peers have not closed in
   * time are reset. Then the device. Closing twice is fine. Nothing that waits stays waiting.
   */
  close(options: HostCloseOptions = {}): Promise<void> {
    this.closing ??= this.shutDown(options.timeout ?? CLOSE_TIMEOUT_MS);
    return this.closing;
  }

  /** `close`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  private async shutDown(timeoutMs: number): Promise<void> {
    for (const listener of [...this.listeners]) listener.close();
    for (const attempt of [...this.attempts]) attempt.giveUp();
    const connections = [...this.connections];
    for (const connection of connections) void connection.close();
    await this.lastFrames();
    for (const endpoint of [...this.endpoints]) endpoint.close();
    await settled(
      connections.map((connection) => connection.closed),
      timeoutMs,
    );
    for (const connection of [...this.connections]) connection.abort();
    await this.lastFrames();
    this.pump.stop();
    for (const iface of this.interfaces) iface.device.close();
  }

  /** Waits until the devices have taken everything that is to be sent now. */
  private async lastFrames(): Promise<void> {
    const until = clock() + LAST_FRAMES_MS;
    do {
      this.pump.wake();
      await laterTurn();
    } while (this.interfaces.some((iface) => iface.ready.size > 0) && clock() < until);
  }

  private adopt(socket: TcpSocket): Connection {
    const connection = new Connection(socket, this.pump, this.stack.sockets.context.tcp, (over) =>
      this.connections.delete(over),
    );
    if (!connection.isClosed) this.connections.add(connection);
    return connection;
  }

  private checkOpen(): void {
    if (this.closing === null) return;
    throw new StackError("ENETDOWN", "the host is closed: open another one");
  }
}

/** Waits until all promises have settled, or the time is over. */
async function settled(promises: Promise<void>[], timeoutMs: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, timeoutMs);
  await Promise.race([Promise.all(promises), promise]);
  clearTimeout(timer);
}

/**
 * Puts a host on a network: makes a stack on the device and runs it. The device is the host's from now on, and is closed
 * with it.
 *
 * @throws StackError EINVAL (an option), ENOTSUP (the device, or the family of an address)
 *
 * @example
 * ```ts
 * const [ours, theirs] = memoryPair();
 * const server = await open({ device: ours, addresses: ["10.0.0.1/24"] });
 * const client = await open({ device: theirs, addresses: ["10.0.0.2/24"] });
 * ```
 */
export async function open(options: HostOptions): Promise<Host> {
  try {
    return new Host(options);
  } catch (error) {
    options.device.close();
    throw error;
  }
}
