import type { Device, DeviceEvent } from "../device.ts";
import { StackError } from "../errors.ts";
import type { TcpSocket } from "../socket/tcp/tcp-socket.ts";
import { abort } from "../socket/tcp/user-calls.ts";
import { type InterfaceOptions, Stack, type StackOptions } from "../stack.ts";
import type { Stats } from "../stats.ts";
import { formatAddress, parseAddress } from "../wire/ip-address.ts";
import { Attachment, type OnDeviceEvent } from "./attachment.ts";
import { Attempt, checkHostAddress, type HostConnectOptions } from "./connect.ts";
import { Connection } from "./connection.ts";
import { type HostListenOptions, inStrings, Listener } from "./listener.ts";
import { checkWait } from "./pending.ts";
import { type EchoReply, Pinger, type PingerOptions, type PingOptions, pingOnce } from "./ping.ts";
import { Pump } from "./pump.ts";
import { laterTurn, type Runtime, realRuntime } from "./runtime.ts";
import { type HostUdpOptions, UdpEndpoint } from "./udp.ts";

/** What of a host, and of the stack below, should be otherwise than usual. */
export interface HostSettings extends StackOptions {
  /**
   * Is told what befalls the devices, in a later turn of the event loop: that one is down, removed, back, or has another
   * MTU; that the system refuses something; and, as an error with EADDRINUSE, that another station uses one of the host's
   * addresses. The host deals with all of it as far as it can by itself. Without this, `Host.lastDeviceError` keeps the
   * last error.
   */
  readonly onDeviceEvent?: OnDeviceEvent | undefined;
  /** The clock, the timers and the turns of an event loop that the host lives by; the engine's own unless told. */
  readonly runtime?: Runtime | undefined;
}

/** A host on one device. */
export interface SingleHostOptions extends HostSettings, InterfaceOptions {
  readonly interfaces?: undefined;
}

/** A host on several devices. */
export interface MultiHostOptions extends HostSettings {
  readonly interfaces: readonly InterfaceOptions[];
  readonly device?: undefined;
}

/** What `open` takes: one device with its addresses, or several. */
export type HostOptions = SingleHostOptions | MultiHostOptions;

/** Options of {@link Host.close}. */
export interface HostCloseOptions {
  /** Time in ms that the peers get to acknowledge everything and to close their sides; 1,000 unless told. */
  readonly timeout?: number | undefined;
  /**
   * Time in ms for which connections in TIME-WAIT are still there, for peers that did not get our last ACK and send their FIN
   * again. 0 unless told: such a peer has everything, and gives up by itself.
   */
  readonly timeWait?: number | undefined;
}

/** What became of the connections of a host that was closed. */
export interface HostCloseResult {
  /** Connections that were not over when `close` was called; handshakes and connections not accepted are not counted. */
  readonly connections: number;
  /** Those that were reset when the time was over: their peers had not closed their sides. */
  readonly reset: number;
  /** Those whose peers have not acknowledged everything, for whatever reason: then `error` of the connection tells it. */
  readonly undelivered: number;
  /** Bytes that these had taken, and whose arrival is not known. */
  readonly undeliveredBytes: number;
}

const CLOSE_TIMEOUT_MS = 1_000;
const NEVER_SETTLES = new Promise<void>(() => {});
/** How long the last segments may wait for a device that is full. */
const LAST_FRAMES_MS = 100;

/**
 * A host on the network: a stack that runs by itself, with promises for everything that takes time. It keeps the
 * process running until it is closed, or `unref` is called.
 */
export class Host implements AsyncDisposable {
  /** The stack below, for what has no promise yet. */
  readonly stack: Stack;
  private readonly attachments: Attachment[] = [];
  private readonly pump: Pump;
  private readonly runtime: Runtime;
  private readonly attempts = new Set<Attempt>();
  private readonly connections = new Set<Connection>();
  private readonly listeners = new Set<Listener>();
  private readonly endpoints = new Set<UdpEndpoint | Pinger>();
  private readonly onDeviceEvent: OnDeviceEvent | undefined;
  private deviceError: StackError | null = null;
  private closing: Promise<HostCloseResult> | null = null;

  /** Made by `open`. */
  constructor(settings: HostSettings, interfaces: readonly InterfaceOptions[]) {
    this.onDeviceEvent = settings.onDeviceEvent;
    const runtime = settings.runtime ?? realRuntime;
    this.runtime = runtime;
    this.stack = new Stack({ ...settings, clock: settings.clock ?? (() => runtime.now()) });
    const added = interfaces.map((each) => this.stack.addInterface(each));
    this.pump = new Pump(this.stack, this.runtime);
    for (const iface of added) {
      this.attachments.push(
        new Attachment(iface, this.pump, (event, device) => this.deviceEvent(event, device)),
      );
    }
  }

  /** Resolves when all addresses may be used: see `open`. */
  async whenReady(): Promise<void> {
    await Promise.all(this.attachments.map(({ ready }) => ready));
  }

  /** One counter for each event worth counting. */
  get stats(): Stats {
    return this.stack.stats;
  }

  /** The host's addresses, without prefix lengths. */
  get addresses(): readonly string[] {
    return this.attachments.flatMap(({ iface }) =>
      iface.addresses.map(({ address }) => formatAddress(address)),
    );
  }

  /** The last error that a device has reported, or `null`; see `HostSettings.onDeviceEvent`. */
  get lastDeviceError(): StackError | null {
    return this.deviceError;
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
   *
   * @example
   * ```ts
   * // Whatever port of whatever address of that network somebody asks for.
   * const proxy = host.listen({ any: true, accept: ({ localAddress }) => localAddress.startsWith("10.9.") });
   * for await (const connection of proxy) {
   *   console.log(`${connection.remoteAddress} asks for ${connection.localAddress}:${connection.localPort}`);
   *   connection.close();
   * }
   * ```
   */
  listen(options: HostListenOptions): Listener {
    this.checkOpen();
    options.signal?.throwIfAborted();
    const { port, address, any, accept, reusePort, backlog, maxConnections } = options;
    const { userTimeout, maxSegmentSize, congestionControl } = options;
    const socket = this.stack.sockets.listen({
      ...(port === undefined ? {} : { port }),
      ...(address === undefined ? {} : { address }),
      ...(any === undefined ? {} : { any }),
      ...(accept === undefined ? {} : { accept: inStrings(accept) }),
      ...(reusePort === undefined ? {} : { reusePort }),
      ...(backlog === undefined ? {} : { backlog }),
      ...(maxConnections === undefined ? {} : { maxConnections }),
      ...(userTimeout === undefined ? {} : { userTimeout }),
      ...(maxSegmentSize === undefined ? {} : { maxSegmentSize }),
      ...(congestionControl === undefined ? {} : { congestionControl }),
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
    checkHostAddress(options.address);
    const { address, port, localAddress, localPort, noDelay, userTimeout } = options;
    const { maxSegmentSize, congestionControl } = options;
    const socket = this.stack.sockets.connect({
      address,
      port,
      ...(localAddress === undefined ? {} : { localAddress }),
      ...(localPort === undefined ? {} : { localPort }),
      ...(noDelay === undefined ? {} : { noDelay }),
      ...(userTimeout === undefined ? {} : { userTimeout }),
      ...(maxSegmentSize === undefined ? {} : { maxSegmentSize }),
      ...(congestionControl === undefined ? {} : { congestionControl }),
    });
    this.pump.wake();
    const attempt = new Attempt(socket, this.runtime, options);
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
    const endpoint = new UdpEndpoint(socket, this.pump, onClose, options);
    this.endpoints.add(endpoint);
    return endpoint;
  }

  /**
   * Opens an ICMP identifier, to send echo requests to any number of hosts and to see everything that comes back.
   *
   * @throws StackError EADDRINUSE, EADDRNOTAVAIL, EINVAL, EMFILE, ENETDOWN (the host is closed)
   */
  pinger(options: PingerOptions = {}): Pinger {
    this.checkOpen();
    options.signal?.throwIfAborted();
    const { identifier, address, buffers } = options;
    const socket = this.stack.sockets.bindIcmp({
      ...(identifier === undefined ? {} : { identifier }),
      ...(address === undefined ? {} : { address }),
      ...(buffers === undefined ? {} : { buffers }),
    });
    const onClose = (closed: Pinger) => this.endpoints.delete(closed);
    const pinger = new Pinger(socket, this.pump, onClose, options.signal);
    this.endpoints.add(pinger);
    return pinger;
  }

  /**
   * Sends one echo request and resolves with its reply.
   *
   * @throws StackError ETIMEDOUT (no answer), EHOSTUNREACH, ENETUNREACH, EMSGSIZE, EINVAL, EMFILE, ECANCELED (the host was
   *   closed meanwhile), ENETDOWN (it was before); the signal's reason
   *
   * @example
   * ```ts
   * const { address, bytes, ttl, ms } = await host.ping("192.168.69.100", { timeout: 1_000 });
   * `${bytes} bytes from ${address}, ttl ${ttl}`; // "64 bytes from 192.168.69.100, ttl 64"
   * ```
   */
  async ping(address: string, options: PingOptions = {}): Promise<EchoReply> {
    checkHostAddress(address);
    // Room for the largest packet there is; pages that are not touched cost nothing.
    const pinger = this.pinger({ buffers: { messages: 16, bytes: 128 * 1024, requests: 1 } });
    try {
      const anyone = this.stack.sockets.context.routing.isBroadcast(parseAddress(address));
      return await pingOnce(pinger, address, options, anyone);
    } finally {
      pinger.close();
    }
  }

  /** Keeps the process running, as is the case from the start. */
  ref(): void {
    this.setRef(true);
  }

  /** Lets the process end although the host is open; a timer of the program's own may still keep it running. */
  unref(): void {
    this.setRef(false);
  }

  /**
   * Closes everything: listeners at once, connections as `Connection.close` does, so that writes that wait are finished and
   * reads end. When all peers have closed their sides, or the time is over, whatever is left is reset, and the devices are
   * closed. Closing twice is fine. Nothing that waits stays waiting.
   *
   * Never rejects; what was not delivered is in the result, and in each connection's `error` and `bytesUnacknowledged`.
   *
   * @throws StackError EINVAL
   *
   * @example
   * ```ts
   * const { undelivered, undeliveredBytes } = await host.close({ timeout: 10_000 });
   * if (undelivered > 0) console.error(`${undelivered} connections have lost ${undeliveredBytes} bytes`);
   * ```
   */
  close(options: HostCloseOptions = {}): Promise<HostCloseResult> {
    const { timeout = CLOSE_TIMEOUT_MS, timeWait = 0 } = options;
    if (!(timeout >= 0 && timeWait >= 0)) {
      throw new StackError("EINVAL", `timeout and timeWait are times in ms, not ${timeout} and ${timeWait}`);
    }
    this.closing ??= this.shutDown(timeout, timeWait);
    return this.closing;
  }

  /** `close`, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  private async shutDown(timeoutMs: number, timeWaitMs: number): Promise<HostCloseResult> {
    for (const listener of [...this.listeners]) listener.close();
    for (const attempt of [...this.attempts]) attempt.giveUp();
    const connections = [...this.connections];
    const failed: Connection[] = [];
    const deliveries = connections.map((each) => each.close().catch(() => void failed.push(each)));
    await this.lastFrames();
    for (const endpoint of [...this.endpoints]) endpoint.close();
    await settled(
      connections.map((connection) => connection.closed),
      timeoutMs,
      this.runtime,
    );
    const late = [...this.connections];
    for (const connection of late) connection.abort();
    await Promise.all(deliveries);
    if (timeWaitMs > 0 && this.stack.sockets.timeWaits > 0)
      await settled([NEVER_SETTLES], timeWaitMs, this.runtime);
    // What the program has opened below the host, and half-open connections of others.
    for (const { iface } of this.attachments) this.stack.sockets.forEachConnection(iface, abort);
    await this.lastFrames();
    this.pump.stop();
    for (const { iface } of this.attachments) iface.device.close();
    return {
      connections: connections.length,
      reset: late.length,
      undelivered: failed.length,
      undeliveredBytes: failed.reduce((sum, each) => sum + each.bytesUnacknowledged, 0),
    };
  }

  /** Waits until the devices have taken everything that is to be sent now. */
  private async lastFrames(): Promise<void> {
    const { runtime } = this;
    const until = runtime.now() + LAST_FRAMES_MS;
    do {
      this.pump.wake();
      await laterTurn(runtime);
    } while (this.attachments.some(({ iface }) => iface.ready.size > 0) && runtime.now() < until);
  }

  private setRef(ref: boolean): void {
    this.pump.setRef(ref);
    for (const { iface } of this.attachments) iface.device.setRef?.(ref);
  }

  private deviceEvent(event: DeviceEvent, device: Device): void {
    if (event.type === "error") this.deviceError = event.error;
    if (this.closing === null) this.onDeviceEvent?.(event, device);
  }

  private adopt(socket: TcpSocket): Connection {
    const connection = new Connection(socket, this.pump, this.stack.sockets.context.tcp, (over) =>
      this.connections.delete(over),
    );
    if (!connection.isClosed) this.connections.add(connection);
    // A handshake that was complete in the moment in which the host was closed.
    if (this.closing !== null) connection.abort();
    return connection;
  }

  private checkOpen(): void {
    if (this.closing === null) return;
    throw new StackError("ENETDOWN", "the host is closed: open another one");
  }
}

/** Waits until all promises have settled, or the time is over. */
async function settled(promises: Promise<void>[], timeoutMs: number, runtime: Runtime): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const expire = () => {
    runtime.programIsDue();
    resolve();
  };
  const timer = runtime.setTimer(expire, timeoutMs);
  await Promise.race([Promise.all(promises), promise]);
  runtime.clearTimer(timer);
}

/**
 * Puts a host on a network: makes a stack on the device, or on several, and runs it. The devices are the host's from now
 * on, and are closed with it, or when this fails.
 *
 * On Ethernet it takes about 200 ms: the addresses are probed before they are used (RFC 5227).
 *
 * @throws StackError EINVAL (an option), ENOTSUP (the device, or the family of an address), EADDRINUSE (another station
 *   has one of the addresses)
 *
 * @example
 * ```ts
 * const [ours, theirs] = memoryPair();
 * const server = await open({ device: ours, addresses: ["10.0.0.1/24"] });
 * const client = await open({ device: theirs, addresses: ["10.0.0.2/24"] });
 * ```
 *
 * @example
 * ```ts
 * const [left] = memoryPair();
 * const [right] = memoryPair();
 * const host = await open({
 *   interfaces: [
 *     { device: left, addresses: ["10.0.0.1/24"], gateway: "10.0.0.254" },
 *     { device: right, addresses: ["10.1.0.1/24"], routes: [{ to: "10.2.0.0/16", via: "10.1.0.254" }] },
 *   ],
 *   onDeviceEvent: (event) => console.error(event.type),
 * });
 * host.addresses; // ["10.0.0.1", "10.1.0.1"]
 * ```
 */
export async function open(options: HostOptions): Promise<Host> {
  const interfaces = options.interfaces ?? [options];
  try {
    checkInterfaces(interfaces);
    const host = new Host(options, interfaces);
    try {
      await host.whenReady();
      return host;
    } catch (error) {
      await host.close();
      throw error;
    }
  } catch (error) {
    for (const { device } of interfaces) device?.close();
    throw error;
  }
}

function checkInterfaces(interfaces: readonly Partial<InterfaceOptions>[]): void {
  const devices = new Set(interfaces.map(({ device }) => device));
  if (devices.size === 0 || devices.has(undefined)) {
    throw new StackError(
      "EINVAL",
      "a host needs a device: give device and addresses, or interfaces of these",
    );
  }
  if (devices.size < interfaces.length) {
    throw new StackError("EINVAL", "two interfaces have the same device: give one of them all addresses");
  }
}
